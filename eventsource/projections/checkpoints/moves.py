"""What may become of a checkpoint, and of the lease that goes with it: the rules that all backends share."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from eventsource.exceptions import CheckpointConflictError
from eventsource.projections.checkpoints.operations import (
    AcquireLease,
    ReleaseLease,
    ResetCheckpoint,
    SaveCheckpoint,
)
from eventsource.projections.checkpoints.values import CheckpointData


@dataclass(frozen=True, slots=True)
class Record:
    """A checkpoint, who may move it, and until when, by the clock of whoever keeps it (seconds)."""

    checkpoint: CheckpointData
    lease_owner: str | None = None
    lease_expires_at: float = 0.0


def moved(record: Record, save: SaveCheckpoint) -> Record:
    """
    Return what *save* makes of *record*.

    Raises:
        CheckpointConflictError: If the position is another than expected, if it would go back, or if another owner has
            the lease.
    """
    before = record.checkpoint
    _check(record, save)
    position = before.global_position if save.position is None else save.position
    is_replayed = before.replay_until is None or (position is not None and position >= before.replay_until)
    after = replace(
        before,
        events_processed=before.events_processed + save.events,
        global_position=position,
        replay_until=None if is_replayed else before.replay_until,
    )
    if save.event_id is not None:
        after = replace(
            after,
            last_event_id=save.event_id,
            last_event_type=save.event_type,
            last_processed_at=datetime.now(UTC),
        )
    return replace(record, checkpoint=after)


def was_reset(record: Record, reset: ResetCheckpoint) -> Record:
    """Return *record* as it was before the first event; whoever has the lease keeps it."""
    checkpoint = CheckpointData(record.checkpoint.projection_name, replay_until=reset.replay_until)
    return replace(record, checkpoint=checkpoint)


def leased(record: Record, acquire: AcquireLease, now: float) -> Record | None:
    """Return *record* with the lease given to whom *acquire* says, None if another owner has it still."""
    if record.lease_owner not in (None, acquire.owner) and record.lease_expires_at > now:
        return None
    return replace(record, lease_owner=acquire.owner, lease_expires_at=now + acquire.seconds)


def released(record: Record, release: ReleaseLease) -> Record:
    """Return *record* without the lease, if it was that owner's."""
    return replace(record, lease_owner=None) if record.lease_owner == release.owner else record


def has_begun(record: Record) -> bool:
    """Tell whether a projection has handled anything, or begun to."""
    return record.checkpoint.global_position is not None or record.checkpoint.events_processed > 0


def _check(record: Record, save: SaveCheckpoint) -> None:
    name, before = save.projection_name, record.checkpoint.global_position
    if save.owner is not None and save.owner != record.lease_owner:
        holder = "nobody" if record.lease_owner is None else repr(record.lease_owner)
        raise CheckpointConflictError(
            name, f"may be moved by {holder}, not by {save.owner!r}: acquire the lease and read the checkpoint again"
        )
    if save.expected is not None and save.expected != before:
        found = "has been reset" if before is None else f"is at {before}"
        raise CheckpointConflictError(
            name, f"{found}, expected {save.expected}; somebody else moved it: read it again and go on from there"
        )
    if save.position is not None and save.position < (before or 0):
        raise CheckpointConflictError(
            name, f"is at {before} and cannot go back to {save.position}; call reset_checkpoint() to begin again"
        )
