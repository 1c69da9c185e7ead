"""The spans of what is kept in PostgreSQL: which database they name, and what is stored of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from eventsource import (
    DatabaseError,
    OptimisticLockError,
    PostgreSQLCheckpointRepository,
    PostgreSQLDLQRepository,
    PostgreSQLEventStore,
    PostgreSQLOptions,
    PostgreSQLSnapshotStore,
    Snapshot,
)
from eventsource.testing.events import DOOR, opened
from eventsource_instrumentation.recording import RecordedSpans

APPEND = "eventsource.event_store.append_events"
TOO_MUCH = 2**70
"""A number that PostgreSQL cannot store."""

Operation: TypeAlias = Callable[[Any, UUID], Awaitable[object]]
OPERATIONS: dict[str, tuple[type[Any], Operation]] = {
    APPEND: (PostgreSQLEventStore, lambda store, door: store.append_events(door, DOOR, opened(door, 1), 0)),
    "eventsource.event_store.get_events": (PostgreSQLEventStore, lambda store, door: store.get_events(door)),
    "eventsource.event_store.read_stream": (PostgreSQLEventStore, lambda store, door: store.read_page(str(door))),
    "eventsource.event_store.read_all": (PostgreSQLEventStore, lambda store, _: store.read_page()),
    "eventsource.snapshot.save": (
        PostgreSQLSnapshotStore,
        lambda store, door: store.save_snapshot(Snapshot(door, DOOR, 5, {}, 1, datetime(2024, 5, 1, tzinfo=UTC))),
    ),
    "eventsource.snapshot.get": (PostgreSQLSnapshotStore, lambda store, door: store.get_snapshot(door, DOOR)),
    "eventsource.snapshot.exists": (PostgreSQLSnapshotStore, lambda store, door: store.snapshot_exists(door, DOOR)),
    "eventsource.snapshot.delete": (PostgreSQLSnapshotStore, lambda store, door: store.delete_snapshot(door, DOOR)),
    "eventsource.checkpoint.get_checkpoint": (
        PostgreSQLCheckpointRepository,
        lambda repository, _: repository.get_checkpoint("openings"),
    ),
    "eventsource.checkpoint.get_all_checkpoints": (
        PostgreSQLCheckpointRepository,
        lambda repository, _: repository.get_all_checkpoints(),
    ),
    "eventsource.checkpoint.update_checkpoint": (
        PostgreSQLCheckpointRepository,
        lambda repository, door: repository.update_checkpoint("openings", door, "Opened"),
    ),
    "eventsource.checkpoint.save_position": (
        PostgreSQLCheckpointRepository,
        lambda repository, door: repository.save_position("openings", 7, door, "Opened"),
    ),
    "eventsource.checkpoint.reset_checkpoint": (
        PostgreSQLCheckpointRepository,
        lambda repository, _: repository.reset_checkpoint("openings"),
    ),
    "eventsource.dlq.add": (
        PostgreSQLDLQRepository,
        lambda repository, door: repository.add_failed_event(door, "openings", "Opened", {}, ValueError("stuck"), 3),
    ),
    "eventsource.dlq.get": (PostgreSQLDLQRepository, lambda repository, _: repository.get_failed_events("openings")),
    "eventsource.dlq.get_by_id": (PostgreSQLDLQRepository, lambda repository, _: repository.get_failed_event_by_id(1)),
    "eventsource.dlq.resolve": (PostgreSQLDLQRepository, lambda repository, _: repository.mark_resolved(1, "hand")),
    "eventsource.dlq.retry": (PostgreSQLDLQRepository, lambda repository, _: repository.mark_retrying(1)),
    "eventsource.dlq.get_stats": (PostgreSQLDLQRepository, lambda repository, _: repository.get_failure_stats()),
    "eventsource.dlq.get_projection_counts": (
        PostgreSQLDLQRepository,
        lambda repository, _: repository.get_projection_failure_counts(),
    ),
    "eventsource.dlq.delete_resolved": (
        PostgreSQLDLQRepository,
        lambda repository, _: repository.delete_resolved_events(0),
    ),
}


@pytest.fixture
def database(postgresql_dsn: str, schema: str) -> dict[str, str]:
    """What a span tells of the database; the namespace is database and schema."""
    name = postgresql_dsn.partition("?")[0].rpartition("/")[2]
    return {"db.system.name": "postgresql", "db.system": "postgresql", "db.namespace": f"{name}|{schema}"}


@pytest.fixture
async def log(in_postgresql: Callable[..., Any]) -> AsyncIterator[PostgreSQLEventStore]:
    """Where the events are."""
    async with in_postgresql(PostgreSQLEventStore) as log:
        yield log


def of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def of_database(span: ReadableSpan) -> dict[str, Any]:
    return {name: value for name, value in of(span).items() if name.startswith("db.")}


def traceparent(span: ReadableSpan) -> str:
    """Return the context of *span* as W3C Trace Context writes it."""
    ids = span.context
    return f"00-{trace.format_trace_id(ids.trace_id)}-{trace.format_span_id(ids.span_id)}-{ids.trace_flags:02x}"


async def stored_headers(log: PostgreSQLEventStore) -> list[dict[str, Any]]:
    return [dict(stored.headers) async for stored in log.read_all()]


@pytest.mark.parametrize(
    ("name", "kind", "operate"), [(name, *each) for name, each in OPERATIONS.items()], ids=OPERATIONS
)
async def test_each_operation_is_one_span_that_names_the_database(
    name: str,
    kind: type[Any],
    operate: Operation,
    in_postgresql: Callable[..., Any],
    database: dict[str, str],
    door: UUID,
    eventsource_spans: RecordedSpans,
) -> None:
    """INTERNAL, a child of what is current, and without anything of ours inside."""
    async with in_postgresql(kind) as store:
        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            await operate(store, door)

    span = eventsource_spans.one(name)
    assert eventsource_spans.names == [name, "request"]
    assert eventsource_spans.chain(span) == ["request", name]
    assert (span.kind, of_database(span)) == (SpanKind.INTERNAL, database)


async def test_the_database_of_a_pool_has_a_name_too(
    postgresql_dsn: str, schema: str, database: dict[str, str], door: UUID, eventsource_spans: RecordedSpans
) -> None:
    """The server is asked, for no address tells of it."""
    options = PostgreSQLOptions(schema=schema)
    async with asyncpg.create_pool(postgresql_dsn) as pool, PostgreSQLEventStore(pool, options=options) as log:
        await log.append_events(door, DOOR, opened(door, 1), 0)

    assert of_database(eventsource_spans.one(APPEND)) == database


async def test_initialising_and_closing_are_no_spans(
    in_postgresql: Callable[..., Any], eventsource_spans: RecordedSpans
) -> None:
    """Nor are the look-ups of one number."""
    with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
        async with in_postgresql(PostgreSQLEventStore) as log:
            await log.get_global_position()
            await log.get_stream_version(uuid4(), DOOR)
            await log.event_exists(uuid4())

    assert eventsource_spans.names == ["request"]


class TestAppends:
    async def test_what_a_span_tells(
        self, log: PostgreSQLEventStore, database: dict[str, str], door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """The same as of any other store, besides the database."""
        await log.append_events(door, DOOR, opened(door, 2), 0)

        assert of(eventsource_spans.one(APPEND)) == {
            "eventsource.aggregate.id": str(door),
            "eventsource.aggregate.type": DOOR,
            "eventsource.event.count": 2,
            "eventsource.event.types": ("eventsource.testing.Opened",),
            "eventsource.expected_version": 0,
            "eventsource.version": 2,
            "eventsource.append.shared": 1,
            **database,
        }

    async def test_those_that_share_a_call_say_so(
        self, log: PostgreSQLEventStore, eventsource_spans: RecordedSpans
    ) -> None:
        """Two calls may be under way; those that queue behind them share the next one."""
        ids = [uuid4() for _ in range(5)]

        await asyncio.gather(*(log.append_events(each, DOOR, opened(each, 1), 0) for each in ids))

        shared = {
            of(span)["eventsource.aggregate.id"]: of(span)["eventsource.append.shared"]
            for span in eventsource_spans.named(APPEND)
        }
        assert shared == dict(zip(map(str, ids), (1, 1, 3, 3, 3), strict=True))

    async def test_one_that_makes_a_shared_call_fail_is_alone_an_error(
        self, log: PostgreSQLEventStore, eventsource_spans: RecordedSpans
    ) -> None:
        """Each of the others has then had a call of its own."""
        ids = [uuid4() for _ in range(5)]
        events = [opened(each, 1, event_version=TOO_MUCH if each == ids[3] else 1) for each in ids]
        appends = [log.append_events(each, DOOR, of_it, 0) for each, of_it in zip(ids, events, strict=True)]

        await asyncio.gather(*appends, return_exceptions=True)

        spans = {of(span)["eventsource.aggregate.id"]: of(span) for span in eventsource_spans.named(APPEND)}
        assert [spans[str(each)].get("error.type") for each in ids] == [None, None, None, "DatabaseError", None]
        assert [spans[str(each)].get("eventsource.append.shared") for each in ids] == [1, 1, 1, None, 1]

    async def test_a_conflict_is_an_error_without_a_version(
        self, log: PostgreSQLEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """It is recorded once."""
        with pytest.raises(OptimisticLockError) as raised:
            await log.append_events(door, DOOR, opened(door, 1), 7)

        span = eventsource_spans.one(APPEND)
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, str(raised.value))
        assert of(span)["error.type"] == "OptimisticLockError"
        assert not {"eventsource.version", "eventsource.append.shared"} & of(span).keys()
        assert [event.name for event in span.events] == ["exception"]

    async def test_a_lost_server_is_an_error(
        self, start_postgresql: Callable[..., Any], door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """What the caller sees, not what the driver raised."""
        server = start_postgresql()
        async with PostgreSQLEventStore(server.address) as log:
            server.kill()
            with pytest.raises(DatabaseError) as raised:
                await log.append_events(door, DOOR, opened(door, 1), 0)

        span = eventsource_spans.one(APPEND)
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, str(raised.value))
        assert of(span)["error.type"] == "DatabaseError"


class TestStoredContext:
    async def test_each_event_has_that_of_its_append(
        self, log: PostgreSQLEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Beside the caller's headers."""
        await log.append_events(door, DOOR, opened(door, 2), 0, headers={"request": "7"})

        expected = {"request": "7", "traceparent": traceparent(eventsource_spans.one(APPEND))}
        assert await stored_headers(log) == [expected, expected]

    async def test_those_that_share_a_call_have_each_its_own(
        self, log: PostgreSQLEventStore, eventsource_spans: RecordedSpans
    ) -> None:
        """Not that of the first of them, which the call belongs to."""
        ids = [uuid4() for _ in range(5)]

        await asyncio.gather(*(log.append_events(each, DOOR, opened(each, 1), 0) for each in ids))

        own = {of(span)["eventsource.aggregate.id"]: traceparent(span) for span in eventsource_spans.named(APPEND)}
        kept = {str(stored.event.aggregate_id): stored.headers["traceparent"] async for stored in log.read_all()}
        assert (len(set(own.values())), kept) == (5, own)
