"""The spans of event buses."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from opentelemetry.trace import SpanKind

from eventsource import DomainEvent, InMemoryEventBus
from eventsource.testing.event_bus_subject import Gate, Recorder
from eventsource.testing.events import Closed, Opened, opened
from eventsource_instrumentation.recording import RecordedSpans

PUBLISH = "eventsource.event_bus.publish"
DISPATCH = "eventsource.event_bus.dispatch"
HANDLE = "eventsource.event_bus.handle"


@pytest.fixture
async def bus() -> AsyncIterator[InMemoryEventBus]:
    """A bus without subscriptions."""
    async with InMemoryEventBus() as bus:
        yield bus


@pytest.fixture
def event(door: UUID) -> Opened:
    """An event that was caused by another one."""
    (event,) = opened(door, 1)
    return event.with_causation(Closed(aggregate_id=door))


def of_event(event: DomainEvent) -> dict[str, str]:
    return {
        "eventsource.event.type": event.event_type,
        "eventsource.event.id": str(event.event_id),
        "eventsource.correlation.id": str(event.correlation_id),
        "eventsource.causation.id": str(event.causation_id),
    }


class TestPublish:
    async def test_one_event(self, bus: InMemoryEventBus, event: Opened, eventsource_spans: RecordedSpans) -> None:
        """The span tells which message, and everything about its event."""
        await bus.publish([event])

        span = eventsource_spans.one(PUBLISH)
        assert span.kind is SpanKind.PRODUCER
        assert dict(span.attributes or {}) == {
            "messaging.system": "memory",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.message.id": str(event.event_id),
            "eventsource.event.count": 1,
            "eventsource.event.types": ("eventsource.testing.Opened",),
            "eventsource.event.id": str(event.event_id),
            "eventsource.aggregate.id": str(event.aggregate_id),
            "eventsource.aggregate.type": "Door",
            "eventsource.correlation.id": str(event.correlation_id),
            "eventsource.causation.id": str(event.causation_id),
        }

    async def test_several_events(
        self, bus: InMemoryEventBus, event: Opened, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """A batch is counted, and has no message of its own."""
        await bus.publish([event, event, Closed(aggregate_id=door)])

        assert dict(eventsource_spans.one(PUBLISH).attributes or {}) == {
            "messaging.system": "memory",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.batch.message_count": 3,
            "eventsource.event.count": 3,
            "eventsource.event.types": ("eventsource.testing.Opened", "eventsource.testing.Closed"),
        }

    async def test_publishing_nothing_has_none(self, bus: InMemoryEventBus, eventsource_spans: RecordedSpans) -> None:
        """Nothing was done."""
        await bus.publish([])

        assert eventsource_spans.names == []

    async def test_in_the_background_what_follows_belongs_to_it(
        self, bus: InMemoryEventBus, event: Opened, eventsource_spans: RecordedSpans
    ) -> None:
        """The publish span ends at once, and the handlers are its descendants all the same."""
        gate = Gate()
        bus.subscribe(Opened, gate)

        await bus.publish([event], background=True)
        await gate.entered.wait()
        ended_before_the_handler = eventsource_spans.names
        gate.open.set()
        await bus.shutdown()

        assert ended_before_the_handler == [PUBLISH]
        assert eventsource_spans.chain(eventsource_spans.one(HANDLE)) == [PUBLISH, DISPATCH, HANDLE]


class TestDispatch:
    async def test_an_event_with_handlers(
        self, bus: InMemoryEventBus, event: Opened, eventsource_spans: RecordedSpans
    ) -> None:
        """The span tells which event, and how many handlers it has."""
        bus.subscribe(Opened, Recorder())
        bus.subscribe_to_all_events(Recorder())

        await bus.publish([event])

        span = eventsource_spans.one(DISPATCH)
        assert span.kind is SpanKind.INTERNAL
        assert dict(span.attributes or {}) == of_event(event) | {"eventsource.handler.count": 2}

    async def test_an_event_without_handlers_has_none(
        self, bus: InMemoryEventBus, event: Opened, eventsource_spans: RecordedSpans
    ) -> None:
        """Nobody was given it."""
        await bus.publish([event])

        assert eventsource_spans.names == [PUBLISH]

    async def test_each_event_of_a_batch_has_one(
        self, bus: InMemoryEventBus, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """In the order of the events."""
        bus.subscribe(Opened, Recorder())
        events = opened(door, 2)

        await bus.publish(events)

        dispatched = [(span.attributes or {})["eventsource.event.id"] for span in eventsource_spans.named(DISPATCH)]
        assert dispatched == [str(event.event_id) for event in events]


class TestHandle:
    async def test_each_handler_has_one(
        self, bus: InMemoryEventBus, event: Opened, eventsource_spans: RecordedSpans
    ) -> None:
        """The span tells which event and which handler, by class and method."""
        bus.subscribe(Opened, Recorder())
        bus.subscribe(Opened, Recorder().record)

        await bus.publish([event])

        first, second = eventsource_spans.named(HANDLE)
        assert (first.kind, second.kind) == (SpanKind.INTERNAL, SpanKind.INTERNAL)
        assert dict(first.attributes or {}) == of_event(event) | {"eventsource.handler.name": "Recorder.handle"}
        assert dict(second.attributes or {}) == of_event(event) | {"eventsource.handler.name": "Recorder.record"}

    async def test_what_a_handler_publishes_belongs_to_it(
        self, bus: InMemoryEventBus, event: Opened, eventsource_spans: RecordedSpans
    ) -> None:
        """A chain of events is a chain of spans."""

        async def close(event: DomainEvent) -> None:
            await bus.publish([Closed(aggregate_id=uuid4())])

        bus.subscribe(Opened, close)

        await bus.publish([event])

        inner, outer = eventsource_spans.named(PUBLISH)
        assert eventsource_spans.chain(inner) == [PUBLISH, DISPATCH, HANDLE, PUBLISH]
        assert outer.parent is None
