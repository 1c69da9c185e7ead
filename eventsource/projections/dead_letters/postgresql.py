"""Dead letters in PostgreSQL."""

from typing import ClassVar

import pydantic_core

from eventsource.databases.postgresql import Connection, Row, Source
from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.databases.postgresql_stores import PostgreSQLBacked
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


class PostgreSQLDLQRepository(PostgreSQLBacked, DLQRepository):
    """
    Dead letters in PostgreSQL, in the database of the event store or in another one.

    An async context manager: entering connects, and creates the table. The arguments are those of
    `PostgreSQLEventStore`; stores that are given the same ones share their connections.
    """

    system: ClassVar[str] = "postgresql"
    _table = "dead_letter_queue"
    _columns = (
        "id, event_id, projection_name, event_type, event_data, error_message, error_stacktrace, retry_count, "
        "first_failed_at, last_failed_at, status, resolved_at, resolved_by, error_type, headers::text AS headers"
    )

    def __init__(
        self,
        database: Source,
        enable_tracing: bool = True,
        *,
        options: PostgreSQLOptions | None = None,
    ) -> None:
        super().__init__(database, options)
        self.enable_tracing = enable_tracing

    async def add(self, add: AddFailedEvent, connection: Connection) -> int:
        """Keep an event that failed, as a part of the transaction on *connection*, and return the id of its entry."""
        return int(await connection.fetchval(self._add, *_values(add)))

    async def resolve(self, mark: MarkResolved, connection: Connection) -> bool:
        """Resolve an entry as a part of the transaction on *connection*; tell whether it was not resolved before."""
        statement = f"{self._resolve} WHERE id = $3 AND status != 'resolved' RETURNING 1"
        return bool(await connection.fetch(statement, mark.resolved_at, _storable(mark.resolved_by), mark.dlq_id))

    async def resolve_all(self, resolve: ResolveFailedEvents, connection: Connection) -> int:
        """Resolve all entries of a projection as a part of the transaction on *connection*; tell how many were not."""
        statement = f"{self._resolve} WHERE projection_name = $3 AND status != 'resolved' RETURNING 1"
        by = _storable(resolve.resolved_by)
        return len(await connection.fetch(statement, resolve.resolved_at, by, resolve.projection_name))

    async def is_resolved(self, dlq_id: int, connection: Connection) -> bool:
        """Tell whether an entry is resolved, and keep it as it is for the transaction on *connection*."""
        query = f"SELECT status FROM {self._qualified} WHERE id = $1 FOR UPDATE"
        return bool(await connection.fetchval(query, dlq_id) == "resolved")

    async def _add_failed_event(self, add: AddFailedEvent) -> int:
        ((dlq_id,),) = await self._connected.write(self._add, *_values(add), again=True)
        return int(dlq_id)

    async def _get_failed_events(self, get: GetFailedEvents) -> list[DLQEntry]:
        query = f"""
            SELECT {self._columns} FROM {self._qualified}
            WHERE ($1::text IS NULL OR projection_name = $1) AND ($2::text IS NULL OR status = $2)
            ORDER BY id {"ASC" if get.oldest_first else "DESC"} LIMIT $3
        """
        return [_entry(row) for row in await self._connected.fetch(query, get.projection_name, get.status, get.limit)]

    async def _get_failed_event(self, get: GetFailedEvent) -> DLQEntry | None:
        query = f"SELECT {self._columns} FROM {self._qualified} WHERE id = $1"
        rows = await self._connected.fetch(query, get.dlq_id)
        return _entry(rows[0]) if rows else None

    async def _mark_resolved(self, mark: MarkResolved) -> bool:
        statement = f"{self._resolve} WHERE id = $3 RETURNING 1"
        by = _storable(mark.resolved_by)
        return bool(await self._connected.write(statement, mark.resolved_at, by, mark.dlq_id, again=True))

    async def _resolve_failed_events(self, resolve: ResolveFailedEvents) -> int:
        async with self._connected.transaction() as connection:
            return await self.resolve_all(resolve, connection)

    async def _mark_retrying(self, mark: MarkRetrying) -> bool:
        statement = f"""
            UPDATE {self._qualified} SET status = 'retrying', resolved_at = NULL, resolved_by = NULL
            WHERE id = $1 RETURNING 1
        """
        return bool(await self._connected.write(statement, mark.dlq_id, again=True))

    async def _get_failure_stats(self, get: GetFailureStats) -> DLQStats:
        query = f"""
            SELECT count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'retrying'),
                count(DISTINCT projection_name), min(first_failed_at)
            FROM {self._qualified} WHERE status != 'resolved'
        """
        ((failed, retrying, projections, oldest),) = await self._connected.fetch(query)
        return DLQStats(failed, retrying, projections, oldest and as_text(oldest))

    async def _get_failure_counts(self, get: GetFailureCounts) -> list[ProjectionFailureCount]:
        query = f"""
            SELECT projection_name, count(*), min(first_failed_at), max(last_failed_at)
            FROM {self._qualified} WHERE status != 'resolved' GROUP BY projection_name
            ORDER BY count(*) DESC, projection_name COLLATE "C"
        """
        rows = await self._connected.fetch(query)
        return [
            ProjectionFailureCount(name, count, as_text(oldest), as_text(newest))
            for name, count, oldest, newest in rows
        ]

    async def _delete_resolved_events(self, delete: DeleteResolvedEvents) -> int:
        statement = f"""
            WITH deleted AS (
                DELETE FROM {self._qualified} WHERE status = 'resolved' AND resolved_at <= $1 RETURNING 1
            )
            SELECT count(*) FROM deleted
        """
        ((deleted,),) = await self._connected.write(statement, delete.until)
        return int(deleted)

    @property
    def _add(self) -> str:
        return f"""
            INSERT INTO {self._qualified} (event_id, projection_name, event_type, event_data, error_message,
                error_stacktrace, error_type, headers, retry_count, first_failed_at, last_failed_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::json, $9, $10, $10)
            ON CONFLICT (projection_name, event_id) DO UPDATE SET
                event_type = excluded.event_type, error_message = excluded.error_message,
                error_stacktrace = excluded.error_stacktrace, error_type = excluded.error_type,
                retry_count = excluded.retry_count, last_failed_at = excluded.last_failed_at, status = 'failed',
                resolved_at = NULL, resolved_by = NULL
            RETURNING id
        """

    @property
    def _resolve(self) -> str:
        return f"UPDATE {self._qualified} SET status = 'resolved', resolved_at = $1, resolved_by = $2"


def _values(add: AddFailedEvent) -> tuple[object, ...]:
    return (
        add.event_id,
        add.projection_name,
        _storable(add.event_type),
        _storable(add.event_data),
        _storable(add.error_message),
        _storable(add.error_stacktrace),
        type(add.error).__name__,
        pydantic_core.to_json(add.event_headers).decode() if add.event_headers else None,
        add.retry_count,
        add.failed_at,
    )


def _storable(text: str | None) -> str | None:
    """Return *text* with escapes for what PostgreSQL cannot store: errors may quote anything, and have to be kept."""
    return text and text.replace("\0", "\\x00").encode(errors="backslashreplace").decode()


def _entry(row: Row) -> DLQEntry:
    columns = dict(row)
    headers = columns.pop("headers")
    return DLQEntry(**columns, headers=pydantic_core.from_json(headers) if headers else {})
