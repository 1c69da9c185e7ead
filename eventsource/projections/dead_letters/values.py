"""What dead-letter repositories give."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from eventsource.types import Headers

DLQStatus: TypeAlias = Literal["failed", "retrying", "resolved"]


@dataclass(frozen=True, slots=True)
class DLQEntry:
    """
    An event that a projection could not handle.

    ``event_data`` is the event as JSON text, or what is stored of one that cannot be read; ``headers`` are what stood
    beside it. ``retry_count`` is how often it was attempted.
    """

    id: int
    event_id: UUID
    projection_name: str
    event_type: str
    event_data: str
    error_message: str
    error_stacktrace: str | None = None
    retry_count: int = 0
    first_failed_at: datetime | None = None
    last_failed_at: datetime | None = None
    status: DLQStatus = "failed"
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    error_type: str | None = None
    headers: Headers = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DLQStats:
    """How many entries are not resolved, of how many projections, and since when (ISO 8601)."""

    total_failed: int = 0
    total_retrying: int = 0
    affected_projections: int = 0
    oldest_failure: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectionFailureCount:
    """How many entries of one projection are not resolved, and from when to when they failed (ISO 8601)."""

    projection_name: str
    failure_count: int
    oldest_failure: str | None = None
    most_recent_failure: str | None = None


RetryOutcome: TypeAlias = Literal["resolved", "failed", "unreadable", "resolved before", "unknown"]


@dataclass(frozen=True, slots=True)
class RetryResult:
    """
    What came of trying an entry again.

    ``resolved``: the event was handled. ``failed``: it failed again, and the entry says with what. ``unreadable``: the
    event cannot be made from what is kept. ``resolved before``: nothing was tried. ``unknown``: the projection has no
    such entry. ``error`` is what was raised, if anything was.
    """

    dlq_id: int
    outcome: RetryOutcome
    event_id: UUID | None = None
    error: Exception | None = None


def as_text(moment: datetime) -> str:
    """Return *moment*, which is in UTC, in ISO 8601 with microseconds: texts are then in the order of time."""
    return moment.isoformat(timespec="microseconds")
