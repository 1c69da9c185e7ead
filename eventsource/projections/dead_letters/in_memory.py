"""Dead letters in a dictionary: for read models in memory, tests and examples."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, ClassVar
from uuid import UUID

from eventsource.projections.dead_letters.interface import DLQRepository
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
from eventsource.projections.dead_letters.values import DLQEntry, DLQStats, ProjectionFailureCount, as_text

_projection_name = attrgetter("projection_name")


class InMemoryDLQRepository(DLQRepository):
    """Dead letters that live as long as the object."""

    system: ClassVar[str] = "memory"

    def __init__(self, enable_tracing: bool = True) -> None:
        self.enable_tracing = enable_tracing
        self._entries: dict[int, DLQEntry] = {}
        self._ids: dict[tuple[UUID, str], int] = {}
        self._last_id = 0

    async def clear(self) -> None:
        """Forget all entries."""
        self._entries.clear()
        self._ids.clear()

    async def _add_failed_event(self, add: AddFailedEvent) -> int:
        key = add.event_id, add.projection_name
        if key not in self._ids:
            self._last_id += 1
            self._ids[key] = self._last_id
        self._entries[self._ids[key]] = _failed(add, self._ids[key], self._entries.get(self._ids[key]))
        return self._ids[key]

    async def _get_failed_events(self, get: GetFailedEvents) -> list[DLQEntry]:
        chosen = [
            entry
            for entry in self._entries.values()
            if get.projection_name in (None, entry.projection_name) and get.status in (None, entry.status)
        ]
        chosen.sort(key=attrgetter("id"), reverse=not get.oldest_first)
        return chosen[: get.limit]

    async def _get_failed_event(self, get: GetFailedEvent) -> DLQEntry | None:
        return self._entries.get(get.dlq_id)

    async def _mark_resolved(self, mark: MarkResolved) -> bool:
        return self._change(mark.dlq_id, status="resolved", resolved_at=mark.resolved_at, resolved_by=mark.resolved_by)

    async def _resolve_failed_events(self, resolve: ResolveFailedEvents) -> int:
        waiting = [entry.id for entry in self._waiting() if entry.projection_name == resolve.projection_name]
        for dlq_id in waiting:
            self._change(dlq_id, status="resolved", resolved_at=resolve.resolved_at, resolved_by=resolve.resolved_by)
        return len(waiting)

    async def _mark_retrying(self, mark: MarkRetrying) -> bool:
        return self._change(mark.dlq_id, status="retrying", resolved_at=None, resolved_by=None)

    async def _get_failure_stats(self, get: GetFailureStats) -> DLQStats:
        waiting = self._waiting()
        statuses = [entry.status for entry in waiting]
        return DLQStats(
            statuses.count("failed"),
            statuses.count("retrying"),
            len({entry.projection_name for entry in waiting}),
            _iso(min, (entry.first_failed_at for entry in waiting)),
        )

    async def _get_failure_counts(self, get: GetFailureCounts) -> list[ProjectionFailureCount]:
        counts = [
            _count(name, list(entries))
            for name, entries in groupby(sorted(self._waiting(), key=_projection_name), key=_projection_name)
        ]
        return sorted(counts, key=lambda each: (-each.failure_count, each.projection_name))

    async def _delete_resolved_events(self, delete: DeleteResolvedEvents) -> int:
        chosen = [
            entry
            for entry in self._entries.values()
            if entry.resolved_at is not None and entry.resolved_at <= delete.until
        ]
        for entry in chosen:
            del self._entries[entry.id], self._ids[entry.event_id, entry.projection_name]
        return len(chosen)

    def _waiting(self) -> list[DLQEntry]:
        return [entry for entry in self._entries.values() if entry.status != "resolved"]

    def _change(self, dlq_id: int, **changes: Any) -> bool:
        entry = self._entries.get(dlq_id)
        if entry is not None:
            self._entries[dlq_id] = replace(entry, **changes)
        return entry is not None


def _failed(add: AddFailedEvent, dlq_id: int, before: DLQEntry | None) -> DLQEntry:
    return DLQEntry(
        dlq_id,
        add.event_id,
        add.projection_name,
        add.event_type,
        before.event_data if before else add.event_data,
        add.error_message,
        add.error_stacktrace,
        add.retry_count,
        before.first_failed_at if before else add.failed_at,
        add.failed_at,
        error_type=type(add.error).__name__,
        headers=before.headers if before else add.event_headers or {},
    )


def _count(name: str, entries: list[DLQEntry]) -> ProjectionFailureCount:
    first, last = (entry.first_failed_at for entry in entries), (entry.last_failed_at for entry in entries)
    return ProjectionFailureCount(name, len(entries), _iso(min, first), _iso(max, last))


def _iso(choose: Any, moments: Iterable[datetime | None]) -> str | None:
    chosen: datetime | None = choose(moments, default=None)
    return as_text(chosen) if chosen else None
