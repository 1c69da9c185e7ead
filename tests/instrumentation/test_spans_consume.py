"""The spans of messages that a broker delivers."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from eventsource import DomainEvent
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import Closed, Opened, opened
from eventsource_instrumentation.recording import RecordedSpans

PUBLISH = "eventsource.event_bus.publish"
CONSUME = "eventsource.event_bus.consume"
DISPATCH = "eventsource.event_bus.dispatch"
HANDLE = "eventsource.event_bus.handle"


class Reluctant:
    """A handler that fails some times before it handles."""

    def __init__(self, failures: int) -> None:
        self._failures = failures

    def handle(self, event: DomainEvent) -> None:
        if self._failures:
            self._failures -= 1
            raise ValueError("jammed")


@pytest.fixture
def event(door: UUID) -> Opened:
    """An event that was caused by another one."""
    (event,) = opened(door, 1)
    return event.with_causation(Closed(aggregate_id=door))


def of_message(event: DomainEvent) -> dict[str, Any]:
    """Return what the span of the first attempt at a message tells, besides where the message was."""
    return {
        "messaging.destination.name": "doors",
        "messaging.operation.name": "consume",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": "guests",
        "messaging.message.id": str(event.event_id),
        "messaging.destination.partition.id": "3",
        "server.address": "here",
        "server.port": 9092,
        "eventsource.event.type": event.event_type,
        "eventsource.event.id": str(event.event_id),
        "eventsource.aggregate.id": str(event.aggregate_id),
        "eventsource.aggregate.type": event.aggregate_type,
        "eventsource.correlation.id": str(event.correlation_id),
        "eventsource.causation.id": str(event.causation_id),
        "eventsource.retry.count": 0,
    }


class TestAttributes:
    async def test_a_message_from_kafka(self, local: Any, event: Opened, eventsource_spans: RecordedSpans) -> None:
        """Which message it is, where it was, and which event it carries."""
        local.deliver(local.message_of(event))
        await local.has_settled(1)

        span = eventsource_spans.one(CONSUME)
        assert span.kind is SpanKind.CONSUMER
        assert dict(span.attributes or {}) == of_message(event) | {
            "messaging.system": "kafka",
            "messaging.kafka.message.key": str(event.aggregate_id),
            "messaging.kafka.offset": 0,
        }

    async def test_a_message_from_rabbitmq(self, local: Any, event: Opened, eventsource_spans: RecordedSpans) -> None:
        """What only Kafka has is not said of it."""
        local.system = "rabbitmq"

        local.deliver(local.message_of(event))
        await local.has_settled(1)

        assert dict(eventsource_spans.one(CONSUME).attributes or {}) == of_message(event) | {
            "messaging.system": "rabbitmq",
            "messaging.rabbitmq.destination.routing_key": "Door.opened",
        }

    async def test_a_message_from_elsewhere(self, local: Any, event: Opened, eventsource_spans: RecordedSpans) -> None:
        """It has what all messages have."""
        local.system = "elsewhere"

        local.deliver(local.message_of(event))
        await local.has_settled(1)

        attributes = dict(eventsource_spans.one(CONSUME).attributes or {})
        assert attributes == of_message(event) | {"messaging.system": "elsewhere"}

    async def test_a_message_that_says_nothing(
        self, local: Any, event: Opened, eventsource_spans: RecordedSpans
    ) -> None:
        """What is not known is left out, and so is what it carries; the error is there."""
        message = local.message_of(event)
        message.headers, message.message_id, message.sent_at = {}, None, None

        local.deliver(message)
        await local.has_settled(1)

        attributes = eventsource_spans.one(CONSUME).attributes or {}
        assert attributes["error.type"] == "DeserializationError"
        assert not [name for name in attributes if name.startswith(("eventsource.event.", "eventsource.aggregate."))]
        assert "messaging.message.id" not in attributes

    async def test_a_published_message_tells_where_it_goes(
        self, local: Any, event: Opened, eventsource_spans: RecordedSpans
    ) -> None:
        """A sampler that knows the destination of the one knows that of the other."""
        await local.publish([event])

        attributes = dict(eventsource_spans.one(PUBLISH).attributes or {})
        assert {name: value for name, value in attributes.items() if name.startswith(("messaging.", "server."))} == {
            "messaging.system": "kafka",
            "messaging.destination.name": "doors",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.message.id": str(event.event_id),
            "messaging.kafka.message.key": str(event.aggregate_id),
            "server.address": "here",
            "server.port": 9092,
        }

    async def test_a_batch_has_a_destination_and_no_key(
        self, local: Any, event: Opened, eventsource_spans: RecordedSpans
    ) -> None:
        """Its messages share the one and not the other."""
        await local.publish([event, event])

        attributes = eventsource_spans.one(PUBLISH).attributes or {}
        assert attributes["messaging.destination.name"] == "doors"
        assert attributes["messaging.batch.message_count"] == 2
        assert "messaging.kafka.message.key" not in attributes

    async def test_a_batch_for_several_destinations_has_none(
        self, local_bus: Callable[..., Any], event: Opened, eventsource_spans: RecordedSpans
    ) -> None:
        """None of them would be true of all."""

        class Sorting(local_bus):  # type: ignore[misc, valid-type]
            def address_of(self, event: DomainEvent) -> Any:
                address = super().address_of(event)
                return type(address)(event.event_type)

        async with Sorting() as bus:
            await bus.publish([event, Closed(aggregate_id=event.aggregate_id)])

        assert "messaging.destination.name" not in (eventsource_spans.one(PUBLISH).attributes or {})


class TestAttempts:
    async def test_handlers_are_inside_of_it(self, local: Any, event: Opened, eventsource_spans: RecordedSpans) -> None:
        """One trace from whoever publishes to whoever handles."""
        local.subscribe(Opened, Recorder())

        await local.publish([event])
        await local.has_settled(1)

        handler = eventsource_spans.one(HANDLE)
        assert eventsource_spans.chain(handler) == [PUBLISH, CONSUME, DISPATCH, HANDLE]

    async def test_each_attempt_is_a_child_of_the_publication(
        self, local_bus: Callable[..., Any], event: Opened, eventsource_spans: RecordedSpans
    ) -> None:
        """It says which one it is; the failed ones say why."""
        bus = local_bus(max_retries=2)
        bus.subscribe(Opened, Reluctant(2))

        async with bus:
            await bus.consume()
            await bus.publish([event])
            await bus.has_settled(1)

        attempts = eventsource_spans.named(CONSUME)
        told = [((each.attributes or {})["eventsource.retry.count"], each.status.status_code) for each in attempts]
        assert told == [(0, StatusCode.ERROR), (1, StatusCode.ERROR), (2, StatusCode.UNSET)]
        assert {eventsource_spans.parent_of(each) for each in attempts} == {eventsource_spans.one(PUBLISH)}

    async def test_a_dead_letter_is_made_after_it(
        self, local_bus: Callable[..., Any], event: Opened, eventsource_spans: RecordedSpans
    ) -> None:
        """No span is current then, and the failed attempt has ended."""
        seen: list[Any] = []

        class Noting(local_bus):  # type: ignore[misc, valid-type]
            async def _keep(self, dead_letter: Any) -> None:
                seen.append((trace.get_current_span().get_span_context().is_valid, eventsource_spans.names))

        bus = Noting()
        bus.subscribe(Opened, Reluctant(1))
        async with bus:
            await bus.consume()
            await bus.publish([event])
            await bus.has_settled(1)

        assert seen == [(False, [PUBLISH, HANDLE, DISPATCH, CONSUME])]

    async def test_nothing_leaks_into_the_next_message(
        self, local: Any, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Each message of an aggregate is handled in the trace of its own publication."""
        for event in opened(door, 3):
            await local.publish([event])
        await local.has_settled(3)

        publications, consumptions = eventsource_spans.named(PUBLISH), eventsource_spans.named(CONSUME)
        assert [eventsource_spans.parent_of(each) for each in consumptions] == publications
        assert len({each.context.trace_id for each in consumptions}) == 3

    @pytest.mark.parametrize("background", [False, True])
    async def test_each_message_of_a_batch_belongs_to_it(
        self, background: bool, local: Any, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Also if nobody waits for the batch."""
        await local.publish(opened(door, 3), background)
        await local.has_settled(3)

        parents = [eventsource_spans.parent_of(each) for each in eventsource_spans.named(CONSUME)]
        assert parents == [eventsource_spans.one(PUBLISH)] * 3

    async def test_a_message_without_context_begins_a_trace(
        self, local: Any, door: UUID, event: Opened, eventsource_spans: RecordedSpans
    ) -> None:
        """Also behind one that has one."""
        await local.publish(opened(door, 1))
        local.deliver(local.message_of(event))
        await local.has_settled(2)

        of_publication, of_none = eventsource_spans.named(CONSUME)
        assert of_publication.parent is not None
        assert (of_none.parent, of_none.links) == (None, ())

    async def test_what_is_current_where_consuming_begins_is_no_parent(
        self, local_bus: Callable[..., Any], event: Opened, eventsource_spans: RecordedSpans
    ) -> None:
        """A consumer outlives whatever has started it."""
        bus = local_bus()

        with eventsource_spans.provider.get_tracer("here").start_as_current_span("start"):
            await bus.connect()
            await bus.consume()
        bus.deliver(bus.message_of(event))
        await bus.has_settled(1)
        await bus.shutdown()

        assert eventsource_spans.one(CONSUME).parent is None

    async def test_a_bus_without_spans_hands_the_context_on(
        self, local: Any, event: Opened, eventsource_spans: RecordedSpans
    ) -> None:
        """What handlers do belongs to the publication, whatever was in between."""
        local.enable_tracing = False
        tracer = eventsource_spans.provider.get_tracer("here")
        local.subscribe(Opened, lambda event: tracer.start_span("work").end())

        with tracer.start_as_current_span("request"):
            await local.publish([event])
        await local.has_settled(1)

        assert eventsource_spans.chain(eventsource_spans.one("work")) == ["request", "work"]
        assert sorted(eventsource_spans.names) == ["request", "work"]


async def test_a_message_of_a_naive_moment_is_as_old_as_in_utc(
    local: Any, event: Opened, eventsource_spans: RecordedSpans
) -> None:
    """Some drivers give time without a zone."""
    message = local.message_of(event, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    message.sent_at = datetime.now(UTC).replace(tzinfo=None)

    local.deliver(message)
    await local.has_settled(1)

    assert eventsource_spans.one(CONSUME).parent is not None
