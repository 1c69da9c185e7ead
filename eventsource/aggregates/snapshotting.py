"""When snapshots of aggregates are taken, and whether one may be used."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, get_args
from uuid import UUID

from eventsource.aggregates.loaded import SnapshotOutcome
from eventsource.snapshots.exceptions import SnapshotError
from eventsource.snapshots.interface import SnapshotStore
from eventsource.snapshots.values import Snapshot

logger = logging.getLogger(__name__)

SnapshotMode: TypeAlias = Literal["sync", "background", "manual"]


class Snapshotting:
    """
    Snapshots of the aggregates of one type, taken when *threshold* or more events were saved since the last one.

    Args:
        store: Where snapshots are kept.
        aggregate_type: Of which type the aggregates are.
        threshold: None for never.
        mode: Whether `after_save` waits for the snapshot, leaves it to a task, or takes none.

    Raises:
        ValueError: If there is no such mode or the threshold is below 1.
    """

    def __init__(self, store: SnapshotStore, aggregate_type: str, threshold: int | None, mode: SnapshotMode) -> None:
        if mode not in get_args(SnapshotMode):
            raise ValueError(f"snapshot_mode must be one of {get_args(SnapshotMode)}, not {mode!r}")
        if threshold is not None and threshold < 1:
            raise ValueError(f"snapshot_threshold must be 1 or more, not {threshold}")
        self._store = store
        self._aggregate_type = aggregate_type
        self._threshold = threshold
        self._mode = mode
        self._pending: set[asyncio.Task[None]] = set()
        self._in_order = asyncio.Lock()

    @property
    def pending_count(self) -> int:
        """How many snapshots are still being saved in the background."""
        return len(self._pending)

    async def restore(self, aggregate_id: UUID, factory: Callable[[UUID], Any]) -> tuple[Any | None, SnapshotOutcome]:
        """Return the aggregate as its snapshot has it, if there is a usable one, and what became of the snapshot."""
        try:
            snapshot = await self._store.get_snapshot(aggregate_id, self._aggregate_type)
        except Exception as error:  # a snapshot only saves time: whatever is wrong with it, the events are there
            self._warn("Error loading snapshot for", aggregate_id, error)
            return None, "error"
        if snapshot is None:
            return None, "miss"
        aggregate = factory(aggregate_id)
        if snapshot.schema_version != aggregate.schema_version:
            self._report_other_schema(snapshot, aggregate.schema_version)
            return None, "stale"
        try:
            aggregate._restore_from_snapshot(snapshot.state, snapshot.version)
        except Exception as error:  # as above
            self._warn("Failed to restore from snapshot of", aggregate_id, error)
            return None, "error"
        aggregate.snapshot_version = snapshot.version
        return aggregate, "hit"

    async def after_save(self, aggregate: Any) -> None:
        """Take a snapshot of *aggregate* if it is due; a failure is logged and does no other harm."""
        if self._mode == "manual" or not self._is_due(aggregate):
            return
        try:
            snapshot = self._taken(aggregate)
        except Exception as error:  # the events are saved: nobody must take this for a failure of that
            self._warn("Failed to take snapshot of", aggregate.aggregate_id, error)
            return
        if self._mode == "sync":
            if await self._save_quietly(snapshot):
                aggregate.snapshot_version = snapshot.version
            return
        aggregate.snapshot_version = snapshot.version
        if not self._pending:
            self._in_order = asyncio.Lock()  # a lock serves one event loop only
        task = asyncio.create_task(self._save_in_order(snapshot))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def create(self, aggregate: Any) -> Snapshot:
        """
        Take a snapshot of *aggregate* whether it is due or not, and return it.

        Raises:
            SnapshotError: If it has events that are not saved: its state may never come true.
        """
        if unsaved := len(aggregate.uncommitted_events):
            raise SnapshotError(
                f"{self._aggregate_type} {aggregate.aggregate_id} has {unsaved} events that are not saved; "
                "save it before taking a snapshot"
            )
        snapshot = self._taken(aggregate)
        await self._save(snapshot)
        aggregate.snapshot_version = snapshot.version
        return snapshot

    async def await_pending(self) -> int:
        """Wait for the snapshots that are being saved in the background and return how many there were."""
        pending = set(self._pending)
        if pending:
            await asyncio.wait(pending)  # which leaves them alone if whoever waits is cancelled
        return len(pending)

    def _is_due(self, aggregate: Any) -> bool:
        if self._threshold is None or aggregate.uncommitted_events:  # the state runs ahead of what is saved
            return False
        return bool(aggregate.version - aggregate.snapshot_version >= self._threshold)

    def _taken(self, aggregate: Any) -> Snapshot:
        return Snapshot(
            aggregate_id=aggregate.aggregate_id,
            aggregate_type=self._aggregate_type,
            version=aggregate.version,
            state=aggregate._serialize_state(),
            schema_version=aggregate.schema_version,
            created_at=datetime.now(UTC),
        )

    async def _save(self, snapshot: Snapshot) -> None:
        await self._store.save_snapshot(snapshot)
        logger.info(
            "Created snapshot for %s/%s at version %d (schema_version=%d)",
            snapshot.aggregate_type,
            snapshot.aggregate_id,
            snapshot.version,
            snapshot.schema_version,
        )

    async def _save_quietly(self, snapshot: Snapshot) -> bool:
        try:
            await self._save(snapshot)
            return True
        except Exception as error:  # the events are saved: nobody must take this for a failure of that
            self._warn("Failed to save snapshot of", snapshot.aggregate_id, error)
            return False

    async def _save_in_order(self, snapshot: Snapshot) -> None:
        async with self._in_order:  # an older snapshot must not overwrite a newer one
            await self._save_quietly(snapshot)

    def _warn(self, what: str, aggregate_id: UUID, error: Exception) -> None:
        logger.warning(
            "%s %s/%s: %s; its events are used instead",
            what,
            self._aggregate_type,
            aggregate_id,
            error,
            extra={"aggregate_id": str(aggregate_id), "aggregate_type": self._aggregate_type},
        )

    def _report_other_schema(self, snapshot: Snapshot, expected: int) -> None:
        logger.info(
            "Snapshot schema version mismatch for %s/%s: snapshot has %d, the aggregate %d",
            self._aggregate_type,
            snapshot.aggregate_id,
            snapshot.schema_version,
            expected,
        )
