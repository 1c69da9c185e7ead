"""Events in a SQLite file."""

import os
import sqlite3
from collections.abc import Hashable, Sequence
from functools import partial
from os import PathLike
from typing import ClassVar

from eventsource.databases.sqlite import MEMORY, SQLiteOptions, Synchronous
from eventsource.databases.sqlite_stores import SQLiteBacked
from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry
from eventsource.serialization import EventSerializer
from eventsource.stores import sqlite_queries as queries
from eventsource.stores.interface import EventStore
from eventsource.stores.operations import (
    Append,
    EventExists,
    GetEvents,
    GetGlobalPosition,
    GetStreamVersion,
    ReadPage,
)
from eventsource.stores.rows import Row, RowReader, headers_text, names_of, writable
from eventsource.stores.values import AppendResult, EventStream, StoredEvent


class SQLiteEventStore(SQLiteBacked, EventStore):
    """
    An event store in one file, which several processes may use at once.

    An async context manager: entering opens the file and creates the table.

    Args:
        database: The file, or ``:memory:`` for a private store that is lost when it is closed.
        event_registry: Which classes the stored types are read as; the default registry if not given.
        wal_mode: Whether to keep a write-ahead log, so that readers and the writer do not wait for each other.
        synchronous: When to flush to the disk. With ``FULL`` what was acknowledged survives a power cut; with
            ``NORMAL`` (in WAL mode) it survives the end of the process.
        busy_timeout: How long to wait for the locks of other processes, in milliseconds.
        enable_tracing: Whether an instrumentation makes spans for this store.
    """

    system: ClassVar[str] = "sqlite"
    _schema = (queries.CREATE,)
    _probe = queries.PROBE

    def __init__(
        self,
        database: str | PathLike[str],
        event_registry: EventRegistry | None = None,
        *,
        wal_mode: bool = True,
        synchronous: Synchronous = "FULL",
        busy_timeout: int = 5000,
        enable_tracing: bool = True,
    ) -> None:
        super().__init__(database, SQLiteOptions(wal_mode, synchronous, busy_timeout))
        self.enable_tracing = enable_tracing
        self._serializer = EventSerializer(event_registry)
        self._rows = RowReader(self._serializer, self.database, queries.moment)

    @property
    def event_registry(self) -> EventRegistry:
        """Which classes the stored types are read as."""
        return self._serializer.registry

    @property
    def wal_mode(self) -> bool:
        """Whether the file has a write-ahead log."""
        return self._options.wal_mode

    @property
    def busy_timeout(self) -> int:
        """How long to wait for the locks of other processes, in milliseconds."""
        return self._options.busy_timeout

    @property
    def log(self) -> Hashable:
        """The file, which all stores on it share."""
        if self.database == MEMORY:
            return self
        return self._lease.database.path if self._lease else os.path.realpath(self.database)

    async def _append(self, append: Append) -> AppendResult:
        headers = headers_text(append.headers)
        rows = [self._row(writable(event), headers) for event in append.events]
        result, shared = await self._connected.write(partial(queries.write, append, rows))
        return AppendResult(
            result.success, result.new_version, result.global_position, repeated=result.repeated, shared=shared
        )

    async def _get_events(self, get: GetEvents) -> EventStream:
        return await self._connected.read(partial(self._stream, get))

    async def _read_page(self, read: ReadPage) -> Sequence[StoredEvent]:
        return await self._connected.read(partial(self._page, read))

    async def _event_exists(self, exists: EventExists) -> bool:
        return await self._connected.read(partial(queries.event_exists, exists.event_id))

    async def _get_stream_version(self, get: GetStreamVersion) -> int:
        return await self._connected.read(partial(queries.stream_version, get.aggregate_id, get.aggregate_type))

    async def _get_global_position(self, get: GetGlobalPosition) -> int:
        return await self._connected.read(queries.head)

    def _row(self, event: DomainEvent, headers: str | None) -> Row:
        return queries.row_of(event, self._serializer.name_of(event), self._serializer.encode(event), headers)

    def _stream(self, get: GetEvents, connection: sqlite3.Connection) -> EventStream:
        rows, version = queries.select_stream(get, connection)
        aggregate_type = get.aggregate_type or queries.select_type(get.aggregate_id, connection) or "Unknown"
        return EventStream(get.aggregate_id, aggregate_type, [self._rows.event(row) for row in rows], version)

    def _page(self, read: ReadPage, connection: sqlite3.Connection) -> list[StoredEvent]:
        names = names_of(read.options.event_types, self.event_registry)
        return [self._rows.stored(row) for row in queries.select_page(read, names, connection)]
