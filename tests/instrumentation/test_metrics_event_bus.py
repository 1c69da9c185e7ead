"""What is measured of messages, over any broker and over Kafka."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from eventsource import DomainEvent
from eventsource.exceptions import BrokerConnectionError
from eventsource.testing.event_bus_subject import Gate, Recorder
from eventsource.testing.events import Closed, Opened, opened
from eventsource_instrumentation.recording import RecordedMetrics

SENT = "messaging.client.sent.messages"
SENDING = "messaging.client.operation.duration"
CONSUMED = "messaging.client.consumed.messages"
PROCESSING = "messaging.process.duration"
KAFKA = "kafka.eventbus."
BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
OPENED, CLOSED = "eventsource.testing.Opened", "eventsource.testing.Closed"

PUBLISHED = {
    "messaging.system": "kafka",
    "messaging.destination.name": "doors",
    "messaging.operation.name": "publish",
}
DELIVERED = {
    "messaging.system": "kafka",
    "messaging.destination.name": "doors",
    "messaging.operation.name": "consume",
    "messaging.consumer.group.name": "guests",
}


def fail(event: DomainEvent) -> None:
    raise ValueError("jammed")


def counted(metrics: RecordedMetrics, name: str) -> list[tuple[float, dict[str, Any]]]:
    """Return the values of a counter with their attributes."""
    return [(point.value, point.attributes) for point in metrics.named(name)]


def timed(metrics: RecordedMetrics, name: str) -> list[tuple[int, dict[str, Any]]]:
    """Return how often something was timed with which attributes."""
    points = metrics.named(name)
    assert {(point.unit, point.boundaries) for point in points} == {("s", BOUNDARIES)}
    assert all(point.value >= 0 for point in points)
    return [(point.count, point.attributes) for point in points]


class TestMessages:
    async def test_publishing(self, local: Any, door: UUID, eventsource_metrics: RecordedMetrics) -> None:
        """Messages are counted, and calls take time."""
        await local.publish(opened(door, 3))

        assert counted(eventsource_metrics, SENT) == [(3, PUBLISHED)]
        assert timed(eventsource_metrics, SENDING) == [(1, PUBLISHED)]

    async def test_failing_to_publish(self, local: Any, door: UUID, eventsource_metrics: RecordedMetrics) -> None:
        """The error is an attribute."""
        local.is_broken = True
        with pytest.raises(BrokerConnectionError):
            await local.publish(opened(door, 3))

        failed = PUBLISHED | {"error.type": "BrokerConnectionError"}
        assert counted(eventsource_metrics, SENT) == [(3, failed)]
        assert timed(eventsource_metrics, SENDING) == [(1, failed)]

    async def test_consuming(self, local: Any, door: UUID, eventsource_metrics: RecordedMetrics) -> None:
        """Messages are counted, and each attempt takes time."""
        local.subscribe(Opened, Recorder())

        await local.publish(opened(door, 3))
        await local.has_settled(3)

        assert counted(eventsource_metrics, CONSUMED) == [(3, DELIVERED)]
        assert timed(eventsource_metrics, PROCESSING) == [(3, DELIVERED)]

    async def test_a_message_counts_once_and_each_attempt_takes_time(
        self, local_bus: Callable[..., Any], door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """However often it is tried again."""
        bus = local_bus(max_retries=2)
        bus.subscribe(Opened, fail)

        async with bus:
            await bus.consume()
            await bus.publish(opened(door, 1))
            await bus.has_settled(1)

        failed = DELIVERED | {"error.type": "ValueError"}
        assert counted(eventsource_metrics, CONSUMED) == [(1, failed)]
        assert timed(eventsource_metrics, PROCESSING) == [(3, failed)]

    async def test_other_systems_have_them_too(
        self, local: Any, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """And nothing that is called after Kafka."""
        local.system = "rabbitmq"
        local.subscribe(Opened, Recorder())
        await local.refresh()

        await local.publish(opened(door, 1))
        await local.has_settled(1)

        assert eventsource_metrics.names == {SENT, SENDING, CONSUMED, PROCESSING}
        assert counted(eventsource_metrics, SENT) == [(1, PUBLISHED | {"messaging.system": "rabbitmq"})]

    async def test_a_bus_that_wants_no_metrics_has_none(
        self, local: Any, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """None by any name."""
        local.enable_metrics = False
        local.subscribe(Opened, fail)
        local.lag = {0: 1}
        await local.refresh()

        await local.publish(opened(door, 1))
        await local.has_settled(1)

        assert eventsource_metrics.points == []


class TestDeadLetters:
    async def test_they_are_counted_by_bus_and_error(
        self, local: Any, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """By the same name as those of projections."""
        local.subscribe(Opened, fail)

        await local.publish(opened(door, 2))
        await local.has_settled(2)

        of_bus = {name: value for name, value in DELIVERED.items() if name != "messaging.operation.name"}
        assert counted(eventsource_metrics, "eventsource.dlq.events") == [(2, of_bus | {"error.type": "ValueError"})]
        assert counted(eventsource_metrics, f"{KAFKA}messages.dlq") == [
            (2, {"dlq.reason": "max_retries_exceeded", "error.type": "ValueError"})
        ]

    async def test_one_that_could_not_be_kept_is_none(
        self, local: Any, door: UUID, eventsource_metrics: RecordedMetrics, until: Callable[..., Any]
    ) -> None:
        """The message comes again."""
        local.subscribe(Opened, fail)

        await local.publish(opened(door, 1))
        local.is_broken = True
        await until(lambda: local.stats.handler_errors)
        await local.stop_consuming()

        assert eventsource_metrics.named("eventsource.dlq.events") == []
        assert eventsource_metrics.named(f"{KAFKA}messages.dlq") == []


class TestKafka:
    async def test_publishing(self, local: Any, door: UUID, eventsource_metrics: RecordedMetrics) -> None:
        """Messages by their type, calls by time and size."""
        await local.publish([*opened(door, 2), Closed(aggregate_id=door)])

        where = {"messaging.system": "kafka", "messaging.destination.name": "doors"}
        assert counted(eventsource_metrics, f"{KAFKA}messages.published") == [
            (2, where | {"event.type": OPENED}),
            (1, where | {"event.type": CLOSED}),
        ]
        assert timed(eventsource_metrics, f"{KAFKA}publish.duration") == [(1, {"messaging.destination.name": "doors"})]
        (size,) = eventsource_metrics.named(f"{KAFKA}batch.size")
        assert (size.value, size.count, size.unit, size.attributes) == (3, 1, "{message}", {})
        assert eventsource_metrics.named(f"{KAFKA}publish.errors") == []

    async def test_failing_to_publish(self, local: Any, door: UUID, eventsource_metrics: RecordedMetrics) -> None:
        """One error per call, with the type of the events if they are of one."""
        local.is_broken = True
        for events in (opened(door, 2), [*opened(door, 1), Closed(aggregate_id=door)]):
            with pytest.raises(BrokerConnectionError):
                await local.publish(events)

        failed = {
            "messaging.system": "kafka",
            "messaging.destination.name": "doors",
            "error.type": "BrokerConnectionError",
        }
        assert counted(eventsource_metrics, f"{KAFKA}publish.errors") == [
            (1, failed | {"event.type": OPENED}),
            (1, failed),
        ]
        assert eventsource_metrics.named(f"{KAFKA}messages.published") == []
        assert timed(eventsource_metrics, f"{KAFKA}publish.duration") == [
            (2, {"messaging.destination.name": "doors", "error.type": "BrokerConnectionError"})
        ]

    async def test_a_publication_that_is_cancelled_is_no_error(
        self, local_bus: Callable[..., Any], door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """It was ended from outside; neither is it a success."""
        entered = asyncio.Event()

        class Stuck(local_bus):  # type: ignore[misc, valid-type]
            async def _send(self, messages: Any) -> None:
                entered.set()
                await asyncio.Event().wait()

        async with Stuck() as bus:
            publishing = asyncio.create_task(bus.publish(opened(door, 1)))
            await entered.wait()
            publishing.cancel()
            await asyncio.wait({publishing})

        assert eventsource_metrics.named(f"{KAFKA}publish.errors") == []
        assert eventsource_metrics.named(f"{KAFKA}messages.published") == []

    async def test_consuming(
        self, local_bus: Callable[..., Any], door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """Messages once, by partition and type; attempts by time."""
        bus = local_bus(max_retries=1)
        bus.subscribe(Opened, fail)

        async with bus:
            await bus.consume()
            await bus.publish(opened(door, 1))
            await bus.has_settled(1)

        consumed = {
            "messaging.system": "kafka",
            "messaging.destination.name": "doors",
            "messaging.destination.partition.id": "3",
            "event.type": OPENED,
        }
        assert counted(eventsource_metrics, f"{KAFKA}messages.consumed") == [(1, consumed)]
        assert timed(eventsource_metrics, f"{KAFKA}consume.duration") == [
            (2, {"messaging.destination.name": "doors", "error.type": "ValueError"})
        ]

    async def test_handlers(self, local: Any, door: UUID, eventsource_metrics: RecordedMetrics) -> None:
        """Successes, failures and time of each, by name and type of event."""
        local.subscribe(Opened, Recorder())
        local.subscribe(Opened, fail)

        await local.publish(opened(door, 2))
        await local.has_settled(2)

        handled = {"handler.name": "Recorder.handle", "event.type": OPENED}
        failed = {"handler.name": "fail", "event.type": OPENED, "error.type": "ValueError"}
        assert counted(eventsource_metrics, f"{KAFKA}handler.invocations") == [(2, handled)]
        assert counted(eventsource_metrics, f"{KAFKA}handler.errors") == [(2, failed)]
        assert timed(eventsource_metrics, f"{KAFKA}handler.duration") == [(2, handled), (2, failed)]

    async def test_a_handler_that_is_cancelled_has_not_failed(
        self, local: Any, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """The consumer is shut down, and nobody is to blame; the time was taken nevertheless."""
        gate = Gate()
        local.subscribe(Opened, gate)

        await local.publish(opened(door, 1))
        await gate.entered.wait()
        await local.shutdown(timeout=0.01)

        cancelled = {"handler.name": "Gate.handle", "event.type": OPENED, "error.type": "CancelledError"}
        assert eventsource_metrics.named(f"{KAFKA}handler.errors") == []
        assert eventsource_metrics.named(f"{KAFKA}handler.invocations") == []
        assert timed(eventsource_metrics, f"{KAFKA}handler.duration") == [(1, cancelled)]
