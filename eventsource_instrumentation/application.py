"""The application's own spans: those of `TracingMixin` and of `traced`."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeAlias

from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Span, Tracer, TracerProvider
from opentelemetry.util.types import AttributeValue

from eventsource.observability import TracingMixin
from eventsource_instrumentation.current import CurrentContext
from eventsource_instrumentation.errors import mark_failed
from eventsource_instrumentation.safety import Safety

SpanContext: TypeAlias = AbstractContextManager[Span | None]


class ApplicationObserver:
    """Makes the spans that objects with a `TracingMixin` ask for."""

    def __init__(self, tracer_provider: TracerProvider | None) -> None:
        self._tracer_provider = tracer_provider
        self._tracers: dict[str, Tracer] = {}
        self._safely = Safety().run

    def span_context(
        self, inert: Callable[..., SpanContext], owner: TracingMixin, *args: Any, **kwargs: Any
    ) -> SpanContext:
        """Return the context manager of a current span; the *inert* one where *owner* wants none."""
        nothing = inert(*args, **kwargs)  # which also raises what wrong arguments deserve
        if not owner.tracing_enabled or not is_instrumentation_enabled():
            return nothing
        tracer = self._tracer(owner._tracer_name or type(owner).__module__)
        return _CurrentSpan(lambda: _started(tracer, *args, **kwargs), self._safely)

    def _tracer(self, name: str) -> Tracer:
        if name not in self._tracers:
            self._tracers[name] = trace.get_tracer(name, tracer_provider=self._tracer_provider)
        return self._tracers[name]


class _CurrentSpan(SpanContext):
    """A span that begins with the block, is current inside it, and ends with it."""

    def __init__(self, start: Callable[[], Span], safely: Callable[[Callable[[], Any]], Any]) -> None:
        self._start = start
        self._safely = safely
        self._span: Span | None = None
        self._current = CurrentContext()

    def __enter__(self) -> Span | None:
        self._span = self._safely(self._start)
        if self._span is not None:
            self._current.enter(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        span = self._span
        if span is None:
            return
        if error is not None and span.is_recording():
            self._safely(lambda: mark_failed(span, error))
        self._safely(span.end)
        self._current.leave(error)


def _started(tracer: Tracer, name: str, attributes: Mapping[str, Any] | None = None) -> Span:
    values = {key: _attribute_value(value) for key, value in (attributes or {}).items() if value is not None}
    return tracer.start_span(name, attributes=values, record_exception=False, set_status_on_exception=False)


def _attribute_value(value: Any) -> AttributeValue:
    """Return *value* as it is, if a span can have it, else as text: ids, moments and amounts of money, say."""
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        kinds = {type(each) for each in value}
        uniform = len(kinds) == 1 and kinds <= {str, bool, int, float}
        return value if uniform else [str(each) for each in value]
    return str(value)
