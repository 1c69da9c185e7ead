"""What the metrics count and measure."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from eventsource import (
    AggregateNotFoundError,
    AggregateRepository,
    AppendResult,
    InMemoryEventBus,
    InMemoryEventStore,
    InMemorySnapshotStore,
    NotConnectedError,
    OptimisticLockError,
    Snapshot,
    SQLiteEventStore,
)
from eventsource.bus.operations import Publish
from eventsource.snapshots.operations import GetSnapshot
from eventsource.stores.operations import Append
from eventsource.testing.events import DOOR, Closed, opened
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.operations import TABLE
from eventsource_instrumentation.recording import MetricPoint, RecordedMetrics

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
STORE = "eventsource.event_store"
DOOR_IN_MEMORY = {"db.system.name": "memory", "eventsource.aggregate.type": "Door"}
MEMORY_BUS = {"messaging.system": "memory", "messaging.operation.name": "publish"}


def assert_measured(points: list[MetricPoint], attributes: dict[str, Any], count: int = 1) -> None:
    """Check that a duration was recorded *count* times, with these attributes and no others."""
    (point,) = points
    assert (point.unit, point.boundaries, point.count) == ("s", SECONDS, count)
    assert point.attributes == attributes
    assert point.value > 0


class Returning(InMemoryEventStore):
    """Returns what others raise."""

    async def _append(self, append: Append) -> AppendResult:
        return AppendResult.conflicted(3)


class TestEventStore:
    async def test_appending_takes_time(
        self, store: InMemoryEventStore, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """Once for each append."""
        await store.append_events(door, DOOR, opened(door, 2), 0)
        await store.append_events(door, DOOR, opened(door, 1), 2)

        assert_measured(eventsource_metrics.named(f"{STORE}.append.duration"), DOOR_IN_MEMORY, 2)

    async def test_events_are_counted_by_type(
        self, store: InMemoryEventStore, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """A batch of several types adds to several series."""
        await store.append_events(door, DOOR, [*opened(door, 2), Closed(aggregate_id=door)], 0)

        points = eventsource_metrics.named(f"{STORE}.events.appended")
        assert {point.unit for point in points} == {"{event}"}
        assert [(point.attributes, point.value) for point in points] == [
            (DOOR_IN_MEMORY | {"eventsource.event.type": "eventsource.testing.Opened"}, 2),
            (DOOR_IN_MEMORY | {"eventsource.event.type": "eventsource.testing.Closed"}, 1),
        ]

    async def test_a_repeated_append_adds_no_events(
        self, store: InMemoryEventStore, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """The time it took counts, the events stood there already."""
        events = opened(door, 2)
        await store.append_events(door, DOOR, events, 0)
        await store.append_events(door, DOOR, events, 0)

        assert eventsource_metrics.total(f"{STORE}.events.appended") == 2
        assert eventsource_metrics.count(f"{STORE}.append.duration") == 2

    async def test_an_empty_append_counts_for_nothing(
        self, store: InMemoryEventStore, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """It is no operation."""
        await store.append_events(door, DOOR, [], 0)

        assert eventsource_metrics.points == []

    async def test_a_conflict_is_counted_and_its_time_recorded(
        self, store: InMemoryEventStore, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """Nothing was appended, though."""
        with pytest.raises(OptimisticLockError):
            await store.append_events(door, DOOR, opened(door, 1), 4)

        (conflict,) = eventsource_metrics.named(f"{STORE}.conflicts")
        assert conflict == MetricPoint(f"{STORE}.conflicts", "{conflict}", DOOR_IN_MEMORY, 1)
        failed = DOOR_IN_MEMORY | {"error.type": "OptimisticLockError"}
        assert_measured(eventsource_metrics.named(f"{STORE}.append.duration"), failed)
        assert eventsource_metrics.named(f"{STORE}.events.appended") == []

    async def test_a_conflict_that_is_returned_is_one_too(
        self, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """Backends of others may return it instead of raising; no events were appended then."""
        result = await Returning().append_events(door, DOOR, opened(door, 2), 4)

        assert result.conflict
        (conflict,) = eventsource_metrics.named(f"{STORE}.conflicts")
        assert conflict == MetricPoint(f"{STORE}.conflicts", "{conflict}", DOOR_IN_MEMORY, 1)
        assert eventsource_metrics.named(f"{STORE}.events.appended") == []

    async def test_only_conflicts_are_conflicts(
        self, tmp_path: Any, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """Any other failure is told by the error type of the duration."""
        with pytest.raises(NotConnectedError):
            await SQLiteEventStore(tmp_path / "doors.db").append_events(door, DOOR, opened(door, 1), 0)

        assert eventsource_metrics.named(f"{STORE}.conflicts") == []
        (duration,) = eventsource_metrics.named(f"{STORE}.append.duration")
        assert duration.attributes["error.type"] == "NotConnectedError"

    @pytest.mark.parametrize("operation", ["get_events", "read_stream", "read_all"])
    async def test_reading_takes_time(
        self, operation: str, store: InMemoryEventStore, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """Each way of reading is a series of its own, inside a trace or not."""
        if operation == "get_events":
            await store.get_events(door, DOOR)
        else:
            await store.read_page(str(door) if operation == "read_stream" else None)

        attributes = {"db.system.name": "memory", "db.operation.name": operation}
        assert_measured(eventsource_metrics.named(f"{STORE}.read.duration"), attributes)


class TestRepository:
    async def test_saving_takes_time(
        self, doors: AggregateRepository[Any], new_door: Callable[[int], Any], eventsource_metrics: RecordedMetrics
    ) -> None:
        """With the publishing that belongs to it."""
        await doors.save(new_door(1))

        points = eventsource_metrics.named("eventsource.repository.save.duration")
        assert_measured(points, {"eventsource.aggregate.type": "Door"})

    async def test_loading_takes_time_and_events(
        self, doors: AggregateRepository[Any], new_door: Callable[[int], Any], eventsource_metrics: RecordedMetrics
    ) -> None:
        """Without a snapshot, all events of the stream."""
        door = new_door(3)
        await doors.save(door)

        await doors.load(door.aggregate_id)

        points = eventsource_metrics.named("eventsource.repository.load.duration")
        assert_measured(points, {"eventsource.aggregate.type": "Door"})
        (events,) = eventsource_metrics.named("eventsource.repository.load.events")
        attributes = {"eventsource.aggregate.type": "Door", "source": "stream"}
        assert events == MetricPoint("eventsource.repository.load.events", "{event}", attributes, 3)
        assert eventsource_metrics.named("eventsource.snapshot.requests") == []

    async def test_a_failed_load_takes_time_too(
        self, doors: AggregateRepository[Any], eventsource_metrics: RecordedMetrics
    ) -> None:
        """It has no events to count."""
        with pytest.raises(AggregateNotFoundError):
            await doors.load(uuid4())

        points = eventsource_metrics.named("eventsource.repository.load.duration")
        assert_measured(points, {"eventsource.aggregate.type": "Door", "error.type": "AggregateNotFoundError"})
        assert eventsource_metrics.named("eventsource.repository.load.events") == []


class Unreadable(InMemorySnapshotStore):
    """Fails to read."""

    async def _get_snapshot(self, get: GetSnapshot) -> Snapshot | None:
        raise OSError("the disk is gone")


class TestSnapshotRequests:
    """Each load that asked for a snapshot says what became of it, and where its events came from."""

    @pytest.mark.parametrize(
        ("change", "outcome", "source", "replayed"),
        [
            ({}, "hit", "snapshot", 0),
            ({"schema_version": 2}, "stale", "stream", 2),
            ({"version": 9}, "stale", "stream", 2),
            ({"state": {"openings": "many"}}, "error", "stream", 2),
        ],
    )
    async def test_where_there_is_one(
        self,
        change: dict[str, Any],
        outcome: str,
        source: str,
        replayed: int,
        store: InMemoryEventStore,
        snapshots: InMemorySnapshotStore,
        doors_in: Callable[..., AggregateRepository[Any]],
        new_door: Callable[[int], Any],
        eventsource_metrics: RecordedMetrics,
    ) -> None:
        """It was used, or was of another schema or of a longer stream, or could not be restored."""
        doors, door = doors_in(store, snapshot_store=snapshots), new_door(2)
        await doors.save(door)
        at = datetime(2024, 5, 1, tzinfo=UTC)
        snapshot = Snapshot(door.aggregate_id, DOOR, 2, {"openings": 2}, 1, at)
        await snapshots.save_snapshot(replace(snapshot, **change))

        await doors.load(door.aggregate_id)

        (request,) = eventsource_metrics.named("eventsource.snapshot.requests")
        attributes = {"eventsource.aggregate.type": "Door", "outcome": outcome}
        assert request == MetricPoint("eventsource.snapshot.requests", "{request}", attributes, 1)
        (events,) = eventsource_metrics.named("eventsource.repository.load.events")
        assert (events.attributes["source"], events.value) == (source, replayed)

    @pytest.mark.parametrize(("kind", "outcome"), [(InMemorySnapshotStore, "miss"), (Unreadable, "error")])
    async def test_where_there_is_none(
        self,
        kind: type[InMemorySnapshotStore],
        outcome: str,
        doors_in: Callable[..., AggregateRepository[Any]],
        new_door: Callable[[int], Any],
        store: InMemoryEventStore,
        eventsource_metrics: RecordedMetrics,
    ) -> None:
        """There was none, or the store could not tell."""
        doors, door = doors_in(store, snapshot_store=kind()), new_door(2)
        await doors.save(door)

        await doors.load(door.aggregate_id)

        assert eventsource_metrics.total("eventsource.snapshot.requests", {"outcome": outcome}) == 1


class Jammed(InMemoryEventBus):
    """Fails to publish."""

    async def _publish(self, publish: Publish) -> None:
        raise ConnectionError("the line is cut")


class TestEventBus:
    async def test_messages_are_counted_and_publishing_takes_time(
        self, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """A batch is one operation and several messages."""
        async with InMemoryEventBus() as bus:
            await bus.publish(opened(door, 3))

        (sent,) = eventsource_metrics.named("messaging.client.sent.messages")
        assert sent == MetricPoint("messaging.client.sent.messages", "{message}", MEMORY_BUS, 3)
        assert_measured(eventsource_metrics.named("messaging.client.operation.duration"), MEMORY_BUS)

    async def test_failures_are_counted_with_their_error(
        self, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """Sent and failed messages are series of one counter."""
        async with Jammed() as bus:
            with pytest.raises(ConnectionError):
                await bus.publish(opened(door, 3))

        failed = MEMORY_BUS | {"error.type": "ConnectionError"}
        assert [point.attributes for point in eventsource_metrics.named("messaging.client.sent.messages")] == [failed]
        assert_measured(eventsource_metrics.named("messaging.client.operation.duration"), failed)


async def test_a_projection_takes_time_with_or_without_spans(
    openings: Callable[..., Any], door: UUID, eventsource_metrics: RecordedMetrics
) -> None:
    """That projections have no spans by default says nothing about metrics."""
    await openings(name="openings").handle(opened(door, 1)[0])

    points = eventsource_metrics.named("eventsource.projection.handle.duration")
    event_type = "eventsource.testing.Opened"
    assert_measured(points, {"eventsource.projection.name": "openings", "eventsource.event.type": event_type})


async def test_a_component_that_wants_no_metrics_has_none(
    store: InMemoryEventStore, door: UUID, eventsource_metrics: RecordedMetrics
) -> None:
    """The switch is the component's, and no concern of spans."""
    store.enable_metrics = False

    await store.append_events(door, DOOR, opened(door, 1), 0)

    assert eventsource_metrics.points == []


async def test_a_component_without_spans_has_metrics(door: UUID, eventsource_metrics: RecordedMetrics) -> None:
    """One switch does not move the other."""
    await InMemoryEventStore(enable_tracing=False).append_events(door, DOOR, opened(door, 1), 0)

    assert eventsource_metrics.total("eventsource.event_store.events.appended") == 1


async def test_points_can_be_written_as_json(store: InMemoryEventStore, door: UUID) -> None:
    """Every point of every metric carries its attributes as a dictionary, which is what exporters know."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    with instrumented(meter_provider=provider):
        await store.append_events(door, DOOR, opened(door, 2), 0)

    data = reader.get_metrics_data()
    provider.shutdown()

    assert data is not None
    (scope,) = data.resource_metrics[0].scope_metrics
    points = [point for metric in scope.metrics for point in metric.data.data_points]
    assert {type(point.attributes) for point in points} == {dict}
    assert json.loads(data.to_json())["resource_metrics"]


def test_no_id_is_an_attribute_of_a_metric() -> None:
    """Every id would be a series of its own, for ever; of partitions there are few, and their ids are numbers."""
    names = {name for row in TABLE.values() for each in row.measurements for name in each.attribute_names}
    names |= {name for row in TABLE.values() for each in row.gauges for name in each.attribute_names}

    names.remove("messaging.destination.partition.id")
    assert [name for name in names if name.endswith((".id", "_id")) or "position" in name or "version" in name] == []


def test_one_name_is_one_instrument() -> None:
    """Rows that share a metric agree on kind, unit, description and boundaries."""
    metrics = [each.metric for row in TABLE.values() for each in (*row.measurements, *row.gauges)]

    by_name = {metric.name: metric for metric in metrics}
    assert all(by_name[metric.name] == metric for metric in metrics)
