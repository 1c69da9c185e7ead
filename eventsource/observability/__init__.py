"""
What applications need to be observable: names of attributes, and spans of their own.

All of it is inert until an instrumentation is switched on.
"""

from typing import TYPE_CHECKING, Any

from eventsource.observability import attributes
from eventsource.observability.attributes import *  # noqa: F403 - its __all__ says what
from eventsource.observability.tracing import TracingMixin, traced

if TYPE_CHECKING:
    OTEL_AVAILABLE: bool

__all__ = ["OTEL_AVAILABLE", "TracingMixin", "traced", *attributes.__all__]


def __getattr__(name: str) -> Any:
    if name == "OTEL_AVAILABLE":
        from eventsource.observability.availability import extra_is_installed

        return extra_is_installed("telemetry")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
