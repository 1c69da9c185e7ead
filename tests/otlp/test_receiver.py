"""The receiver, with exporters as applications have them."""

from collections.abc import Callable, Iterator
from http.client import HTTPConnection

import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as MetricsByGRPC
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as SpansByGRPC
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as MetricsByHTTP
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as SpansByHTTP
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Tracer, set_span_in_context

from otlp.receiver import PROTOCOLS, Receiver
from otlp.traces import drawn, trace_of, way_to

SPANS = {"grpc": SpansByGRPC, "http/protobuf": SpansByHTTP}
METRICS = {"grpc": MetricsByGRPC, "http/protobuf": MetricsByHTTP}
RESOURCE = Resource({"service.name": "shop", "service.instance": 7})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One that listens."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> str:
    """How exporters send, to the receiver."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoints[request.param])
    return request.param


@pytest.fixture
def tracer(protocol: str) -> Iterator[Tracer]:
    """Makes spans that are sent when they end."""
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(SPANS[protocol]()))
    yield provider.get_tracer("here")
    provider.shutdown()


@pytest.fixture
def count(protocol: str) -> Callable[[str], None]:
    """Counts something once, and sends it."""

    def count(name: str) -> None:
        reader = PeriodicExportingMetricReader(METRICS[protocol]())
        provider = MeterProvider([reader], RESOURCE, shutdown_on_exit=False)
        provider.get_meter("here").create_counter(name).add(1)
        provider.shutdown()

    return count


def test_spans_arrive(receiver: Receiver, tracer: Tracer) -> None:
    """With their kind, their attributes, and what their sender says of itself."""
    with tracer.start_as_current_span("sell", kind=SpanKind.SERVER, attributes={"pieces": 2}):
        pass

    (span,) = receiver.spans
    assert (span.service, span.name, span.kind) == ("shop", "sell", "SERVER")
    assert (span.attributes, span.resource) == ({"pieces": 2}, RESOURCE.attributes)


def test_a_trace_is_put_together(receiver: Receiver, tracer: Tracer) -> None:
    """By its id, and by the ids of parents."""
    tracer.start_span("another one").end()
    with tracer.start_as_current_span("sell"):
        tracer.start_span("pay").end()
        with tracer.start_as_current_span("deliver"):
            tracer.start_span("pack").end()

    (pack,) = (each for each in receiver.spans if each.name == "pack")
    assert [each.name for each in way_to(pack, receiver.spans)] == ["sell", "deliver", "pack"]
    assert [each.name for each in trace_of(pack, receiver.spans)] == ["sell", "pay", "deliver", "pack"]


def test_a_trace_is_drawn(receiver: Receiver, tracer: Tracer) -> None:
    """A span stands below its parent if that has come, with how long it took."""
    sell = tracer.start_span("sell", start_time=0)
    pack = tracer.start_span("pack", set_span_in_context(sell), SpanKind.PRODUCER, start_time=1)
    tracer.start_span("load", set_span_in_context(pack), start_time=2).end(3)
    pack.end(1_500_001)

    before = drawn(receiver.spans)
    sell.end(2_000_000)
    after = drawn(receiver.spans)

    assert [line[11:36].rstrip() for line in before] == ["pack", "└ load"]
    assert [line[11:36].rstrip() for line in after] == ["sell", "└ pack", "  └ load"]
    assert after[1].split() == ["shop", "└", "pack", "PRODUCER", "1.50", "ms"]


def test_metrics_arrive(receiver: Receiver, count: Callable[[str], None]) -> None:
    """With what their sender says of itself."""
    count("sales")

    (received,) = (each for each in receiver.metrics if each.metric.name == "sales")
    assert [point.as_int for point in received.metric.sum.data_points] == [1]
    assert received.resource == RESOURCE.attributes


def test_other_paths_are_not_found(receiver: Receiver) -> None:
    """Whoever sends to a wrong one is told."""
    connection = HTTPConnection(receiver.endpoints["http/protobuf"].removeprefix("http://"))

    connection.request("POST", "/v1/profiles", body=b"")
    answer = connection.getresponse()
    connection.close()

    assert answer.status == 404


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nobody_listens_in_the_end(protocol: str) -> None:
    """The ports are free again."""
    with Receiver() as receiver:
        connection = HTTPConnection(receiver.endpoints[protocol].removeprefix("http://"))
        connection.connect()
        connection.close()

    with pytest.raises(ConnectionRefusedError):
        connection.connect()
