"""The application's own spans: those of `TracingMixin` and of `traced`."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeAlias

from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Span, TracerProvider
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
        self._safely = Safety().run

    def span_context(
        self,
        inert: Callable[..., SpanContext],
        owner: TracingMixin,
        name: str,
        attributes: Mapping[str, Any] | None = None,
    ) -> SpanContext:
        """Return the context manager of a current span; the *inert* one where *owner* wants none."""
        if not owner.tracing_enabled or not is_instrumentation_enabled():
            return inert(name, attributes)
        span = self._safely(lambda: self._started_span(owner, name, attributes or {}))
        return inert(name, attributes) if span is None else _CurrentSpan(span, self._safely)

    def _started_span(self, owner: TracingMixin, name: str, attributes: Mapping[str, Any]) -> Span:
        tracer_name = owner._tracer_name or type(owner).__module__
        tracer = trace.get_tracer(tracer_name, tracer_provider=self._tracer_provider)
        values = {key: _attribute_value(value) for key, value in attributes.items() if value is not None}
        return tracer.start_span(name, attributes=values, record_exception=False, set_status_on_exception=False)


class _CurrentSpan(SpanContext):
    """A span that is current inside the block, and ends with it."""

    def __init__(self, span: Span, safely: Callable[[Callable[[], None]], None]) -> None:
        self._span = span
        self._safely = safely
        self._current = CurrentContext()

    def __enter__(self) -> Span:
        self._current.enter(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and self._span.is_recording():
            self._safely(lambda: mark_failed(self._span, error))
        self._safely(self._span.end)
        self._current.leave(error)


def _attribute_value(value: Any) -> AttributeValue:
    """Return *value* as it is, if a span can have it, else as text: ids, moments and amounts of money, say."""
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        kinds = {type(each) for each in value}
        uniform = len(kinds) == 1 and kinds <= {str, bool, int, float}
        return value if uniform else [str(each) for each in value]
    return str(value)
