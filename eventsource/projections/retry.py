"""Retry policies, under the path where users of projections look for them."""

from eventsource.retry import (
    DEFAULT_RETRY_POLICY,
    ExponentialBackoffRetryPolicy,
    FilteredRetryPolicy,
    NoRetryPolicy,
    RetryConfig,
    RetryPolicy,
    calculate_backoff,
)

__all__ = [
    "DEFAULT_RETRY_POLICY",
    "ExponentialBackoffRetryPolicy",
    "FilteredRetryPolicy",
    "NoRetryPolicy",
    "RetryConfig",
    "RetryPolicy",
    "calculate_backoff",
]
