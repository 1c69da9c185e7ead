"""What came over the wire."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as the protocol has it, and what its sender says of itself."""

    span: Span
    resource: Mapping[str, object]

    @property
    def name(self) -> str:
        """What it is called."""
        return self.span.name

    @property
    def service(self) -> str:
        """Which service has sent it."""
        return str(self.resource["service.name"])

    @property
    def kind(self) -> str:
        """``INTERNAL``, ``SERVER``, ``CLIENT``, ``PRODUCER`` or ``CONSUMER``."""
        return Span.SpanKind.Name(self.span.kind).removeprefix("SPAN_KIND_")

    @property
    def attributes(self) -> Mapping[str, object]:
        """What it tells."""
        return _values(self.span.attributes)

    @property
    def milliseconds(self) -> float:
        """How long it took."""
        return (self.span.end_time_unix_nano - self.span.start_time_unix_nano) / 1e6


@dataclass(frozen=True, slots=True)
class ReceivedMetric:
    """A metric as the protocol has it, and what its sender says of itself."""

    metric: Metric
    resource: Mapping[str, object]


def spans_in(request: ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    """Yield the spans of a request."""
    for sender in request.resource_spans:
        resource = _values(sender.resource.attributes)
        for scope in sender.scope_spans:
            yield from (ReceivedSpan(span, resource) for span in scope.spans)


def metrics_in(request: ExportMetricsServiceRequest) -> Iterator[ReceivedMetric]:
    """Yield the metrics of a request."""
    for sender in request.resource_metrics:
        resource = _values(sender.resource.attributes)
        for scope in sender.scope_metrics:
            yield from (ReceivedMetric(metric, resource) for metric in scope.metrics)


def _values(attributes: Iterable[KeyValue]) -> dict[str, object]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in attributes}
