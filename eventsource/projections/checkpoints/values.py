"""What checkpoint repositories give."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class CheckpointData:
    """
    How far a projection has come.

    ``global_position`` is None as long as it has not begun, and again after a reset. ``replay_until`` is set by a reset
    that makes the read model anew: everything up to that position has been handled before.
    """

    projection_name: str
    last_event_id: UUID | None = None
    last_event_type: str | None = None
    last_processed_at: datetime | None = None
    events_processed: int = 0
    global_position: int | None = None
    replay_until: int | None = None


@dataclass(frozen=True, slots=True)
class LagMetrics:
    """How far a projection is behind: ids as text, times in ISO 8601, the lag in seconds."""

    projection_name: str
    last_event_id: str | None = None
    latest_event_id: str | None = None
    lag_seconds: float = 0.0
    events_processed: int = 0
    last_processed_at: str | None = None
