"""Writers at a PostgreSQL whose transactions a test leads step by step."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from eventsource import DomainEvent
from eventsource.stores.operations import Append
from eventsource.stores.postgresql_queries import Columns, Queries, values_of
from eventsource.stores.values import ExpectedVersion

PATIENCE = 30.0

_LIMIT = 60_000
"""Milliseconds that an append waits for the others."""
_BLOCKED = "SELECT cardinality(pg_blocking_pids($1)) > 0"


class Writer(ABC):
    """
    A session of asyncpg's whose steps come one after the other, at their time: whoever leads it goes on when it waits.

    What is the same for two kinds of writers is led by the same steps.
    """

    def __init__(self, connection: Any, observer: Any) -> None:
        self.written: list[int] = []
        """The positions of its events, in the order in which it wrote them."""
        self._connection = connection
        self._observer = observer
        self._last: asyncio.Future[None] = asyncio.ensure_future(self._run("BEGIN ISOLATION LEVEL READ COMMITTED"))

    async def append(self) -> None:
        """Write an event; return when it is written, or waits for another transaction."""
        await self._step(self._append)

    async def commit(self) -> None:
        """Commit what is written; return when that is done, or waits for what it was told before."""
        await self._step(partial(self._run, "COMMIT"))

    async def roll_back(self) -> None:
        """Undo what is written, in the same way."""
        await self._step(partial(self._run, "ROLLBACK"))

    async def ended(self) -> None:
        """Return when it has done all that it was told."""
        await asyncio.wait_for(self._last, PATIENCE)

    @property
    def waits(self) -> bool:
        """Whether it has not done yet what it was told."""
        return not self._last.done()

    @abstractmethod
    async def _write(self, connection: Any) -> int:
        """Write an event and return its position."""

    async def _append(self) -> None:
        self.written.append(await self._write(self._connection))

    async def _run(self, statement: str) -> None:
        await self._connection.execute(statement)

    async def _step(self, step: Callable[[], Awaitable[None]]) -> None:
        self._last = asyncio.ensure_future(_after(self._last, step))
        async with asyncio.timeout(PATIENCE):
            while not (self._last.done() or await self._is_blocked()):
                await asyncio.wait([self._last], timeout=0.002)
        if self._last.done():
            await self._last

    async def _is_blocked(self) -> bool:
        blocked: bool = await self._observer.fetchval(_BLOCKED, self._connection.get_server_pid())
        return blocked


class Appender(Writer):
    """Appends to the log in *schema* as the store does, but in a transaction that stays open."""

    def __init__(self, connection: Any, observer: Any, schema: str, make: Callable[[UUID], DomainEvent]) -> None:
        super().__init__(connection, observer)
        self._schema = schema
        self._make = make

    async def _write(self, connection: Any) -> int:
        return await append_within(connection, self._schema, self._make(uuid4()))


class Inserter(Writer):
    """Inserts into a table ``naive``, whose positions a sequence gives out."""

    @classmethod
    async def create_table(cls, connection: Any) -> None:
        """Create that table."""
        await connection.execute("CREATE TABLE naive (position bigserial PRIMARY KEY, text text)")

    async def _write(self, connection: Any) -> int:
        return int(await connection.fetchval("INSERT INTO naive (text) VALUES ('opened') RETURNING position"))


async def waiting_for(connection: Any, count: int, observer: Any) -> list[int]:
    """Return the processes at the server of so many that wait for the transaction on *connection*, once they do."""
    query = "SELECT pid FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))"
    async with asyncio.timeout(PATIENCE):
        while len(rows := await observer.fetch(query, connection.get_server_pid())) != count:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.002)
    return [pid for (pid,) in rows]


async def append_within(connection: Any, schema: str, event: DomainEvent) -> int:
    """Append *event* as a part of the transaction on *connection*, and return its position."""
    columns = Columns()
    payload = event.with_aggregate_version(1).model_dump_json()
    append = Append(event.aggregate_id, event.aggregate_type, (event,), ExpectedVersion.ANY, None)
    columns.add(append, [values_of(event, event.event_type, payload)], None)
    ((_, position, _),) = await connection.fetch(Queries(schema).append, _LIMIT, False, *columns.arrays)
    return int(position)


async def _after(before: "asyncio.Future[None]", step: Callable[[], Awaitable[None]]) -> None:
    await before
    await step()
