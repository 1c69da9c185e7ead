"""The operations that pass a snapshot store's door."""

from dataclasses import dataclass
from uuid import UUID

from eventsource.snapshots.values import Snapshot


@dataclass(slots=True)
class SaveSnapshot:
    """Keep a snapshot instead of the one before."""

    snapshot: Snapshot


@dataclass(slots=True)
class GetSnapshot:
    """Get the snapshot of an aggregate."""

    aggregate_id: UUID
    aggregate_type: str


@dataclass(slots=True)
class DeleteSnapshot:
    """Delete the snapshot of an aggregate."""

    aggregate_id: UUID
    aggregate_type: str


@dataclass(slots=True)
class SnapshotExists:
    """Ask whether an aggregate has a snapshot."""

    aggregate_id: UUID
    aggregate_type: str


@dataclass(slots=True)
class DeleteSnapshots:
    """Delete the snapshots of a type, all or those of older schema versions."""

    aggregate_type: str
    schema_version_below: int | None
