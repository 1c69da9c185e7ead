"""Which snapshots are used when an aggregate is loaded."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from eventsource.aggregates import AggregateRepository, AggregateRoot
from eventsource.aggregates.operations import Load
from eventsource.events.base import DomainEvent
from eventsource.exceptions import AggregateNotFoundError
from eventsource.snapshots import InMemorySnapshotStore, Snapshot
from eventsource.stores.in_memory import InMemoryEventStore

LOGGER = "eventsource.aggregates.snapshotting"


class Counted(DomainEvent):
    aggregate_type: str = "Counter"


class CounterState(BaseModel):
    total: int


class Counter(AggregateRoot[CounterState]):
    aggregate_type = "Counter"

    def count(self, times: int = 1) -> "Counter":
        for _ in range(times):
            self.apply_event(Counted(aggregate_id=self.aggregate_id, aggregate_version=self.get_next_version()))
        return self

    @property
    def total(self) -> int:
        return self.state.total if self.state else 0

    def _apply(self, event: DomainEvent) -> None:
        self._state = CounterState(total=self.total + 1)

    def _get_initial_state(self) -> CounterState:
        return CounterState(total=0)


class NewCounter(Counter):
    schema_version = 2


Make = Callable[..., AggregateRepository[Counter]]


@pytest.fixture
def store() -> InMemoryEventStore:
    return InMemoryEventStore()


@pytest.fixture
def snapshots() -> InMemorySnapshotStore:
    return InMemorySnapshotStore()


@pytest.fixture
def make(store: InMemoryEventStore, snapshots: InMemorySnapshotStore) -> Make:
    def repository(factory: type[Counter] = Counter, **options: Any) -> AggregateRepository[Counter]:
        options = {"snapshot_store": snapshots, **options}
        return AggregateRepository(store, factory, "Counter", **options)

    return repository


def snapshot_of(counter: Counter, **changes: Any) -> Snapshot:
    facts = {
        "aggregate_id": counter.aggregate_id,
        "aggregate_type": "Counter",
        "version": counter.version,
        "state": {"total": 1000},
        "schema_version": 1,
        "created_at": datetime.now(UTC),
    }
    return Snapshot(**{**facts, **changes})


async def outcome(repository: AggregateRepository[Counter], aggregate_id: UUID) -> tuple[Any, int, int]:
    """Return what became of the snapshot, how many events were replayed, and the total."""
    loaded = await repository._load(Load(aggregate_id))
    return loaded.snapshot_outcome, loaded.replayed, loaded.aggregate.total


async def test_a_snapshot_stands_for_the_events_before_it(make: Make, snapshots: InMemorySnapshotStore) -> None:
    """Only those after it are replayed."""
    repository, counter = make(), Counter(uuid4())
    await repository.save(counter.count(5))
    await snapshots.save_snapshot(snapshot_of(counter, version=3))

    assert await outcome(repository, counter.aggregate_id) == ("hit", 2, 1002)


async def test_a_snapshot_without_later_events_is_enough(make: Make, snapshots: InMemorySnapshotStore) -> None:
    """Nothing is replayed."""
    repository, counter = make(), Counter(uuid4())
    await repository.save(counter.count(3))
    await snapshots.save_snapshot(snapshot_of(counter))

    assert await outcome(repository, counter.aggregate_id) == ("hit", 0, 1000)


async def test_without_a_snapshot_all_events_are_replayed(make: Make) -> None:
    """It is a miss, or nothing at all without a store."""
    repository, counter = make(), Counter(uuid4())
    await repository.save(counter.count(3))

    assert await outcome(repository, counter.aggregate_id) == ("miss", 3, 3)
    assert await outcome(make(snapshot_store=None), counter.aggregate_id) == (None, 3, 3)


async def test_a_snapshot_of_another_schema_is_not_used(
    make: Make, snapshots: InMemorySnapshotStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The new class may not understand it; the log says so without alarm."""
    counter = Counter(uuid4())
    await make().save(counter.count(3))
    await snapshots.save_snapshot(snapshot_of(counter))

    with caplog.at_level(logging.INFO, LOGGER):
        found = await outcome(make(NewCounter), counter.aggregate_id)

    assert found == ("stale", 3, 3)
    assert [(record.levelname, "schema version mismatch" in record.message) for record in caplog.records] == [
        ("INFO", True)
    ]


async def test_a_snapshot_of_another_schema_is_replaced_when_one_is_due(
    make: Make, snapshots: InMemorySnapshotStore
) -> None:
    """It does not count as the last one."""
    counter = Counter(uuid4())
    await make().save(counter.count(3))
    await snapshots.save_snapshot(snapshot_of(counter))
    repository = make(NewCounter, snapshot_threshold=4)

    await repository.save((await repository.load(counter.aggregate_id)).count())

    snapshot = await snapshots.get_snapshot(counter.aggregate_id, "Counter")
    assert snapshot is not None
    assert (snapshot.schema_version, snapshot.version, snapshot.state) == (2, 4, {"total": 4})


async def test_a_state_that_cannot_be_restored_is_not_used(
    make: Make, snapshots: InMemorySnapshotStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The events are there, and a warning tells."""
    repository, counter = make(), Counter(uuid4())
    await repository.save(counter.count(3))
    await snapshots.save_snapshot(snapshot_of(counter, state={"total": "many"}))

    with caplog.at_level(logging.WARNING, LOGGER):
        found = await outcome(repository, counter.aggregate_id)

    assert found == ("error", 3, 3)
    assert f"Failed to restore from snapshot of Counter/{counter.aggregate_id}" in caplog.text


async def test_a_snapshot_ahead_of_its_stream_is_not_used(
    make: Make, snapshots: InMemorySnapshotStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Its state never came true, as after restoring the events from a backup."""
    repository, counter = make(), Counter(uuid4())
    await repository.save(counter.count(3))
    await snapshots.save_snapshot(snapshot_of(counter, version=4))

    found = await outcome(repository, counter.aggregate_id)

    assert found == ("stale", 3, 3)
    assert "is at version 4, its stream at 3: the snapshot is ignored" in caplog.text


async def test_an_aggregate_is_not_made_of_a_snapshot_alone(make: Make, snapshots: InMemorySnapshotStore) -> None:
    """Without events it does not exist."""
    aggregate_id = uuid4()
    await snapshots.save_snapshot(snapshot_of(Counter(aggregate_id), version=4))

    with pytest.raises(AggregateNotFoundError):
        await make().load(aggregate_id)
