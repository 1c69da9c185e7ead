"""Trying to handle an event, again and again if a policy says so."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from eventsource.exceptions import ProjectionError
from eventsource.projections.attempts import Attempts, sleep
from eventsource.retry import ExponentialBackoffRetryPolicy, NoRetryPolicy, RetryConfig
from eventsource.testing.events import Opened

EVENT = Opened(aggregate_id=uuid4())
TWICE_MORE = ExponentialBackoffRetryPolicy(RetryConfig(max_retries=2, initial_delay=1.0, jitter=0.0))


class Sleeper:
    """Notes how long it was to sleep, and says to go on so many times."""

    def __init__(self, times: int = 100) -> None:
        self.seconds: list[float] = []
        self._times = times

    async def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return len(self.seconds) <= self._times


def failing(*errors: Exception | None) -> Callable[[], Awaitable[Exception | None]]:
    """Return attempts that fail with these, one after another."""
    remaining = iter(errors)

    async def attempt() -> Exception | None:
        return next(remaining)

    return attempt


async def test_what_succeeds_is_tried_once() -> None:
    """And nobody sleeps."""
    sleeper = Sleeper()

    assert await Attempts("totals", EVENT, TWICE_MORE, sleeper).make(failing(None)) is None
    assert sleeper.seconds == []


async def test_it_sleeps_between_attempts_as_the_policy_says() -> None:
    """Longer after each of them."""
    sleeper = Sleeper()

    assert await Attempts("totals", EVENT, TWICE_MORE, sleeper).make(failing(ValueError(), ValueError(), None)) is None
    assert sleeper.seconds == [1.0, 2.0]


async def test_the_last_error_is_the_failure() -> None:
    """With the number of attempts, and for good."""
    errors = [ValueError("first"), ValueError("second"), ValueError("third")]

    failure = await Attempts("totals", EVENT, TWICE_MORE, Sleeper()).make(failing(*errors))

    assert failure is not None
    assert (failure.error, failure.attempts, failure.is_final) == (errors[2], 3, True)


async def test_a_first_attempt_that_was_made_before_counts() -> None:
    """So two are left."""
    failure = await Attempts("totals", EVENT, TWICE_MORE, Sleeper()).make(
        failing(ValueError("second"), ValueError("third")), failed=ValueError("first")
    )

    assert failure is not None
    assert (str(failure.error), failure.attempts) == ("third", 3)


async def test_an_error_that_is_false_is_one_all_the_same() -> None:
    """What has failed before is not begun anew as if it had not."""

    class Falsy(Exception):  # noqa: N818 - it is called what it is
        def __bool__(self) -> bool:
            return False

    failure = await Attempts("totals", EVENT, NoRetryPolicy(), Sleeper()).make(failing(), failed=Falsy())

    assert failure is not None
    assert (type(failure.error), failure.attempts) == (Falsy, 1)


async def test_what_is_given_up_is_not_final() -> None:
    """Whoever ends the sleep may come back to the event."""
    failure = await Attempts("totals", EVENT, TWICE_MORE, Sleeper(times=0)).make(failing(ValueError("first")))

    assert failure is not None
    assert (str(failure.error), failure.attempts, failure.is_final) == ("first", 1, False)


async def test_each_failure_is_on_record(caplog: pytest.LogCaptureFixture) -> None:
    """With whose, which event, and how often yet."""
    with caplog.at_level(logging.ERROR):
        await Attempts("totals", EVENT, TWICE_MORE, Sleeper()).make(failing(ValueError("first"), None))

    (told,) = caplog.records
    message = f"Projection totals failed to process event {EVENT.event_id} (attempt 1/3): first"
    assert (told.name, told.getMessage()) == ("eventsource.projections.base", message)
    assert vars(told)["projection"] == "totals"


async def test_a_failure_that_cannot_be_shown_is_on_record(caplog: pytest.LogCaptureFixture) -> None:
    """An error whose message raises an error itself ends nothing."""

    class Speechless(Exception):  # noqa: N818 - it is called what it is
        def __str__(self) -> str:
            raise LookupError("no words")

    await Attempts("totals", EVENT, TWICE_MORE, Sleeper()).make(failing(Speechless(), None))

    (told,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "(attempt 1/3): Speechless, whose message cannot be shown: LookupError: no words" in told.getMessage()


class TestErrors:
    async def test_what_is_raised_is_returned(self) -> None:
        """Whatever it is."""
        error = KeyError("account")

        async def fail() -> None:
            raise error

        assert await Attempts("totals", EVENT, TWICE_MORE, sleep).error_of(fail) is error

    async def test_success_is_no_error(self) -> None:
        """Whatever is returned."""

        async def succeed() -> str:
            return "done"

        assert await Attempts("totals", EVENT, TWICE_MORE, sleep).error_of(succeed) is None

    async def test_a_cancellation_that_nobody_asked_for_is_an_error(self) -> None:
        """It tells what it came from."""

        async def fail() -> None:
            raise asyncio.CancelledError

        error = await Attempts("totals", EVENT, TWICE_MORE, sleep).error_of(fail)

        assert isinstance(error, ProjectionError)
        assert isinstance(error.__cause__, asyncio.CancelledError)

    async def test_a_cancellation_that_somebody_asked_for_ends_it(self) -> None:
        """That always propagates."""
        begun = asyncio.Event()

        async def hang() -> None:
            begun.set()
            await asyncio.Event().wait()

        attempt = asyncio.create_task(Attempts("totals", EVENT, TWICE_MORE, sleep).error_of(hang))
        await begun.wait()

        attempt.cancel()

        with pytest.raises(asyncio.CancelledError):
            await attempt


async def test_sleeping_without_a_runner_always_goes_on() -> None:
    """Nobody can halt what a bus delivers."""
    assert await sleep(0)
