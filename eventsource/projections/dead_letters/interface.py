"""The port of dead-letter repositories."""

import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, final, get_args
from uuid import UUID

import pydantic_core

from eventsource.component import Component, implemented_by
from eventsource.events.checks import check_name, check_type
from eventsource.headers import check_headers
from eventsource.projections.dead_letters.operations import (
    AddFailedEvent,
    DeleteResolvedEvents,
    GetFailedEvent,
    GetFailedEvents,
    GetFailureCounts,
    GetFailureStats,
    MarkResolved,
    MarkRetrying,
    ResolveFailedEvents,
)
from eventsource.projections.dead_letters.values import DLQEntry, DLQStats, DLQStatus, ProjectionFailureCount
from eventsource.types import Headers

__all__ = ["DLQEntry", "DLQRepository", "DLQStats", "ProjectionFailureCount"]


class DLQRepository(Component, ABC):
    """
    A dead-letter queue: keeps each event that a projection could not handle once, with the reason.

    Backends implement the underscored hooks. ``system`` names the database (the value of ``db.system.name``).
    """

    system: ClassVar[str] = "other"

    @property
    def namespace(self) -> str | None:
        """The database that the entries are in, where that has a name."""
        return None

    @final
    @implemented_by("_add_failed_event")
    async def add_failed_event(
        self,
        event_id: UUID,
        projection_name: str,
        event_type: str,
        event_data: Mapping[str, Any] | str,
        error: BaseException,
        retry_count: int = 0,
        *,
        headers: Headers | None = None,
        again: bool = False,
    ) -> int:
        """
        Keep an event that failed and return the id of its entry.

        An event that the projection failed on before keeps its entry, its data and headers, and the time of the
        first failure; the rest is replaced, and its status is ``failed`` again.

        Args:
            event_id: Which event.
            projection_name: Whose failure.
            event_type: The event's type.
            event_data: The event as JSON values, or as JSON text.
            error: What was raised; its message, class and stack are kept.
            retry_count: How often the event was attempted.
            headers: What stood beside the event.
            again: Whether this is about an entry that was tried again, and no new dead letter.
        """
        add = failed_event(
            event_id,
            projection_name,
            event_type,
            event_data,
            error,
            retry_count=retry_count,
            headers=headers,
            again=again,
        )
        return await self._perform(self._add_failed_event, add)

    @final
    @implemented_by("_get_failed_events")
    async def get_failed_events(
        self,
        projection_name: str | None = None,
        status: DLQStatus | None = "failed",
        limit: int = 100,
        *,
        oldest_first: bool = False,
    ) -> list[DLQEntry]:
        """
        Return entries, the latest first failure first.

        Args:
            projection_name: Only those of this projection.
            status: Only those of this status; None for all.
            limit: At most so many.
            oldest_first: Whether to return them in the order in which they failed first.
        """
        if projection_name is not None:
            check_name("projection_name", projection_name)
        if status not in (None, *get_args(DLQStatus)):
            raise ValueError(f"status must be one of {get_args(DLQStatus)} or None, not {status!r}")
        check_type("limit", limit, int)
        if limit < 0:
            raise ValueError(f"limit must be 0 or more, not {limit}")
        get = GetFailedEvents(projection_name, status, limit, oldest_first)
        return await self._perform(self._get_failed_events, get)

    @final
    @implemented_by("_get_failed_event")
    async def get_failed_event_by_id(self, dlq_id: int) -> DLQEntry | None:
        """Return one entry, if there is one of this id."""
        check_type("dlq_id", dlq_id, int)
        return await self._perform(self._get_failed_event, GetFailedEvent(dlq_id))

    @final
    @implemented_by("_mark_resolved")
    async def mark_resolved(self, dlq_id: int, resolved_by: str) -> bool:
        """Note that an entry needs no more attention, and thanks to whom; tell whether there is such an entry."""
        check_type("dlq_id", dlq_id, int)
        check_name("resolved_by", resolved_by)
        return await self._perform(self._mark_resolved, MarkResolved(dlq_id, resolved_by, datetime.now(UTC)))

    @final
    @implemented_by("_resolve_failed_events")
    async def resolve_failed_events(self, projection_name: str, resolved_by: str) -> int:
        """Note that no entry of a projection needs attention any more, and return how many did."""
        check_name("projection_name", projection_name)
        check_name("resolved_by", resolved_by)
        resolve = ResolveFailedEvents(projection_name, resolved_by, datetime.now(UTC))
        return await self._perform(self._resolve_failed_events, resolve)

    @final
    @implemented_by("_mark_retrying")
    async def mark_retrying(self, dlq_id: int) -> bool:
        """Note that an entry is tried again; tell whether there is such an entry."""
        check_type("dlq_id", dlq_id, int)
        return await self._perform(self._mark_retrying, MarkRetrying(dlq_id))

    @final
    @implemented_by("_get_failure_stats")
    async def get_failure_stats(self) -> DLQStats:
        """Return how many entries are not resolved."""
        return await self._perform(self._get_failure_stats, GetFailureStats())

    @final
    @implemented_by("_get_failure_counts")
    async def get_projection_failure_counts(self) -> list[ProjectionFailureCount]:
        """Return for each projection how many entries are not resolved, the most first."""
        return await self._perform(self._get_failure_counts, GetFailureCounts())

    @final
    @implemented_by("_delete_resolved_events")
    async def delete_resolved_events(self, older_than_days: float = 30) -> int:
        """Delete the entries that were resolved so many days ago or earlier, and return how many there were."""
        if older_than_days < 0:
            raise ValueError(f"older_than_days must be 0 or more, not {older_than_days}")
        until = datetime.now(UTC) - timedelta(days=older_than_days)
        return await self._perform(self._delete_resolved_events, DeleteResolvedEvents(until))

    @abstractmethod
    async def _add_failed_event(self, add: AddFailedEvent) -> int: ...

    @abstractmethod
    async def _get_failed_events(self, get: GetFailedEvents) -> list[DLQEntry]: ...

    @abstractmethod
    async def _get_failed_event(self, get: GetFailedEvent) -> DLQEntry | None: ...

    @abstractmethod
    async def _mark_resolved(self, mark: MarkResolved) -> bool: ...

    @abstractmethod
    async def _resolve_failed_events(self, resolve: ResolveFailedEvents) -> int: ...

    @abstractmethod
    async def _mark_retrying(self, mark: MarkRetrying) -> bool: ...

    @abstractmethod
    async def _get_failure_stats(self, get: GetFailureStats) -> DLQStats: ...

    @abstractmethod
    async def _get_failure_counts(self, get: GetFailureCounts) -> list[ProjectionFailureCount]: ...

    @abstractmethod
    async def _delete_resolved_events(self, delete: DeleteResolvedEvents) -> int: ...


def failed_event(
    event_id: UUID,
    projection_name: str,
    event_type: str,
    event_data: Mapping[str, Any] | str,
    error: BaseException,
    *,
    retry_count: int,
    headers: Headers | None,
    again: bool = False,
) -> AddFailedEvent:
    """Return the operation that `DLQRepository.add_failed_event` performs."""
    check_type("event_id", event_id, UUID)
    check_name("projection_name", projection_name)
    check_type("event_type", event_type, str)
    check_type("error", error, BaseException)
    check_type("retry_count", retry_count, int)
    return AddFailedEvent(
        event_id,
        projection_name,
        event_type,
        event_data if isinstance(event_data, str) else pydantic_core.to_json(event_data).decode(),
        error,
        _writable(message_of(error)),
        _writable("".join(traceback.format_exception(error))),
        retry_count,
        check_headers(headers),
        datetime.now(UTC),
        again,
    )


def message_of(error: BaseException) -> str:
    """Return the message of *error*, also of one that cannot say it."""
    try:
        return str(error)
    except Exception as failure:  # whoever wrote the class of the error did not expect this one
        reason = traceback.format_exception_only(failure)[-1].strip()
        return f"{type(error).__name__}, whose message cannot be shown: {reason}"


def _writable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
