"""One trace from whoever publishes to whoever handles, through a real broker."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from eventsource import DomainEvent, current_headers
from eventsource.testing.event_bus_subject import Gate, Recorder
from eventsource.testing.events import Closed, Opened, opened
from eventsource_instrumentation.recording import RecordedSpans
from services.brokers import Broker

PUBLISH = "eventsource.event_bus.publish"
CONSUME = "eventsource.event_bus.consume"
DISPATCH = "eventsource.event_bus.dispatch"
HANDLE = "eventsource.event_bus.handle"

Publish = Callable[[Any, list[Any]], Awaitable[Any]]
PUBLISHING: dict[str, Publish] = {
    "one by one": lambda bus, events: _one_by_one(bus, events),
    "together": lambda bus, events: bus.publish(events),
    "in the background": lambda bus, events: bus.publish(events, background=True),
}


async def _one_by_one(bus: Any, events: list[Any]) -> None:
    for event in events:
        await bus.publish([event])


def traceparent(span: ReadableSpan) -> str:
    """Return the context of *span* as W3C Trace Context writes it."""
    ids = span.context
    return f"00-{trace.format_trace_id(ids.trace_id)}-{trace.format_span_id(ids.span_id)}-{ids.trace_flags:02x}"


def traceparents(messages: list[list[tuple[str, str]]]) -> list[list[str]]:
    """Return the contexts in each message."""
    return [[value for name, value in headers if name.lower() == "traceparent"] for headers in messages]


def fail(event: DomainEvent) -> None:
    raise ValueError("jammed")


class TestOneTrace:
    async def test_it_runs_from_the_request_to_the_handler(
        self, broker: Broker, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """And on to what the handler publishes."""
        bus, recorder = await broker.consuming(), Recorder()
        (event,), closed = opened(door, 1), Closed(aggregate_id=door)
        bus.subscribe(Opened, lambda event: bus.publish([closed]))
        bus.subscribe(Closed, recorder)

        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            await bus.publish([event])
        await broker.settled(bus, 2)

        _, second = eventsource_spans.named(CONSUME)
        once = [PUBLISH, CONSUME, DISPATCH, HANDLE]
        assert eventsource_spans.chain(second) == ["request", *once, PUBLISH, CONSUME]
        assert recorder.events == [closed]

    async def test_the_consumer_tells_where_the_message_was(
        self, broker: Broker, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """In the terms of the broker."""
        bus = await broker.consuming(consumer_group="guests")
        (event,) = opened(door, 1)

        await bus.publish([event])
        await broker.settled(bus, 1)

        told = dict(eventsource_spans.one(CONSUME).attributes or {})
        by_system = {
            "kafka": {
                "messaging.destination.name": f"{broker.name}.stream",
                "messaging.kafka.message.key": str(door),
                "messaging.kafka.offset": 0,
                "messaging.destination.partition.id": "0",
            },
            "rabbitmq": {
                "messaging.destination.name": f"{broker.name}.guests",
                "messaging.rabbitmq.destination.routing_key": "Door.eventsource.testing.Opened",
            },
        }
        expected = by_system[broker.system] | {
            "messaging.system": broker.system,
            "messaging.consumer.group.name": "guests",
            "messaging.message.id": str(event.event_id),
            "eventsource.event.id": str(event.event_id),
            "eventsource.event.type": "eventsource.testing.Opened",
            "eventsource.aggregate.id": str(door),
            "eventsource.aggregate.type": "Door",
            "eventsource.correlation.id": str(event.correlation_id),
        }
        assert expected.items() <= told.items()
        assert "127.0.0.1" in str(told["server.address"])

    async def test_nothing_leaks_into_the_next_message(
        self, broker: Broker, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Each is handled in the trace of its own publication."""
        bus, seen = await broker.consuming(), []
        bus.subscribe(Opened, lambda event: seen.append(current_headers().get("traceparent")))

        await _one_by_one(bus, opened(door, 5))
        await broker.settled(bus, 5)

        publications = eventsource_spans.named(PUBLISH)
        assert [eventsource_spans.parent_of(each) for each in eventsource_spans.named(CONSUME)] == publications
        assert seen == [traceparent(each) for each in publications]

    async def test_what_begins_the_consumer_is_no_part_of_it(
        self, broker: Broker, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Neither is what connects the publisher."""
        with eventsource_spans.provider.get_tracer("here").start_as_current_span("start"):
            bus = await broker.consuming()

        await bus.publish(opened(door, 1))
        await broker.settled(bus, 1)

        assert eventsource_spans.chain(eventsource_spans.one(CONSUME)) == [PUBLISH, CONSUME]


class TestOnTheWire:
    @pytest.mark.parametrize("how", PUBLISHING)
    async def test_each_message_has_one_context(
        self, how: str, broker: Broker, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """That of the publication, beside the caller's own headers."""
        async with broker.bus() as bus:
            await PUBLISHING[how](bus, opened(door, 3))

        spans = eventsource_spans.named(PUBLISH)
        expected = spans if how == "one by one" else spans * 3
        assert traceparents(await broker.headers(3)) == [[traceparent(span)] for span in expected]

    @pytest.mark.parametrize("preserve_order", [False, True])
    @pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)
    async def test_a_batch_of_its_own_kind_has_one_too(
        self, preserve_order: bool, broker: Any, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Only RabbitMQ has it."""
        async with broker.bus() as bus:
            await bus.publish_batch(opened(door, 3), preserve_order)

        span = eventsource_spans.one(PUBLISH)
        assert traceparents(await broker.headers(3)) == [[traceparent(span)]] * 3

    async def test_context_of_the_callers_is_replaced(
        self, broker: Broker, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """It is the parent, and its other headers travel."""
        before = {"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "request-id": "r-1"}

        async with broker.bus() as bus:
            await bus.publish(opened(door, 1), headers=before)

        (headers,) = await broker.headers(1)
        span = eventsource_spans.one(PUBLISH)
        assert span.parent is not None
        assert trace.format_span_id(span.parent.span_id) == "b7ad6b7169203331"
        assert traceparents([headers]) == [[traceparent(span)]]
        assert ("request-id", "r-1") in headers


class TestAgain:
    async def test_an_attempt_in_place_is_a_child(
        self, broker: Broker, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """It says which one it is."""
        bus = await broker.consuming(max_retries=2)
        bus.subscribe(Opened, fail)

        await bus.publish(opened(door, 1))
        await broker.settled(bus, 1)

        attempts = eventsource_spans.named(CONSUME)
        assert [(each.attributes or {})["eventsource.retry.count"] for each in attempts] == [0, 1, 2]
        assert {eventsource_spans.parent_of(each) for each in attempts} == {eventsource_spans.one(PUBLISH)}

    async def test_a_replayed_message_has_a_link(
        self, broker: Broker, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """It was a dead letter in between, for whatever time."""
        bus = await broker.consuming(max_retries=0)
        bus.subscribe(Opened, fail)
        await bus.publish(opened(door, 1))
        await broker.settled(bus, 1)

        bus.unsubscribe(Opened, fail)
        await broker.replay(bus)
        await broker.settled(bus, 2)

        first, replayed = eventsource_spans.named(CONSUME)
        publish = eventsource_spans.one(PUBLISH)
        assert eventsource_spans.parent_of(first) == publish
        assert replayed.parent is None
        assert [link.context.span_id for link in replayed.links] == [publish.context.span_id]

    async def test_a_message_that_comes_back_from_the_broker(
        self, broker: Broker, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """RabbitMQ says so, and it has a link; to Kafka's consumer it looks fresh."""
        gate = Gate()
        frozen = await broker.consuming(consumer_group="guests")
        frozen.subscribe(Opened, gate)
        await frozen.publish(opened(door, 1))
        await asyncio.wait_for(gate.entered.wait(), 30)
        await frozen.shutdown(timeout=0.01)

        bus = await broker.consuming(consumer_group="guests")
        await broker.settled(bus, 1)

        first, second = eventsource_spans.named(CONSUME)
        publish = eventsource_spans.one(PUBLISH)
        assert (first.attributes or {})["error.type"] == "CancelledError"
        assert eventsource_spans.parent_of(first) == publish
        linked = [link.context.span_id for link in second.links]
        if broker.system == "rabbitmq":
            assert (second.parent, linked) == (None, [publish.context.span_id])
        else:
            assert (eventsource_spans.parent_of(second), linked) == (publish, [])


class TestOff:
    async def test_nothing_is_sent_and_nothing_is_said(
        self, broker: Broker, door: UUID, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Neither context nor a line in a log for any message."""
        bus = await broker.consuming()
        bus.subscribe(Opened, Recorder())

        caplog.clear()
        with caplog.at_level(logging.DEBUG, "eventsource"):
            await bus.publish(opened(door, 10))
            await broker.settled(bus, 10)
            said = [record.getMessage() for record in caplog.records if record.name.startswith("eventsource")]

        assert said == []
        assert traceparents(await broker.headers(10)) == [[]] * 10

    async def test_a_bus_without_spans_sends_the_context_of_the_caller(
        self, broker: Broker, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """The trace goes on at the other end."""
        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request") as request:
            async with broker.bus(enable_tracing=False) as bus:
                await bus.publish(opened(door, 1))

        assert traceparents(await broker.headers(1)) == [[traceparent(request)]]  # type: ignore[arg-type]
        assert eventsource_spans.names == ["request"]
