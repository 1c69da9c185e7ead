"""Tutorial 20: a help desk whose work shows in traces, metrics and log lines."""

import asyncio
import logging
import sys
from uuid import UUID, uuid4

from pydantic import BaseModel

from eventsource import (
    AggregateRepository,
    DeclarativeAggregate,
    DeclarativeProjection,
    DomainEvent,
    InMemoryEventBus,
    InMemoryEventStore,
    handles,
    register_event,
)
from eventsource.observability import ATTR_AGGREGATE_ID, OTEL_AVAILABLE, TracingMixin, traced

logger = logging.getLogger("help_desk")


@register_event
class TicketOpened(DomainEvent):
    aggregate_type: str = "Ticket"
    subject: str


@register_event
class TicketClosed(DomainEvent):
    aggregate_type: str = "Ticket"
    answer: str


class TicketState(BaseModel):
    subject: str = ""
    answer: str | None = None


class Ticket(DeclarativeAggregate[TicketState]):
    aggregate_type = "Ticket"

    def _get_initial_state(self) -> TicketState:
        return TicketState()

    def open(self, subject: str) -> None:
        version = self.get_next_version()
        self.apply_event(TicketOpened(aggregate_id=self.aggregate_id, aggregate_version=version, subject=subject))

    def close(self, answer: str) -> None:
        version = self.get_next_version()
        self.apply_event(TicketClosed(aggregate_id=self.aggregate_id, aggregate_version=version, answer=answer))

    @handles(TicketOpened)
    def _on_opened(self, event: TicketOpened) -> None:
        self._state = TicketState(subject=event.subject)

    @handles(TicketClosed)
    def _on_closed(self, event: TicketClosed) -> None:
        self._state = TicketState(subject=self.state.subject, answer=event.answer)


class WaitingTickets(DeclarativeProjection):
    """The tickets that nobody has answered."""

    def __init__(self) -> None:
        super().__init__(enable_tracing=True)  # projections have no spans by default
        self.subjects: dict[UUID, str] = {}

    @handles(TicketOpened)
    async def _on_opened(self, event: TicketOpened) -> None:
        self.subjects[event.aggregate_id] = event.subject

    @handles(TicketClosed)
    async def _on_closed(self, event: TicketClosed) -> None:
        del self.subjects[event.aggregate_id]


class Post(TracingMixin):
    """Letters to customers; every call has the same span."""

    def __init__(self) -> None:
        self._init_tracing(__name__)

    @traced("post.send", attributes={"channel": "letter"})
    async def send(self, text: str) -> None:
        logger.info("Sent: %s", text)


class HelpDesk(TracingMixin):
    """What customers and agents do; each span says which ticket it is about."""

    def __init__(self, tickets: AggregateRepository[Ticket], post: Post) -> None:
        self._init_tracing(__name__)
        self._tickets = tickets
        self._post = post

    async def open(self, subject: str) -> UUID:
        with self._create_span_context("help_desk.open", {"ticket.subject.length": len(subject)}) as span:
            ticket = self._tickets.create_new(uuid4())
            if span:  # None while nobody instruments
                span.set_attribute(ATTR_AGGREGATE_ID, str(ticket.aggregate_id))
            ticket.open(subject)
            await self._tickets.save(ticket)
            return ticket.aggregate_id

    async def close(self, ticket_id: UUID, answer: str) -> None:
        with self._create_span_context("help_desk.close", {ATTR_AGGREGATE_ID: ticket_id}):
            await self._tickets.execute(ticket_id, lambda ticket: ticket.close(answer))
            await self._post.send(answer)


async def work() -> None:
    """Answer one of two tickets."""
    store, bus, waiting = InMemoryEventStore(), InMemoryEventBus(), WaitingTickets()
    bus.subscribe_all(waiting)
    desk = HelpDesk(AggregateRepository(store, Ticket, "Ticket", event_publisher=bus), Post())

    fire = await desk.open("The printer is on fire")
    await desk.open("The coffee is cold")
    await desk.close(fire, "Please leave the building")

    print("Waiting:", *waiting.subjects.values())
    async for stored in store.read_all():
        print(f"{stored.event_type} was stored with traceparent {stored.headers.get('traceparent')}")


def log_to_console() -> logging.Handler:
    """Write log lines, with the trace where there is one."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s [trace %(trace_id)s]", defaults={"trace_id": "unknown"}))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return handler


def switch_telemetry_on(handler: logging.Handler):
    """Write traces to the console and their ids on log lines; return what the metrics will have counted."""
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    from eventsource_instrumentation import EventsourceInstrumentor
    from eventsource_instrumentation.console import TraceTreeExporter
    from eventsource_instrumentation.logging import TraceContextFilter
    from eventsource_instrumentation.recording import RecordedMetrics

    handler.addFilter(TraceContextFilter())
    if EventsourceInstrumentor().is_instrumented_by_opentelemetry:  # the command line has done the rest
        return None
    provider, recorded = TracerProvider(resource=Resource.create({SERVICE_NAME: "help-desk"})), RecordedMetrics()
    provider.add_span_processor(SimpleSpanProcessor(TraceTreeExporter()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(recorded.provider)
    EventsourceInstrumentor().instrument()
    return recorded


def main() -> None:
    handler, recorded = log_to_console(), None
    if OTEL_AVAILABLE:
        recorded = switch_telemetry_on(handler)
    else:
        print('No telemetry; to have it: pip install "eventsource-py[telemetry]"')
    asyncio.run(work())
    if recorded:
        print(f"Events appended: {recorded.total('eventsource.event_store.events.appended'):g}")
        print(f"Aggregates saved: {recorded.count('eventsource.repository.save.duration')}")


if __name__ == "__main__":
    main()
