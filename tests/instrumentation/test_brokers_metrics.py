"""What is measured of messages that go through a real broker."""

from typing import Any
from uuid import UUID

import pytest

from eventsource import DomainEvent
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import Opened, opened
from eventsource_instrumentation.recording import RecordedMetrics
from services.brokers import Broker

OF_MESSAGES = {
    "messaging.client.sent.messages",
    "messaging.client.operation.duration",
    "messaging.client.consumed.messages",
    "messaging.process.duration",
}


def fail(event: DomainEvent) -> None:
    raise ValueError("jammed")


def attributes(metrics: RecordedMetrics, name: str) -> dict[str, Any]:
    """Return the attributes of a metric's only point."""
    (point,) = metrics.named(name)
    return point.attributes


async def test_messages_are_counted_on_both_sides(
    broker: Broker, door: UUID, eventsource_metrics: RecordedMetrics
) -> None:
    """By where they go to and where they come from, in the terms of the broker."""
    bus = await broker.consuming(consumer_group="guests")
    bus.subscribe(Opened, Recorder())

    await bus.publish(opened(door, 3))
    await broker.settled(bus, 3)

    destination = f"{broker.name}.stream" if broker.system == "kafka" else broker.name
    source = destination if broker.system == "kafka" else f"{broker.name}.guests"
    assert {name: eventsource_metrics.total(name) for name in OF_MESSAGES if name.endswith("messages")} == {
        "messaging.client.sent.messages": 3,
        "messaging.client.consumed.messages": 3,
    }
    assert attributes(eventsource_metrics, "messaging.client.sent.messages") == {
        "messaging.system": broker.system,
        "messaging.destination.name": destination,
        "messaging.operation.name": "publish",
    }
    assert attributes(eventsource_metrics, "messaging.client.consumed.messages") == {
        "messaging.system": broker.system,
        "messaging.destination.name": source,
        "messaging.operation.name": "consume",
        "messaging.consumer.group.name": "guests",
    }


async def test_a_dead_letter_counts_once_after_all_attempts(
    broker: Broker, door: UUID, eventsource_metrics: RecordedMetrics
) -> None:
    """The message counts once, and each attempt takes time."""
    bus = await broker.consuming(max_retries=2)
    bus.subscribe(Opened, fail)

    await bus.publish(opened(door, 1))
    await broker.settled(bus, 1)

    assert eventsource_metrics.total("messaging.client.consumed.messages") == 1
    assert eventsource_metrics.count("messaging.process.duration", {"error.type": "ValueError"}) == 3
    assert eventsource_metrics.total("eventsource.dlq.events", {"error.type": "ValueError"}) == 1


async def test_kafka_has_its_own_besides(broker: Broker, door: UUID, eventsource_metrics: RecordedMetrics) -> None:
    """And nobody else has them."""
    bus = await broker.consuming()
    bus.subscribe(Opened, Recorder())

    await bus.publish(opened(door, 1))
    await broker.settled(bus, 1)

    own = {name.removeprefix("kafka.eventbus.") for name in eventsource_metrics.names if name.startswith("kafka.")}
    always = {"connection.errors", "reconnections", "rebalances", "connections.active"}
    published = {"messages.published", "publish.duration", "batch.size"}
    consumed = {"messages.consumed", "consume.duration", "handler.invocations", "handler.duration"}
    assert own - {"consumer.lag"} == (always | published | consumed if broker.system == "kafka" else set())


@pytest.mark.parametrize("broker", ["kafka"], indirect=True)
async def test_the_configuration_switches_all_of_them(
    broker: Broker, door: UUID, eventsource_metrics: RecordedMetrics
) -> None:
    """`enable_metrics=False` leaves none by any name."""
    bus = await broker.consuming(enable_metrics=False)
    bus.subscribe(Opened, Recorder())

    await bus.publish(opened(door, 1))
    await broker.settled(bus, 1)

    assert eventsource_metrics.points == []
