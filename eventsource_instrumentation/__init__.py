"""
OpenTelemetry for eventsource: `EventsourceInstrumentor` switches it on and off for the whole process.

PYTEST_DONT_REWRITE: there is nothing to rewrite here, and pytest would warn where it is imported before pytest is.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventsource_instrumentation.instrumentor import EventsourceInstrumentor

__all__ = ["EventsourceInstrumentor"]


def __getattr__(name: str) -> Any:
    if name == "EventsourceInstrumentor":
        try:
            from eventsource_instrumentation.instrumentor import EventsourceInstrumentor
        except ModuleNotFoundError as error:
            message = f'{error.name} is not installed: pip install "eventsource-py[telemetry]"'
            raise ModuleNotFoundError(message, name=error.name) from error
        return EventsourceInstrumentor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
