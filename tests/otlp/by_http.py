"""OTLP by HTTP, in the binary form."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otlp.taking import Taker


@contextmanager
def listening(taker: Taker) -> Iterator[str]:
    """Give *taker* what comes to the endpoint that this yields."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, taker)) as server:
        thread = Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, taker: Taker, *arguments: Any) -> None:
        self._taker = taker
        super().__init__(*arguments)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match self.path:
            case "/v1/traces":
                self._answer(self._taker.take_traces(ExportTraceServiceRequest.FromString(body)))
            case "/v1/metrics":
                self._answer(self._taker.take_metrics(ExportMetricsServiceRequest.FromString(body)))
            case _:
                self.send_error(404)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name is the base class's
        pass

    def _answer(self, message: Message) -> None:
        body = message.SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
