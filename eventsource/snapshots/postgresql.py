"""Snapshots in PostgreSQL."""

from typing import ClassVar

from eventsource.databases.postgresql import Source
from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.databases.postgresql_stores import PostgreSQLBacked
from eventsource.snapshots.interface import SnapshotStore
from eventsource.snapshots.operations import (
    DeleteSnapshot,
    DeleteSnapshots,
    GetSnapshot,
    SaveSnapshot,
    SnapshotExists,
)
from eventsource.snapshots.payloads import snapshot_of, state_of
from eventsource.snapshots.values import Snapshot

_OF_AGGREGATE = "WHERE aggregate_id = $1 AND aggregate_type = $2"


class PostgreSQLSnapshotStore(PostgreSQLBacked, SnapshotStore):
    """
    A snapshot store in PostgreSQL, in the database of the event store or in another one.

    An async context manager: entering connects, and creates the table. The arguments are those of
    `PostgreSQLEventStore`; stores that are given the same ones share their connections.
    """

    system: ClassVar[str] = "postgresql"
    _table = "snapshots"
    _columns = "aggregate_id, aggregate_type, version, schema_version, state, created_at"

    def __init__(
        self,
        database: Source,
        enable_tracing: bool = True,
        *,
        options: PostgreSQLOptions | None = None,
    ) -> None:
        super().__init__(database, options)
        self.enable_tracing = enable_tracing

    async def _save_snapshot(self, save: SaveSnapshot) -> None:
        each = save.snapshot
        created_at = each.created_at.isoformat()
        await self._connected.write(
            f"""
            INSERT INTO {self._qualified} ({self._columns}) VALUES ($1, $2, $3, $4, $5::text::json, $6)
            ON CONFLICT (aggregate_id, aggregate_type) DO UPDATE SET version = excluded.version,
                schema_version = excluded.schema_version, state = excluded.state, created_at = excluded.created_at
            """,
            *(each.aggregate_id, each.aggregate_type, each.version, each.schema_version, state_of(each), created_at),
            again=True,
        )

    async def _get_snapshot(self, get: GetSnapshot) -> Snapshot | None:
        query = f"SELECT version, schema_version, state::text, created_at FROM {self._qualified} {_OF_AGGREGATE}"
        rows = await self._connected.fetch(query, get.aggregate_id, get.aggregate_type)
        return snapshot_of(get, *rows[0]) if rows else None

    async def _delete_snapshot(self, delete: DeleteSnapshot) -> bool:
        statement = f"DELETE FROM {self._qualified} {_OF_AGGREGATE} RETURNING 1"
        return bool(await self._connected.write(statement, delete.aggregate_id, delete.aggregate_type))

    async def _snapshot_exists(self, exists: SnapshotExists) -> bool:
        query = f"SELECT 1 FROM {self._qualified} {_OF_AGGREGATE}"
        return bool(await self._connected.fetch(query, exists.aggregate_id, exists.aggregate_type))

    async def _delete_snapshots(self, delete: DeleteSnapshots) -> int:
        ((deleted,),) = await self._connected.write(
            f"""
            WITH deleted AS (
                DELETE FROM {self._qualified}
                WHERE aggregate_type = $1 AND ($2::bigint IS NULL OR schema_version < $2) RETURNING 1
            )
            SELECT count(*) FROM deleted
            """,
            *(delete.aggregate_type, delete.schema_version_below),
        )
        return int(deleted)
