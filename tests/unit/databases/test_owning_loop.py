"""Which event loop may use a connection."""

import asyncio
import gc
import threading
import weakref

import pytest

from eventsource.databases.owning_loop import OwningLoop
from eventsource.exceptions import NotConnectedError


@pytest.fixture
def owner() -> OwningLoop:
    return OwningLoop("the door")


async def check(owner: OwningLoop) -> None:
    owner.check()


def in_another_thread(owner: OwningLoop) -> BaseException | None:
    """Check from a loop of another thread and return what that raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(check(owner))
        except NotConnectedError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


async def test_a_loop_may_come_again(owner: OwningLoop) -> None:
    """The first one and the same one always may."""
    owner.check()
    owner.check()


def test_another_loop_of_the_same_thread_may_take_over() -> None:
    """Only one of them can run at a time, and the first one may take it back."""
    owner, first = OwningLoop("the door"), asyncio.new_event_loop()
    first.run_until_complete(check(owner))

    asyncio.run(check(owner))
    first.run_until_complete(check(owner))

    first.close()


async def test_a_loop_of_another_thread_is_refused(owner: OwningLoop) -> None:
    """While the first one lives; the error names what it is about, and the first one stays the owner."""
    owner.check()

    refused = in_another_thread(owner)

    assert isinstance(refused, NotConnectedError)
    assert "the door is used by the event loop of another thread" in str(refused)
    owner.check()


def test_a_loop_of_another_thread_is_refused_while_the_first_stands_still(owner: OwningLoop) -> None:
    """A loop that is not closed may go on at any time."""
    first = asyncio.new_event_loop()
    first.run_until_complete(check(owner))

    refused = in_another_thread(owner)

    first.close()
    assert isinstance(refused, NotConnectedError)


def test_a_loop_of_another_thread_may_follow_one_that_is_closed(owner: OwningLoop) -> None:
    """It is the owner from then on."""
    asyncio.run(check(owner))

    assert in_another_thread(owner) is None


def test_an_owner_is_not_kept_alive() -> None:
    """What a loop left behind unclosed goes with it."""
    owner, loop = OwningLoop("it"), asyncio.new_event_loop()

    async def use() -> None:
        owner.check()

    loop.run_until_complete(use())
    loop.close()
    seen = weakref.ref(loop)

    del loop
    gc.collect()

    assert seen() is None
