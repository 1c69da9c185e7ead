"""Beside the instrumentors of the brokers' drivers, which others have written."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from uuid import UUID

import aio_pika
import aiokafka
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from eventsource import DomainEvent
from eventsource.bus.interface import EventBus
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import Opened, opened
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.recording import RecordedSpans, Recording
from services.brokers import Broker

PUBLISH = "eventsource.event_bus.publish"
CONSUME = "eventsource.event_bus.consume"

PATCHED = [
    (aio_pika.Exchange, "publish"),
    (aio_pika.Queue, "consume"),
    (aiokafka.AIOKafkaProducer, "send"),
    (aiokafka.AIOKafkaConsumer, "getone"),
    (aiokafka.AIOKafkaConsumer, "getmany"),
    (EventBus, "_perform"),
]
COMBINATIONS = [(False, False), (False, True), (True, False), (True, True)]
BOTH = pytest.mark.parametrize(("ours", "theirs"), COMBINATIONS, ids=["neither", "theirs", "ours", "both"])
WITH_OURS = pytest.mark.parametrize("theirs", [False, True], ids=["ours", "both"])
TOGETHER = pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])

Exchange = Callable[..., Awaitable[None]]
TheirInstrumentor = Callable[[str], AbstractContextManager[None]]


def fail(event: DomainEvent) -> None:
    raise ValueError("jammed")


@pytest.fixture
def exchange(broker: Broker, door: UUID, recording: Recording, their_instrumentor: TheirInstrumentor) -> Exchange:
    """Publishes three events and handles them, with the instrumentors that are asked for."""

    async def run(
        *, ours: bool, theirs: bool, together: bool = False, log: pytest.LogCaptureFixture | None = None
    ) -> None:
        with ExitStack() as stack:
            if theirs:
                stack.enter_context(their_instrumentor(broker.system))
            if ours:
                stack.enter_context(instrumented(tracer_provider=recording.spans.provider))
            bus = await broker.consuming()
            bus.subscribe(Opened, Recorder())
            if log is not None:
                stack.enter_context(log.at_level(logging.DEBUG))
                log.clear()
            events = opened(door, 3)
            for publication in [events] if together else [[event] for event in events]:
                await bus.publish(publication)
            await broker.settled(bus, 3)

    return run


def traceparent(span: ReadableSpan) -> str:
    """Return the context of *span* as W3C Trace Context writes it."""
    ids = span.context
    return f"00-{trace.format_trace_id(ids.trace_id)}-{trace.format_span_id(ids.span_id)}-{ids.trace_flags:02x}"


async def traceparents(broker: Broker) -> list[list[str]]:
    """Return the contexts in each of the three messages."""
    messages = await broker.headers(3)
    return [[value for name, value in headers if name == "traceparent"] for headers in messages]


def of_driver(spans: RecordedSpans, kind: SpanKind) -> list[ReadableSpan]:
    """Return the spans of a *kind* that the driver's instrumentor has made, those of whole polls apart."""
    found = [span for span in spans.finished if not span.name.startswith("eventsource.") and span.kind is kind]
    return [span for span in found if "messaging.batch.message_count" not in (span.attributes or {})]


@TOGETHER
@BOTH
async def test_each_message_has_one_context_at_most(
    ours: bool, theirs: bool, together: bool, broker: Broker, exchange: Exchange, recording: Recording
) -> None:
    """Ours, if we are on; else that of the driver's instrumentor, if that is on."""
    await exchange(ours=ours, theirs=theirs, together=together)

    publications = recording.spans.named(PUBLISH) if ours else of_driver(recording.spans, SpanKind.PRODUCER)
    publications = publications * 3 if ours and together else publications
    expected = [[traceparent(span)] for span in publications] if ours or theirs else [[], [], []]
    assert await traceparents(broker) == expected


@TOGETHER
@WITH_OURS
async def test_our_consumer_is_a_child_of_our_publication(
    theirs: bool, together: bool, exchange: Exchange, recording: Recording
) -> None:
    """Whoever else is on."""
    await exchange(ours=True, theirs=theirs, together=together)

    publications = recording.spans.named(PUBLISH)
    parents = [recording.spans.parent_of(span) for span in recording.spans.named(CONSUME)]
    assert parents == (publications * 3 if together else publications)


@TOGETHER
async def test_the_drivers_spans_are_in_the_trace_of_the_publication(
    together: bool, exchange: Exchange, recording: Recording
) -> None:
    """What it sends is a child of our publication, and so is what it receives, if it tells of that."""
    await exchange(ours=True, theirs=True, together=together)

    publications = recording.spans.named(PUBLISH)
    sent, received = (
        [recording.spans.parent_of(span) for span in of_driver(recording.spans, kind)]
        for kind in (SpanKind.PRODUCER, SpanKind.CONSUMER)
    )
    assert sent == (publications * 3 if together else publications)
    assert received in (sent, [])


async def test_a_replayed_message_is_linked_to_our_publication(
    broker: Broker, door: UUID, recording: Recording, their_instrumentor: TheirInstrumentor
) -> None:
    """Whatever sent the dead letter, and sent it again."""
    provider = {"tracer_provider": recording.spans.provider}
    with their_instrumentor(broker.system), instrumented(**provider):
        bus = await broker.consuming(max_retries=0)
        bus.subscribe(Opened, fail)
        await bus.publish(opened(door, 1))
        await broker.settled(bus, 1)
        bus.unsubscribe(Opened, fail)
        await broker.replay(bus)
        await broker.settled(bus, 2)

    _, replayed = recording.spans.named(CONSUME)
    published = recording.spans.one(PUBLISH).context.span_id
    assert (replayed.parent, [link.context.span_id for link in replayed.links]) == (None, [published])


@BOTH
async def test_nothing_is_logged_for_a_message(
    ours: bool, theirs: bool, exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither by us, nor by them, but for what older versions of theirs tell to those who debug."""
    await exchange(ours=ours, theirs=theirs, log=caplog)

    by_us = [record for record in caplog.records if record.name.startswith("eventsource")]
    by_them = [record for record in caplog.records if record.name.startswith("opentelemetry")]
    said = by_us + [record for record in by_them if record.levelno > logging.DEBUG]
    assert [record.getMessage() for record in said] == []


@BOTH
async def test_afterwards_everything_is_as_before(ours: bool, theirs: bool, exchange: Exchange) -> None:
    """The same objects, not only equal ones."""
    before = [vars(owner).get(name) for owner, name in PATCHED]

    await exchange(ours=ours, theirs=theirs)

    assert all(vars(owner).get(name) is own for (owner, name), own in zip(PATCHED, before, strict=True))
