"""Snapshots in a SQLite file."""

import sqlite3
from functools import partial
from os import PathLike
from typing import Any, ClassVar

from eventsource.databases.sqlite import Job, SQLiteOptions, Synchronous
from eventsource.databases.sqlite_stores import SQLiteBacked
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

_CREATE = """
CREATE TABLE IF NOT EXISTS snapshots (
    aggregate_id TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    version INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    state TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (aggregate_id, aggregate_type)
) WITHOUT ROWID
"""
_OF_AGGREGATE = "FROM snapshots WHERE aggregate_id = ? AND aggregate_type = ?"
_GET = f"SELECT version, schema_version, state, created_at {_OF_AGGREGATE}"
_SAVE = """
INSERT OR REPLACE INTO snapshots (aggregate_id, aggregate_type, version, schema_version, state, created_at)
VALUES (?, ?, ?, ?, ?, ?)
"""
_DELETE_TYPE = "DELETE FROM snapshots WHERE aggregate_type = ? AND schema_version < coalesce(?, schema_version + 1)"


class SQLiteSnapshotStore(SQLiteBacked, SnapshotStore):
    """
    A snapshot store in one file, which may be that of the event store.

    An async context manager: entering opens the file and creates the table. The options are those of
    `SQLiteEventStore`; stores of one file that are opened alike share their connections.
    """

    system: ClassVar[str] = "sqlite"
    _schema = (_CREATE,)
    _probe = f"{_GET} LIMIT 0".replace("?", "''")

    def __init__(
        self,
        database_path: str | PathLike[str],
        enable_tracing: bool = True,
        *,
        wal_mode: bool = True,
        synchronous: Synchronous = "FULL",
        busy_timeout: int = 5000,
    ) -> None:
        super().__init__(database_path, SQLiteOptions(wal_mode, synchronous, busy_timeout))
        self.enable_tracing = enable_tracing

    @property
    def database_path(self) -> str:
        """The file, as it was given."""
        return self.database

    async def _save_snapshot(self, save: SaveSnapshot) -> None:
        each = save.snapshot
        state = state_of(each)
        created_at = each.created_at.isoformat()
        values = (*_key(each), each.version, each.schema_version, state, created_at)
        await self._connected.write(lambda connection: connection.execute(_SAVE, values) and None)

    async def _get_snapshot(self, get: GetSnapshot) -> Snapshot | None:
        row = await self._connected.read(partial(_first, _GET, _key(get)))
        return snapshot_of(get, *row) if row else None

    async def _delete_snapshot(self, delete: DeleteSnapshot) -> bool:
        return await self._delete(f"DELETE {_OF_AGGREGATE}", _key(delete)) > 0

    async def _snapshot_exists(self, exists: SnapshotExists) -> bool:
        return await self._connected.read(partial(_first, f"SELECT 1 {_OF_AGGREGATE}", _key(exists))) is not None

    async def _delete_snapshots(self, delete: DeleteSnapshots) -> int:
        return await self._delete(_DELETE_TYPE, (delete.aggregate_type, delete.schema_version_below))

    async def _delete(self, statement: str, values: tuple[Any, ...]) -> int:
        job: Job[int] = lambda connection: connection.execute(statement, values).rowcount  # noqa: E731
        deleted: int = (await self._connected.write(job)).result
        return deleted


def _key(named: Snapshot | GetSnapshot | DeleteSnapshot | SnapshotExists) -> tuple[str, str]:
    return str(named.aggregate_id), named.aggregate_type


def _first(query: str, values: tuple[Any, ...], connection: sqlite3.Connection) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = connection.execute(query, values).fetchone()
    return row
