"""Checkpoints in a dictionary: for read models in memory, tests and examples."""

import time
from typing import ClassVar

from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.checkpoints.moves import Record, has_begun, leased, moved, released, was_reset
from eventsource.projections.checkpoints.operations import (
    AcquireLease,
    GetAllCheckpoints,
    GetCheckpoint,
    ReleaseLease,
    ResetCheckpoint,
    SaveCheckpoint,
)
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.stores.interface import EventStore


class InMemoryCheckpointRepository(CheckpointRepository):
    """
    Checkpoints that live as long as the object.

    Args:
        enable_tracing: Whether an instrumentation makes spans for it.
        event_store: Where `get_lag_metrics` looks for the newest event.
    """

    system: ClassVar[str] = "memory"

    def __init__(self, enable_tracing: bool = True, *, event_store: EventStore | None = None) -> None:
        self.enable_tracing = enable_tracing
        self._event_store = event_store
        self._records: dict[str, Record] = {}

    async def clear(self) -> None:
        """Forget all checkpoints and leases."""
        self._records.clear()

    async def _get_checkpoint(self, get: GetCheckpoint) -> CheckpointData | None:
        record = self._record(get.projection_name)
        return record.checkpoint if has_begun(record) else None

    async def _get_all_checkpoints(self, get: GetAllCheckpoints) -> list[CheckpointData]:
        return [self._records[name].checkpoint for name in sorted(self._records) if has_begun(self._records[name])]

    async def _save_checkpoint(self, save: SaveCheckpoint) -> None:
        self._records[save.projection_name] = moved(self._record(save.projection_name), save)

    async def _reset_checkpoint(self, reset: ResetCheckpoint) -> None:
        self._records[reset.projection_name] = was_reset(self._record(reset.projection_name), reset)

    async def _acquire_lease(self, acquire: AcquireLease) -> CheckpointData | None:
        record = leased(self._record(acquire.projection_name), acquire, time.monotonic())
        if record is None:
            return None
        self._records[acquire.projection_name] = record
        return record.checkpoint

    async def _release_lease(self, release: ReleaseLease) -> None:
        self._records[release.projection_name] = released(self._record(release.projection_name), release)

    def _record(self, name: str) -> Record:
        return self._records.get(name) or Record(CheckpointData(name))
