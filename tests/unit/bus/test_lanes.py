"""Lanes: order within a key, concurrency across keys, another try in its place."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, ClassVar

from eventsource.bus.lanes import Lanes
from eventsource.exceptions import EventBusError
from eventsource.retry import ExponentialBackoffRetryPolicy, RetryConfig

LONG = 3600.0

Open = Callable[..., Awaitable[Lanes[str]]]
Admit = Callable[..., Awaitable[None]]
Idle = Callable[[], Awaitable[None]]


def retrying(times: int, delay: float = 0.001) -> ExponentialBackoffRetryPolicy:
    """Return a policy that tries again so often."""
    return ExponentialBackoffRetryPolicy(
        RetryConfig(max_retries=times, initial_delay=delay, max_delay=delay, jitter=0.0)
    )


async def test_a_message_is_settled_once_it_was_handled(open_lanes: Open, admit: Admit, work: Any) -> None:
    """Not before."""
    lanes = await open_lanes()
    await admit(lanes, "a1")
    await work.saw("begin a1")

    work.succeed("a1")
    await lanes.drain()

    assert work.log == ["begin a1", "end a1", "settle a1"]


async def test_messages_of_a_key_are_handled_one_after_another(open_lanes: Open, admit: Admit, work: Any) -> None:
    """The next one begins when the one before it is settled."""
    lanes = await open_lanes()
    await admit(lanes, "a1", "a2")
    await work.saw("begin a1")

    work.succeed("a1")
    await work.saw("begin a2")
    work.succeed("a2")
    await lanes.drain()

    assert work.log == ["begin a1", "end a1", "settle a1", "begin a2", "end a2", "settle a2"]


async def test_messages_of_different_keys_are_handled_at_the_same_time(
    open_lanes: Open, admit: Admit, work: Any
) -> None:
    """None waits for a key that is slow."""
    lanes = await open_lanes()
    await admit(lanes, "a1", "b1", "a2", "c1")
    await work.saw("begin a1", "begin b1", "begin c1")

    work.succeed("b1", "c1")
    await work.saw("settle b1", "settle c1")

    assert work.times("end a1") == 0


async def test_no_more_are_handled_at_the_same_time_than_allowed(
    open_lanes: Open, admit: Admit, work: Any, idle: Idle
) -> None:
    """The next key begins when a slot is free."""
    lanes = await open_lanes(concurrency=2)
    await admit(lanes, "a1", "b1", "c1")
    await idle()
    begun_at_first = work.log[:]

    work.succeed("a1")
    await work.saw("begin c1")

    assert begun_at_first == ["begin a1", "begin b1"]


async def test_a_key_that_was_empty_is_used_again(open_lanes: Open, admit: Admit, work: Any) -> None:
    """Nothing of the messages before is left of it."""
    lanes = await open_lanes()
    for message in ("a1", "a2"):
        await admit(lanes, message)
        await work.saw(f"begin {message}")
        work.succeed(message)
        await lanes.drain()

    assert (work.times("settle a2"), lanes.unsettled) == (1, 0)


async def test_a_failed_message_is_tried_again_in_its_place(open_lanes: Open, admit: Admit, work: Any) -> None:
    """What waits behind it does not overtake it."""
    lanes = await open_lanes(policy=retrying(1))
    await admit(lanes, "a1", "a2")
    await work.saw("begin a1")

    work.fail("a1")
    await work.saw("begin a1", times=2)
    work.succeed("a1")
    await work.saw("begin a2")

    assert work.log == ["begin a1", "end a1", "begin a1", "end a1", "settle a1", "begin a2"]


async def test_the_policy_is_asked_how_long_to_wait(open_lanes: Open, admit: Admit, work: Any) -> None:
    """It is told which attempt has failed, counting from 0, and with what."""

    class Policy:
        asked: ClassVar[list[object]] = []
        max_retries = 1

        def should_retry(self, attempt: int, error: Exception) -> bool:
            self.asked.append((attempt, str(error)))
            return attempt < self.max_retries

        def get_backoff(self, attempt: int) -> float:
            self.asked.append(attempt)
            return 0.0

    lanes = await open_lanes(policy=Policy())
    await admit(lanes, "a1")

    for number in (1, 2):
        await work.saw("begin a1", times=number)
        work.fail("a1", ValueError(f"failure {number}"))
    await lanes.drain()

    assert Policy.asked == [(0, "failure 1"), 0, (1, "failure 2")]


async def test_a_message_becomes_a_dead_letter_after_its_last_attempt(
    open_lanes: Open, admit: Admit, work: Any
) -> None:
    """With the last error and the number of attempts; it is settled after that, and the next one begins."""
    lanes = await open_lanes(policy=retrying(1))
    await admit(lanes, "a1", "a2")
    last = ValueError("again")

    for number, error in enumerate([ValueError("at first"), last], start=1):
        await work.saw("begin a1", times=number)
        work.fail("a1", error)
    await work.saw("begin a2")

    assert work.errors == {"a1": (last, 2)}
    assert work.log[-3:] == ["bury a1", "settle a1", "begin a2"]


async def test_the_slot_is_free_while_a_message_waits_for_its_next_attempt(
    open_lanes: Open, admit: Admit, work: Any
) -> None:
    """A key that keeps failing does not keep others from being handled."""
    lanes = await open_lanes(policy=retrying(1, delay=LONG), concurrency=1)
    await admit(lanes, "a1", "b1")
    await work.saw("begin a1")

    work.fail("a1")
    await work.saw("begin b1")
    work.succeed("b1")

    await work.saw("settle b1")


async def test_a_handler_that_is_cancelled_by_itself_has_failed(open_lanes: Open, admit: Admit, work: Any) -> None:
    """It ends neither the lane nor the consumer."""
    lanes = await open_lanes()
    await admit(lanes, "a1", "a2")
    await work.saw("begin a1")

    work.cancel("a1")
    await work.saw("begin a2")

    error, attempts = work.errors["a1"]
    assert (type(error), type(error.__cause__), attempts) == (EventBusError, asyncio.CancelledError, 1)


async def test_a_message_is_handled_in_a_context_of_its_own(open_lanes: Open, admit: Admit) -> None:
    """What is current where it was admitted, or was for the message before it, is not so for its handler."""
    current: ContextVar[str] = ContextVar("current", default="nothing")
    seen = []

    class Look:
        async def attempt(self, message: str, number: int) -> None:
            seen.append(current.get())
            current.set(message)

        async def settle(self, message: str) -> None:
            seen.append(current.get())

    current.set("the test")
    async with Lanes[str](Look(), retrying(0), concurrency=1, window=10) as lanes:  # type: ignore[arg-type]
        await admit(lanes, "a1", "a2")
        await lanes.drain()

    assert seen == ["nothing", "a1", "nothing", "a2"]
