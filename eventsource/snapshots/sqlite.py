"""Snapshots in a SQLite file."""

import sqlite3
from datetime import datetime
from functools import partial
from os import PathLike
from typing import Any, ClassVar

import pydantic_core

from eventsource.databases.sqlite import Job, SQLiteOptions, Synchronous
from eventsource.databases.sqlite_stores import SQLiteBacked
from eventsource.snapshots.exceptions import SnapshotDeserializationError, SnapshotError
from eventsource.snapshots.interface import SnapshotStore
from eventsource.snapshots.operations import (
    DeleteSnapshot,
    DeleteSnapshots,
    GetSnapshot,
    SaveSnapshot,
    SnapshotExists,
)
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
        state = _json(each)
        created_at = each.created_at.isoformat()
        values = (*_key(each), each.version, each.schema_version, state, created_at)
        await self._connected.write(lambda connection: connection.execute(_SAVE, values) and None)

    async def _get_snapshot(self, get: GetSnapshot) -> Snapshot | None:
        row = await self._connected.read(partial(_first, _GET, _key(get)))
        return _snapshot(get, *row) if row else None

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


def _json(snapshot: Snapshot) -> str:
    try:
        return pydantic_core.to_json(snapshot.state).decode()
    except (pydantic_core.PydanticSerializationError, UnicodeError) as error:
        name = f"{snapshot.aggregate_type} {snapshot.aggregate_id}"
        raise SnapshotError(f"the state of {name} cannot be written as JSON: {error}; nothing was saved") from error


def _key(named: Snapshot | GetSnapshot | DeleteSnapshot | SnapshotExists) -> tuple[str, str]:
    return str(named.aggregate_id), named.aggregate_type


def _first(query: str, values: tuple[Any, ...], connection: sqlite3.Connection) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = connection.execute(query, values).fetchone()
    return row


def _snapshot(get: GetSnapshot, version: int, schema_version: int, state: str, created_at: str) -> Snapshot:
    try:
        values = pydantic_core.from_json(state)
        if not isinstance(values, dict):
            raise ValueError(f"the state is of type {type(values).__name__}, not an object")
        created = datetime.fromisoformat(created_at)
    except ValueError as error:
        raise SnapshotDeserializationError(get.aggregate_id, get.aggregate_type, error, str(error)) from error
    return Snapshot(get.aggregate_id, get.aggregate_type, version, values, schema_version, created)
