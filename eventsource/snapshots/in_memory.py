"""Snapshots in a dictionary: for tests, examples and tools."""

from typing import ClassVar
from uuid import UUID

from eventsource.snapshots.interface import SnapshotStore
from eventsource.snapshots.operations import (
    DeleteSnapshot,
    DeleteSnapshots,
    GetSnapshot,
    SaveSnapshot,
    SnapshotExists,
)
from eventsource.snapshots.values import Snapshot


class InMemorySnapshotStore(SnapshotStore):
    """A snapshot store that lives as long as the object."""

    system: ClassVar[str] = "memory"

    def __init__(self, enable_tracing: bool = True) -> None:
        self.enable_tracing = enable_tracing
        self._snapshots: dict[tuple[UUID, str], Snapshot] = {}

    @property
    def snapshot_count(self) -> int:
        """How many snapshots there are."""
        return len(self._snapshots)

    async def clear(self) -> None:
        """Forget all snapshots."""
        self._snapshots.clear()

    async def _save_snapshot(self, save: SaveSnapshot) -> None:
        self._snapshots[save.snapshot.aggregate_id, save.snapshot.aggregate_type] = save.snapshot

    async def _get_snapshot(self, get: GetSnapshot) -> Snapshot | None:
        return self._snapshots.get((get.aggregate_id, get.aggregate_type))

    async def _delete_snapshot(self, delete: DeleteSnapshot) -> bool:
        return self._snapshots.pop((delete.aggregate_id, delete.aggregate_type), None) is not None

    async def _snapshot_exists(self, exists: SnapshotExists) -> bool:
        return (exists.aggregate_id, exists.aggregate_type) in self._snapshots

    async def _delete_snapshots(self, delete: DeleteSnapshots) -> int:
        limit = delete.schema_version_below
        chosen = [
            key
            for key, snapshot in self._snapshots.items()
            if key[1] == delete.aggregate_type and (limit is None or snapshot.schema_version < limit)
        ]
        for key in chosen:
            del self._snapshots[key]
        return len(chosen)
