"""Beside the instrumentor of PostgreSQL's driver, which others have written."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from uuid import UUID

import asyncpg
import asyncpg.cursor
import asyncpg.prepared_stmt
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from eventsource import (
    DatabaseError,
    OptimisticLockError,
    PostgreSQLCheckpointRepository,
    PostgreSQLDLQRepository,
    PostgreSQLEventStore,
    PostgreSQLProjection,
    PostgreSQLSnapshotStore,
    ProjectionRunner,
    handles,
)
from eventsource.component import Component
from eventsource.retry import NoRetryPolicy
from eventsource.stores.announcing import Wake
from eventsource.testing.events import DOOR, Opened, opened
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.operations import COMPONENTS
from eventsource_instrumentation.recording import RecordedSpans, Recording

APPEND = "eventsource.event_store.append_events"
CATCH_UP = "eventsource.projection.catch_up"
HANDLER = "eventsource.projection.handler"
TOO_MUCH = 2**70
"""A number that PostgreSQL cannot store."""

PATCHED = [
    *((asyncpg.connection.Connection, name) for name in ("execute", "executemany", "fetch", "fetchval", "fetchrow")),
    *((asyncpg.cursor.Cursor, name) for name in ("fetch", "forward", "fetchrow")),
    (asyncpg.cursor.CursorIterator, "__anext__"),
    *((asyncpg.prepared_stmt.PreparedStatement, name) for name in ("fetch", "fetchval", "fetchrow", "executemany")),
    *((component, "_perform") for component in (Component, *COMPONENTS.values())),
]
BOTH = pytest.mark.parametrize(
    ("ours", "theirs"),
    [(False, False), (False, True), (True, False), (True, True)],
    ids=["neither", "theirs", "ours", "both"],
)
OPENED = "eventsource.testing.Opened"
IDS = [UUID(int=number) for number in range(1, 6)]

Switched = Callable[..., AbstractContextManager[object]]


class Openings(PostgreSQLProjection):
    """Notes which doors were opened; the second opening is too much for it."""

    async def _create_tables(self, connection: asyncpg.Connection) -> None:
        await connection.execute(f'CREATE TABLE IF NOT EXISTS "{self.options.schema}".doors (id uuid, number integer)')

    @handles(Opened)
    async def on_opened(self, connection: asyncpg.Connection, event: Opened) -> None:
        statement = f'INSERT INTO "{self.options.schema}".doors VALUES ($1, $2)'
        await connection.execute(statement, event.aggregate_id, event.number)
        if event.number == 2:
            raise ValueError("jammed")


@pytest.fixture
def switched(recording: Recording, their_instrumentor: Callable[[str], AbstractContextManager[None]]) -> Switched:
    """Switches the instrumentors on that are asked for, for a block."""

    def on(*, ours: bool = True, theirs: bool = True) -> AbstractContextManager[object]:
        stack = ExitStack()
        if theirs:
            stack.enter_context(their_instrumentor("postgresql"))
        if ours:
            providers = {"tracer_provider": recording.spans.provider, "meter_provider": recording.metrics.provider}
            stack.enter_context(instrumented(**providers))
        return stack

    return on


@pytest.fixture
async def log(in_postgresql: Callable[..., Any]) -> AsyncIterator[PostgreSQLEventStore]:
    """Where the events are."""
    async with in_postgresql(PostgreSQLEventStore) as log:
        yield log


@pytest.fixture
async def projection(in_postgresql: Callable[..., Any]) -> AsyncIterator[Openings]:
    """What follows them, with spans of its own."""
    options = {"retry_policy": NoRetryPolicy(), "name": "openings", "enable_tracing": True}
    async with in_postgresql(Openings, **options) as projection:
        yield projection


@pytest.fixture
def catch_up(
    log: PostgreSQLEventStore, projection: Openings, runner_of: Callable[..., ProjectionRunner]
) -> Callable[[], Awaitable[None]]:
    """Lets a runner bring the projection up to date, and stops it."""

    async def run() -> None:
        async with runner_of(projection, log) as runner:
            await runner.wait_for(timeout=20)

    return run


async def append_to_each(log: PostgreSQLEventStore, count: int = 1, **of_the_fourth: Any) -> list[Any]:
    """Append to five streams at the same time, and return what came of it; the last three share a call."""
    given = [opened(each, count, **(of_the_fourth if each == IDS[3] else {})) for each in IDS]
    appends = [log.append_events(each, DOOR, events, 0) for each, events in zip(IDS, given, strict=True)]
    return await asyncio.gather(*appends, return_exceptions=True)


def of_driver(spans: RecordedSpans) -> list[ReadableSpan]:
    """Return the spans that the driver's instrumentor has made."""
    return [span for span in spans.finished if span.kind is SpanKind.CLIENT]


def append_of(span: ReadableSpan, spans: RecordedSpans) -> UUID:
    """Return the stream of the append that *span* is a child of."""
    parent = spans.parent_of(span)
    assert parent is not None
    assert parent.name == APPEND
    return UUID(str((parent.attributes or {})["eventsource.aggregate.id"]))


class TestParents:
    async def test_an_append_is_one_statement_inside_it(
        self, log: PostgreSQLEventStore, switched: Switched, recording: Recording
    ) -> None:
        """What is current around the append is the parent of the append alone."""
        with switched(), recording.spans.provider.get_tracer("here").start_as_current_span("request") as request:
            await log.append_events(IDS[0], DOOR, opened(IDS[0], 1), 0)
            assert trace.get_current_span() is request

        (statement,) = of_driver(recording.spans)
        assert recording.spans.chain(statement) == ["request", APPEND, "SELECT"]

    async def test_a_read_is_one_statement_inside_it(
        self, log: PostgreSQLEventStore, switched: Switched, recording: Recording
    ) -> None:
        """Of a stream, as of a page."""
        with switched(), recording.spans.provider.get_tracer("here").start_as_current_span("request"):
            await log.get_events(IDS[0])
            await log.read_page()

        chains = [recording.spans.chain(statement) for statement in of_driver(recording.spans)]
        assert chains == [
            ["request", "eventsource.event_store.get_events", "SELECT"],
            ["request", "eventsource.event_store.read_all", "SELECT"],
        ]

    async def test_a_shared_call_is_a_child_of_the_first_append(
        self, log: PostgreSQLEventStore, switched: Switched, recording: Recording
    ) -> None:
        """Of those it carries, in the order in which they were asked for."""
        with switched():
            await append_to_each(log)

        statements = of_driver(recording.spans)
        assert {append_of(each, recording.spans) for each in statements} == set(IDS[:3])
        assert len(statements) == 3

    async def test_a_shared_call_is_in_the_trace_of_its_first_caller(
        self, log: PostgreSQLEventStore, switched: Switched, recording: Recording
    ) -> None:
        """Each append is in that of its own caller all the same."""
        tracer = recording.spans.provider.get_tracer("here")

        async def request(door: UUID) -> None:
            with tracer.start_as_current_span(f"request {door}"):
                await log.append_events(door, DOOR, opened(door, 1), 0)

        with switched():
            await asyncio.gather(*map(request, IDS))

        assert sorted(recording.spans.chain(each) for each in recording.spans.named(APPEND)) == [
            [f"request {door}", APPEND] for door in IDS
        ]
        assert sorted(recording.spans.chain(each) for each in of_driver(recording.spans)) == [
            [f"request {door}", APPEND, "SELECT"] for door in IDS[:3]
        ]

    async def test_what_a_failed_call_is_made_up_for_with_is_there_too(
        self, log: PostgreSQLEventStore, switched: Switched, recording: Recording
    ) -> None:
        """A call that failed, and one for each append that shared it."""
        with switched():
            await append_to_each(log, event_version=TOO_MUCH)

        statements = [append_of(each, recording.spans) for each in of_driver(recording.spans)]
        assert sorted(statements) == [IDS[0], IDS[1], *[IDS[2]] * 4]

    async def test_the_applications_own_statements_stay_its_own(
        self, log: PostgreSQLEventStore, postgresql_dsn: str, switched: Switched, recording: Recording
    ) -> None:
        """A transaction of its own goes on around an append, and neither is inside the other."""
        connection = await asyncpg.connect(postgresql_dsn)
        with switched(), recording.spans.provider.get_tracer("here").start_as_current_span("request"):
            async with connection.transaction():
                await connection.execute("VALUES (1)")
                await log.append_events(IDS[0], DOOR, opened(IDS[0], 1), 0)
                await connection.execute("VALUES (2)")
        await connection.close()

        own = [span for span in of_driver(recording.spans) if span.name != "SELECT"]
        assert [recording.spans.chain(span)[:-1] for span in own] == [["request"]] * 4
        assert recording.spans.chain(recording.spans.one("SELECT")) == ["request", APPEND, "SELECT"]

    @pytest.mark.parametrize("kind", [PostgreSQLSnapshotStore, PostgreSQLCheckpointRepository, PostgreSQLDLQRepository])
    async def test_each_other_store_has_its_statements_inside(
        self, kind: Any, in_postgresql: Callable[..., Any], switched: Switched, recording: Recording
    ) -> None:
        """Those of a transaction, its beginning and end included."""
        operate = {
            PostgreSQLSnapshotStore: lambda store: store.get_snapshot(IDS[0], DOOR),
            PostgreSQLCheckpointRepository: lambda store: store.save_position("openings", 7, IDS[0], "Opened"),
            PostgreSQLDLQRepository: lambda store: store.add_failed_event(IDS[0], "openings", "O", {}, ValueError()),
        }[kind]

        async with in_postgresql(kind) as store:
            with switched(), recording.spans.provider.get_tracer("here").start_as_current_span("request"):
                await operate(store)

        (ours,) = [span for span in recording.spans.finished if span.name.startswith("eventsource.")]
        statements = of_driver(recording.spans)
        assert statements
        assert {recording.spans.parent_of(each) for each in statements} == {ours}


class TestProjection:
    async def test_a_page_has_its_transaction_inside(
        self,
        log: PostgreSQLEventStore,
        catch_up: Callable[[], Awaitable[None]],
        switched: Switched,
        recording: Recording,
    ) -> None:
        """What handlers do is inside their own spans, and nothing of the page is anywhere else."""
        await append_to_each(log)
        with switched():
            await catch_up()

        page = recording.spans.one(CATCH_UP)
        handlers = [recording.spans.parent_of(each) for each in recording.spans.named("INSERT")[-5:]]
        assert handlers == recording.spans.named(HANDLER)
        assert [recording.spans.parent_of(each) for each in handlers if each] == [page] * 5
        inside = [each.name for each in of_driver(recording.spans) if recording.spans.parent_of(each) is page]
        assert inside[0].startswith("BEGIN")
        assert any(name.startswith("COMMIT") for name in inside)

    async def test_listening_is_a_child_of_nobody(
        self,
        log: PostgreSQLEventStore,
        until: Callable[[Callable[[], object]], Awaitable[None]],
        switched: Switched,
        recording: Recording,
    ) -> None:
        """It goes on for others than those who began it, and is one statement for as long as it lasts."""
        with switched(), recording.spans.provider.get_tracer("here").start_as_current_span("request"):
            async with log.following(Wake()):
                await until(lambda: recording.spans.named("LISTEN"))

        assert recording.spans.chain(recording.spans.one("LISTEN")) == ["LISTEN"]


class TestBesideEachOther:
    @BOTH
    async def test_results_and_errors_are_the_same(
        self,
        ours: bool,
        theirs: bool,
        log: PostgreSQLEventStore,
        projection: Openings,
        catch_up: Callable[[], Awaitable[None]],
        switched: Switched,
    ) -> None:
        """Whoever looks on."""
        with switched(ours=ours, theirs=theirs):
            appended = await append_to_each(log, 3)
            with pytest.raises(OptimisticLockError) as conflict:
                await log.append_events(IDS[0], DOOR, opened(IDS[0], 1), 7)
            with pytest.raises(DatabaseError) as refused:
                await log.append_events(IDS[0], DOOR, opened(IDS[0], 1, event_version=TOO_MUCH), 3)
            await catch_up()
            handled = await projection.fetch(f'SELECT id, number FROM "{projection.options.schema}".doors')
            failed = await projection.dead_letters.get_failed_events()

        assert [(result.new_version, result.shared) for result in appended] == [(3, 1), (3, 1), (3, 3), (3, 3), (3, 3)]
        assert (conflict.value.actual_version, type(refused.value.__cause__)) == (3, asyncpg.DataError)
        assert sorted(map(tuple, handled)) == [(door, number) for door in IDS for number in (1, 3)]
        assert [(entry.error_message, entry.event_type) for entry in failed] == [("jammed", OPENED)] * 5

    @BOTH
    async def test_nothing_is_logged(
        self,
        ours: bool,
        theirs: bool,
        log: PostgreSQLEventStore,
        catch_up: Callable[[], Awaitable[None]],
        switched: Switched,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Neither by us, besides that a projection goes on and leaves off, nor by them."""
        with switched(ours=ours, theirs=theirs), caplog.at_level(logging.DEBUG):
            caplog.clear()
            await append_to_each(log)
            await catch_up()

        said = [record for record in caplog.records if not record.getMessage().startswith("Projection openings ")]
        assert [record.getMessage() for record in said] == []

    @BOTH
    async def test_afterwards_everything_is_as_before(
        self, ours: bool, theirs: bool, log: PostgreSQLEventStore, switched: Switched
    ) -> None:
        """The same objects, not only equal ones."""
        before = [vars(owner).get(name) for owner, name in PATCHED]

        with switched(ours=ours, theirs=theirs):
            await append_to_each(log)

        assert all(vars(owner).get(name) is own for (owner, name), own in zip(PATCHED, before, strict=True))

    @pytest.mark.parametrize("theirs", [False, True], ids=["ours", "both"])
    async def test_nothing_is_counted_twice(
        self,
        theirs: bool,
        log: PostgreSQLEventStore,
        catch_up: Callable[[], Awaitable[None]],
        switched: Switched,
        recording: Recording,
    ) -> None:
        """What a driver does is for its own instrumentor to count."""
        with switched(theirs=theirs):
            await append_to_each(log)
            await catch_up()

        metrics = recording.metrics
        assert metrics.count("eventsource.event_store.append.duration") == 5
        assert metrics.total("eventsource.event_store.events.appended") == 5
        assert metrics.count("eventsource.projection.handle.duration") == 5
        assert [name for name in metrics.names if not name.startswith("eventsource.")] == []
        assert [len(recording.spans.named(name)) for name in (APPEND, CATCH_UP, HANDLER)] == [5, 1, 5]
        assert bool(of_driver(recording.spans)) == theirs
