"""The spans of projections."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from opentelemetry.trace import SpanKind

from eventsource import DomainEvent
from eventsource.testing.events import Closed, opened
from eventsource_instrumentation.recording import RecordedSpans

HANDLE = "eventsource.projection.handle"
HANDLER = "eventsource.projection.handler"


def of_event(event: DomainEvent) -> dict[str, str]:
    return {
        "eventsource.projection.name": "openings",
        "eventsource.event.type": event.event_type,
        "eventsource.event.id": str(event.event_id),
        "eventsource.correlation.id": str(event.correlation_id),
    }


async def test_handling_an_event(openings: Callable[..., Any], door: UUID, eventsource_spans: RecordedSpans) -> None:
    """The span tells which projection and event; that of the handler within also which method."""
    (event,) = opened(door, 1)

    await openings(name="openings", enable_tracing=True).handle(event)

    outer, inner = eventsource_spans.one(HANDLE), eventsource_spans.one(HANDLER)
    assert (outer.kind, inner.kind) == (SpanKind.INTERNAL, SpanKind.INTERNAL)
    assert dict(outer.attributes or {}) == of_event(event)
    assert dict(inner.attributes or {}) == of_event(event) | {"eventsource.handler.name": "Openings.on_opened"}
    assert eventsource_spans.chain(inner) == [HANDLE, HANDLER]


async def test_off_unless_asked_for(openings: Callable[..., Any], door: UUID, eventsource_spans: RecordedSpans) -> None:
    """A rebuild over a million events must not flood the backend."""
    projection = openings()

    await projection.handle(opened(door, 1)[0])

    assert projection.count == 1
    assert eventsource_spans.names == []


async def test_an_event_without_a_handler(
    openings: Callable[..., Any], door: UUID, eventsource_spans: RecordedSpans
) -> None:
    """The projection was given the event, and no handler."""
    await openings(name="openings", enable_tracing=True).handle(Closed(aggregate_id=door))

    assert eventsource_spans.names == [HANDLE]
