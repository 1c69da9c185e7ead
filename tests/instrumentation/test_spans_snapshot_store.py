"""The spans of snapshot stores."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from opentelemetry.trace import SpanKind

from eventsource import InMemorySnapshotStore, Snapshot, SQLiteSnapshotStore
from eventsource_instrumentation.recording import RecordedSpans

DATABASE = {"db.system.name": "memory", "db.system": "memory"}


@pytest.fixture
def stream(door: UUID) -> dict[str, str]:
    """The attributes that every operation on one snapshot has."""
    return {"eventsource.aggregate.id": str(door), "eventsource.aggregate.type": "Door"} | DATABASE


def snapshot_of(door: UUID) -> Snapshot:
    return Snapshot(door, "Door", 5, {"openings": 5}, 1, datetime(2024, 5, 1, tzinfo=UTC))


async def test_save(
    snapshots: InMemorySnapshotStore, door: UUID, stream: dict[str, str], eventsource_spans: RecordedSpans
) -> None:
    """The span tells of which aggregate and version."""
    await snapshots.save_snapshot(snapshot_of(door))

    span = eventsource_spans.one("eventsource.snapshot.save")
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes or {}) == stream | {"eventsource.version": 5}


@pytest.mark.parametrize("there_is_one", [True, False])
async def test_get(
    there_is_one: bool,
    snapshots: InMemorySnapshotStore,
    door: UUID,
    stream: dict[str, str],
    eventsource_spans: RecordedSpans,
) -> None:
    """The span tells whether there was one."""
    if there_is_one:
        await snapshots.save_snapshot(snapshot_of(door))

    await snapshots.get_snapshot(door, "Door")

    span = eventsource_spans.one("eventsource.snapshot.get")
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes or {}) == stream | {"eventsource.snapshot.found": there_is_one}


async def test_exists(
    snapshots: InMemorySnapshotStore, door: UUID, stream: dict[str, str], eventsource_spans: RecordedSpans
) -> None:
    """The span tells which one was asked for."""
    await snapshots.snapshot_exists(door, "Door")

    span = eventsource_spans.one("eventsource.snapshot.exists")
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes or {}) == stream


async def test_delete(
    snapshots: InMemorySnapshotStore, door: UUID, stream: dict[str, str], eventsource_spans: RecordedSpans
) -> None:
    """The span tells which one was to go."""
    await snapshots.delete_snapshot(door, "Door")

    span = eventsource_spans.one("eventsource.snapshot.delete")
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes or {}) == stream


async def test_delete_all_of_a_type(snapshots: InMemorySnapshotStore, eventsource_spans: RecordedSpans) -> None:
    """The same span, of no aggregate in particular."""
    await snapshots.delete_snapshots_by_type("Door")

    span = eventsource_spans.one("eventsource.snapshot.delete")
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes or {}) == {"eventsource.aggregate.type": "Door"} | DATABASE


async def test_the_database_has_a_name_if_it_is_a_file(
    tmp_path: Path, door: UUID, eventsource_spans: RecordedSpans
) -> None:
    """The namespace is the file."""
    async with SQLiteSnapshotStore(tmp_path / "doors.db") as snapshots:
        await snapshots.snapshot_exists(door, "Door")

    attributes = eventsource_spans.one("eventsource.snapshot.exists").attributes or {}
    assert attributes["db.system.name"] == "sqlite"
    assert attributes["db.namespace"] == str(tmp_path / "doors.db")
