"""What was emitted while a test ran, to look at in its assertions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.util.types import AttributeValue

from eventsource_instrumentation.console import tree_lines

Attributes: TypeAlias = Mapping[str, AttributeValue]


class RecordedSpans:
    """The spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=ALWAYS_ON)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def finished(self) -> Sequence[ReadableSpan]:
        """All of them, in the order in which they ended."""
        return self._exporter.get_finished_spans()

    @property
    def names(self) -> list[str]:
        """Their names, in the order in which they ended."""
        return [span.name for span in self.finished]

    def named(self, name: str) -> list[ReadableSpan]:
        """Return those called *name*, in the order in which they ended."""
        return [span for span in self.finished if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """
        Return the only one called *name*.

        Raises:
            AssertionError: If there is none, or more than one.
        """
        found = self.named(name)
        if len(found) != 1:
            raise AssertionError(f"{len(found)} spans are called {name!r}; there are:\n{self.tree()}")
        return found[0]

    def parent_of(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the parent of *span*, if it is among the spans here."""
        ids = {each.context.span_id: each for each in self.finished}
        return ids.get(span.parent.span_id) if span.parent else None

    def chain(self, span: ReadableSpan) -> list[str]:
        """Return the names from the outermost ancestor down to *span*."""
        parent = self.parent_of(span)
        return [*(self.chain(parent) if parent else ()), span.name]

    def tree(self) -> str:
        """Return the spans drawn as trees."""
        return "\n".join(tree_lines(self.finished))

    def clear(self) -> None:
        """Forget the spans."""
        self._exporter.clear()


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """What one metric has for one set of attributes; ``value`` is the sum of a counter or of a histogram."""

    name: str
    unit: str
    attributes: dict[str, AttributeValue]
    value: float
    count: int = 1
    boundaries: tuple[float, ...] = field(default=(), compare=False)


class RecordedMetrics:
    """What the metrics have counted and measured."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider(metric_readers=[self._reader])

    @property
    def points(self) -> list[MetricPoint]:
        """All points of all metrics, cumulative."""
        data = self._reader.get_metrics_data()
        return [
            _point(metric.name, metric.unit or "", point)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
            if isinstance(point, HistogramDataPoint | NumberDataPoint)
        ]

    @property
    def names(self) -> set[str]:
        """The names of the metrics that have points."""
        return {point.name for point in self.points}

    def named(self, name: str, attributes: Attributes | None = None) -> list[MetricPoint]:
        """Return the points of a metric that have these *attributes*, and maybe others."""
        wanted = (attributes or {}).items()
        return [point for point in self.points if point.name == name and wanted <= point.attributes.items()]

    def total(self, name: str, attributes: Attributes | None = None) -> float:
        """Return the sum of the values of a metric's points that have these *attributes*."""
        return sum(point.value for point in self.named(name, attributes))

    def count(self, name: str, attributes: Attributes | None = None) -> int:
        """Return how often a histogram was recorded with these *attributes*."""
        return sum(point.count for point in self.named(name, attributes))


class Recording:
    """Spans and metrics, and the providers that record them."""

    def __init__(self) -> None:
        self.spans = RecordedSpans()
        self.metrics = RecordedMetrics()

    def shutdown(self) -> None:
        """Release what the providers hold."""
        self.spans.provider.shutdown()
        self.metrics.provider.shutdown()


def _point(name: str, unit: str, point: HistogramDataPoint | NumberDataPoint) -> MetricPoint:
    attributes = dict(point.attributes or {})
    if isinstance(point, HistogramDataPoint):
        return MetricPoint(name, unit, attributes, point.sum, point.count, tuple(point.explicit_bounds))
    return MetricPoint(name, unit, attributes, point.value)
