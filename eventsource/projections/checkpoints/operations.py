"""The operations that pass a checkpoint repository's door."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(slots=True)
class GetCheckpoint:
    """Get the checkpoint of a projection."""

    projection_name: str


@dataclass(slots=True)
class GetAllCheckpoints:
    """Get the checkpoints of all projections."""


@dataclass(slots=True)
class SaveCheckpoint:
    """
    Note that a projection has handled events up to one, and so many since the last time.

    Without a ``position`` that stays as it is. ``expected`` and ``owner`` are what position and lease must be, if they
    are given.
    """

    projection_name: str
    event_id: UUID | None
    event_type: str | None
    position: int | None = None
    expected: int | None = None
    owner: str | None = None
    events: int = 1


@dataclass(slots=True)
class ResetCheckpoint:
    """Let a projection begin again."""

    projection_name: str
    replay_until: int | None


@dataclass(slots=True)
class AcquireLease:
    """Ask to be the only one who moves a checkpoint, for so many seconds."""

    projection_name: str
    owner: str
    seconds: float


@dataclass(slots=True)
class ReleaseLease:
    """Let others have the lease."""

    projection_name: str
    owner: str
