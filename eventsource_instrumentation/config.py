"""Every option, by keyword and by environment variable."""

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from eventsource_instrumentation.hooks import Hook, check_hook, hook_from_environment
from eventsource_instrumentation.operations import COMPONENTS

logger = logging.getLogger(__name__)

ConsumerContext: TypeAlias = Literal["parent", "link"]

_MAX_AGE = 600.0

APPLICATION = "application"
KINDS = frozenset({*COMPONENTS, APPLICATION})
"""What can be left out: the kinds of components, and the application's own spans."""

PARENT_MAX_AGE = "OTEL_PYTHON_EVENTSOURCE_PARENT_MAX_AGE"
CONSUMER_CONTEXT = "OTEL_PYTHON_EVENTSOURCE_CONSUMER_CONTEXT"
EXCLUDED = "OTEL_PYTHON_EVENTSOURCE_EXCLUDED_COMPONENTS"
REQUEST_HOOK = "OTEL_PYTHON_EVENTSOURCE_REQUEST_HOOK"
RESPONSE_HOOK = "OTEL_PYTHON_EVENTSOURCE_RESPONSE_HOOK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """
    The options of `EventsourceInstrumentor.instrument`; one that is not given is read from its environment variable.

    Args:
        tracer_provider: Makes the spans; the global one if not given.
        meter_provider: Makes the metrics; the global one if not given.
        excluded_components: Kinds of components to leave alone (``event_store``, ``snapshot_store``, ``repository``,
            ``event_bus``, ``projection``, ``projection_runner``, ``checkpoint_repository``, ``dlq_repository``), and
            ``application`` for the spans of `TracingMixin` and `traced`;
            ``OTEL_PYTHON_EVENTSOURCE_EXCLUDED_COMPONENTS``, separated by commas.
        parent_max_age: How old, in seconds, an event or a message may be for what is done with it to belong to the
            trace that it comes from; of older ones there is a link in a new trace. 600 if not given;
            ``OTEL_PYTHON_EVENTSOURCE_PARENT_MAX_AGE``.
        consumer_context: Whether each message that a broker delivers is handled in the trace that it comes from
            (``parent``), or in a new one with a link to it (``link``). If not given: in the trace that it comes from,
            unless it is delivered again, was a dead letter in between, or is too old;
            ``OTEL_PYTHON_EVENTSOURCE_CONSUMER_CONTEXT``.
        request_hook: Called with a recording span, the component and the operation, before the operation;
            ``OTEL_PYTHON_EVENTSOURCE_REQUEST_HOOK=package.module:function``.
        response_hook: Called with a recording span, the component, the operation, and its result or the exception,
            after the operation; ``OTEL_PYTHON_EVENTSOURCE_RESPONSE_HOOK=package.module:function``.

    Raises:
        TypeError: If a hook is asynchronous or no function, or an age is no number.
        ValueError: If there is no such kind of component, an age is below 0, or a context is neither.
    """

    tracer_provider: TracerProvider | None = None
    meter_provider: MeterProvider | None = None
    excluded_components: Iterable[str] = field(default_factory=lambda: _excluded_by_environment())
    parent_max_age: float = field(default_factory=lambda: _max_age_by_environment())
    consumer_context: ConsumerContext | None = field(default_factory=lambda: _consumer_context_by_environment())
    request_hook: Hook | None = field(default_factory=lambda: hook_from_environment(REQUEST_HOOK))
    response_hook: Hook | None = field(default_factory=lambda: hook_from_environment(RESPONSE_HOOK))

    def __post_init__(self) -> None:
        object.__setattr__(self, "excluded_components", _checked(self.excluded_components))
        _check_age(self.parent_max_age)
        _check_consumer_context(self.consumer_context)
        check_hook(self.request_hook)
        check_hook(self.response_hook)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Config":
        """
        Return the configuration that *options* make.

        Raises:
            TypeError: If there is no such option.
            ValueError: If an option makes no sense.
        """
        if unknown := sorted(set(options) - set(cls.__dataclass_fields__)):
            known = ", ".join(cls.__dataclass_fields__)
            raise TypeError(f"EventsourceInstrumentor knows no option {', '.join(unknown)}; it knows {known}")
        return cls(**options)


def _excluded_by_environment() -> frozenset[str]:
    value = os.environ.get(EXCLUDED, "")
    try:
        return _checked([kind.strip() for kind in value.split(",") if kind.strip()])
    except ValueError as error:  # a bad setting must not keep the application from starting
        logger.warning("%s=%r is ignored: %s", EXCLUDED, value, error)
        return frozenset()


def _max_age_by_environment() -> float:
    value = os.environ.get(PARENT_MAX_AGE) or _MAX_AGE
    try:
        age = float(value)
        _check_age(age)
    except ValueError as error:
        logger.warning("%s=%r is ignored: %s", PARENT_MAX_AGE, value, error)
        return _MAX_AGE
    return age


def _consumer_context_by_environment() -> ConsumerContext | None:
    value: Any = os.environ.get(CONSUMER_CONTEXT) or None
    try:
        _check_consumer_context(value)
    except ValueError as error:
        logger.warning("%s=%r is ignored: %s", CONSUMER_CONTEXT, value, error)
        return None
    chosen: ConsumerContext | None = value
    return chosen


def _check_consumer_context(chosen: object) -> None:
    if chosen not in (None, *get_args(ConsumerContext)):
        raise ValueError(
            f"consumer_context must be {' or '.join(map(repr, get_args(ConsumerContext)))}, not {chosen!r}"
        )


def _check_age(seconds: float) -> None:
    if not isinstance(seconds, int | float):
        raise TypeError(f"parent_max_age must be a number of seconds, not {seconds!r}")
    if not seconds >= 0:
        raise ValueError(f"parent_max_age must be 0 seconds or more, not {seconds!r}")


def _checked(kinds: Iterable[str]) -> frozenset[str]:
    if isinstance(kinds, str):
        raise ValueError(f"excluded_components must be a collection of names, not the string {kinds!r}: [{kinds!r}]")
    chosen = frozenset(kinds)
    if unknown := sorted(chosen - KINDS):
        raise ValueError(f"no kind of component is called {', '.join(unknown)}; there are {', '.join(sorted(KINDS))}")
    return chosen
