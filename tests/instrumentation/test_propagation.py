"""How trace context travels in headers: those stored beside events, and those of messages."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as otel_context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracerProvider

from eventsource import (
    AggregateRepository,
    DomainEvent,
    EventStore,
    InMemoryEventBus,
    InMemoryEventStore,
    SQLiteEventStore,
    current_headers,
)
from eventsource.testing.events import DOOR, Opened, opened
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.recording import RecordedSpans, Recording

APPEND = "eventsource.event_store.append_events"
PUBLISH = "eventsource.event_bus.publish"
FOREIGN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = FOREIGN[:-2] + "00"


def traceparent(span: ReadableSpan) -> str:
    """Return the context of *span* as W3C Trace Context writes it."""
    ids = span.context
    return f"00-{trace.format_trace_id(ids.trace_id)}-{trace.format_span_id(ids.span_id)}-{ids.trace_flags:02x}"


async def stored_headers(store: EventStore) -> list[Mapping[str, str]]:
    """Return the headers beside each event, in the order of the log."""
    return [stored.headers for stored in await store.read_page()]


@contextmanager
def users_baggage() -> Iterator[None]:
    """Have baggage in the ambient context."""
    token = otel_context.attach(baggage.set_baggage("user", "ann"))
    yield
    otel_context.detach(token)


def is_sampled(header: str) -> bool:
    """Tell what the flag in a ``traceparent`` says."""
    return bool(int(header[-2:], 16) & trace.TraceFlags.SAMPLED)


@pytest.fixture
def received() -> list[Mapping[str, str]]:
    """The headers of the messages that were handled."""
    return []


@pytest.fixture
def bus(received: list[Mapping[str, str]]) -> InMemoryEventBus:
    """A bus with a handler that notes the headers."""
    bus = InMemoryEventBus()
    bus.subscribe(Opened, lambda event: received.append(dict(current_headers())))
    return bus


class TestStoredHeaders:
    async def test_each_event_has_the_context_of_its_append(
        self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Whoever reads the event later can find the trace that it came from."""
        await store.append_events(door, DOOR, opened(door, 2), 0)

        expected = {"traceparent": traceparent(eventsource_spans.one(APPEND))}
        assert await stored_headers(store) == [expected, expected]

    async def test_they_outlive_the_process(self, tmp_path: Any, door: UUID, eventsource_spans: RecordedSpans) -> None:
        """A file has them too."""
        async with SQLiteEventStore(tmp_path / "doors.db") as store:
            await store.append_events(door, DOOR, opened(door, 1), 0)
        async with SQLiteEventStore(tmp_path / "doors.db") as store:
            (headers,) = await stored_headers(store)

        assert headers == {"traceparent": traceparent(eventsource_spans.one(APPEND))}

    async def test_the_event_is_what_was_written(
        self, tmp_path: Any, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Context is beside the event, never inside it."""
        (event,) = opened(door, 1, metadata={"a": 1})

        async with SQLiteEventStore(tmp_path / "doors.db") as store:
            await store.append_events(door, DOOR, [event], 0)
            assert (await store.get_events(door, DOOR)).events == [event]

    async def test_baggage_never_enters_the_log(
        self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """It may hold what must not be kept: neither the ambient one nor one in the caller's headers goes in."""
        with users_baggage():
            await store.append_events(door, DOOR, opened(door, 1), 0, headers={"baggage": "card=4929"})

        assert await stored_headers(store) == [{"traceparent": traceparent(eventsource_spans.one(APPEND))}]

    async def test_trace_state_is_kept(
        self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """It belongs to the trace context."""
        headers = {"traceparent": FOREIGN, "tracestate": "vendor=1"}

        await store.append_events(door, DOOR, opened(door, 1), 0, headers=headers)

        span = eventsource_spans.one(APPEND)
        assert await stored_headers(store) == [{"traceparent": traceparent(span), "tracestate": "vendor=1"}]

    async def test_appends_through_a_repository_have_the_append_spans(
        self, doors: AggregateRepository[Any], new_door: Callable[[int], Any], eventsource_spans: RecordedSpans
    ) -> None:
        """Not that of the save around it."""
        await doors.save(new_door(1), headers={"request": "7"})

        expected = {"request": "7", "traceparent": traceparent(eventsource_spans.one(APPEND))}
        assert await stored_headers(doors.event_store) == [expected]


class TestCallersHeaders:
    async def test_they_are_kept_and_never_changed(
        self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """The mapping is the caller's, who may use it again or have made it read-only."""
        mine = {"request": "7", "Traceparent": FOREIGN, "TRACESTATE": "vendor=1", "Baggage": "user=ann"}
        before = dict(mine)

        await store.append_events(door, DOOR, opened(door, 1), 0, headers=MappingProxyType(mine))

        assert mine == before
        (headers,) = await stored_headers(store)
        assert headers["request"] == "7"

    @pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TRACEPARENT"])
    async def test_names_of_trace_context_are_replaced(
        self, name: str, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """However they are written, there is one context in the end."""
        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            await store.append_events(door, DOOR, opened(door, 1), 0, headers={name: FOREIGN, "TraceState": "vendor=1"})

        assert await stored_headers(store) == [{"traceparent": traceparent(eventsource_spans.one(APPEND))}]

    @pytest.mark.parametrize("name", ["traceparent", "Traceparent"])
    async def test_they_are_the_parent_where_nothing_is_current(
        self, name: str, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """A consumer that passes the headers of its message on continues that trace, however they are written."""
        await store.append_events(door, DOOR, opened(door, 1), 0, headers={name: FOREIGN})

        span = eventsource_spans.one(APPEND)
        assert span.parent is not None
        assert span.parent.is_remote
        assert (span.context.trace_id, span.parent.span_id) == (0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)

    async def test_what_is_current_goes_before_them(
        self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """The caller's own trace is not torn."""
        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            await store.append_events(door, DOOR, opened(door, 1), 0, headers={"traceparent": FOREIGN})

        assert eventsource_spans.chain(eventsource_spans.one(APPEND)) == ["request", APPEND]

    async def test_a_save_takes_its_parent_from_them_and_hands_them_onward(
        self, doors: AggregateRepository[Any], new_door: Callable[[int], Any], eventsource_spans: RecordedSpans
    ) -> None:
        """Save and append are one trace with the foreign one, parents in their order."""
        await doors.save(new_door(1), headers={"traceparent": FOREIGN})

        save, append = eventsource_spans.one("eventsource.repository.save"), eventsource_spans.one(APPEND)
        assert save.parent is not None
        assert save.parent.span_id == 0xB7AD6B7169203331
        assert eventsource_spans.parent_of(append) is save

    @pytest.mark.usefixtures("eventsource_spans")
    async def test_a_publisher_that_knows_no_headers_is_given_none(
        self,
        store: InMemoryEventStore,
        doors_in: Callable[..., AggregateRepository[Any]],
        new_door: Callable[[int], Any],
    ) -> None:
        """Publishers of the users' own work with telemetry as without."""

        class Outbox:
            def __init__(self) -> None:
                self.events: list[DomainEvent] = []

            async def publish(self, events: list[DomainEvent]) -> None:
                self.events += events

        outbox = Outbox()

        await doors_in(store, event_publisher=outbox).save(new_door(2))

        assert len(outbox.events) == 2

    async def test_nonsense_in_them_is_no_parent(
        self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """It is replaced, and nothing raises."""
        headers = {"traceparent": "00-0-0-00", "tracestate": "===", "baggage": "%%%;;"}

        await store.append_events(door, DOOR, opened(door, 1), 0, headers=headers)

        span = eventsource_spans.one(APPEND)
        assert span.parent is None
        assert await stored_headers(store) == [{"traceparent": traceparent(span)}]

    async def test_a_component_without_spans_takes_them_for_what_is_below(
        self, door: UUID, received: list[Mapping[str, str]], eventsource_spans: RecordedSpans
    ) -> None:
        """The context travels through, and is not changed on the way."""
        bus = InMemoryEventBus(enable_tracing=False)
        bus.subscribe(Opened, lambda event: received.append(dict(current_headers())))

        await bus.publish(opened(door, 1), headers={"traceparent": FOREIGN})

        assert received == [{"traceparent": FOREIGN}]


class TestMessages:
    async def test_handlers_see_the_context_of_the_publish_span(
        self,
        bus: InMemoryEventBus,
        door: UUID,
        received: list[Mapping[str, str]],
        eventsource_spans: RecordedSpans,
    ) -> None:
        """Not the ambient one: the message comes from the publishing."""
        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            await bus.publish(opened(door, 2), headers={"request": "7"})

        expected = {"request": "7", "traceparent": traceparent(eventsource_spans.one(PUBLISH))}
        assert received == [expected, expected]

    @pytest.mark.usefixtures("eventsource_spans")
    async def test_baggage_travels_with_messages(
        self, bus: InMemoryEventBus, door: UUID, received: list[Mapping[str, str]]
    ) -> None:
        """That is what it is for, whatever else the caller sends along."""
        with users_baggage():
            await bus.publish(opened(door, 1))
            await bus.publish(opened(door, 1), headers={"request": "7"})

        assert [headers["baggage"] for headers in received] == ["user=ann", "user=ann"]

    @pytest.mark.usefixtures("eventsource_spans")
    async def test_baggage_of_the_caller_travels_on(
        self, bus: InMemoryEventBus, door: UUID, received: list[Mapping[str, str]]
    ) -> None:
        """A consumer that passes the headers of its message on passes the baggage on, once."""
        await bus.publish(opened(door, 1), headers={"traceparent": FOREIGN, "Baggage": "user=bob"})

        (headers,) = received
        assert {name: value for name, value in headers.items() if name != "traceparent"} == {"baggage": "user=bob"}

    @pytest.mark.usefixtures("eventsource_spans")
    async def test_handlers_find_the_baggage_in_the_context(self, door: UUID) -> None:
        """Within the process it needs no headers."""
        bus, seen = InMemoryEventBus(), []

        def note(event: DomainEvent) -> None:
            seen.append(baggage.get_baggage("user"))

        bus.subscribe(Opened, note)

        with users_baggage():
            await bus.publish(opened(door, 1))

        assert seen == ["ann"]

    async def test_the_headers_of_a_message_are_current_for_its_handlers_only(
        self, bus: InMemoryEventBus, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Afterwards there is no message in hand."""
        await bus.publish(opened(door, 1))

        assert dict(current_headers()) == {}


class TestUnsampled:
    async def test_the_flag_is_stored_as_it_is(self, store: InMemoryEventStore, door: UUID) -> None:
        """Who reads the event later must not begin to record a trace that was not to be recorded."""
        with instrumented(tracer_provider=TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)):
            await store.append_events(door, DOOR, opened(door, 1), 0)

        (headers,) = await stored_headers(store)
        assert not is_sampled(headers["traceparent"])

    async def test_the_flag_of_a_parent_is_kept(
        self, bus: InMemoryEventBus, door: UUID, received: list[Mapping[str, str]]
    ) -> None:
        """The default sampler follows the parent, and the message says so."""
        with instrumented(tracer_provider=TracerProvider(shutdown_on_exit=False)):
            await bus.publish(opened(door, 1), headers={"traceparent": UNSAMPLED})

        (headers,) = received
        assert headers["traceparent"].startswith(UNSAMPLED[:36])
        assert not is_sampled(headers["traceparent"])


class TestWithoutAnSdk:
    """The API alone makes spans that are no more than their parents."""

    async def test_no_context_is_no_header(
        self, store: InMemoryEventStore, bus: InMemoryEventBus, door: UUID, received: list[Mapping[str, str]]
    ) -> None:
        """An id that nobody gave is not made up."""
        with instrumented(tracer_provider=NoOpTracerProvider()):
            await store.append_events(door, DOOR, opened(door, 1), 0, headers={"request": "7"})
            await bus.publish(opened(door, 1))

        assert await stored_headers(store) == [{"request": "7"}]
        assert received == [{}]

    async def test_baggage_never_enters_the_log_either(self, store: InMemoryEventStore, door: UUID) -> None:
        """There is no context to put in its place."""
        with instrumented(tracer_provider=NoOpTracerProvider()):
            await store.append_events(door, DOOR, opened(door, 1), 0, headers={"request": "7", "Baggage": "card=4929"})

        assert await stored_headers(store) == [{"request": "7"}]

    async def test_a_context_that_came_in_travels_on(
        self, store: InMemoryEventStore, bus: InMemoryEventBus, door: UUID, received: list[Mapping[str, str]]
    ) -> None:
        """A service that records nothing itself does not break the trace of others."""
        headers = {"traceparent": UNSAMPLED, "tracestate": "vendor=1"}

        with instrumented(tracer_provider=NoOpTracerProvider()):
            await store.append_events(door, DOOR, opened(door, 1), 0, headers=headers)
            await bus.publish(opened(door, 1), headers=headers)

        assert await stored_headers(store) == [headers]
        assert received == [headers]


class OneHeader(TextMapPropagator):
    """A propagator with a format of its own."""

    def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> otel_context.Context:
        return context or otel_context.Context()

    def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
        carrier["X-Trace"] = trace.format_trace_id(trace.get_current_span(context).get_span_context().trace_id)

    @property
    def fields(self) -> set[str]:
        return {"X-Trace"}


@pytest.fixture
def other_propagator() -> Iterator[None]:
    """A global propagator that knows nothing of W3C."""
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(OneHeader())
    yield
    propagate.set_global_textmap(before)


@pytest.mark.usefixtures("other_propagator")
class TestAnotherGlobalPropagator:
    async def test_messages_are_given_what_it_injects(
        self,
        bus: InMemoryEventBus,
        door: UUID,
        received: list[Mapping[str, str]],
        eventsource_spans: RecordedSpans,
    ) -> None:
        """And nothing else of a trace, whatever the caller had."""
        await bus.publish(opened(door, 1), headers={"x-trace": "old", "traceparent": FOREIGN})

        trace_id = trace.format_trace_id(eventsource_spans.one(PUBLISH).context.trace_id)
        assert received == [{"X-Trace": trace_id}]

    async def test_the_log_has_the_one_form_that_lasts(
        self, store: InMemoryEventStore, door: UUID, eventsource_telemetry: Recording
    ) -> None:
        """Events are read years later, when the configuration is another one."""
        await store.append_events(door, DOOR, opened(door, 1), 0)

        (headers,) = await stored_headers(store)
        assert set(headers) == {"traceparent"}
