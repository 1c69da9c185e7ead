"""Back-off: how often, how long, and after which errors."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsource.retry import (
    ExponentialBackoffRetryPolicy,
    FilteredRetryPolicy,
    RetryConfig,
    RetryPolicy,
    calculate_backoff,
    retry,
)


class AtOnce:
    """Tries again without waiting."""

    def __init__(self, max_retries: int) -> None:
        self.max_retries = max_retries

    def get_backoff(self, attempt: int) -> float:
        return 0

    def should_retry(self, attempt: int, error: Exception) -> bool:
        return attempt < self.max_retries


def failing(*errors: BaseException) -> tuple[Callable[[], asyncio.Future[str]], list[None]]:
    """Return an action that raises each of *errors* once and then succeeds, and a list of its calls."""
    waiting, calls = list(errors), list[None]()

    async def action() -> str:
        calls.append(None)
        if waiting:
            raise waiting.pop(0)
        return "done"

    return action, calls  # type: ignore[return-value]


class TestConfig:
    def test_the_defaults_are_the_documented_ones(self) -> None:
        """Five retries from one second up to a minute."""
        assert RetryConfig() == RetryConfig(
            max_retries=5, initial_delay=1.0, max_delay=60.0, exponential_base=2.0, jitter=0.1
        )

    @pytest.mark.parametrize(
        "wrong",
        [
            {"max_retries": -1},
            {"initial_delay": 0},
            {"initial_delay": -1},
            {"max_delay": 0.5},
            {"exponential_base": 1},
            {"jitter": -0.1},
            {"jitter": 1.1},
        ],
        ids=str,
    )
    def test_what_makes_no_sense_is_refused(self, wrong: dict[str, float]) -> None:
        """The message names the option."""
        (option,) = wrong

        with pytest.raises(ValueError, match=option):
            RetryConfig(**wrong)  # type: ignore[arg-type]


class TestBackoff:
    def test_the_delay_doubles_until_it_reaches_its_limit(self) -> None:
        """Without jitter it can be told beforehand."""
        config = RetryConfig(initial_delay=2.0, max_delay=10.0, jitter=0.0)

        assert [calculate_backoff(attempt, config) for attempt in range(4)] == [2.0, 4.0, 8.0, 10.0]

    @given(st.integers(0, 100_000))
    def test_however_many_attempts_the_delay_stays_within_its_limit(self, attempt: int) -> None:
        """A runner that has failed for days still knows how long to wait."""
        config = RetryConfig(jitter=0.0)

        assert config.initial_delay <= calculate_backoff(attempt, config) <= config.max_delay

    @given(st.integers(0, 20), st.floats(0, 1))
    def test_jitter_moves_the_delay_by_its_fraction_at_most(self, attempt: int, jitter: float) -> None:
        """Never below zero, even at its widest."""
        config = RetryConfig(jitter=jitter)
        plain = calculate_backoff(attempt, replace(config, jitter=0.0))

        delay = calculate_backoff(attempt, config)

        assert 0 <= plain * (1 - jitter) <= delay + 1e-9
        assert delay <= plain * (1 + jitter) + 1e-9

    def test_jitter_spreads_the_attempts(self) -> None:
        """Workers that failed together do not come back together."""
        config = RetryConfig(jitter=0.5)

        assert len({calculate_backoff(0, config) for _ in range(20)}) > 1


class TestPolicies:
    def test_exponential_backoff_gives_up_after_its_retries(self) -> None:
        """Attempts count from 0, so attempt 3 was the fourth."""
        policy = ExponentialBackoffRetryPolicy()

        assert [policy.should_retry(attempt, ValueError()) for attempt in range(4)] == [True, True, True, False]

    def test_exponential_backoff_waits_two_seconds_first(self) -> None:
        """The default needs no configuration."""
        policy = ExponentialBackoffRetryPolicy()

        assert (policy.max_retries, [policy.get_backoff(attempt) for attempt in range(3)]) == (3, [2.0, 4.0, 8.0])

    def test_a_filtered_policy_retries_the_named_errors_only(self) -> None:
        """Subclasses count."""
        policy = FilteredRetryPolicy(AtOnce(1), (LookupError,))

        answers = [policy.should_retry(0, error) for error in (KeyError(), LookupError(), ValueError())]

        assert answers == [True, True, False]

    def test_a_filtered_policy_asks_its_base_for_the_rest(self) -> None:
        """Number and delay are the base's."""
        base = ExponentialBackoffRetryPolicy(RetryConfig(max_retries=1, jitter=0.0))
        policy = FilteredRetryPolicy(base, (KeyError,))

        assert (policy.max_retries, policy.get_backoff(1), policy.should_retry(1, KeyError())) == (1, 2.0, False)


class TestRetry:
    async def test_success_needs_one_attempt(self) -> None:
        """What went well is not done again."""
        action, calls = failing()

        assert await retry(action, AtOnce(5)) == "done"

        assert len(calls) == 1

    async def test_it_tries_until_it_succeeds(self) -> None:
        """Errors on the way are forgotten."""
        action, calls = failing(KeyError(), ValueError())

        assert await retry(action, AtOnce(2)) == "done"

        assert len(calls) == 3

    async def test_the_last_error_propagates(self) -> None:
        """After the last attempt there is nothing left to hide."""
        first, last = KeyError(), ValueError()
        action, calls = failing(first, last)

        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the very object is compared
            await retry(action, AtOnce(1))

        assert (caught.value, len(calls)) == (last, 2)

    async def test_an_error_that_is_not_worth_it_is_not_tried_again(self) -> None:
        """The policy decides."""
        action, calls = failing(ValueError("hopeless"))

        with pytest.raises(ValueError, match="hopeless"):
            await retry(action, FilteredRetryPolicy(AtOnce(5), (KeyError,)))

        assert len(calls) == 1

    async def test_cancellation_is_no_failure(self) -> None:
        """It propagates at once, whatever the policy says."""
        action, calls = failing(asyncio.CancelledError())

        with pytest.raises(asyncio.CancelledError):
            await retry(action, AtOnce(5))

        assert len(calls) == 1

    async def test_the_policy_is_told_which_attempt_failed(self) -> None:
        """Attempts count from 0, for the question and for the delay."""
        asked: list[int] = []

        class Asked(AtOnce):
            def get_backoff(self, attempt: int) -> float:
                asked.append(attempt)
                return super().get_backoff(attempt)

        policy: RetryPolicy = Asked(3)

        await retry(failing(KeyError(), KeyError())[0], policy)

        assert asked == [0, 1]
