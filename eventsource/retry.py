"""Back-off policies: how often to try again, and how long to wait before that."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(slots=True)
class RetryConfig:
    """Exponential back-off with jitter; delays in seconds."""

    max_retries: int = 5
    initial_delay: float = 1.0
    max_delay: float = 60.0
    exponential_base: float = 2.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        _require(self.max_retries >= 0, f"max_retries must be 0 or more, not {self.max_retries}")
        _require(self.initial_delay > 0, f"initial_delay must be positive, not {self.initial_delay}")
        _require(
            self.max_delay >= self.initial_delay,
            f"max_delay must be at least initial_delay ({self.initial_delay}), not {self.max_delay}",
        )
        _require(self.exponential_base > 1, f"exponential_base must be above 1, not {self.exponential_base}")
        _require(0 <= self.jitter <= 1, f"jitter must be from 0 to 1, not {self.jitter}")


def calculate_backoff(attempt: int, config: RetryConfig) -> float:
    """Return the seconds to wait after the failed *attempt*, which counts from 0."""
    try:
        delay = min(config.initial_delay * config.exponential_base**attempt, config.max_delay)
    except OverflowError:  # after about a thousand attempts
        delay = config.max_delay
    return delay * (1 + random.uniform(-config.jitter, config.jitter))  # noqa: S311 - jitter needs no secrecy


@runtime_checkable
class RetryPolicy(Protocol):
    """Whether to try a failed action again, and when."""

    @property
    def max_retries(self) -> int:
        """How often at most a failed action is repeated."""

    def get_backoff(self, attempt: int) -> float:
        """Return the seconds to wait after the failed *attempt*, which counts from 0."""

    def should_retry(self, attempt: int, error: Exception) -> bool:
        """Tell whether to try again after *attempt* failed with *error*."""


class ExponentialBackoffRetryPolicy:
    """Waits longer after each failure."""

    def __init__(self, config: RetryConfig | None = None) -> None:
        self.config = config or RetryConfig(max_retries=3, initial_delay=2.0, jitter=0.0)

    @property
    def max_retries(self) -> int:
        """How often at most a failed action is repeated."""
        return self.config.max_retries

    def get_backoff(self, attempt: int) -> float:
        """Return the seconds to wait after the failed *attempt*."""
        return calculate_backoff(attempt, self.config)

    def should_retry(self, attempt: int, error: Exception) -> bool:
        """Tell whether to try again after *attempt* failed with *error*."""
        return attempt < self.max_retries


class NoRetryPolicy:
    """Tries once."""

    @property
    def max_retries(self) -> int:
        """None."""
        return 0

    def get_backoff(self, attempt: int) -> float:
        """Return 0: there is nothing to wait for."""
        return 0.0

    def should_retry(self, attempt: int, error: Exception) -> bool:
        """Tell that there is no other attempt."""
        return False


class FilteredRetryPolicy:
    """Retries as *base_policy* says, but only after errors of *retryable_exceptions*."""

    def __init__(self, base_policy: RetryPolicy, retryable_exceptions: Iterable[type[Exception]]) -> None:
        self._base = base_policy
        self._retryable = tuple(retryable_exceptions)

    @property
    def max_retries(self) -> int:
        """How often at most a failed action is repeated."""
        return self._base.max_retries

    def get_backoff(self, attempt: int) -> float:
        """Return the seconds to wait after the failed *attempt*."""
        return self._base.get_backoff(attempt)

    def should_retry(self, attempt: int, error: Exception) -> bool:
        """Tell whether to try again after *attempt* failed with *error*."""
        return isinstance(error, self._retryable) and self._base.should_retry(attempt, error)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


DEFAULT_RETRY_POLICY: RetryPolicy = ExponentialBackoffRetryPolicy()
"""Three retries, after 2, 4 and 8 seconds."""
