"""The span of a page that a runner hands to a projection."""

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from eventsource import (
    DeclarativeProjection,
    DomainEvent,
    InMemoryCheckpointRepository,
    InMemoryEventStore,
    ProjectionRunner,
    SQLiteEventStore,
    SQLiteProjection,
    handles,
)
from eventsource.projections.checkpoints.operations import SaveCheckpoint
from eventsource.stores.operations import GetGlobalPosition
from eventsource.testing.events import DOOR, Closed, Opened, opened
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.recording import RecordedSpans, Recording

Append = Callable[..., Awaitable[int]]
RunnerOf = Callable[..., ProjectionRunner]
Until = Callable[[Callable[[], object]], Awaitable[None]]

CATCH_UP = "eventsource.projection.catch_up"
APPEND = "eventsource.event_store.append_events"
AT_MOST = 20.0


def current_span_id() -> int:
    return trace.get_current_span().get_span_context().span_id


class Noting(DeclarativeProjection):
    """Notes which span is current in its handler."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.current: list[int] = []

    @handles(Opened)
    async def on_opened(self, event: Opened) -> None:
        self.current.append(current_span_id())

    async def _truncate_read_models(self) -> None:
        self.current.clear()


class NotingOnAThread(SQLiteProjection):
    """Notes which span is current on the thread that writes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.current: list[int] = []

    @handles(Opened)
    def on_opened(self, connection: sqlite3.Connection, event: Opened) -> None:
        self.current.append(current_span_id())


class FullDisk(InMemoryCheckpointRepository):
    """Fails to save a position while it is full."""

    is_full = False

    async def _save_checkpoint(self, save: SaveCheckpoint) -> None:
        if self.is_full:
            raise OSError("the disk is full")
        await super()._save_checkpoint(save)


class Polled(InMemoryEventStore):
    """Counts how often somebody looked for new events."""

    polls = 0

    async def _get_global_position(self, get: GetGlobalPosition) -> int:
        self.polls += 1
        return await super()._get_global_position(get)


@pytest.fixture
def catch_up(runner_of: RunnerOf) -> Callable[..., Awaitable[None]]:
    """Lets a runner with these options bring a projection up to date, and stops it."""

    async def run(projection: Any, log: Any = None, **options: Any) -> None:
        runner = runner_of(projection, log, **options) if log else runner_of(projection, **options)
        async with runner:
            await runner.wait_for(timeout=AT_MOST)

    return run


class TestOnePage:
    async def test_it_is_a_span(
        self, append: Append, catch_up: Callable[..., Awaitable[None]], eventsource_spans: RecordedSpans
    ) -> None:
        """It tells which events of the log were handled, and for which projection."""
        await append(3)

        await catch_up(Noting(name="openings"))

        span = eventsource_spans.one(CATCH_UP)
        assert span.kind is SpanKind.CONSUMER
        assert span.status.is_unset
        assert dict(span.attributes or {}) == {
            "eventsource.projection.name": "openings",
            "eventsource.event.count": 3,
            "eventsource.from_position": 0,
            "eventsource.to_position": 3,
            "eventsource.projection.replay": False,
        }

    async def test_each_is_a_span_of_its_own(
        self, append: Append, catch_up: Callable[..., Awaitable[None]], eventsource_spans: RecordedSpans
    ) -> None:
        """In a trace of its own."""
        await append(5)

        await catch_up(Noting(), batch_size=2)

        pages = eventsource_spans.named(CATCH_UP)
        assert [(page.attributes or {})["eventsource.from_position"] for page in pages] == [0, 2, 4]
        assert [(page.attributes or {})["eventsource.to_position"] for page in pages] == [2, 4, 5]
        assert len({page.context.trace_id for page in pages}) == 3

    async def test_it_has_no_parent(
        self, append: Append, catch_up: Callable[..., Awaitable[None]], eventsource_spans: RecordedSpans
    ) -> None:
        """Whatever is current where the runner is started: the page comes from elsewhere."""
        await append(1)

        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request") as request:
            await catch_up(Noting())

        page = eventsource_spans.one(CATCH_UP)
        assert page.parent is None
        assert page.context.trace_id != request.get_span_context().trace_id

    async def test_it_is_current_in_the_handlers(
        self, append: Append, catch_up: Callable[..., Awaitable[None]], eventsource_spans: RecordedSpans
    ) -> None:
        """What they do belongs to it."""
        await append(2)
        projection = Noting()

        await catch_up(projection)

        assert projection.current == [eventsource_spans.one(CATCH_UP).context.span_id] * 2

    async def test_it_is_current_on_the_thread_that_writes(
        self, append: Append, catch_up: Callable[..., Awaitable[None]], tmp_path: Path, eventsource_spans: RecordedSpans
    ) -> None:
        """Handlers of a projection in SQLite are called there."""
        path = tmp_path / "doors.db"
        async with SQLiteEventStore(path) as log, NotingOnAThread(path) as projection:
            await append(2, log)
            await catch_up(projection, log)

        assert projection.current == [eventsource_spans.one(CATCH_UP).context.span_id] * 2

    async def test_the_spans_of_a_projection_that_wants_some_are_its_children(
        self, append: Append, catch_up: Callable[..., Awaitable[None]], eventsource_spans: RecordedSpans
    ) -> None:
        """Page, event, handler."""
        await append(1)

        await catch_up(Noting(enable_tracing=True))

        handler = eventsource_spans.one("eventsource.projection.handler")
        assert eventsource_spans.chain(handler) == [CATCH_UP, "eventsource.projection.handle", handler.name]

    async def test_one_that_fails_is_an_error(
        self, append: Append, runner_of: RunnerOf, until: Until, eventsource_spans: RecordedSpans
    ) -> None:
        """The next attempt is another page."""
        checkpoints = FullDisk()
        await append(1)
        async with runner_of(Noting(checkpoint_repo=checkpoints), checkpoint_every=1) as runner:
            await runner.wait_for(timeout=AT_MOST)
            checkpoints.is_full = True
            position = await append(1)
            await until(lambda: runner.failure)
            checkpoints.is_full = False
            await runner.wait_for(position, timeout=AT_MOST)

        _, failed, *_, done = eventsource_spans.named(CATCH_UP)
        assert failed.status.status_code is StatusCode.ERROR
        assert failed.status.description == "the disk is full"
        assert (failed.attributes or {})["error.type"] == "OSError"
        assert done.status.is_unset
        assert failed.context.trace_id != done.context.trace_id

    async def test_a_runner_that_wants_no_spans_has_none(
        self, append: Append, catch_up: Callable[..., Awaitable[None]], eventsource_spans: RecordedSpans
    ) -> None:
        """Nothing is current in the handlers then."""
        await append(2)
        eventsource_spans.clear()
        projection = Noting()

        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            await catch_up(projection, enable_tracing=False)

        assert projection.current == [0, 0]
        assert eventsource_spans.names == ["request"]


class TestLinks:
    async def test_to_the_appends_that_the_events_come_from(
        self, append: Append, catch_up: Callable[..., Awaitable[None]], eventsource_spans: RecordedSpans
    ) -> None:
        """Each once, in the order of the log."""
        await append(3)
        await append(2)

        await catch_up(Noting())

        appends = [span.context for span in eventsource_spans.named(APPEND)]
        links = [link.context for link in eventsource_spans.one(CATCH_UP).links]
        assert [(each.trace_id, each.span_id) for each in links] == [(each.trace_id, each.span_id) for each in appends]
        assert len(appends) == 2
        assert all(each.is_remote and each.trace_flags.sampled for each in links)

    async def test_each_once_from_a_file_too(
        self, append: Append, catch_up: Callable[..., Awaitable[None]], tmp_path: Path, eventsource_spans: RecordedSpans
    ) -> None:
        """Where every event has headers of its own."""
        async with SQLiteEventStore(tmp_path / "doors.db") as log:
            await append(3, log)
            await catch_up(Noting(), log)

        (link,) = eventsource_spans.one(CATCH_UP).links
        assert link.context.span_id == eventsource_spans.one(APPEND).context.span_id

    async def test_each_page_to_its_own(
        self, append: Append, catch_up: Callable[..., Awaitable[None]], eventsource_spans: RecordedSpans
    ) -> None:
        """None to what another page has handled."""
        await append(1)
        await append(1)

        await catch_up(Noting(), batch_size=1)

        appends = [span.context.span_id for span in eventsource_spans.named(APPEND)]
        pages = eventsource_spans.named(CATCH_UP)
        assert [[link.context.span_id for link in page.links] for page in pages] == [[each] for each in appends]

    async def test_none_to_a_trace_that_is_not_sampled(
        self, append: Append, catch_up: Callable[..., Awaitable[None]], recording: Recording
    ) -> None:
        """There is nothing to be found."""
        with instrumented(tracer_provider=TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)):
            await append(1)
        with instrumented(tracer_provider=recording.spans.provider):
            await append(1)
            await catch_up(Noting())

        (link,) = recording.spans.one(CATCH_UP).links
        assert link.context.span_id == recording.spans.one(APPEND).context.span_id

    @pytest.mark.parametrize("headers", [None, {"request": "7"}, {"traceparent": "00-0-0-01"}, {"traceparent": ""}])
    async def test_none_where_no_context_is_stored(
        self,
        headers: dict[str, str] | None,
        store: InMemoryEventStore,
        door: UUID,
        catch_up: Callable[..., Awaitable[None]],
        recording: Recording,
    ) -> None:
        """What was appended without telemetry, with whatever headers, is handled as well."""
        await store.append_events(door, DOOR, opened(door, 1), 0, headers=headers)

        with instrumented(tracer_provider=recording.spans.provider):
            await catch_up(Noting())

        assert recording.spans.one(CATCH_UP).links == ()

    async def test_as_many_as_a_span_may_have(
        self, append: Append, catch_up: Callable[..., Awaitable[None]], eventsource_spans: RecordedSpans
    ) -> None:
        """The first 128."""
        for _ in range(130):
            await append(1)

        await catch_up(Noting())

        appends = [span.context.span_id for span in eventsource_spans.named(APPEND)]
        assert [link.context.span_id for link in eventsource_spans.one(CATCH_UP).links] == appends[:128]


class TestSilence:
    async def test_looking_for_events_in_vain_is_no_span(
        self, runner_of: RunnerOf, until: Until, eventsource_spans: RecordedSpans
    ) -> None:
        """Not even inside a span that is recorded, where the runner was started and is waited for."""
        log = Polled()
        projection = Noting(checkpoint_repo=InMemoryCheckpointRepository())

        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            async with runner_of(projection, log) as runner:
                await runner.wait_for(timeout=AT_MOST)
                seen, log.polls = list(eventsource_spans.names), 0
                await until(lambda: log.polls > 5)
                await runner.wait_for(timeout=AT_MOST)

        assert eventsource_spans.names == [*seen, "request"]
        assert CATCH_UP not in seen

    async def test_a_page_without_wanted_events_is_no_span(
        self,
        store: InMemoryEventStore,
        door: UUID,
        catch_up: Callable[..., Awaitable[None]],
        eventsource_spans: RecordedSpans,
    ) -> None:
        """Nothing was handed to the projection."""
        closed: list[DomainEvent] = [Closed(aggregate_id=door) for _ in range(3)]
        await store.append_events(door, DOOR, closed, 0)
        eventsource_spans.clear()

        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            await catch_up(Noting(), batch_size=1)

        assert eventsource_spans.names == ["request"]

    async def test_there_are_few_spans_for_many_events(
        self, append: Append, catch_up: Callable[..., Awaitable[None]], eventsource_spans: RecordedSpans
    ) -> None:
        """At most two for a page: itself, and that of the checkpoint."""
        await append(2_000)
        eventsource_spans.clear()

        await catch_up(Noting(checkpoint_repo=InMemoryCheckpointRepository()), batch_size=100, checkpoint_every=100)

        pages = eventsource_spans.named(CATCH_UP)
        assert len(pages) == 20
        assert len(eventsource_spans.names) <= 2 * len(pages)


class TestReplay:
    async def test_pages_up_to_where_the_log_ended_are_marked(
        self, append: Append, runner_of: RunnerOf, eventsource_spans: RecordedSpans
    ) -> None:
        """Not those before the rebuild, and not those after it."""
        await append(3)
        projection = Noting()
        async with runner_of(projection, batch_size=2) as runner:
            await runner.wait_for(timeout=AT_MOST)
            await runner.rebuild()
            await runner.wait_for(await append(1), timeout=AT_MOST)

        pages = [span.attributes or {} for span in eventsource_spans.named(CATCH_UP)]
        assert [(page["eventsource.from_position"], page["eventsource.projection.replay"]) for page in pages] == [
            (0, False),
            (2, False),
            (0, True),
            (2, True),
            (3, False),
        ]

    async def test_what_was_appended_after_the_rebuild_began_is_none(
        self, store: InMemoryEventStore, append: Append, runner_of: RunnerOf, eventsource_spans: RecordedSpans
    ) -> None:
        """One page lies on one side of the head of then."""
        await append(2)
        projection = Noting()
        await projection.checkpoints.reset_checkpoint(projection.projection_name, replay_until=2)
        await append(2)

        async with runner_of(projection) as runner:
            await runner.wait_for(timeout=AT_MOST)

        pages = [span.attributes or {} for span in eventsource_spans.named(CATCH_UP)]
        assert [(page["eventsource.event.count"], page["eventsource.projection.replay"]) for page in pages] == [
            (2, True),
            (2, False),
        ]
