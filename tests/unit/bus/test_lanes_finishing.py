"""Bringing chosen messages to an end, while the others go on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eventsource.bus.lanes import Lanes
from eventsource.retry import ExponentialBackoffRetryPolicy, RetryConfig

LONG = 3600.0
TRYING_LATER = ExponentialBackoffRetryPolicy(RetryConfig(max_retries=3, initial_delay=LONG, max_delay=LONG, jitter=0.0))

Open = Callable[..., Awaitable[Lanes[str]]]
Admit = Callable[..., Awaitable[None]]
Idle = Callable[[], Awaitable[None]]


def of_a(message: str) -> bool:
    return message.startswith("a")


def finish(lanes: Lanes[str], *choice: Callable[[str], bool], **options: Any) -> "asyncio.Task[None]":
    return asyncio.create_task(lanes.finish(*choice, **{"patience": LONG, "waiting": False, **options}))


def soon(rounds: int, do: Callable[[], None]) -> None:
    """Do something after so many rounds of the event loop."""
    loop = asyncio.get_running_loop()

    def tick(left: int) -> None:
        if left:
            loop.call_soon(tick, left - 1)
        else:
            do()

    tick(rounds)


async def test_what_is_in_hand_is_handled_and_settled(open_lanes: Open, admit: Admit, work: Any, idle: Idle) -> None:
    """Whoever finishes waits for it."""
    lanes = await open_lanes()
    await admit(lanes, "a1", "b1")
    await work.saw("begin a1", "begin b1")

    finishing = finish(lanes)
    await idle()
    was_finished = finishing.done()
    work.succeed("a1", "b1")
    await finishing

    assert not was_finished
    assert (work.times("settle a1"), work.times("settle b1")) == (1, 1)


async def test_what_waits_is_withdrawn(open_lanes: Open, admit: Admit, work: Any) -> None:
    """It is neither begun nor settled, and nobody waits for it."""
    lanes = await open_lanes()
    await admit(lanes, "a1", "a2", "a3")
    await work.saw("begin a1")

    finishing = finish(lanes)
    await asyncio.sleep(0)
    work.succeed("a1")
    await finishing
    await lanes.drain()

    assert work.log == ["begin a1", "end a1", "settle a1"]


async def test_what_waits_is_handled_if_that_is_wanted(open_lanes: Open, admit: Admit, work: Any) -> None:
    """In its order, before whoever finishes goes on."""
    lanes = await open_lanes()
    await admit(lanes, "a1", "a2")
    await work.saw("begin a1")

    finishing = finish(lanes, waiting=True)
    work.succeed("a1")
    await work.saw("begin a2")
    work.succeed("a2")
    await finishing

    assert work.log[-1] == "settle a2"


async def test_what_waits_for_a_slot_is_handled_if_that_is_wanted(open_lanes: Open, admit: Admit, work: Any) -> None:
    """As soon as there is one."""
    lanes = await open_lanes(concurrency=1)
    await admit(lanes, "b1", "a1")
    await work.saw("begin b1")

    finishing = finish(lanes, of_a, waiting=True)
    await asyncio.sleep(0)
    work.succeed("b1")
    await work.saw("begin a1")
    work.succeed("a1")
    await finishing

    assert work.log[-1] == "settle a1"


async def test_what_waits_for_a_slot_is_withdrawn(open_lanes: Open, admit: Admit, work: Any) -> None:
    """It was not begun."""
    lanes = await open_lanes(concurrency=1)
    await admit(lanes, "a1", "b1")
    await work.saw("begin a1")

    finishing = finish(lanes)
    await asyncio.sleep(0)
    work.succeed("a1")
    await finishing

    assert (work.times("begin b1"), lanes.unsettled) == (0, 0)


async def test_what_waits_for_a_slot_of_others_is_not_waited_for(open_lanes: Open, admit: Admit, work: Any) -> None:
    """A message that was not begun ends at once, however long other keys are in hand."""
    lanes = await open_lanes(concurrency=1)
    await admit(lanes, "b1", "a1")
    await work.saw("begin b1")

    async with asyncio.timeout(10):
        await finish(lanes, of_a)
    work.succeed("b1")
    await lanes.drain()

    assert work.log == ["begin b1", "end b1", "settle b1"]


async def test_what_was_withdrawn_is_not_brought_back(open_lanes: Open, admit: Admit, work: Any, idle: Idle) -> None:
    """By whoever finishes other messages meanwhile."""
    lanes = await open_lanes(concurrency=1)
    await admit(lanes, "b1", "a1", "c1")
    await work.saw("begin b1")

    finishing = [finish(lanes, of_a), finish(lanes, lambda message: message == "c1")]
    await idle()
    work.succeed("b1")
    await asyncio.gather(*finishing)
    await lanes.drain()

    assert work.log == ["begin b1", "end b1", "settle b1"]


@pytest.mark.parametrize("waiting", [False, True])
async def test_a_pause_before_another_attempt_ends(open_lanes: Open, admit: Admit, work: Any, waiting: bool) -> None:
    """The message is not tried again but left unsettled, and what waits behind it is withdrawn."""
    lanes = await open_lanes(policy=TRYING_LATER)
    await admit(lanes, "a1", "a2")
    await work.saw("begin a1")
    work.fail("a1")
    await work.saw("end a1")

    await finish(lanes, waiting=waiting)

    assert (work.log, lanes.unsettled) == (["begin a1", "end a1"], 0)


@pytest.mark.parametrize("waiting", [False, True])
async def test_what_fails_now_is_not_tried_again(open_lanes: Open, admit: Admit, work: Any, waiting: bool) -> None:
    """It is left unsettled, and what waits behind it is withdrawn."""
    lanes = await open_lanes(policy=TRYING_LATER)
    await admit(lanes, "a1", "a2")
    await work.saw("begin a1")

    finishing = finish(lanes, waiting=waiting)
    await asyncio.sleep(0)
    work.fail("a1")
    await finishing

    assert (work.log, lanes.unsettled) == (["begin a1", "end a1"], 0)


async def test_a_last_attempt_that_fails_makes_a_dead_letter(open_lanes: Open, admit: Admit, work: Any) -> None:
    """A message that would not be tried again anyhow is done."""
    lanes = await open_lanes()
    await admit(lanes, "a1")
    await work.saw("begin a1")

    finishing = finish(lanes)
    await asyncio.sleep(0)
    work.fail("a1")
    await finishing

    assert work.log[-2:] == ["bury a1", "settle a1"]


async def test_handlers_are_cancelled_when_patience_is_over(open_lanes: Open, admit: Admit, work: Any) -> None:
    """Their messages are left unsettled, and so are those behind them."""
    lanes = await open_lanes()
    await admit(lanes, "a1", "a2")
    await work.saw("begin a1")

    await finish(lanes, patience=0.01, waiting=True)
    await lanes.drain()

    assert (work.log, lanes.unsettled) == (["begin a1", "end a1"], 0)


async def test_a_cancelled_handler_that_raises_something_else_is_not_tried_again(
    open_lanes: Open, admit: Admit, work: Any
) -> None:
    """Nor is its message a dead letter: it is left to whoever is given it next."""

    async def stubborn(message: str, number: int) -> None:
        work.log.append(f"begin {message}")
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise ConnectionError("the database has gone") from None

    work.attempt = stubborn
    lanes = await open_lanes()
    await admit(lanes, "a1")

    await finish(lanes, patience=0)

    assert (work.log, lanes.unsettled) == (["begin a1"], 0)


async def test_the_others_go_on(open_lanes: Open, admit: Admit, work: Any) -> None:
    """They are neither withdrawn, nor hastened, nor cancelled."""
    lanes = await open_lanes(policy=ExponentialBackoffRetryPolicy(RetryConfig(1, 0.001, jitter=0.0)))
    await admit(lanes, "a1", "b1", "b2")
    await work.saw("begin a1", "begin b1")

    await finish(lanes, of_a, patience=0)
    work.fail("b1")
    await work.saw("begin b1", times=2)
    work.succeed("b1")
    await work.saw("begin b2")
    work.succeed("b2")
    await lanes.drain()

    assert (work.times("settle a1"), work.times("settle b2")) == (0, 1)


async def test_the_others_are_tried_again(open_lanes: Open, admit: Admit, work: Any) -> None:
    """Also if they wait for that just then."""
    lanes = await open_lanes(policy=ExponentialBackoffRetryPolicy(RetryConfig(1, 0.01, jitter=0.0)))
    await admit(lanes, "a1", "b1")
    await work.saw("begin a1", "begin b1")
    work.fail("b1")
    await work.saw("end b1")

    await finish(lanes, of_a, patience=0)

    await work.saw("begin b1", times=2)


async def test_only_chosen_handlers_are_cancelled(open_lanes: Open, admit: Admit, work: Any) -> None:
    """One that has another message of the same key in hand ends by itself."""
    lanes = await open_lanes()
    await admit(lanes, "a1", "a2")
    await work.saw("begin a1")

    await finish(lanes, lambda message: message == "a2", patience=0, waiting=True)
    work.succeed("a1")
    await lanes.drain()

    assert work.log == ["begin a1", "end a1", "settle a1"]


async def test_a_finished_key_is_used_again(open_lanes: Open, admit: Admit, work: Any) -> None:
    """A message of it that is admitted later is handled."""
    lanes = await open_lanes()
    await admit(lanes, "a1")
    await work.saw("begin a1")
    await finish(lanes, patience=0)

    await admit(lanes, "a2")
    await work.saw("begin a2")
    work.succeed("a2")
    await lanes.drain()

    assert work.times("settle a2") == 1


@pytest.mark.parametrize("moment", range(6))
async def test_a_key_is_used_again_whenever_patience_was_over(
    open_lanes: Open, admit: Admit, work: Any, moment: int
) -> None:
    """A message whose turn came just then neither holds its key nor its place in the window."""
    lanes = await open_lanes(window=2)
    await admit(lanes, "a1", "a2")
    await work.saw("begin a1")
    soon(moment, lambda: work.succeed("a1"))

    await finish(lanes, patience=0, waiting=True)
    await admit(lanes, "a3")

    await work.saw("begin a3")
    assert lanes.unsettled == 1


async def test_whoever_finishes_may_be_cancelled(open_lanes: Open, admit: Admit, work: Any) -> None:
    """What is in hand goes on to its end."""
    lanes = await open_lanes()
    await admit(lanes, "a1", "a2")
    await work.saw("begin a1")

    finishing = finish(lanes)
    await asyncio.sleep(0)
    finishing.cancel()
    work.succeed("a1")
    await lanes.drain()

    assert finishing.cancelled()
    assert work.log == ["begin a1", "end a1", "settle a1"]
