"""The receiver."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from otlp import by_grpc, by_http
from otlp.received import ReceivedMetric, ReceivedSpan, metrics_in, spans_in

PROTOCOLS = {"grpc": by_grpc.listening, "http/protobuf": by_http.listening}
"""By the names that ``OTEL_EXPORTER_OTLP_PROTOCOL`` has for them."""


class Receiver:
    """Keeps spans and metrics that are sent to the loopback address; as a context manager it listens inside."""

    def __init__(self) -> None:
        self.endpoints: Mapping[str, str] = {}
        """Where it listens, by protocol."""
        self.spans: list[ReceivedSpan] = []
        self.metrics: list[ReceivedMetric] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.endpoints = {name: stack.enter_context(listening(self)) for name, listening in PROTOCOLS.items()}
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def take_traces(self, request: ExportTraceServiceRequest) -> ExportTraceServiceResponse:
        """Keep the spans; nothing is ever refused."""
        self.spans.extend(spans_in(request))
        return ExportTraceServiceResponse()

    def take_metrics(self, request: ExportMetricsServiceRequest) -> ExportMetricsServiceResponse:
        """Keep the metrics; nothing is ever refused."""
        self.metrics.extend(metrics_in(request))
        return ExportMetricsServiceResponse()
