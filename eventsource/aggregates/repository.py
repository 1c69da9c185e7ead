"""Loading aggregates from their events and saving what happened to them."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any, Generic
from uuid import UUID

from eventsource.aggregates.base import TAggregate
from eventsource.aggregates.loaded import Loaded, SnapshotOutcome
from eventsource.aggregates.operations import CreateSnapshot, Exists, Load, Save
from eventsource.aggregates.snapshotting import SnapshotMode, Snapshotting
from eventsource.component import Component
from eventsource.events.base import DomainEvent
from eventsource.exceptions import AggregateNotFoundError, OptimisticLockError
from eventsource.headers import check_headers
from eventsource.retry import ExponentialBackoffRetryPolicy, RetryConfig
from eventsource.snapshots.interface import SnapshotStore
from eventsource.snapshots.values import Snapshot
from eventsource.stores.interface import EventPublisher, EventStore
from eventsource.types import Headers

logger = logging.getLogger(__name__)


class AggregateRepository(Component, Generic[TAggregate]):
    """
    Aggregates of one type, kept as events in a store.

    Args:
        event_store: Where the events are.
        aggregate_factory: Makes an empty aggregate of an id; its class, as a rule.
        aggregate_type: Under which type the events are stored.
        event_publisher: Is handed the events that were saved.
        snapshot_store: Where snapshots are kept; without one, every load reads all events.
        snapshot_threshold: How many saved events make a snapshot due; None for never.
        snapshot_mode: ``sync`` takes a due snapshot within `save`, ``background`` in a task, ``manual`` not at all.
        enable_tracing: Whether an instrumentation makes spans for this repository.

    Raises:
        ValueError: If the snapshot mode or threshold makes no sense.
    """

    def __init__(
        self,
        event_store: EventStore,
        aggregate_factory: Callable[[UUID], TAggregate],
        aggregate_type: str,
        event_publisher: EventPublisher | None = None,
        snapshot_store: SnapshotStore | None = None,
        snapshot_threshold: int | None = None,
        snapshot_mode: SnapshotMode = "sync",
        enable_tracing: bool = True,
    ) -> None:
        self._event_store = event_store
        self._aggregate_factory = aggregate_factory
        self._aggregate_type = aggregate_type
        self._event_publisher = event_publisher
        self._snapshot_store = snapshot_store
        self._snapshot_threshold = snapshot_threshold
        self._snapshot_mode = snapshot_mode
        self.enable_tracing = enable_tracing
        self._snapshotting: Snapshotting | None = None
        if snapshot_store is not None:
            self._snapshotting = Snapshotting(snapshot_store, aggregate_type, snapshot_threshold, snapshot_mode)

    @property
    def aggregate_type(self) -> str:
        """Under which type the events are stored."""
        return self._aggregate_type

    @property
    def event_store(self) -> EventStore:
        """Where the events are."""
        return self._event_store

    @property
    def event_publisher(self) -> EventPublisher | None:
        """Who is handed the events that were saved."""
        return self._event_publisher

    @property
    def snapshot_store(self) -> SnapshotStore | None:
        """Where snapshots are kept."""
        return self._snapshot_store

    @property
    def snapshot_threshold(self) -> int | None:
        """How many saved events make a snapshot due."""
        return self._snapshot_threshold

    @property
    def snapshot_mode(self) -> SnapshotMode:
        """How a due snapshot is taken."""
        return self._snapshot_mode

    @property
    def has_snapshot_support(self) -> bool:
        """Whether there is a snapshot store."""
        return self._snapshotting is not None

    @property
    def pending_snapshot_count(self) -> int:
        """How many snapshots are still being saved in the background."""
        return self._snapshotting.pending_count if self._snapshotting else 0

    def create_new(self, aggregate_id: UUID) -> TAggregate:
        """Return an empty aggregate; nothing is saved."""
        return self._aggregate_factory(aggregate_id)

    async def load(self, aggregate_id: UUID) -> TAggregate:
        """
        Return the aggregate as its snapshot and events make it.

        Raises:
            AggregateNotFoundError: If it has neither.
        """
        return (await self._perform(self._load, Load(aggregate_id))).aggregate

    async def get_or_raise(self, aggregate_id: UUID) -> TAggregate:
        """Do the same as `load`."""
        return await self.load(aggregate_id)

    async def load_or_create(self, aggregate_id: UUID) -> TAggregate:
        """Return the aggregate, a new one if it has no events."""
        return (await self._perform(self._load, Load(aggregate_id, create=True))).aggregate

    async def save(self, aggregate: TAggregate, *, headers: Headers | None = None) -> None:
        """
        Append the aggregate's uncommitted events, publish them, and take a snapshot if one is due.

        An error while publishing reaches the caller although the events are saved by then. A save that was
        cancelled may be tried again.

        Args:
            aggregate: Nothing is done if it has no uncommitted events.
            headers: Kept beside the events and given to the publisher.

        Raises:
            OptimisticLockError: If somebody else has saved the aggregate since it was loaded; the events stay
                uncommitted.
        """
        if aggregate.uncommitted_events:
            await self._perform(self._save, Save(aggregate, check_headers(headers)))

    async def execute(
        self,
        aggregate_id: UUID,
        command: Callable[[TAggregate], object],
        attempts: int = 3,
        *,
        headers: Headers | None = None,
    ) -> TAggregate:
        """
        Load the aggregate, run *command* on it, save it and return it; after a conflict, do it all again.

        Args:
            aggregate_id: Which aggregate.
            command: Changes the aggregate it is given; asynchronous or not. It may run several times, and what it
                returns is ignored.
            attempts: How often in all. There is a short random pause before each but the first.
            headers: Kept beside the events and given to the publisher.

        Raises:
            AggregateNotFoundError: If there is no such aggregate.
            OptimisticLockError: If the last attempt met a conflict too.
        """
        attempt, policy = 0, _pauses(attempts)
        while True:
            aggregate = await self.load(aggregate_id)
            try:
                await self._run(command, aggregate, headers)
                return aggregate
            except OptimisticLockError as conflict:
                # With another id, or nothing left to save, it was somebody else's conflict: a publisher's, say.
                if conflict.aggregate_id != aggregate_id or not aggregate.uncommitted_events:
                    raise
                if not policy.should_retry(attempt, conflict):
                    conflict.add_note(f"execute made {attempts} attempts; attempts=... allows more")
                    raise
            await asyncio.sleep(policy.get_backoff(attempt))
            attempt += 1

    async def exists(self, aggregate_id: UUID) -> bool:
        """Tell whether the aggregate has events."""
        return await self._perform(self._exists, Exists(aggregate_id))

    async def get_version(self, aggregate_id: UUID) -> int:
        """Return how many events the aggregate has."""
        return await self._event_store.get_stream_version(aggregate_id, self._aggregate_type)

    async def create_snapshot(self, aggregate: TAggregate) -> Snapshot:
        """
        Take a snapshot of the aggregate, whatever the mode, and return it.

        Raises:
            RuntimeError: If there is no snapshot store.
            SnapshotError: If the aggregate has events that are not saved.
        """
        if self._snapshotting is None:
            raise RuntimeError("no snapshot store: give the repository one (snapshot_store=...)")
        return await self._perform(self._create_snapshot, CreateSnapshot(aggregate))

    async def await_pending_snapshots(self) -> int:
        """Wait for the snapshots that are being saved in the background and return how many there were."""
        return await self._snapshotting.await_pending() if self._snapshotting else 0

    async def _run(
        self, command: Callable[[TAggregate], object], aggregate: TAggregate, headers: Headers | None
    ) -> None:
        outcome = command(aggregate)
        if inspect.isawaitable(outcome):
            await outcome
        await self.save(aggregate, headers=headers)

    async def _load(self, load: Load) -> Loaded[TAggregate]:
        restored, outcome = await self._restored(load.aggregate_id)
        loaded = await self._replayed(load.aggregate_id, restored, outcome)
        if loaded.aggregate.version == 0 and not load.create:
            raise AggregateNotFoundError(load.aggregate_id, self._aggregate_type)
        return loaded

    async def _restored(self, aggregate_id: UUID) -> tuple[TAggregate | None, SnapshotOutcome | None]:
        if self._snapshotting is None:
            return None, None
        return await self._snapshotting.restore(aggregate_id, self._aggregate_factory)

    async def _replayed(
        self, aggregate_id: UUID, restored: TAggregate | None, outcome: SnapshotOutcome | None
    ) -> Loaded[TAggregate]:
        version = restored.version if restored is not None else 0
        stream = await self._event_store.get_events(aggregate_id, self._aggregate_type, from_version=version)
        if stream.version < version:
            logger.warning(
                "Snapshot of %s/%s is at version %d, its stream at %d: the snapshot is ignored",
                self._aggregate_type,
                aggregate_id,
                version,
                stream.version,
            )
            return await self._replayed(aggregate_id, None, "stale")
        aggregate = restored if restored is not None else self._aggregate_factory(aggregate_id)
        aggregate.load_from_history(stream.events)
        return Loaded(aggregate, outcome, len(stream.events))

    async def _save(self, save: Save) -> None:
        aggregate = save.aggregate
        saved: list[DomainEvent] = []
        try:
            for events in _batches(aggregate):
                await self._append(aggregate, events, save.headers)
                saved += events
        finally:
            if saved:
                await self._publish(saved, save.headers)
        if self._snapshotting:
            await self._snapshotting.after_save(aggregate)

    async def _append(self, aggregate: Any, events: list[DomainEvent], headers: Headers | None) -> None:
        expected = aggregate.version - len(aggregate.uncommitted_events)
        if expected < 0:
            raise ValueError(
                f"{self._aggregate_type} {aggregate.aggregate_id} is at version {aggregate.version} with "
                f"{len(aggregate.uncommitted_events)} events that are not saved: their versions do not count up"
            )
        try:
            result = await self._event_store.append_events(
                aggregate.aggregate_id, self._aggregate_type, events, expected, headers=headers
            )
        except asyncio.CancelledError:
            aggregate.events_in_doubt = _count_pending(aggregate, events)
            raise
        if result.conflict:
            raise OptimisticLockError(aggregate.aggregate_id, expected, result.new_version)
        _mark_committed(aggregate, events)
        if getattr(aggregate, "events_in_doubt", 0):  # aggregates of other classes do not count it down themselves
            aggregate.events_in_doubt = 0

    async def _publish(self, events: list[DomainEvent], headers: Headers | None) -> None:
        if self._event_publisher is None:
            return
        if headers:  # publishers of the users' own need not know headers
            await self._event_publisher.publish(events, headers=headers)
        else:
            await self._event_publisher.publish(events)

    async def _exists(self, exists: Exists) -> bool:
        return await self._event_store.get_stream_version(exists.aggregate_id, self._aggregate_type) > 0

    async def _create_snapshot(self, create: CreateSnapshot) -> Snapshot:
        assert self._snapshotting is not None  # noqa: S101 - create_snapshot has checked it
        return await self._snapshotting.create(create.aggregate)


def _pauses(attempts: int) -> ExponentialBackoffRetryPolicy:
    if attempts < 1:
        raise ValueError(f"attempts must be 1 or more, not {attempts}")
    config = RetryConfig(max_retries=attempts - 1, initial_delay=0.005, max_delay=0.5, jitter=0.5)
    return ExponentialBackoffRetryPolicy(config)


def _batches(aggregate: Any) -> Iterator[list[DomainEvent]]:
    """
    Yield the events to append at once, each batch after the one before was saved.

    Events of a save that was cancelled may be stored or not. Appended alone they succeed either way; together with
    newer ones they would be refused as partly known.
    """
    if in_doubt := getattr(aggregate, "events_in_doubt", 0):
        yield aggregate.uncommitted_events[:in_doubt]
    if events := aggregate.uncommitted_events:
        yield events


def _mark_committed(aggregate: Any, saved: list[DomainEvent]) -> None:
    """Forget the *saved* events: not those applied while they were being written, nor any if another save did it."""
    done = _count_pending(aggregate, saved)
    if done == len(aggregate.uncommitted_events):
        aggregate.mark_events_as_committed()
    elif done:
        aggregate.mark_events_as_committed(done)


def _count_pending(aggregate: Any, events: list[DomainEvent]) -> int:
    """Return how many of *events*, which were the oldest uncommitted ones, still are."""
    ids = {id(event) for event in events}
    return sum(1 for _ in takewhile(lambda event: id(event) in ids, aggregate.uncommitted_events))
