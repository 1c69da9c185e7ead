"""Several event loops and one SQLite file: one after the other, never two at once."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.exceptions import NotConnectedError
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, opened


def test_event_loops_may_use_one_store_one_after_the_other(path: Path, door: UUID) -> None:
    """Each asyncio.run opens and closes the same object."""
    store = SQLiteEventStore(path)

    async def append(version: int) -> int:
        async with store:
            return (await store.append_events(door, DOOR, opened(door, 1), version)).new_version

    assert [asyncio.run(append(version)) for version in range(3)] == [1, 2, 3]


def test_a_store_left_open_may_be_used_by_the_next_event_loop(path: Path, door: UUID) -> None:
    """What the first loop opened the second one uses and closes."""
    store = SQLiteEventStore(path)

    async def append_and_close() -> int:
        result = await store.append_events(door, DOOR, opened(door, 1), 0)
        await store.close()
        return result.new_version

    asyncio.run(store.initialize())

    assert asyncio.run(append_and_close()) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_loop_that_ended_within_an_append_blocks_nobody(path: Path, door: UUID) -> None:
    """The next loop's appends do not wait for the answer that the first one will never get."""
    store = SQLiteEventStore(path)
    events = opened(door, 1)
    first = asyncio.new_event_loop()
    first.run_until_complete(store.initialize())
    appending = first.create_task(store.append_events(door, DOOR, events, 0))
    first.run_until_complete(asyncio.sleep(0))
    first.close()

    async def append_again() -> int:
        async with asyncio.timeout(10):
            result = await store.append_events(door, DOOR, events, 0)
            await store.close()
        return result.new_version

    assert asyncio.run(append_again()) == 1
    assert not appending.done()


async def append_one(store: SQLiteEventStore, door: UUID, version: int) -> int:
    return (await store.append_events(door, DOOR, opened(door, 1), version)).new_version


USES: dict[str, Callable[[SQLiteEventStore, UUID], Any]] = {
    "append_events": lambda store, door: append_one(store, door, 1),
    "get_events": lambda store, door: store.get_events(door),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_a_loop_in_another_thread_is_refused(
    store: SQLiteEventStore, door: UUID, use: Callable[..., Any]
) -> None:
    """While the first loop lives; that one goes on as if nothing had been."""
    await append_one(store, door, 0)

    with pytest.raises(NotConnectedError, match="open a store for each event loop"):
        await asyncio.to_thread(lambda: asyncio.run(use(store, door)))

    assert await append_one(store, door, 1) == 2


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_a_loop_in_another_thread_may_follow_one_that_is_closed(
    path: Path, door: UUID, use: Callable[..., Any]
) -> None:
    """A store that the first one left open serves the second."""
    store = SQLiteEventStore(path)

    async def open_and_append() -> None:
        await store.initialize()
        await append_one(store, door, 0)

    await asyncio.to_thread(lambda: asyncio.run(open_and_append()))

    await use(store, door)

    assert await store.get_stream_version(door, DOOR) in (1, 2)
    await store.close()


async def test_each_loop_may_have_a_store_of_the_file(store: SQLiteEventStore, path: Path, door: UUID) -> None:
    """They are at work at the same time, each with its own connections."""

    async def open_and_append() -> int:
        async with SQLiteEventStore(path) as other:
            return await append_one(other, door, 1)

    await append_one(store, door, 0)

    assert await asyncio.to_thread(lambda: asyncio.run(open_and_append())) == 2
    assert await append_one(store, door, 2) == 3


def test_an_append_that_a_standing_loop_left_under_way_blocks_nobody(path: Path, door: UUID) -> None:
    """Another loop is told so instead of waiting for ever; when the first one has gone on, all go on."""
    store = SQLiteEventStore(path)
    first = asyncio.new_event_loop()
    first.run_until_complete(store.initialize())
    appending = first.create_task(append_one(store, door, 0))
    first.run_until_complete(asyncio.sleep(0))

    async def append() -> int:
        async with asyncio.timeout(10):
            return await append_one(store, door, 1)

    with pytest.raises(NotConnectedError, match="another event loop, which stands still"):
        asyncio.run(append())

    assert first.run_until_complete(appending) == 1
    assert asyncio.run(append()) == 2
    first.run_until_complete(store.close())
    first.close()


def test_a_store_that_a_standing_loop_uses_can_be_closed_by_another(path: Path, door: UUID) -> None:
    """Closing does not wait for what nobody lets go on; what was under way is written."""
    store = SQLiteEventStore(path)
    first = asyncio.new_event_loop()
    first.run_until_complete(store.initialize())
    appending = first.create_task(append_one(store, door, 0))
    first.run_until_complete(asyncio.sleep(0))

    async def close() -> None:
        async with asyncio.timeout(10):
            await store.close()

    asyncio.run(close())

    assert first.run_until_complete(appending) == 1
    first.close()
