"""Checkpoints in a SQLite file."""

import sqlite3
from datetime import datetime
from functools import partial
from os import PathLike
from typing import Any, ClassVar
from uuid import UUID

from eventsource.databases.sqlite import SQLiteOptions, Synchronous
from eventsource.databases.sqlite_stores import SQLiteBacked
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.checkpoints.moves import Record, has_begun, leased, moved, released, was_reset
from eventsource.projections.checkpoints.operations import (
    AcquireLease,
    GetAllCheckpoints,
    GetCheckpoint,
    ReleaseLease,
    ResetCheckpoint,
    SaveCheckpoint,
)
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.stores.interface import EventStore

_COLUMNS = (
    "projection_name, last_event_id, last_event_type, last_processed_at, events_processed, global_position, "
    "replay_until, lease_owner, lease_expires_at"
)
_CREATE = """
CREATE TABLE IF NOT EXISTS projection_checkpoints (
    projection_name TEXT NOT NULL PRIMARY KEY,
    last_event_id TEXT,
    last_event_type TEXT,
    last_processed_at TEXT,
    events_processed INTEGER NOT NULL,
    global_position INTEGER,
    replay_until INTEGER,
    lease_owner TEXT,
    lease_expires_at REAL NOT NULL  -- seconds since 1970, by the clock of this database
) WITHOUT ROWID
"""
_GET = f"SELECT {_COLUMNS} FROM projection_checkpoints WHERE projection_name = ?"
_GET_ALL = f"SELECT {_COLUMNS} FROM projection_checkpoints ORDER BY projection_name"
_PUT = f"INSERT OR REPLACE INTO projection_checkpoints ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_NOW = "SELECT (julianday('now') - 2440587.5) * 86400.0"


class SQLiteCheckpointRepository(SQLiteBacked, CheckpointRepository):
    """
    Checkpoints in one file, which several processes may use, and which may be that of the event store.

    An async context manager: entering opens the file and creates the table. The options are those of
    `SQLiteEventStore`; stores of one file that are opened alike share their connections.

    Args:
        database: The file.
        enable_tracing: Whether an instrumentation makes spans for it.
        event_store: Where `get_lag_metrics` looks for the newest event.
    """

    system: ClassVar[str] = "sqlite"
    _schema = (_CREATE,)
    _probe = f"{_GET} LIMIT 0".replace("?", "''")

    def __init__(
        self,
        database: str | PathLike[str],
        enable_tracing: bool = True,
        *,
        event_store: EventStore | None = None,
        wal_mode: bool = True,
        synchronous: Synchronous = "FULL",
        busy_timeout: int = 5000,
    ) -> None:
        super().__init__(database, SQLiteOptions(wal_mode, synchronous, busy_timeout))
        self.enable_tracing = enable_tracing
        self._event_store = event_store

    async def _get_checkpoint(self, get: GetCheckpoint) -> CheckpointData | None:
        record = await self._connected.read(partial(_get, get.projection_name))
        return record.checkpoint if has_begun(record) else None

    async def _get_all_checkpoints(self, get: GetAllCheckpoints) -> list[CheckpointData]:
        rows = await self._connected.read(lambda connection: connection.execute(_GET_ALL).fetchall())
        return [record.checkpoint for record in map(_record, rows) if has_begun(record)]

    async def _save_checkpoint(self, save: SaveCheckpoint) -> None:
        await self._connected.write(partial(move_checkpoint, save))

    async def _reset_checkpoint(self, reset: ResetCheckpoint) -> None:
        await self._connected.write(partial(begin_again, reset))

    async def _acquire_lease(self, acquire: AcquireLease) -> CheckpointData | None:
        data: CheckpointData | None = (await self._connected.write(partial(_acquire, acquire))).result
        return data

    async def _release_lease(self, release: ReleaseLease) -> None:
        await self._connected.write(partial(_release, release))


def move_checkpoint(save: SaveCheckpoint, connection: sqlite3.Connection) -> None:
    """
    Move a checkpoint as a part of somebody's transaction.

    Raises:
        CheckpointConflictError: If it may not be moved so.
    """
    _put(moved(_get(save.projection_name, connection), save), connection)


def begin_again(reset: ResetCheckpoint, connection: sqlite3.Connection) -> None:
    """Reset a checkpoint as a part of somebody's transaction."""
    _put(was_reset(_get(reset.projection_name, connection), reset), connection)


def _acquire(acquire: AcquireLease, connection: sqlite3.Connection) -> CheckpointData | None:
    ((now,),) = connection.execute(_NOW)
    record = leased(_get(acquire.projection_name, connection), acquire, now)
    if record is None:
        return None
    _put(record, connection)
    return record.checkpoint


def _release(release: ReleaseLease, connection: sqlite3.Connection) -> None:
    _put(released(_get(release.projection_name, connection), release), connection)


def _get(name: str, connection: sqlite3.Connection) -> Record:
    row = connection.execute(_GET, (name,)).fetchone()
    return _record(row) if row else Record(CheckpointData(name))


def _put(record: Record, connection: sqlite3.Connection) -> None:
    data = record.checkpoint
    values = (
        data.projection_name,
        data.last_event_id and str(data.last_event_id),
        data.last_event_type,
        data.last_processed_at and data.last_processed_at.isoformat(),
        data.events_processed,
        data.global_position,
        data.replay_until,
        record.lease_owner,
        record.lease_expires_at,
    )
    connection.execute(_PUT, values)


def _record(row: tuple[Any, ...]) -> Record:
    name, event_id, event_type, processed_at, events, position, replay_until, owner, expires_at = row
    data = CheckpointData(
        name,
        event_id and UUID(event_id),
        event_type,
        processed_at and datetime.fromisoformat(processed_at),
        events,
        position,
        replay_until,
    )
    return Record(data, owner, expires_at)
