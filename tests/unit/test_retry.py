"""Back-off: how often, how long, and after which errors."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsource.retry import (
    DEFAULT_RETRY_POLICY,
    ExponentialBackoffRetryPolicy,
    FilteredRetryPolicy,
    NoRetryPolicy,
    RetryConfig,
    RetryPolicy,
    calculate_backoff,
)


class Stubborn:
    """A policy of a user's own, which never gives up."""

    max_retries = 1_000_000

    def get_backoff(self, attempt: int) -> float:
        return 7.0 * attempt

    def should_retry(self, attempt: int, error: Exception) -> bool:
        return True


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

    def test_no_retry_tries_once(self) -> None:
        """Not even the first failure is worth another attempt, nor any waiting."""
        policy = NoRetryPolicy()

        assert (policy.max_retries, policy.get_backoff(0), policy.should_retry(0, ValueError())) == (0, 0.0, False)

    def test_the_default_retries_three_times_and_doubles_the_wait(self) -> None:
        """Without jitter, so that everybody can tell when the next attempt is due."""
        policy = DEFAULT_RETRY_POLICY

        assert [policy.get_backoff(attempt) for attempt in range(policy.max_retries)] == [2.0, 4.0, 8.0]
        assert [policy.should_retry(attempt, ValueError()) for attempt in (2, 3)] == [True, False]

    @pytest.mark.parametrize(
        "policy",
        [ExponentialBackoffRetryPolicy(), NoRetryPolicy(), FilteredRetryPolicy(NoRetryPolicy(), []), Stubborn()],
        ids=lambda policy: type(policy).__name__,
    )
    def test_a_policy_is_known_by_what_it_can_do(self, policy: object) -> None:
        """One of the user's own needs no base class."""
        assert isinstance(policy, RetryPolicy)

    def test_half_a_policy_is_none(self) -> None:
        """A configuration says how often, but not whether."""
        assert not isinstance(RetryConfig(), RetryPolicy)


class TestFilteredPolicy:
    @pytest.mark.parametrize(
        ("error", "retried"),
        [(ConnectionError(), True), (ConnectionResetError(), True), (OSError(), False), (ValueError(), False)],
        ids=repr,
    )
    def test_only_the_given_errors_are_retried(self, error: Exception, retried: bool) -> None:
        """What inherits from them counts, what they inherit from does not."""
        policy = FilteredRetryPolicy(Stubborn(), [ConnectionError])

        assert policy.should_retry(0, error) is retried

    def test_the_base_policy_says_how_often(self) -> None:
        """An error worth a retry is not worth any number of them."""
        policy = FilteredRetryPolicy(ExponentialBackoffRetryPolicy(RetryConfig(max_retries=2)), [ValueError])

        assert policy.max_retries == 2
        assert [policy.should_retry(attempt, ValueError()) for attempt in range(3)] == [True, True, False]

    def test_the_base_policy_says_how_long(self) -> None:
        """The filter changes no delay."""
        policy = FilteredRetryPolicy(Stubborn(), [ValueError])

        assert [policy.get_backoff(attempt) for attempt in range(3)] == [0.0, 7.0, 14.0]

    def test_the_base_policy_is_asked_about_the_error_itself(self) -> None:
        """Filters may stand upon one another; then an error has to pass them all."""
        policy = FilteredRetryPolicy(FilteredRetryPolicy(Stubborn(), [OSError]), [ConnectionError, ValueError])

        retried = [policy.should_retry(0, error) for error in (ConnectionError(), OSError(), ValueError())]

        assert retried == [True, False, False]

    def test_without_errors_nothing_is_retried(self) -> None:
        """No errors are not all errors."""
        assert not FilteredRetryPolicy(Stubborn(), []).should_retry(0, ValueError())

    def test_errors_may_come_from_any_iterable(self) -> None:
        """They are remembered, not asked for again."""
        policy = FilteredRetryPolicy(Stubborn(), (each for each in [OSError, ValueError]))

        assert [policy.should_retry(0, error) for error in (ValueError(), ValueError(), OSError())] == [True] * 3
