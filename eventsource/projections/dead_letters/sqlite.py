"""Dead letters in a SQLite file."""

import sqlite3
from datetime import datetime
from functools import partial
from os import PathLike
from typing import Any, ClassVar
from uuid import UUID

import pydantic_core

from eventsource.databases.sqlite import Job, SQLiteOptions, Synchronous
from eventsource.databases.sqlite_stores import SQLiteBacked
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

_COLUMNS = (
    "id, event_id, projection_name, event_type, event_data, error_message, error_stacktrace, retry_count, "
    "first_failed_at, last_failed_at, status, resolved_at, resolved_by, error_type, headers"
)
_CREATE = """
CREATE TABLE IF NOT EXISTS dead_letter_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    projection_name TEXT NOT NULL,
    event_type TEXT NOT NULL,
    event_data TEXT NOT NULL,
    error_message TEXT NOT NULL,
    error_stacktrace TEXT,
    error_type TEXT NOT NULL,
    headers TEXT,
    retry_count INTEGER NOT NULL,
    first_failed_at TEXT NOT NULL,  -- ISO 8601 with microseconds, in UTC, and so in the order of time
    last_failed_at TEXT NOT NULL,   -- likewise
    status TEXT NOT NULL DEFAULT 'failed',
    resolved_at TEXT,               -- likewise
    resolved_by TEXT,
    UNIQUE (event_id, projection_name)
)
"""
_ADD = """
INSERT INTO dead_letter_queue (event_id, projection_name, event_type, event_data, error_message, error_stacktrace,
    error_type, headers, retry_count, first_failed_at, last_failed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (event_id, projection_name) DO UPDATE SET
    event_type = excluded.event_type, error_message = excluded.error_message,
    error_stacktrace = excluded.error_stacktrace, error_type = excluded.error_type, retry_count = excluded.retry_count,
    last_failed_at = excluded.last_failed_at, status = 'failed', resolved_at = NULL, resolved_by = NULL
"""
_ID = "SELECT id FROM dead_letter_queue WHERE event_id = ? AND projection_name = ?"
_GET = f"SELECT {_COLUMNS} FROM dead_letter_queue WHERE id = ?"
_LIST = f"""
SELECT {_COLUMNS} FROM dead_letter_queue
WHERE projection_name = coalesce(?, projection_name) AND status = coalesce(?, status)
ORDER BY id {{order}} LIMIT ?
"""
_RESOLVE = "UPDATE dead_letter_queue SET status = 'resolved', resolved_at = ?, resolved_by = ? WHERE id = ?"
_RESOLVE_ALL = """
UPDATE dead_letter_queue SET status = 'resolved', resolved_at = ?, resolved_by = ?
WHERE projection_name = ? AND status != 'resolved'
"""
_RETRY = "UPDATE dead_letter_queue SET status = 'retrying', resolved_at = NULL, resolved_by = NULL WHERE id = ?"
_STATS = """
SELECT count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'retrying'),
    count(DISTINCT projection_name), min(first_failed_at)
FROM dead_letter_queue WHERE status != 'resolved'
"""
_COUNTS = """
SELECT projection_name, count(*), min(first_failed_at), max(last_failed_at)
FROM dead_letter_queue WHERE status != 'resolved' GROUP BY projection_name ORDER BY count(*) DESC, projection_name
"""
_DELETE = "DELETE FROM dead_letter_queue WHERE status = 'resolved' AND resolved_at <= ?"


class SQLiteDLQRepository(SQLiteBacked, DLQRepository):
    """
    Dead letters in one file, which may be that of the event store.

    An async context manager: entering opens the file and creates the table. The options are those of
    `SQLiteEventStore`; stores of one file that are opened alike share their connections.
    """

    system: ClassVar[str] = "sqlite"
    _schema = (_CREATE,)
    _probe = f"SELECT {_COLUMNS} FROM dead_letter_queue LIMIT 0"

    def __init__(
        self,
        database: str | PathLike[str],
        enable_tracing: bool = True,
        *,
        wal_mode: bool = True,
        synchronous: Synchronous = "FULL",
        busy_timeout: int = 5000,
    ) -> None:
        super().__init__(database, SQLiteOptions(wal_mode, synchronous, busy_timeout))
        self.enable_tracing = enable_tracing

    async def _add_failed_event(self, add: AddFailedEvent) -> int:
        dlq_id: int = (await self._connected.write(partial(add_dead_letter, add))).result
        return dlq_id

    async def _get_failed_events(self, get: GetFailedEvents) -> list[DLQEntry]:
        statement = _LIST.format(order="ASC" if get.oldest_first else "DESC")
        return [_entry(row) for row in await self._rows(statement, get.projection_name, get.status, get.limit)]

    async def _get_failed_event(self, get: GetFailedEvent) -> DLQEntry | None:
        rows = await self._rows(_GET, get.dlq_id)
        return _entry(rows[0]) if rows else None

    async def _mark_resolved(self, mark: MarkResolved) -> bool:
        return await self._change(_RESOLVE, as_text(mark.resolved_at), mark.resolved_by, mark.dlq_id) > 0

    async def _resolve_failed_events(self, resolve: ResolveFailedEvents) -> int:
        resolved: int = (await self._connected.write(partial(resolve_all_dead_letters, resolve))).result
        return resolved

    async def _mark_retrying(self, mark: MarkRetrying) -> bool:
        return await self._change(_RETRY, mark.dlq_id) > 0

    async def _get_failure_stats(self, get: GetFailureStats) -> DLQStats:
        ((failed, retrying, projections, oldest),) = await self._rows(_STATS)
        return DLQStats(failed, retrying, projections, oldest)

    async def _get_failure_counts(self, get: GetFailureCounts) -> list[ProjectionFailureCount]:
        return [ProjectionFailureCount(*row) for row in await self._rows(_COUNTS)]

    async def _delete_resolved_events(self, delete: DeleteResolvedEvents) -> int:
        return await self._change(_DELETE, as_text(delete.until))

    async def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return await self._connected.read(lambda connection: connection.execute(statement, values).fetchall())

    async def _change(self, statement: str, *values: object) -> int:
        job: Job[int] = lambda connection: connection.execute(statement, values).rowcount  # noqa: E731
        changed: int = (await self._connected.write(job)).result
        return changed


def add_dead_letter(add: AddFailedEvent, connection: sqlite3.Connection) -> int:
    """Keep an event that failed, as a part of somebody's transaction, and return the id of its entry."""
    key = str(add.event_id), add.projection_name
    values = (
        add.event_type,
        add.event_data,
        add.error_message,
        add.error_stacktrace,
        type(add.error).__name__,
        pydantic_core.to_json(add.event_headers).decode() if add.event_headers else None,
        add.retry_count,
        as_text(add.failed_at),
        as_text(add.failed_at),
    )
    connection.execute(_ADD, (*key, *values))
    ((dlq_id,),) = connection.execute(_ID, key)
    return int(dlq_id)


def resolve_all_dead_letters(resolve: ResolveFailedEvents, connection: sqlite3.Connection) -> int:
    """Resolve all entries of a projection as a part of somebody's transaction, and return how many were not."""
    values = as_text(resolve.resolved_at), resolve.resolved_by, resolve.projection_name
    return connection.execute(_RESOLVE_ALL, values).rowcount


def resolve_dead_letter(mark: MarkResolved, connection: sqlite3.Connection) -> bool:
    """Resolve an entry as a part of somebody's transaction, and tell whether it was not resolved before."""
    values = as_text(mark.resolved_at), mark.resolved_by, mark.dlq_id
    return connection.execute(f"{_RESOLVE} AND status != 'resolved'", values).rowcount > 0


def is_resolved(dlq_id: int, connection: sqlite3.Connection) -> bool:
    """Tell whether an entry is resolved, as a part of somebody's transaction."""
    return connection.execute(f"{_GET} AND status = 'resolved'", (dlq_id,)).fetchone() is not None


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _entry(row: tuple[Any, ...]) -> DLQEntry:
    dlq_id, event_id, *texts, retries, first, last, status, resolved_at, resolved_by, error_type, headers = row
    name, event_type, data, message, stack = texts
    return DLQEntry(
        dlq_id,
        UUID(event_id),
        name,
        event_type,
        data,
        message,
        stack,
        retries,
        _moment(first),
        _moment(last),
        status,
        _moment(resolved_at),
        resolved_by,
        error_type,
        pydantic_core.from_json(headers) if headers else {},
    )
