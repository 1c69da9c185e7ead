"""The port of snapshot stores."""

from abc import ABC, abstractmethod
from typing import ClassVar, final
from uuid import UUID

from eventsource.component import Component, implemented_by
from eventsource.events.checks import check_aggregate, check_type
from eventsource.snapshots.operations import (
    DeleteSnapshot,
    DeleteSnapshots,
    GetSnapshot,
    SaveSnapshot,
    SnapshotExists,
)
from eventsource.snapshots.values import Snapshot

__all__ = ["Snapshot", "SnapshotStore"]


class SnapshotStore(Component, ABC):
    """
    Keeps the newest snapshot of each aggregate.

    Backends implement the underscored hooks. ``system`` names the database (the value of ``db.system.name``).
    """

    system: ClassVar[str] = "other"

    @property
    def namespace(self) -> str | None:
        """The database that this store writes to, where that has a name."""
        return None

    @final
    @implemented_by("_save_snapshot")
    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep *snapshot* instead of the one before, whichever is newer."""
        check_type("snapshot", snapshot, Snapshot)
        await self._perform(self._save_snapshot, SaveSnapshot(snapshot))

    @final
    @implemented_by("_get_snapshot")
    async def get_snapshot(self, aggregate_id: UUID, aggregate_type: str) -> Snapshot | None:
        """
        Return the snapshot of an aggregate, if there is one.

        Raises:
            SnapshotDeserializationError: If what is stored is no snapshot.
        """
        check_aggregate(aggregate_id, aggregate_type)
        return await self._perform(self._get_snapshot, GetSnapshot(aggregate_id, aggregate_type))

    @final
    @implemented_by("_delete_snapshot")
    async def delete_snapshot(self, aggregate_id: UUID, aggregate_type: str) -> bool:
        """Delete the snapshot of an aggregate and tell whether there was one."""
        check_aggregate(aggregate_id, aggregate_type)
        return await self._perform(self._delete_snapshot, DeleteSnapshot(aggregate_id, aggregate_type))

    @final
    @implemented_by("_snapshot_exists")
    async def snapshot_exists(self, aggregate_id: UUID, aggregate_type: str) -> bool:
        """Tell whether an aggregate has a snapshot."""
        check_aggregate(aggregate_id, aggregate_type)
        return await self._perform(self._snapshot_exists, SnapshotExists(aggregate_id, aggregate_type))

    @final
    @implemented_by("_delete_snapshots")
    async def delete_snapshots_by_type(self, aggregate_type: str, schema_version_below: int | None = None) -> int:
        """
        Delete the snapshots of a type and return how many there were.

        Args:
            aggregate_type: Of which type the aggregates are.
            schema_version_below: Only those with a lower schema version than this.
        """
        check_type("aggregate_type", aggregate_type, str)
        if schema_version_below is not None:
            check_type("schema_version_below", schema_version_below, int)
        return await self._perform(self._delete_snapshots, DeleteSnapshots(aggregate_type, schema_version_below))

    @abstractmethod
    async def _save_snapshot(self, save: SaveSnapshot) -> None: ...

    @abstractmethod
    async def _get_snapshot(self, get: GetSnapshot) -> Snapshot | None: ...

    @abstractmethod
    async def _delete_snapshot(self, delete: DeleteSnapshot) -> bool: ...

    @abstractmethod
    async def _snapshot_exists(self, exists: SnapshotExists) -> bool: ...

    @abstractmethod
    async def _delete_snapshots(self, delete: DeleteSnapshots) -> int: ...
