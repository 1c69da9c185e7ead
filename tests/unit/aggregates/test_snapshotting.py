"""When snapshots are taken, and that they never do harm."""

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from eventsource.aggregates import AggregateRepository, AggregateRoot
from eventsource.events.base import DomainEvent
from eventsource.snapshots import InMemorySnapshotStore, SnapshotError, SnapshotStore
from eventsource.snapshots.operations import SaveSnapshot
from eventsource.stores.in_memory import InMemoryEventStore


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


class Unwritable(Counter):
    def _serialize_state(self) -> dict[str, Any]:
        raise ValueError("the state has no JSON form")


class BrokenSnapshots(SnapshotStore):
    """A store whose database is gone."""

    async def _save_snapshot(self, save: Any) -> NoReturn:
        raise ConnectionError("no database")

    _get_snapshot = _delete_snapshot = _snapshot_exists = _delete_snapshots = _save_snapshot


class SlowSnapshots(InMemorySnapshotStore):
    """Holds the snapshots of the given version back until the gate is open, and notes the order of all."""

    def __init__(self, slow_version: int) -> None:
        super().__init__()
        self.slow_version = slow_version
        self.gate = asyncio.Event()
        self.saved: list[int] = []

    async def _save_snapshot(self, save: SaveSnapshot) -> None:
        if save.snapshot.version == self.slow_version:
            await self.gate.wait()
        self.saved.append(save.snapshot.version)
        await super()._save_snapshot(save)


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


async def version_of(snapshots: SnapshotStore, aggregate_id: UUID) -> int | None:
    snapshot = await snapshots.get_snapshot(aggregate_id, "Counter")
    return snapshot.version if snapshot else None


class TestThreshold:
    @pytest.mark.parametrize(
        ("saves", "versions"),
        [
            ([1, 1, 1, 1], [None, None, 3, 3]),
            ([2, 2, 2, 2], [None, 4, 4, 8]),
            ([7], [7]),
            ([2, 5, 2, 1], [None, 7, 7, 10]),
        ],
    )
    async def test_a_snapshot_is_due_when_enough_was_saved_since_the_last_one(
        self, make: Make, snapshots: InMemorySnapshotStore, saves: list[int], versions: list[int | None]
    ) -> None:
        """However many events a save has; a multiple that is jumped over does no harm."""
        repository = make(snapshot_threshold=3)
        counter, seen = repository.create_new(uuid4()), []

        for events in saves:
            await repository.save(counter.count(events))
            seen.append(await version_of(snapshots, counter.aggregate_id))

        assert seen == versions

    async def test_events_since_the_snapshot_count_after_loading_too(
        self, make: Make, snapshots: InMemorySnapshotStore
    ) -> None:
        """The loaded aggregate knows how old its snapshot is."""
        repository, aggregate_id = make(snapshot_threshold=3), uuid4()
        await repository.save(Counter(aggregate_id).count(4))

        await repository.save((await repository.load(aggregate_id)).count(2))
        before = await version_of(snapshots, aggregate_id)
        await repository.save((await repository.load(aggregate_id)).count(1))

        assert (before, await version_of(snapshots, aggregate_id)) == (4, 7)

    async def test_without_a_threshold_none_is_taken(self, make: Make, snapshots: InMemorySnapshotStore) -> None:
        """Snapshots are an option."""
        await make().save(Counter(uuid4()).count(100))

        assert snapshots.snapshot_count == 0

    @pytest.mark.parametrize("threshold", [0, -1])
    def test_a_threshold_below_one_is_refused(self, make: Make, threshold: int) -> None:
        """It makes no sense."""
        with pytest.raises(ValueError, match=f"snapshot_threshold must be 1 or more, not {threshold}"):
            make(snapshot_threshold=threshold)

    def test_an_unknown_mode_is_refused(self, make: Make) -> None:
        """The message lists those there are."""
        with pytest.raises(ValueError, match=r"'sync', 'background', 'manual'.*not 'never'"):
            make(snapshot_mode="never")

    def test_a_repository_tells_its_policy(self, make: Make, snapshots: InMemorySnapshotStore) -> None:
        """Everything can be read back."""
        repository = make(snapshot_threshold=3, snapshot_mode="background")

        assert (repository.snapshot_store, repository.has_snapshot_support) == (snapshots, True)
        assert (repository.snapshot_threshold, repository.snapshot_mode) == (3, "background")

    async def test_events_applied_during_the_save_put_the_snapshot_off(
        self, store: InMemoryEventStore, snapshots: InMemorySnapshotStore
    ) -> None:
        """The state runs ahead of what is saved; the next save takes it."""

        class Hasty:
            async def publish(self, events: list[DomainEvent]) -> None:
                if len(events) > 1:
                    counter.count()

        repository = AggregateRepository(store, Counter, "Counter", Hasty(), snapshots, snapshot_threshold=3)  # type: ignore[arg-type]
        counter = Counter(uuid4())

        await repository.save(counter.count(3))
        before = await version_of(snapshots, counter.aggregate_id)
        await repository.save(counter)

        assert (before, await version_of(snapshots, counter.aggregate_id)) == (None, 4)


class TestFailures:
    @pytest.mark.parametrize("mode", ["sync", "background"])
    async def test_a_snapshot_that_cannot_be_saved_does_no_harm(
        self, make: Make, mode: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The events are saved, and a warning tells."""
        repository = make(snapshot_store=BrokenSnapshots(), snapshot_threshold=1, snapshot_mode=mode)
        counter = Counter(uuid4())

        await repository.save(counter.count())
        await repository.await_pending_snapshots()

        assert await repository.get_version(counter.aggregate_id) == 1
        assert f"Failed to save snapshot of Counter/{counter.aggregate_id}: no database" in caplog.text

    @pytest.mark.parametrize("mode", ["sync", "background"])
    async def test_a_state_that_cannot_be_written_does_no_harm(
        self, make: Make, mode: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nobody must take it for a failure of the save."""
        repository = make(Unwritable, snapshot_threshold=1, snapshot_mode=mode)
        counter = repository.create_new(uuid4())

        await repository.save(counter.count())

        assert await repository.get_version(counter.aggregate_id) == 1
        assert "the state has no JSON form" in caplog.text

    async def test_a_store_that_cannot_be_read_does_no_harm(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        """The events are there, and a warning tells."""
        repository, counter = make(snapshot_store=BrokenSnapshots()), Counter(uuid4())
        await repository.save(counter.count(3))

        assert (await repository.load(counter.aggregate_id)).total == 3
        assert f"Error loading snapshot for Counter/{counter.aggregate_id}: no database" in caplog.text


class TestBackground:
    async def test_the_state_is_that_of_the_save(self, make: Make, snapshots: InMemorySnapshotStore) -> None:
        """What is applied before the task runs does not leak in."""
        repository = make(snapshot_threshold=1, snapshot_mode="background")
        counter = Counter(uuid4())

        await repository.save(counter.count())
        counter.count(5)
        await repository.await_pending_snapshots()

        snapshot = await snapshots.get_snapshot(counter.aggregate_id, "Counter")
        assert snapshot is not None
        assert (snapshot.version, snapshot.state) == (1, {"total": 1})

    async def test_the_save_does_not_wait_for_it(self, make: Make) -> None:
        """The snapshot is pending until its store has it."""
        snapshots = SlowSnapshots(slow_version=1)
        repository = make(snapshot_store=snapshots, snapshot_threshold=1, snapshot_mode="background")

        await repository.save(Counter(uuid4()).count())
        pending = repository.pending_snapshot_count
        snapshots.gate.set()

        assert (pending, await repository.await_pending_snapshots()) == (1, 1)
        assert (repository.pending_snapshot_count, snapshots.saved) == (0, [1])

    async def test_an_older_snapshot_does_not_replace_a_newer_one(self, make: Make) -> None:
        """However slow the older one is."""
        snapshots = SlowSnapshots(slow_version=1)
        repository = make(snapshot_store=snapshots, snapshot_threshold=1, snapshot_mode="background")
        counter = Counter(uuid4())

        await repository.save(counter.count())
        await repository.save(counter.count())
        asyncio.get_running_loop().call_soon(snapshots.gate.set)  # when both had their chance
        await repository.await_pending_snapshots()

        assert snapshots.saved == [1, 2]

    async def test_with_nothing_pending_there_is_nothing_to_await(self, make: Make) -> None:
        """Nor without a snapshot store."""
        assert await make().await_pending_snapshots() == 0
        assert await make(snapshot_store=None).await_pending_snapshots() == 0


class TestOnRequest:
    @pytest.mark.parametrize("mode", ["sync", "background", "manual"])
    async def test_a_snapshot_is_taken_in_every_mode(
        self, make: Make, snapshots: InMemorySnapshotStore, mode: str
    ) -> None:
        """It is what comes back, and what is stored."""
        repository, counter = make(snapshot_mode=mode), Counter(uuid4())
        await repository.save(counter.count(2))

        snapshot = await repository.create_snapshot(counter)

        assert (snapshot.version, snapshot.state, snapshot.schema_version) == (2, {"total": 2}, 1)
        assert await snapshots.get_snapshot(counter.aggregate_id, "Counter") == snapshot

    async def test_in_manual_mode_none_is_taken_otherwise(self, make: Make, snapshots: InMemorySnapshotStore) -> None:
        """Whatever the threshold."""
        repository = make(snapshot_mode="manual", snapshot_threshold=1)

        await repository.save(Counter(uuid4()).count(5))

        assert (repository.pending_snapshot_count, snapshots.snapshot_count) == (0, 0)

    async def test_it_counts_as_the_last_one(self, make: Make, snapshots: InMemorySnapshotStore) -> None:
        """The threshold counts from it."""
        repository, counter = make(snapshot_threshold=3), Counter(uuid4())
        await repository.save(counter.count(2))
        await repository.create_snapshot(counter)

        await repository.save(counter.count(2))

        assert await version_of(snapshots, counter.aggregate_id) == 2

    async def test_unsaved_events_are_refused(self, make: Make, snapshots: InMemorySnapshotStore) -> None:
        """The state may never come true."""
        counter = Counter(uuid4()).count(2)

        with pytest.raises(SnapshotError, match="has 2 events that are not saved; save it"):
            await make().create_snapshot(counter)

        assert snapshots.snapshot_count == 0

    async def test_a_failure_reaches_the_caller(self, make: Make) -> None:
        """Whoever asks for a snapshot wants to know."""
        repository, counter = make(snapshot_store=BrokenSnapshots()), Counter(uuid4())
        await repository.save(counter.count())

        with pytest.raises(ConnectionError, match="no database"):
            await repository.create_snapshot(counter)

    async def test_without_a_snapshot_store_there_is_none(self, make: Make) -> None:
        """The message says what is missing."""
        with pytest.raises(RuntimeError, match=r"no snapshot store: give the repository one"):
            await make(snapshot_store=None).create_snapshot(Counter(uuid4()))
