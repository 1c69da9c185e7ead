"""Telemetry as a service switches it on by itself; the environment says where it goes, and in whose name."""

import os
from importlib import import_module

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from eventsource_instrumentation import EventsourceInstrumentor

EXPORTERS = {
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
}


def switch_on() -> None:
    """Export by OTLP, by the protocol that is asked for; what is left is sent when the process ends."""
    exporter = import_module(EXPORTERS[os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"]])
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter.OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    EventsourceInstrumentor().instrument()
