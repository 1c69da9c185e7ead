"""The one wrapper: what happens around an operation that passes a door."""

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import INVALID_SPAN, Link, Span, Tracer

from eventsource_instrumentation.config import Config
from eventsource_instrumentation.current import CurrentContext
from eventsource_instrumentation.errors import mark_failed
from eventsource_instrumentation.gauges import watch
from eventsource_instrumentation.metrics import Instruments
from eventsource_instrumentation.observation import LazyAttributes, Observation, evaluate
from eventsource_instrumentation.propagation import link_to, links_to, parent_from, with_current_context
from eventsource_instrumentation.rows import Row
from eventsource_instrumentation.safety import Safety

Hook: TypeAlias = Callable[[Any], Awaitable[Any]]
Perform: TypeAlias = Callable[[Hook, Any], Awaitable[Any]]


class OperationObserver:
    """Makes the spans and metrics of operations, as *rows* of the table say."""

    def __init__(self, rows: Mapping[type, Row], tracer: Tracer, instruments: Instruments, config: Config) -> None:
        self._rows = rows
        self.tracer = tracer
        self.instruments = instruments
        self.config = config
        self.safely = Safety().run

    async def perform(self, perform: Perform, component: Any, hook: Hook, operation: Any) -> Any:
        """Return what *operation* returns; whatever goes wrong here changes neither that nor what it raises."""
        row = self._rows.get(type(operation))
        if row is not None and row.gauges:
            self.safely(partial(watch, row.gauges, component))
        if row is None or not is_instrumentation_enabled():
            return await perform(hook, operation)
        observed = ObservedOperation(self, row, component, operation)
        try:
            operation = self.safely(observed.begin) or operation
            observed.observation.result = result = await perform(hook, operation)
            return result
        except BaseException as error:
            observed.observation.error = error
            raise
        finally:
            observed.stop_the_clock()
            try:
                self.safely(observed.finish)
            finally:
                self.safely(observed.leave)
                del observed  # it holds the error, whose traceback holds this frame


class ObservedOperation:
    """One operation on its way: its span, the context around it, and the time it takes."""

    __slots__ = ("_current", "_observer", "_row", "_span", "_started", "_started_at", "observation")

    def __init__(self, observer: OperationObserver, row: Row, component: Any, operation: Any) -> None:
        self._observer = observer
        self._row = row
        self.observation = Observation(component, operation)
        self._span: Span = INVALID_SPAN
        self._current = CurrentContext()
        self._started_at = time.time_ns()
        self._started = time.perf_counter_ns()

    def begin(self) -> Any:
        """Start the span, make it current, and return the operation with the context in its headers."""
        row, operation = self._row, self.observation.operation
        context, links = self._origin()
        if self._is_traced():
            self._span = self._started_span(context, links)
            context = trace.set_span_in_context(self._span, context)
        if context is not None:
            self._current.enter(context)
        if self._span.is_recording() and (hook := self._observer.config.request_hook):
            self._observer.safely(lambda: hook(self._span, self.observation.component, operation))
        if row.headers in (None, "onward"):
            return operation
        headers = with_current_context(operation.headers, row.headers)
        return operation if headers is operation.headers else operation.with_headers(headers)

    def stop_the_clock(self) -> None:
        """Note how long the operation took."""
        self.observation.duration = (time.perf_counter_ns() - self._started) / 1e9

    def finish(self) -> None:
        """Say on the span what came of the operation, record the metrics, and end the span."""
        try:
            if self._span.is_recording():
                self._observer.safely(self._describe)
            if self.observation.component.enable_metrics:
                for measurement in self._row.measurements:
                    self._observer.instruments.record(measurement, self.observation)
        finally:
            self._span.end(self._started_at + round(self.observation.duration * 1e9))

    def leave(self) -> None:
        """Make what was current before current again."""
        self._current.leave(self.observation.error)

    def _is_traced(self) -> bool:
        if not (self._row.spans and self.observation.component.enable_tracing):
            return False
        return not self._row.inner or trace.get_current_span().is_recording()

    def _origin(self) -> tuple[Context | None, list[Link]]:
        """Return the parent, None for the current one, and what to link to."""
        row, operation = self._row, self.observation.operation
        if row.root and self._is_traced():
            return Context(), links_to(row.links(operation)) if row.links else []
        parent = parent_from(operation.headers) if row.headers else None
        if parent is not None and self._is_traced() and self._is_only_linked():
            links = link_to(parent) or links_to([operation.headers])
            return trace.set_span_in_context(INVALID_SPAN, parent), links
        return parent, []

    def _is_only_linked(self) -> bool:
        """Tell whether the operation has a link to the context in its headers, and is no child of it."""
        row, operation, config = self._row, self.observation.operation, self._observer.config
        if row.comes_again is not None:
            if config.consumer_context is not None:
                return config.consumer_context == "link"
            if row.comes_again(operation):
                return True
        sent_at = row.sent_at(operation) if row.sent_at else None
        return sent_at is not None and (datetime.now(UTC) - sent_at).total_seconds() > config.parent_max_age

    def _started_span(self, parent: Context | None, links: list[Link]) -> Span:
        return self._observer.tracer.start_span(
            self._row.name(self.observation.operation),
            parent,
            self._row.kind,
            LazyAttributes(self._row.at_start, self.observation),
            links,
            start_time=self._started_at,
            record_exception=False,
            set_status_on_exception=False,
        )

    def _describe(self) -> None:
        observation = self.observation
        outcome = observation.error if observation.error is not None else observation.result
        if observation.error is None:
            self._span.set_attributes(evaluate(self._row.at_end, observation))
        else:
            mark_failed(self._span, observation.error)
        if hook := self._observer.config.response_hook:
            hook(self._span, observation.component, observation.operation, outcome)
