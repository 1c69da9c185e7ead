"""The table of events in SQLite, and the statements that write and read it."""

import json
import sqlite3
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID

from eventsource.databases.sqlite import undo
from eventsource.events.base import DomainEvent
from eventsource.stores.conflicts import KnownEvent, judge_refused
from eventsource.stores.operations import Append, GetEvents, ReadPage
from eventsource.stores.rows import Row
from eventsource.stores.values import AppendResult, ExpectedVersion, ReadDirection, as_utc

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

CREATE = """
CREATE TABLE IF NOT EXISTS events (
    global_position INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    event_type TEXT NOT NULL,
    event_version INTEGER NOT NULL,
    aggregate_id TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    version INTEGER NOT NULL,
    tenant_id TEXT,
    occurred_at INTEGER NOT NULL,  -- microseconds since 1970 in UTC
    stored_at INTEGER NOT NULL,    -- likewise
    payload TEXT NOT NULL,
    headers TEXT,
    UNIQUE (aggregate_id, aggregate_type, version)
)
"""
_EVENT = "global_position, event_id, event_type, event_version, version, CAST(payload AS BLOB)"
_STORED = f"{_EVENT}, aggregate_id, aggregate_type, stored_at, CAST(headers AS BLOB)"
PROBE = f"SELECT {_STORED} FROM events WHERE tenant_id = '' AND occurred_at = 0 LIMIT 0"
_INSERT = """
INSERT INTO events (event_id, event_type, event_version, aggregate_id, aggregate_type, tenant_id, occurred_at,
    payload, headers, stored_at, version)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_VERSION = "SELECT max(version) FROM events WHERE aggregate_id = ? AND aggregate_type = ?"
_AT_VERSION = "SELECT 1 FROM events WHERE aggregate_id = ? AND aggregate_type = ? AND version = ?"
_KNOWN = "SELECT aggregate_id, aggregate_type, version, global_position FROM events WHERE event_id = ?"


def row_of(event: DomainEvent, event_type: str, payload: str, headers: str | None) -> Row:
    """Return what is known of a row before it is written; `write` adds when it was stored, and its version."""
    tenant_id = None if event.tenant_id is None else str(event.tenant_id)
    return (
        str(event.event_id),
        event_type,
        event.event_version,
        str(event.aggregate_id),
        event.aggregate_type,
        tenant_id,
        _microseconds(event.occurred_at),
        payload,
        headers,
    )


def write(append: Append, rows: Sequence[Row], connection: sqlite3.Connection) -> AppendResult:
    """
    Write *rows* if the stream is as *append* expects; the table's unique indexes find who was there first.

    Raises:
        OptimisticLockError, DuplicateEventError: As `judge_refused` says.
    """
    version = _start(append, connection)
    if version is not None:
        try:
            return AppendResult.successful(version + len(rows), _insert(rows, version, connection))
        except sqlite3.IntegrityError:  # another event has the id, or the version
            undo(connection)
    actual = stream_version(append.aggregate_id, append.aggregate_type, connection)
    return judge_refused(append, _known(rows, connection), actual)


def stream_version(aggregate_id: UUID, aggregate_type: str, connection: sqlite3.Connection) -> int:
    """Return the version of a stream, 0 if it has no events."""
    (version,) = connection.execute(_VERSION, (str(aggregate_id), aggregate_type)).fetchone()
    return version or 0


def event_exists(event_id: UUID, connection: sqlite3.Connection) -> bool:
    """Tell whether an event of this id is stored."""
    return connection.execute(_KNOWN, (str(event_id),)).fetchone() is not None


def head(connection: sqlite3.Connection) -> int:
    """Return the position of the newest event, 0 if there is none."""
    (position,) = connection.execute("SELECT max(global_position) FROM events").fetchone()
    return position or 0


def select_stream(get: GetEvents, connection: sqlite3.Connection) -> tuple[list[Row], int]:
    """Return the rows of events that *get* asks for, and the version of the whole stream."""
    stream = _Query(get.aggregate_id, get.aggregate_type)
    rows = (
        stream.where("version > ?", get.from_version)
        .where("occurred_at >= ?", _microseconds(get.from_timestamp))
        .where("occurred_at <= ?", _microseconds(get.to_timestamp))
        .select(connection, f"SELECT {_EVENT} FROM events", f"ORDER BY {_order(get.aggregate_id, get.aggregate_type)}")
    )
    ((version,),) = stream.select(connection, "SELECT max(version) FROM events")
    return rows, version or 0


def select_type(aggregate_id: UUID, connection: sqlite3.Connection) -> str | None:
    """Return the type of the newest event of an id, if there is one."""
    tail = "ORDER BY global_position DESC LIMIT 1"
    rows = _Query(aggregate_id).select(connection, "SELECT aggregate_type FROM events", tail)
    return rows[0][0] if rows else None


def select_page(read: ReadPage, names: Collection[str] | None, connection: sqlite3.Connection) -> list[Row]:
    """Return the rows of one page, those of events with these *names*, with what is kept beside them."""
    options, after = read.options, read.after
    order = _order(read.aggregate_id, read.aggregate_type)
    forward = options.direction is ReadDirection.FORWARD
    place = "global_position" if read.aggregate_id is None else "version"
    last = after and (after.stream_position if order == "version" else after.global_position)
    return (
        _Query(read.aggregate_id, read.aggregate_type)
        .where(f"{place} > ?", max(options.from_position, 0))
        .where(f"{place} <= ?", options.to_position)
        .where(f"{order} {'>' if forward else '<'} ?", last)
        .where("event_type IN (SELECT value FROM json_each(?))", None if names is None else json.dumps(sorted(names)))
        .where("tenant_id = ?", options.tenant_id and str(options.tenant_id))
        .where("occurred_at >= ?", _microseconds(options.from_timestamp))
        .where("occurred_at <= ?", _microseconds(options.to_timestamp))
        .select(
            connection,
            f"SELECT {_STORED} FROM events",
            f"ORDER BY {order} {'ASC' if forward else 'DESC'} LIMIT {read.batch_size:d}",
        )
    )


def moment(microseconds: int) -> datetime:
    """Return the point in time that a column holds."""
    return _EPOCH + microseconds * _MICROSECOND


class _Query:
    """Conditions that all must hold, with their values; one without a value is left out."""

    def __init__(self, aggregate_id: UUID | None = None, aggregate_type: str | None = None) -> None:
        self._conditions: tuple[tuple[str, Any], ...] = ()
        if aggregate_id is not None:
            self._conditions += (("aggregate_id = ?", str(aggregate_id)),)
        if aggregate_type is not None:
            self._conditions += (("aggregate_type = ?", aggregate_type),)

    def where(self, condition: str, value: object) -> Self:
        if value is None:
            return self
        narrower = copy(self)
        narrower._conditions += ((condition, value),)
        return narrower

    def select(self, connection: sqlite3.Connection, query: str, tail: str = "") -> list[Row]:
        conditions = " AND ".join(condition for condition, _ in self._conditions) or "1"
        values = [value for _, value in self._conditions]
        return connection.execute(f"{query} WHERE {conditions} {tail}", values).fetchall()


def _order(aggregate_id: UUID | None, aggregate_type: str | None) -> str:
    """Return the column that orders the events: one stream has an index of its own for that."""
    return "global_position" if aggregate_id is None or aggregate_type is None else "version"


def _start(append: Append, connection: sqlite3.Connection) -> int | None:
    """Return the version to count from; None if the stream is certainly not as expected."""
    expected = append.expected_version
    stream = (str(append.aggregate_id), append.aggregate_type)
    if expected > 0:
        return expected if connection.execute(_AT_VERSION, (*stream, expected)).fetchone() else None
    if expected == ExpectedVersion.NO_STREAM:
        return 0
    version = stream_version(append.aggregate_id, append.aggregate_type, connection)
    return None if expected == ExpectedVersion.STREAM_EXISTS and version == 0 else version


def _insert(rows: Sequence[Row], version: int, connection: sqlite3.Connection) -> int:
    """Insert *rows* above *version* and return the position of the last one."""
    stored_at = time.time_ns() // 1000
    with closing(connection.cursor()) as cursor:  # one that an error's traceback held would keep the file open
        for offset, row in enumerate(rows, 1):
            cursor.execute(_INSERT, (*row, stored_at, version + offset))
        return cursor.lastrowid or 0


def _known(rows: Sequence[Row], connection: sqlite3.Connection) -> dict[UUID, KnownEvent]:
    known = {}
    for event_id, *_ in rows:
        if found := connection.execute(_KNOWN, (event_id,)).fetchone():
            aggregate_id, aggregate_type, version, position = found
            known[UUID(event_id)] = KnownEvent(UUID(aggregate_id), aggregate_type, version, position)
    return known


def _microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else (as_utc(moment) - _EPOCH) // _MICROSECOND
