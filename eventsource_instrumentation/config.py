"""Every option, by keyword and by environment variable."""

import logging
import os
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from eventsource_instrumentation.operations import COMPONENTS

logger = logging.getLogger(__name__)

Hook: TypeAlias = Callable[..., None]

APPLICATION = "application"
KINDS = frozenset({*COMPONENTS, APPLICATION})
"""What can be left out: the kinds of components, and the application's own spans."""

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
            ``event_bus``, ``projection``), and ``application`` for the spans of `TracingMixin` and `traced`;
            ``OTEL_PYTHON_EVENTSOURCE_EXCLUDED_COMPONENTS``, separated by commas.
        request_hook: Called with a recording span, the component and the operation, before the operation;
            ``OTEL_PYTHON_EVENTSOURCE_REQUEST_HOOK=package.module:function``.
        response_hook: Called with a recording span, the component, the operation, and its result or the exception,
            after the operation; ``OTEL_PYTHON_EVENTSOURCE_RESPONSE_HOOK=package.module:function``.

    Raises:
        ValueError: If there is no such kind of component.
    """

    tracer_provider: TracerProvider | None = None
    meter_provider: MeterProvider | None = None
    excluded_components: Iterable[str] = field(default_factory=lambda: _from_environment(EXCLUDED, _kinds, ()))
    request_hook: Hook | None = field(default_factory=lambda: _from_environment(REQUEST_HOOK, _function, None))
    response_hook: Hook | None = field(default_factory=lambda: _from_environment(RESPONSE_HOOK, _function, None))

    def __post_init__(self) -> None:
        object.__setattr__(self, "excluded_components", _checked(self.excluded_components))

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


def _from_environment(name: str, read: Callable[[str], Any], default: Any) -> Any:
    value = os.environ.get(name)
    if not value:
        return default
    try:
        return read(value)
    except Exception as error:  # a bad setting must not keep the application from starting
        logger.warning("%s=%r is ignored: %s", name, value, error)
        return default


def _kinds(value: str) -> frozenset[str]:
    return _checked([kind.strip() for kind in value.split(",") if kind.strip()])


def _checked(kinds: Iterable[str]) -> frozenset[str]:
    if isinstance(kinds, str):
        raise ValueError(f"excluded_components must be a collection of names, not the string {kinds!r}: [{kinds!r}]")
    chosen = frozenset(kinds)
    if unknown := sorted(chosen - KINDS):
        raise ValueError(f"no kind of component is called {', '.join(unknown)}; there are {', '.join(sorted(KINDS))}")
    return chosen


def _function(value: str) -> Hook:
    function = pkgutil.resolve_name(value)
    if not callable(function):
        raise TypeError(f"{value} is not callable")
    hook: Hook = function
    return hook
