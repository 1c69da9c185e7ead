"""Events in PostgreSQL."""

from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar
from uuid import UUID

from eventsource.cancellation import to_the_end
from eventsource.databases.backed import Lease
from eventsource.databases.group_commit import GroupCommit
from eventsource.databases.postgresql import PostgreSQLDatabase, Row, Source
from eventsource.databases.postgresql_errors import is_about_values
from eventsource.databases.postgresql_listening import listener_of
from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.databases.postgresql_stores import PostgreSQLBacked
from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry
from eventsource.exceptions import DatabaseError, EventStoreError
from eventsource.serialization import EventSerializer
from eventsource.stores.announcing import Wake, announce_append
from eventsource.stores.conflicts import judge_refused
from eventsource.stores.interface import EventStore
from eventsource.stores.operations import (
    Append,
    EventExists,
    GetEvents,
    GetGlobalPosition,
    GetStreamVersion,
    ReadPage,
)
from eventsource.stores.postgresql_queries import COLUMNS, Columns, EventValues, Queries, known_events, values_of
from eventsource.stores.rows import RowReader, headers_text, names_of, writable
from eventsource.stores.values import AppendResult, EventStream, StoredEvent

_MOST_EVENTS = 256
"""How many events are sent in one call; a greater append is sent alone."""
_CALLS = 2
"""How many calls may be under way: one waits for the lock already while the one before it is committed."""


class PostgreSQLEventStore(PostgreSQLBacked, EventStore):
    """
    An event store in PostgreSQL, for many processes.

    An async context manager: entering connects, and creates what is missing. Appends that are asked for while another
    one is under way share a call. Global positions become visible in their order.

    Args:
        database: An address (``postgresql://user:password@host:port/database``), or a pool of asyncpg's, which is not
            closed with the store.
        event_registry: Which classes the stored types are read as; the default registry if not given.
        options: How to connect, and where the tables are.
        enable_tracing: Whether an instrumentation makes spans for this store.

    Raises:
        TypeError, ValueError: If an argument is not as said.
    """

    system: ClassVar[str] = "postgresql"
    _table = "events"
    _columns = COLUMNS
    _function = "append_events"

    def __init__(
        self,
        database: Source,
        event_registry: EventRegistry | None = None,
        *,
        options: PostgreSQLOptions | None = None,
        enable_tracing: bool = True,
    ) -> None:
        super().__init__(database, options)
        self.enable_tracing = enable_tracing
        self._serializer = EventSerializer(event_registry)
        self._rows = RowReader(self._serializer, self._place, lambda moment: moment)
        self._queries = Queries(self.options.schema)
        self._group: GroupCommit[_Prepared, AppendResult] = GroupCommit(self._commit, calls=_CALLS, room=_Room)
        self._channel: str | None = None

    @property
    def event_registry(self) -> EventRegistry:
        """Which classes the stored types are read as."""
        return self._serializer.registry

    @property
    def log(self) -> Hashable:
        """The address and the schema, which all stores on it share."""
        return self.system, self._source, self.options.schema

    async def close(self) -> None:
        """Finish what was asked for and disconnect; may be called again."""
        lease, self._lease, self._channel = self._lease, None, None  # what comes from here on is not taken any more
        if lease is not None:
            await to_the_end(self._finish(lease))  # those whose appends are queued were promised an answer

    @asynccontextmanager
    async def following(self, wake: Wake) -> AsyncIterator[None]:
        """Let appends wake *wake* inside the block, those of other processes, too, if the options say so."""
        async with super().following(wake):
            if not self.options.listen:
                yield
                return
            database = self._connected
            if self._channel is None:
                ((self._channel,),) = await database.fetch(self._queries.channel)
            async with listener_of(database, self._channel, partial(announce_append, self.log)).heard():
                yield

    async def _append(self, append: Append) -> AppendResult:
        self._connected.check_loop()
        return await self._group.submit(self._prepared(append))

    async def _get_events(self, get: GetEvents) -> EventStream:
        statement, values = self._queries.stream(get)
        rows = await self._connected.fetch(statement, *values)
        version, newest = rows[0][:2]
        aggregate_type = get.aggregate_type or newest or "Unknown"
        events = [self._rows.event(row[2:]) for row in rows if row[2] is not None]
        return EventStream(get.aggregate_id, aggregate_type, events, version)

    async def _read_page(self, read: ReadPage) -> Sequence[StoredEvent]:
        statement, values = self._queries.page(read, names_of(read.options.event_types, self.event_registry))
        return [self._rows.stored(tuple(row)) for row in await self._connected.fetch(statement, *values)]

    async def _event_exists(self, exists: EventExists) -> bool:
        ((found,),) = await self._connected.fetch(self._queries.exists, exists.event_id)
        return bool(found)

    async def _get_stream_version(self, get: GetStreamVersion) -> int:
        ((version,),) = await self._connected.fetch(self._queries.version, get.aggregate_id, get.aggregate_type)
        return int(version)

    async def _get_global_position(self, get: GetGlobalPosition) -> int:
        ((position,),) = await self._connected.fetch(self._queries.head)
        return int(position)

    async def _finish(self, lease: Lease[PostgreSQLDatabase]) -> None:
        try:
            await self._group.drain()
        finally:
            await lease.release()

    def _prepared(self, append: Append) -> "_Prepared":
        values = [self._values(writable(event)) for event in append.events]
        return _Prepared(self._connected, append, values, headers_text(append.headers))

    def _values(self, event: DomainEvent) -> EventValues:
        return values_of(event, self._serializer.name_of(event), self._serializer.encode(event))

    async def _commit(self, group: Sequence["_Prepared"]) -> list[AppendResult | Exception]:
        """Append all in one call; if one of them makes it fail, all one after the other."""
        try:
            rows = await self._call(group)
        except DatabaseError as error:
            if len(group) == 1 or not is_about_values(error.__cause__ or error):
                raise
            return await self._commit_each(group)
        return [_outcome(each.append, row, len(group)) for each, row in zip(group, rows, strict=True)]

    async def _commit_each(self, group: Sequence["_Prepared"]) -> list[AppendResult | Exception]:
        """Append one after the other; what would stop each of them is told all that are left."""
        outcomes: list[AppendResult | Exception] = []
        for each in group:
            try:
                outcomes.append(_outcome(each.append, (await self._call([each]))[0], 1))
            except DatabaseError as error:
                if not is_about_values(error.__cause__ or error):
                    return [*outcomes, *[error] * (len(group) - len(outcomes))]
                outcomes.append(error)
        return outcomes

    async def _call(self, group: Sequence["_Prepared"]) -> list[Row]:
        columns = Columns()
        for each in group:
            columns.add(each.append, each.values, each.headers)
        options = self.options
        limit = round(options.lock_timeout * 1000)
        # It may be run twice: what it finds written already is what it would have written.
        return await group[0].database.write(self._queries.append, limit, options.notify, *columns.arrays, again=True)


@dataclass(slots=True)
class _Prepared:
    database: PostgreSQLDatabase
    append: Append
    values: list[EventValues]
    headers: str | None


class _Room:
    """
    Which appends go into one call: neither two of one stream nor two of one event, and not too many events.

    Those of one stream go one after the other, in the order in which they were asked for.
    """

    def __init__(self, under_way: Sequence[_Prepared]) -> None:
        self._streams = {_stream_of(each.append) for each in under_way}
        self._ids: set[UUID] = set()

    def __call__(self, prepared: _Prepared) -> bool:
        append = prepared.append
        stream, ids = _stream_of(append), {event.event_id for event in append.events}
        is_full = len(self._ids) > 0 and len(self._ids) + len(ids) > _MOST_EVENTS
        if stream in self._streams or not self._ids.isdisjoint(ids) or is_full:
            return False
        self._streams.add(stream)
        self._ids |= ids
        return True


def _stream_of(append: Append) -> tuple[UUID, str]:
    return append.aggregate_id, append.aggregate_type


def _outcome(append: Append, row: Row, shared: int) -> AppendResult | Exception:
    actual, position, known = row
    if position is not None:
        return AppendResult(
            success=True, new_version=actual + len(append.events), global_position=position, shared=shared
        )
    try:
        return replace(judge_refused(append, known_events(known), actual), shared=shared)
    except EventStoreError as error:
        return error
