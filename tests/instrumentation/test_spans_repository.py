"""The spans of repositories."""

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from eventsource import AggregateNotFoundError, AggregateRepository, InMemoryEventStore, InMemorySnapshotStore
from eventsource_instrumentation.recording import RecordedSpans

SAVE = "eventsource.repository.save"
LOAD = "eventsource.repository.load"


async def test_save(
    doors: AggregateRepository[Any], new_door: Callable[[int], Any], eventsource_spans: RecordedSpans
) -> None:
    """The span tells which aggregate, how much had happened to it, and its version with that."""
    door = new_door(2)

    await doors.save(door)

    span = eventsource_spans.one(SAVE)
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes or {}) == {
        "eventsource.aggregate.id": str(door.aggregate_id),
        "eventsource.aggregate.type": "Door",
        "eventsource.event.count": 2,
        "eventsource.version": 2,
    }


async def test_saving_nothing_has_none(
    doors: AggregateRepository[Any], new_door: Callable[[int], Any], eventsource_spans: RecordedSpans
) -> None:
    """Neither the repository nor the store did anything."""
    await doors.save(new_door(0))

    assert eventsource_spans.names == []


async def test_load_from_the_stream(
    doors: AggregateRepository[Any], new_door: Callable[[int], Any], eventsource_spans: RecordedSpans
) -> None:
    """The span tells how many events were replayed, and the version they led to."""
    door = new_door(3)
    await doors.save(door)

    await doors.load(door.aggregate_id)

    span = eventsource_spans.one(LOAD)
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes or {}) == {
        "eventsource.aggregate.id": str(door.aggregate_id),
        "eventsource.aggregate.type": "Door",
        "eventsource.snapshot.used": False,
        "eventsource.events.replayed": 3,
        "eventsource.version": 3,
    }


async def test_load_from_a_snapshot(
    store: InMemoryEventStore,
    snapshots: InMemorySnapshotStore,
    doors_in: Callable[..., AggregateRepository[Any]],
    new_door: Callable[[int], Any],
    eventsource_spans: RecordedSpans,
) -> None:
    """Only what came after the snapshot was replayed."""
    doors = doors_in(store, snapshot_store=snapshots)
    door = new_door(3)
    await doors.save(door)
    await doors.create_snapshot(door)
    door.open()
    await doors.save(door)

    await doors.load(door.aggregate_id)

    attributes = eventsource_spans.one(LOAD).attributes or {}
    assert attributes["eventsource.snapshot.used"] is True
    assert attributes["eventsource.events.replayed"] == 1
    assert attributes["eventsource.version"] == 4


async def test_load_or_create_is_a_load(
    doors: AggregateRepository[Any], new_door: Callable[[int], Any], eventsource_spans: RecordedSpans
) -> None:
    """An aggregate without events is at version 0."""
    await doors.load_or_create(new_door(0).aggregate_id)

    attributes = eventsource_spans.one(LOAD).attributes or {}
    assert attributes["eventsource.version"] == 0
    assert attributes["eventsource.events.replayed"] == 0


async def test_loading_what_is_not_there(
    doors: AggregateRepository[Any], new_door: Callable[[int], Any], eventsource_spans: RecordedSpans
) -> None:
    """The span has what was known at the start, and the error."""
    wanted = new_door(0).aggregate_id

    with pytest.raises(AggregateNotFoundError):
        await doors.load(wanted)

    assert dict(eventsource_spans.one(LOAD).attributes or {}) == {
        "eventsource.aggregate.id": str(wanted),
        "eventsource.aggregate.type": "Door",
        "error.type": "AggregateNotFoundError",
    }


async def test_exists(
    doors: AggregateRepository[Any], new_door: Callable[[int], Any], eventsource_spans: RecordedSpans
) -> None:
    """The span tells which aggregate was asked for."""
    wanted = new_door(0).aggregate_id

    await doors.exists(wanted)

    span = eventsource_spans.one("eventsource.repository.exists")
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes or {}) == {
        "eventsource.aggregate.id": str(wanted),
        "eventsource.aggregate.type": "Door",
    }


async def test_create_snapshot(
    store: InMemoryEventStore,
    snapshots: InMemorySnapshotStore,
    doors_in: Callable[..., AggregateRepository[Any]],
    new_door: Callable[[int], Any],
    eventsource_spans: RecordedSpans,
) -> None:
    """The span tells of which aggregate, at which version."""
    doors = doors_in(store, snapshot_store=snapshots)
    door = new_door(2)
    await doors.save(door)

    await doors.create_snapshot(door)

    span = eventsource_spans.one("eventsource.repository.create_snapshot")
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes or {}) == {
        "eventsource.aggregate.id": str(door.aggregate_id),
        "eventsource.aggregate.type": "Door",
        "eventsource.version": 2,
    }
