"""Draining and leaving lanes, and what happens when a message cannot be settled."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from eventsource.bus.lanes import Lanes
from eventsource.exceptions import EventBusError
from eventsource.retry import NoRetryPolicy

Open = Callable[..., Awaitable[Lanes[str]]]
Admit = Callable[..., Awaitable[None]]
Idle = Callable[[], Awaitable[None]]

REFUSALS = {"an error": ConnectionError("gone"), "a cancellation": asyncio.CancelledError()}


def refusing(message: str, error: BaseException) -> Callable[[str], None]:
    """Return what raises *error* for *message*."""

    def refuse(asked: str) -> None:
        if asked == message:
            raise error

    return refuse


def lanes_of(work: Any) -> Lanes[str]:
    return Lanes(work, NoRetryPolicy(), concurrency=10, window=10)


async def test_draining_nothing_is_done_at_once(open_lanes: Open) -> None:
    """There is nothing to wait for."""
    lanes = await open_lanes()

    async with asyncio.timeout(10):
        await lanes.drain()


async def test_draining_waits_for_all(open_lanes: Open, admit: Admit, work: Any, idle: Idle) -> None:
    """Whoever drains goes on when the last message is settled."""
    lanes = await open_lanes()
    await admit(lanes, "a1", "b1")
    draining = asyncio.create_task(lanes.drain())
    await work.saw("begin a1", "begin b1")

    work.succeed("a1")
    await idle()
    was_drained = draining.done()
    work.succeed("b1")
    await draining

    assert (was_drained, lanes.unsettled) == (False, 0)


async def test_whoever_drains_may_be_cancelled(open_lanes: Open, admit: Admit, work: Any, idle: Idle) -> None:
    """What is in hand goes on to its end."""
    lanes = await open_lanes()
    await admit(lanes, "a1")
    draining = asyncio.create_task(lanes.drain())
    await work.saw("begin a1")

    draining.cancel()
    await idle()
    work.succeed("a1")
    await lanes.drain()

    assert (draining.cancelled(), work.times("settle a1")) == (True, 1)


async def test_leaving_cancels_what_is_under_way(admit: Admit, work: Any) -> None:
    """It is left unsettled, and what waits behind it is not begun."""
    async with lanes_of(work) as lanes:
        await admit(lanes, "a1", "a2", "b1")
        await work.saw("begin a1", "begin b1")

    assert sorted(work.log) == ["begin a1", "begin b1", "end a1", "end b1"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_nothing_counts_after_leaving(admit: Admit, work: Any) -> None:
    """Not even a message whose turn had come but that could not begin any more."""
    async with lanes_of(work) as lanes:
        await admit(lanes, "a1", "a2", "b1")

    assert (work.log, lanes.unsettled, lanes.parked) == ([], 0, 0)


@pytest.mark.parametrize("moment", range(6))
async def test_no_task_is_left_behind_whenever_that_is(admit: Admit, work: Any, moment: int) -> None:
    """Nor is a message begun after one that ends just then."""
    async with lanes_of(work) as lanes:
        await admit(lanes, "a1", "a2")
        await work.saw("begin a1")
        work.succeed("a1")
        for _ in range(moment):
            await asyncio.sleep(0)
        begun = work.times("begin a2")

    assert lanes.unsettled == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert work.times("begin a2") == begun


async def test_a_cancelled_consumer_is_cancelled(admit: Admit, work: Any) -> None:
    """What it has in hand with it."""

    async def consume() -> None:
        async with lanes_of(work) as lanes:
            await admit(lanes, "a1")
            await lanes.drain()

    consuming = asyncio.create_task(consume())
    await work.saw("begin a1")

    consuming.cancel()
    await asyncio.wait([consuming])

    assert consuming.cancelled()
    assert work.log == ["begin a1", "end a1"]


async def test_a_consumer_that_is_cancelled_again_leaves_nothing_behind(admit: Admit, work: Any) -> None:
    """It waits for a handler that takes its time to end."""
    is_ending, may_end = asyncio.Event(), asyncio.Event()

    async def linger(message: str, number: int) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            is_ending.set()
            while not may_end.is_set():
                with suppress(asyncio.CancelledError):
                    await may_end.wait()

    async def consume() -> None:
        async with lanes_of(work) as lanes:
            await admit(lanes, "a1")
            await lanes.drain()

    work.attempt = linger
    consuming = asyncio.create_task(consume())
    await asyncio.sleep(0)
    for _ in range(2):
        await asyncio.sleep(0)
        consuming.cancel()
    await is_ending.wait()
    await asyncio.sleep(0)
    was_done = consuming.done()

    may_end.set()
    await asyncio.wait([consuming])

    assert (was_done, consuming.cancelled()) == (False, True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_whoever_waits_for_room_is_told_that_the_lanes_were_left(admit: Admit, work: Any, idle: Idle) -> None:
    """Its message is not taken, nor is whoever drains told that all was settled."""
    async with Lanes(work, NoRetryPolicy(), concurrency=1, window=1) as lanes:
        await admit(lanes, "a1")
        waiting = [asyncio.create_task(admit(lanes, "b1")), asyncio.create_task(lanes.drain())]
        await idle()

    outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [EventBusError, EventBusError]
    assert (work.times("begin b1"), lanes.unsettled) == (0, 0)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_message_that_cannot_be_settled_ends_it_all(
    open_lanes: Open, admit: Admit, work: Any, refusal: BaseException
) -> None:
    """Whoever drains is told, and the next message of its key is not begun."""
    lanes = await open_lanes()
    work.when_settling = refusing("a1", refusal)
    await admit(lanes, "a1", "a2")
    draining = asyncio.create_task(lanes.drain())
    await work.saw("begin a1")

    work.succeed("a1")

    with pytest.raises(EventBusError, match="could not be settled"):
        await draining
    assert (work.times("begin a2"), lanes.unsettled) == (0, 0)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_dead_letter_that_cannot_be_kept_ends_it_all(
    open_lanes: Open, admit: Admit, work: Any, refusal: BaseException
) -> None:
    """The message is left unsettled."""
    lanes = await open_lanes()
    work.when_burying = refusing("a1", refusal)
    await admit(lanes, "a1")
    draining = asyncio.create_task(lanes.drain())
    await work.saw("begin a1")

    work.fail("a1")

    with pytest.raises(EventBusError, match="could not be settled"):
        await draining
    assert work.times("settle a1") == 0


async def test_nothing_is_taken_after_a_failure(open_lanes: Open, admit: Admit, work: Any) -> None:
    """Not by whoever waited for the room that it has made, nor later."""
    lanes = await open_lanes(window=1)
    work.when_settling = refusing("a1", ConnectionError("gone"))
    await admit(lanes, "a1")
    admitting = asyncio.create_task(admit(lanes, "b1"))
    await work.saw("begin a1")

    work.succeed("a1")

    with pytest.raises(EventBusError):
        await admitting
    with pytest.raises(EventBusError):
        await admit(lanes, "c1")
    assert lanes.unsettled == 0


async def test_a_failure_can_be_waited_for(open_lanes: Open, admit: Admit, work: Any) -> None:
    """Its cause is what has been raised, of several the first."""
    lanes = await open_lanes()
    first = ConnectionError("gone")
    work.when_settling = lambda message: refusing("a1", first)(message) or refusing("b1", OSError())(message)
    await admit(lanes, "a1", "b1")
    await work.saw("begin a1", "begin b1")

    work.succeed("a1", "b1")
    await asyncio.wait([lanes.failure], timeout=10)

    failure = lanes.failure.exception()
    assert (type(failure), failure and failure.__cause__) == (EventBusError, first)


async def test_a_failure_that_nobody_asks_for_is_no_more_than_that(admit: Admit, work: Any) -> None:
    """Leaving is quiet, and the failure stays."""
    work.when_settling = refusing("a1", ConnectionError("gone"))
    async with lanes_of(work) as lanes:
        await admit(lanes, "a1")
        await work.saw("begin a1")
        work.succeed("a1")
        await asyncio.wait([lanes.failure], timeout=10)

    assert isinstance(lanes.failure.exception(), EventBusError)


async def test_a_consumer_without_failure_has_none_afterwards(admit: Admit, work: Any) -> None:
    """Whoever waits for one waits no longer."""
    async with lanes_of(work) as lanes:
        waiting = asyncio.create_task(asyncio.wait([lanes.failure]))

    await asyncio.wait_for(waiting, 10)

    assert lanes.failure.cancelled()
