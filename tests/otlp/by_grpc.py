"""OTLP by gRPC."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from otlp.taking import Taker


@contextmanager
def listening(taker: Taker) -> Iterator[str]:
    """Give *taker* what comes to the endpoint that this yields."""
    with ThreadPoolExecutor(max_workers=2) as threads:
        server = grpc.server(threads)
        traces.add_TraceServiceServicer_to_server(_Traces(taker), server)
        metrics.add_MetricsServiceServicer_to_server(_Metrics(taker), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop(grace=None).wait()


class _Traces(traces.TraceServiceServicer):
    def __init__(self, taker: Taker) -> None:
        self._taker = taker

    def Export(self, request: ExportTraceServiceRequest, context: object) -> ExportTraceServiceResponse:  # noqa: N802
        return self._taker.take_traces(request)


class _Metrics(metrics.MetricsServiceServicer):
    def __init__(self, taker: Taker) -> None:
        self._taker = taker

    def Export(self, request: ExportMetricsServiceRequest, context: object) -> ExportMetricsServiceResponse:  # noqa: N802
        return self._taker.take_metrics(request)
