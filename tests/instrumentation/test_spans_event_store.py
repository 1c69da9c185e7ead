"""The spans of event stores."""

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from eventsource import InMemoryEventStore, OptimisticLockError, SQLiteEventStore
from eventsource.testing.events import DOOR, Closed, opened
from eventsource_instrumentation.recording import RecordedSpans

APPEND = "eventsource.event_store.append_events"
GET = "eventsource.event_store.get_events"
STREAM = "eventsource.event_store.read_stream"
ALL = "eventsource.event_store.read_all"


class TestAppend:
    async def test_several_events(
        self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """The span tells which stream, what kinds of events, and the versions before and after."""
        await store.append_events(door, DOOR, [*opened(door, 2), Closed(aggregate_id=door)], 0)

        span = eventsource_spans.one(APPEND)
        assert span.kind is SpanKind.INTERNAL
        assert dict(span.attributes or {}) == {
            "eventsource.aggregate.id": str(door),
            "eventsource.aggregate.type": "Door",
            "eventsource.event.count": 3,
            "eventsource.event.types": ("eventsource.testing.Opened", "eventsource.testing.Closed"),
            "eventsource.expected_version": 0,
            "eventsource.version": 3,
            "eventsource.append.shared": 1,
            "db.system.name": "memory",
            "db.system": "memory",
        }

    async def test_one_event_tells_its_conversation(
        self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Correlation and causation are on the span where they are those of one event."""
        cause = Closed(aggregate_id=uuid4())
        (event,) = opened(door, 1)

        await store.append_events(door, DOOR, [event.with_causation(cause)], 0)

        attributes = eventsource_spans.one(APPEND).attributes or {}
        assert attributes["eventsource.correlation.id"] == str(cause.correlation_id)
        assert attributes["eventsource.causation.id"] == str(cause.event_id)

    async def test_the_database_has_a_name_if_it_is_a_file(
        self, tmp_path: Path, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """The namespace is the file."""
        async with SQLiteEventStore(tmp_path / "doors.db") as store:
            await store.append_events(door, DOOR, opened(door, 1), 0)

        attributes = eventsource_spans.one(APPEND).attributes or {}
        database = {name: value for name, value in attributes.items() if name.startswith("db.")}
        assert database == {
            "db.system.name": "sqlite",
            "db.system": "sqlite",
            "db.namespace": str(tmp_path / "doors.db"),
        }

    async def test_a_conflict_leaves_no_version(
        self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """What is known at the end only of a success is not there."""
        with pytest.raises(OptimisticLockError):
            await store.append_events(door, DOOR, opened(door, 1), 7)

        attributes = eventsource_spans.one(APPEND).attributes or {}
        assert attributes["eventsource.expected_version"] == 7
        assert "eventsource.version" not in attributes

    async def test_an_empty_append_has_none(
        self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Nothing was done."""
        await store.append_events(door, DOOR, [], 0)

        assert eventsource_spans.names == []

    async def test_appends_that_share_a_transaction_say_so(
        self, tmp_path: Path, eventsource_spans: RecordedSpans
    ) -> None:
        """The first goes alone; those that queue behind it share one transaction, and each knows how many."""
        ids = [uuid4() for _ in range(4)]

        async with SQLiteEventStore(tmp_path / "doors.db") as store:
            await asyncio.gather(*(store.append_events(each, DOOR, opened(each, 1), 0) for each in ids))

        shared = {
            (span.attributes or {})["eventsource.aggregate.id"]: (span.attributes or {})["eventsource.append.shared"]
            for span in eventsource_spans.named(APPEND)
        }
        assert shared == dict(zip(map(str, ids), (1, 3, 3, 3), strict=True))


async def test_get_events(store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans) -> None:
    """The span tells from where was read, and what was found."""
    await store.append_events(door, DOOR, opened(door, 3), 0)

    await store.get_events(door, DOOR, from_version=1)

    span = eventsource_spans.one(GET)
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes or {}) == {
        "eventsource.aggregate.id": str(door),
        "eventsource.aggregate.type": "Door",
        "eventsource.from_version": 1,
        "eventsource.event.count": 2,
        "eventsource.version": 3,
        "db.system.name": "memory",
        "db.system": "memory",
    }


async def test_get_events_of_any_type(store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans) -> None:
    """What the caller left open is not on the span."""
    await store.get_events(door)

    assert "eventsource.aggregate.type" not in (eventsource_spans.one(GET).attributes or {})


class TestPages:
    async def test_none_outside_of_a_trace(
        self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Idle polling emits nothing."""
        await store.read_page()
        await store.read_page(str(door))

        assert eventsource_spans.names == []

    async def test_of_a_stream(self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans) -> None:
        """The span tells which stream, where the page begins, and how much was on it."""
        await store.append_events(door, DOOR, opened(door, 3), 0)
        store.page_size = 2
        stream = f"{door}:Door"

        with eventsource_spans.provider.get_tracer("here").start_as_current_span("batch"):
            assert len([each async for each in store.read_stream(stream)]) == 3

        first, second = eventsource_spans.named(STREAM)
        assert (first.kind, second.kind) == (SpanKind.INTERNAL, SpanKind.INTERNAL)
        database = {"db.system.name": "memory", "db.system": "memory"}
        page = {"eventsource.stream.id": stream, "eventsource.batch.size": 2, **database}
        assert dict(first.attributes or {}) == page | {"eventsource.from_position": 0, "eventsource.event.count": 2}
        assert dict(second.attributes or {}) == page | {"eventsource.from_position": 2, "eventsource.event.count": 1}

    async def test_of_all_streams_of_an_id(
        self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """A stream id without a type is the id alone."""
        with eventsource_spans.provider.get_tracer("here").start_as_current_span("batch"):
            await store.read_page(str(door))

        assert (eventsource_spans.one(STREAM).attributes or {})["eventsource.stream.id"] == str(door)

    async def test_of_the_whole_store(
        self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Positions are global ones, and there is no stream."""
        other = uuid4()
        await store.append_events(other, DOOR, opened(other, 1), 0)
        await store.append_events(door, DOOR, opened(door, 3), 0)
        store.page_size = 2

        with eventsource_spans.provider.get_tracer("here").start_as_current_span("batch"):
            assert len([each async for each in store.read_all()]) == 4

        first, second, empty = eventsource_spans.named(ALL)
        page = {"eventsource.batch.size": 2, "db.system.name": "memory", "db.system": "memory"}
        assert dict(first.attributes or {}) == page | {"eventsource.from_position": 0, "eventsource.event.count": 2}
        assert dict(second.attributes or {}) == page | {"eventsource.from_position": 2, "eventsource.event.count": 2}
        assert dict(empty.attributes or {}) == page | {"eventsource.from_position": 4, "eventsource.event.count": 0}

    async def test_none_inside_a_trace_that_is_not_recorded(
        self, store: InMemoryEventStore, eventsource_spans: RecordedSpans
    ) -> None:
        """Only a recording parent makes a page worth a span."""
        ambient = trace.NonRecordingSpan(trace.SpanContext(1, 1, is_remote=False, trace_flags=trace.TraceFlags(1)))

        with trace.use_span(ambient):
            await store.read_page()

        assert eventsource_spans.names == []


async def test_looking_up_a_number_has_none(
    store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
) -> None:
    """Not even inside a trace."""
    with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
        await store.event_exists(uuid4())
        await store.get_stream_version(door, DOOR)
        await store.get_global_position()

    assert eventsource_spans.names == ["request"]
