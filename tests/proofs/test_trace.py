"""One trace from a request through a log, two brokers and three processes to the last handler of a projection."""

import asyncio
import subprocess
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from uuid import uuid4

import pytest

from otlp.received import ReceivedSpan
from otlp.receiver import PROTOCOLS, Receiver
from otlp.traces import drawn, trace_of, way_to
from services.brokers import create_topics

PATIENCE = 60
INSTRUMENT = Path(sysconfig.get_path("scripts")) / "opentelemetry-instrument"
OTHERS = [each.name for each in entry_points(group="opentelemetry_instrumentor") if each.name != "eventsource"]
"""Instrumentors whose spans would stand in between."""

WAY = [
    ("orders", "POST /orders", "SERVER"),
    ("orders", "eventsource.repository.save", "INTERNAL"),
    ("orders", "eventsource.event_store.append_events", "INTERNAL"),
    ("orders", "eventsource.event_bus.publish", "PRODUCER"),
    ("shipping", "eventsource.event_bus.consume", "CONSUMER"),
    ("shipping", "eventsource.event_bus.dispatch", "INTERNAL"),
    ("shipping", "eventsource.event_bus.handle", "INTERNAL"),
    ("shipping", "eventsource.event_bus.publish", "PRODUCER"),
    ("tracking", "eventsource.event_bus.consume", "CONSUMER"),
    ("tracking", "eventsource.event_bus.dispatch", "INTERNAL"),
    ("tracking", "eventsource.event_bus.handle", "INTERNAL"),
    ("tracking", "eventsource.projection.handle", "INTERNAL"),
    ("tracking", "eventsource.projection.handler", "INTERNAL"),
]

Serve = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where all services send their telemetry."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(params=PROTOCOLS)
def serve(request: pytest.FixtureRequest, receiver: Receiver, start: Callable[..., "subprocess.Popen[str]"]) -> Serve:
    """Starts a program as a service of this name."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoints[request.param],
        "OTEL_EXPORTER_OTLP_PROTOCOL": request.param,
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(OTHERS),
    }

    def serve(service: str, program: str, *arguments: object, by: tuple[object, ...] = ()) -> "subprocess.Popen[str]":
        variables = environment | {"OTEL_SERVICE_NAME": service}
        settings = [f"{name}={value}" for name, value in variables.items()]
        return start(program, *arguments, under=("env", *settings, *by))

    return serve


def test_one_trace_leads_through_all_processes(
    path: Path, serve: Serve, receiver: Receiver, rabbitmq_url: str, kafka_address: str, report: Callable[[str], None]
) -> None:
    """Each span is the child of the one before it, over the log and over both brokers."""
    name = f"test-{uuid4()}"
    asyncio.run(create_topics(kafka_address, name, partitions=1))
    tracking = serve("tracking", "trace_tracking.py", kafka_address, name, by=(INSTRUMENT,))
    shipping = serve("shipping", "trace_shipping.py", rabbitmq_url, name, kafka_address, name)
    _await_consumers(tracking, shipping)

    ordering = serve("orders", "trace_ordering.py", path, rabbitmq_url, name)
    ended = [process.wait(PATIENCE) for process in (ordering, shipping, tracking)]

    assert ended == [0, 0, 0]
    last = _only("eventsource.projection.handler", receiver.spans)
    trace = trace_of(last, receiver.spans)
    way, tree = way_to(last, trace), _joined(drawn(trace))
    assert [(each.service, each.name, each.kind) for each in way] == WAY, tree
    assert len(trace) == len(way), tree
    systems = [each.attributes.get("messaging.system") for each in way if each.kind in ("PRODUCER", "CONSUMER")]
    assert systems == ["rabbitmq", "rabbitmq", "kafka", "kafka"], tree
    report(f"one trace:{tree}")


def _await_consumers(*processes: "subprocess.Popen[str]") -> None:
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "consuming\n"


def _only(name: str, spans: Sequence[ReceivedSpan]) -> ReceivedSpan:
    found = [each for each in spans if each.name == name]
    assert len(found) == 1, _joined(drawn(spans))
    return found[0]


def _joined(lines: Sequence[str]) -> str:
    return "".join(f"\n    {line}" for line in lines)
