"""One trace runs from the request through the log to whoever consumes what was forwarded."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

from eventsource import (
    AggregateRepository,
    EventForwarder,
    InMemoryCheckpointRepository,
    InMemoryEventBus,
    InMemoryEventStore,
    SQLiteEventStore,
    current_headers,
)
from eventsource.testing.events import DOOR, Opened, opened, opened_at
from eventsource_instrumentation import EventsourceInstrumentor
from eventsource_instrumentation.config import PARENT_MAX_AGE
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.recording import RecordedSpans, Recording

Forward = Callable[..., Awaitable[None]]

SAVE = "eventsource.repository.save"
APPEND = "eventsource.event_store.append_events"
PUBLISH = "eventsource.event_bus.publish"
CATCH_UP = "eventsource.projection.catch_up"
THE_WAY = [PUBLISH, "eventsource.event_bus.dispatch", "eventsource.event_bus.handle"]


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


@pytest.fixture
def received() -> list[Mapping[str, str]]:
    """The headers of the messages that were consumed."""
    return []


@pytest.fixture
def bus(received: list[Mapping[str, str]]) -> InMemoryEventBus:
    """A bus with a consumer that notes the headers."""
    bus = InMemoryEventBus()
    bus.subscribe(Opened, lambda event: received.append(dict(current_headers())))
    return bus


@pytest.fixture
def forward(store: InMemoryEventStore, bus: InMemoryEventBus) -> Forward:
    """Forwards to the bus what a log holds."""

    async def run(log: Any = None, **options: Any) -> None:
        log = log or store
        async with EventForwarder(log, bus, InMemoryCheckpointRepository(), **options) as forwarder:
            await forwarder.wait_for(timeout=20)

    return run


class TestFreshEvents:
    async def test_the_consumer_is_in_the_trace_of_the_request(
        self,
        doors: AggregateRepository[Any],
        new_door: Callable[[int], Any],
        forward: Forward,
        eventsource_spans: RecordedSpans,
    ) -> None:
        """Request, save, append, publish, and down to the handler."""
        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            await doors.save(new_door(1))

        await forward()

        handler = eventsource_spans.one("eventsource.event_bus.handle")
        assert eventsource_spans.chain(handler) == ["request", SAVE, APPEND, *THE_WAY]
        request = eventsource_spans.one("request")
        assert handler.context.trace_id == request.context.trace_id
        parent = eventsource_spans.one(PUBLISH).parent
        assert parent is not None
        assert parent.is_remote

    async def test_the_log_may_have_been_closed_in_between(
        self, tmp_path: Any, door: UUID, forward: Forward, eventsource_spans: RecordedSpans
    ) -> None:
        """Whoever forwards may be another process."""
        async with SQLiteEventStore(tmp_path / "doors.db") as log:
            await log.append_events(door, DOOR, opened(door, 1), 0)
        async with SQLiteEventStore(tmp_path / "doors.db") as log:
            await forward(log)

        handler = eventsource_spans.one("eventsource.event_bus.handle")
        assert eventsource_spans.chain(handler) == [APPEND, *THE_WAY]

    async def test_where_the_forwarder_runs_does_not_matter(
        self,
        append: Callable[..., Awaitable[int]],
        forward: Forward,
        received: list[Mapping[str, str]],
        eventsource_spans: RecordedSpans,
    ) -> None:
        """Neither the span nor the baggage that is current there goes along."""
        await append(1)
        token = otel_context.attach(baggage.set_baggage("user", "ann"))

        with eventsource_spans.provider.get_tracer("here").start_as_current_span("main"):
            await forward()
        otel_context.detach(token)

        publish = eventsource_spans.one(PUBLISH)
        assert eventsource_spans.chain(publish) == [APPEND, PUBLISH]
        assert [set(headers) for headers in received] == [{"traceparent"}]

    async def test_the_page_is_no_part_of_the_trace(
        self, append: Callable[..., Awaitable[int]], forward: Forward, eventsource_spans: RecordedSpans
    ) -> None:
        """It has a link to it."""
        await append(1)

        await forward()

        page, appending = eventsource_spans.one(CATCH_UP), eventsource_spans.one(APPEND)
        assert page.parent is None
        assert [link.context.trace_id for link in page.links] == [appending.context.trace_id]
        assert page.context.trace_id != appending.context.trace_id

    async def test_each_append_continues_its_own(
        self, append: Callable[..., Awaitable[int]], forward: Forward, eventsource_spans: RecordedSpans
    ) -> None:
        """Also if they are forwarded with one page."""
        await append(2)
        await append(1)

        await forward()

        publications = eventsource_spans.named(PUBLISH)
        parents = [eventsource_spans.parent_of(each) for each in publications]
        assert parents == eventsource_spans.named(APPEND)
        assert [(each.attributes or {})["eventsource.event.count"] for each in publications] == [2, 1]

    async def test_the_message_has_the_context_of_its_publication(
        self,
        append: Callable[..., Awaitable[int]],
        forward: Forward,
        received: list[Mapping[str, str]],
        eventsource_spans: RecordedSpans,
    ) -> None:
        """The stored one is replaced."""
        await append(1)

        await forward()

        context = eventsource_spans.one(PUBLISH).context
        ids = f"{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}"
        assert received == [{"traceparent": f"00-{ids}-{context.trace_flags:02x}"}]

    async def test_baggage_of_the_request_is_not_resurrected(
        self,
        append: Callable[..., Awaitable[int]],
        forward: Forward,
        received: list[Mapping[str, str]],
        eventsource_spans: RecordedSpans,
    ) -> None:
        """It was never in the log."""
        token = otel_context.attach(baggage.set_baggage("user", "ann"))
        await append(1)
        otel_context.detach(token)

        await forward()

        assert [set(headers) for headers in received] == [{"traceparent"}]

    async def test_a_bus_without_spans_hands_the_context_on(
        self, append: Callable[..., Awaitable[int]], forward: Forward, bus: InMemoryEventBus, recording: Recording
    ) -> None:
        """The consumer's own spans are in the trace all the same."""
        bus.enable_tracing = False
        seen: list[int] = []
        bus.subscribe(Opened, lambda event: seen.append(trace.get_current_span().get_span_context().span_id))

        with instrumented(tracer_provider=recording.spans.provider):
            await append(1)
            await forward()

        assert seen == [recording.spans.one(APPEND).context.span_id]


class TestOtherEvents:
    async def test_without_a_stored_context_a_trace_begins(
        self, append: Callable[..., Awaitable[int]], forward: Forward, recording: Recording
    ) -> None:
        """What was appended without telemetry is published like anything else."""
        await append(1)

        with instrumented(tracer_provider=recording.spans.provider):
            await forward()

        publish, page = recording.spans.one(PUBLISH), recording.spans.one(CATCH_UP)
        assert (publish.parent, publish.links) == (None, ())
        assert publish.context.trace_id != page.context.trace_id

    async def test_what_was_not_sampled_stays_so(
        self,
        append: Callable[..., Awaitable[int]],
        forward: Forward,
        received: list[Mapping[str, str]],
        store: InMemoryEventStore,
        recording: Recording,
    ) -> None:
        """The flag travels as it is, in the same trace."""
        with instrumented(tracer_provider=TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)):
            await append(1)
        recording.spans.provider.sampler = ParentBased(ALWAYS_ON)  # the sampler that an SDK has by default

        with instrumented(tracer_provider=recording.spans.provider):
            await forward()

        assert not {*recording.spans.names} & {*THE_WAY}
        (stored,) = await store.read_page()
        (headers,) = received
        assert headers["traceparent"][:36] == stored.headers["traceparent"][:36]
        assert not int(headers["traceparent"][-2:], 16) & trace.TraceFlags.SAMPLED


class TestOldEvents:
    async def test_they_begin_a_trace_with_a_link(
        self, store: InMemoryEventStore, door: UUID, forward: Forward, eventsource_spans: RecordedSpans
    ) -> None:
        """A trace must not be continued days after it ended."""
        await store.append_events(door, DOOR, opened_at(door, ago(700)), 0)

        await forward()

        publish, appending = eventsource_spans.one(PUBLISH), eventsource_spans.one(APPEND)
        assert publish.parent is None
        assert [link.context.span_id for link in publish.links] == [appending.context.span_id]
        handler = eventsource_spans.one("eventsource.event_bus.handle")
        assert eventsource_spans.chain(handler) == THE_WAY

    async def test_ten_minutes_are_the_limit(
        self, store: InMemoryEventStore, door: UUID, forward: Forward, eventsource_spans: RecordedSpans
    ) -> None:
        """A little less is fresh."""
        await store.append_events(door, DOOR, opened_at(door, ago(500)), 0)

        await forward()

        assert eventsource_spans.chain(eventsource_spans.one(PUBLISH)) == [APPEND, PUBLISH]

    async def test_moments_without_a_zone_are_in_utc(
        self, store: InMemoryEventStore, door: UUID, forward: Forward, eventsource_spans: RecordedSpans
    ) -> None:
        """As everywhere; the comparison does not fail on them."""
        await store.append_events(door, DOOR, opened_at(door, ago(700).replace(tzinfo=None)), 0)

        await forward()

        publish = eventsource_spans.one(PUBLISH)
        assert (publish.parent, len(publish.links)) == (None, 1)

    async def test_what_is_published_inside_a_span_is_its_child_however_old(
        self, bus: InMemoryEventBus, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """The caller's own trace is alive."""
        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            await bus.publish(opened_at(door, ago(700)))

        assert eventsource_spans.chain(eventsource_spans.one(PUBLISH)) == ["request", PUBLISH]


class TestTheLimit:
    @pytest.fixture
    def is_child(
        self, store: InMemoryEventStore, door: UUID, forward: Forward, recording: Recording
    ) -> Callable[..., Awaitable[bool]]:
        """Forwards an event of so many seconds ago with these options and tells whether its trace went on."""

        async def go(age: float, **options: Any) -> bool:
            with instrumented(tracer_provider=recording.spans.provider, **options):
                await store.append_events(door, DOOR, opened_at(door, ago(age)), 0)
                await forward()
            return recording.spans.one(PUBLISH).parent is not None

        return go

    @pytest.mark.parametrize(("limit", "expected"), [(0, False), (50, False), (200, True), (float("inf"), True)])
    async def test_by_keyword(self, limit: float, expected: bool, is_child: Callable[..., Awaitable[bool]]) -> None:
        """In seconds."""
        assert await is_child(100, parent_max_age=limit) is expected

    @pytest.mark.parametrize(("limit", "expected"), [("0", False), ("50.5", False), ("200", True), ("", True)])
    async def test_by_environment_variable(
        self,
        limit: str,
        expected: bool,
        is_child: Callable[..., Awaitable[bool]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The same; set to nothing it is not set."""
        monkeypatch.setenv(PARENT_MAX_AGE, limit)

        assert await is_child(100) is expected

    async def test_the_keyword_goes_before_the_variable(
        self, is_child: Callable[..., Awaitable[bool]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever writes code knows better."""
        monkeypatch.setenv(PARENT_MAX_AGE, "50")

        assert await is_child(100, parent_max_age=200)

    @pytest.mark.parametrize("limit", ["soon", "-1", "nan", "10m"])
    async def test_nonsense_in_the_variable_is_ignored_with_a_warning(
        self,
        limit: str,
        is_child: Callable[..., Awaitable[bool]],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A slip in the environment must not keep an application from starting."""
        monkeypatch.setenv(PARENT_MAX_AGE, limit)

        assert await is_child(500)
        assert f"{PARENT_MAX_AGE}='{limit}' is ignored" in caplog.text

    @pytest.mark.parametrize("limit", [-1, float("nan")])
    def test_nonsense_by_keyword_is_refused(self, limit: float, instrumentor: EventsourceInstrumentor) -> None:
        """The error tells what it must be."""
        with pytest.raises(ValueError, match=f"parent_max_age must be 0 seconds or more, not {limit}"):
            instrumentor.instrument(parent_max_age=limit)

        assert not instrumentor.is_instrumented_by_opentelemetry

    @pytest.mark.parametrize("limit", ["600", None])
    def test_what_is_no_number_is_refused(self, limit: Any, instrumentor: EventsourceInstrumentor) -> None:
        """The error names the option."""
        with pytest.raises(TypeError, match="parent_max_age must be a number of seconds, not"):
            instrumentor.instrument(parent_max_age=limit)
