"""Back-off: how often, how long, and after which errors."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsource.retry import ExponentialBackoffRetryPolicy, RetryConfig, calculate_backoff


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
