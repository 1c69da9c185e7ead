"""Putting the wrapper on the doors, and taking it away again."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from inspect import getattr_static
from typing import Any

import wrapt
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.metrics import get_meter
from opentelemetry.trace import get_tracer

from eventsource.observability import TracingMixin
from eventsource_instrumentation.application import ApplicationObserver
from eventsource_instrumentation.config import APPLICATION, Config
from eventsource_instrumentation.gauges import switch_off, switch_on
from eventsource_instrumentation.metrics import Instruments
from eventsource_instrumentation.operations import COMPONENTS, SCHEMA_URL, TABLE
from eventsource_instrumentation.package import _instruments
from eventsource_instrumentation.spans import OperationObserver
from eventsource_instrumentation.version import __version__

_SCOPE = "eventsource_instrumentation"
_INHERITED = object()


class Door:
    """
    A method through which everything passes that is to be observed.

    While open to an observer, a wrapper stands before the method. If somebody else has put a wrapper before ours when
    the door is closed, ours stays where it is, lets everything pass, and serves again when the door is opened again.
    """

    def __init__(self, owner: type, name: str) -> None:
        self._owner = owner
        self._name = name
        self._passage = _Passage()
        self._wrapper: Any = None
        self._is_installed = False
        self._own: Any = _INHERITED
        self._left_below: Any = None

    def open(self, observe: Callable[..., Any]) -> None:
        """Let *observe* have what passes: it is called with the method, the object, and the arguments."""
        if not self._is_in_place():
            self._install()
        self._passage.observe = observe

    def close(self) -> None:
        """Put back what was there, the same object."""
        self._passage.observe = None
        if not self._is_installed:
            return
        present = vars(self._owner).get(self._name)
        if present is not self._wrapper:
            self._left_below = present
            return
        if self._own is _INHERITED:
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self._own)
        self._is_installed = False

    def _install(self) -> None:
        """Put the wrapper before the method: the one of before, if the method is, for others may have kept it."""
        own, method = vars(self._owner).get(self._name, _INHERITED), getattr_static(self._owner, self._name)
        if self._wrapper is None or self._wrapper.__wrapped__ is not method:
            self._passage = _Passage()
            self._wrapper = wrapt.FunctionWrapper(method, self._passage.lead)
        setattr(self._owner, self._name, self._wrapper)
        self._own, self._is_installed = own, True

    def _is_in_place(self) -> bool:
        if not self._is_installed:
            return False
        present = vars(self._owner).get(self._name)
        if present is not None and present is self._left_below:
            return True
        while present is not None and present is not self._wrapper:
            present = getattr(present, "__wrapped__", None)
        return present is not None


class _Passage:
    """What one wrapper does: it leads to the observer, if there is one, and straight on otherwise."""

    def __init__(self) -> None:
        self.observe: Callable[..., Any] | None = None

    def lead(self, method: Callable[..., Any], component: Any, args: Any, kwargs: Any) -> Any:
        observe = self.observe
        return method(*args, **kwargs) if observe is None else observe(method, component, *args, **kwargs)


_DOORS = {kind: Door(port, "_perform") for kind, port in COMPONENTS.items()}
_DOORS[APPLICATION] = Door(TracingMixin, "_create_span_context")


class EventsourceInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """
    Switches spans and metrics of eventsource on and off for the whole process; `Config` has the options.

    It works on objects that were made before, on subclasses of anybody's, and leaves no trace when it is switched off.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the distributions that must be there besides this one: none."""
        return _instruments

    def _instrument(self, **options: Any) -> None:
        config = Config.of(options)
        tracer = get_tracer(_SCOPE, __version__, config.tracer_provider, SCHEMA_URL)
        meter = get_meter(_SCOPE, __version__, config.meter_provider, SCHEMA_URL)
        chosen = {port for kind, port in COMPONENTS.items() if kind not in config.excluded_components}
        rows = {operation: row for operation, row in TABLE.items() if row.owner in chosen}
        instruments = Instruments(meter, [each for row in rows.values() for each in row.measurements])
        gauges = [each for row in rows.values() for each in row.gauges]
        perform = OperationObserver(rows, tracer, instruments, config).perform
        application = ApplicationObserver(config.tracer_provider).span_context
        try:
            switch_on(gauges, meter, config.meter_provider)
            for kind, door in _DOORS.items():
                if kind not in config.excluded_components:
                    door.open(application if kind == APPLICATION else perform)
        except BaseException:
            self._uninstrument()
            raise
        _options.update({name: getattr(config, name) for name in options})

    def _uninstrument(self, **options: Any) -> None:
        switch_off()
        for door in _DOORS.values():
            door.close()
        _options.clear()


_options: dict[str, Any] = {}


@contextmanager
def instrumented(**options: Any) -> Iterator[None]:
    """Instrument with *options* inside the block; afterwards everything is as it was before, instrumented or not."""
    instrumentor = EventsourceInstrumentor()
    before = dict(_options) if instrumentor.is_instrumented_by_opentelemetry else None
    if before is not None:
        instrumentor.uninstrument()
    try:
        instrumentor.instrument(**options)
        yield
    finally:
        if instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.uninstrument()
        if before is not None:
            instrumentor.instrument(**before)
