"""What both protocols hand over."""

from typing import Protocol

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Taker(Protocol):
    """Takes requests, on whatever thread they come."""

    def take_traces(self, request: ExportTraceServiceRequest) -> ExportTraceServiceResponse:
        """Take spans, and return the answer."""

    def take_metrics(self, request: ExportMetricsServiceRequest) -> ExportMetricsServiceResponse:
        """Take metrics, and return the answer."""
