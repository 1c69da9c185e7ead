"""The operations that pass a dead-letter repository's door."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from eventsource.projections.dead_letters.values import DLQStatus
from eventsource.types import Headers


@dataclass(slots=True)
class AddFailedEvent:
    """Keep an event that could not be handled, or note that it failed again."""

    event_id: UUID
    projection_name: str
    event_type: str
    event_data: str
    error: BaseException
    error_message: str
    error_stacktrace: str
    retry_count: int
    event_headers: Headers | None
    failed_at: datetime
    again: bool


@dataclass(slots=True)
class GetFailedEvents:
    """Get entries, those of one projection or of one status only if they are given."""

    projection_name: str | None
    status: DLQStatus | None
    limit: int
    oldest_first: bool


@dataclass(slots=True)
class GetFailedEvent:
    """Get one entry."""

    dlq_id: int


@dataclass(slots=True)
class MarkResolved:
    """Note that an entry needs no more attention."""

    dlq_id: int
    resolved_by: str
    resolved_at: datetime


@dataclass(slots=True)
class MarkRetrying:
    """Note that an entry is tried again."""

    dlq_id: int


@dataclass(slots=True)
class ResolveFailedEvents:
    """Note that no entry of a projection needs attention any more."""

    projection_name: str
    resolved_by: str
    resolved_at: datetime


@dataclass(slots=True)
class GetFailureStats:
    """Count the entries that are not resolved."""


@dataclass(slots=True)
class GetFailureCounts:
    """Count the entries that are not resolved, for each projection."""


@dataclass(slots=True)
class DeleteResolvedEvents:
    """Delete the entries that were resolved at a moment or before."""

    until: datetime
