"""Appends to a store on PostgreSQL that wait for one another as a test wants it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self, TypeAlias
from uuid import uuid4

from eventsource import AppendResult, DomainEvent, PostgreSQLEventStore
from eventsource.testing.events import Opened, opened
from services.postgresql_writers import PATIENCE, append_within, waiting_for

Appending: TypeAlias = asyncio.Task[AppendResult]

CALLS = 2
"""How many calls of a store are under way at a time: one writes while the one before it is flushed."""


class Gate:
    """
    An open transaction that has appended to the log: all other appends wait until it ends, and are counted.

    An async context manager: leaving lets them through, and undoes the append.
    """

    def __init__(self, connection: Any, observer: Any, schema: str, event: DomainEvent) -> None:
        self._connection = connection
        self._observer = observer
        self._schema = schema
        self._event = event
        self._transaction = connection.transaction()

    async def waiting(self, calls: int) -> list[int]:
        """Return the processes at the server of so many calls that wait here, once they do."""
        return await waiting_for(self._connection, calls, self._observer)

    async def terminate(self, calls: int) -> None:
        """End the connections of so many calls that wait here, once they do."""
        for pid in await self.waiting(calls):
            await self._observer.execute("SELECT pg_terminate_backend($1, 10000)", pid)

    async def close(self) -> None:
        """Begin; return when nobody can append any more."""
        await self._transaction.start()
        await append_within(self._connection, self._schema, self._event)

    async def open(self) -> None:
        """Undo, which lets everybody through."""
        await self._transaction.rollback()

    async def __aenter__(self) -> Self:
        await self.close()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.open()


def append(store: PostgreSQLEventStore, events: list[Opened], expected: int = 0) -> Appending:
    """Begin to append *events* to their stream."""
    stream = events[0].aggregate_id, events[0].aggregate_type
    return asyncio.create_task(store.append_events(*stream, [*events], expected))


def appends(store: PostgreSQLEventStore, *counts: int) -> list[Appending]:
    """Begin to append so many events to a stream of its own, each."""
    return [append(store, opened(uuid4(), count)) for count in counts]


async def outcomes(tasks: list[Appending]) -> list[Any]:
    """Return the results of *tasks*; errors by their types."""
    async with asyncio.timeout(PATIENCE):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(each) if isinstance(each, BaseException) else each for each in results]


async def shared(tasks: list[Appending]) -> list[int]:
    """Return with how many appends each of *tasks* shared its call."""
    return [result.shared for result in await outcomes(tasks)]


async def calls_under_way(store: PostgreSQLEventStore, gate: Gate) -> list[Appending]:
    """Return an append for each call that may be under way, all of which wait: what comes now is queued."""
    tasks = appends(store, *[1] * CALLS)
    await gate.waiting(CALLS)
    return tasks


@asynccontextmanager
async def group_under_way(
    store: PostgreSQLEventStore, make_gate: "Callable[[], Awaitable[Gate]]", count: int
) -> AsyncIterator[tuple[Gate, list[Appending]]]:
    """Give so many appends of one event whose call is under way, and the gate where it waits inside the block."""
    first, second = await make_gate(), await make_gate()
    async with first:
        before = await calls_under_way(store, first)
        closing = asyncio.create_task(second.close())  # behind them, as whoever waits for the lock comes in turn
        await first.waiting(CALLS + 1)
        queued = appends(store, *[1] * count)
    await closing
    try:
        await outcomes(before)
        await second.waiting(1)
        yield second, queued
    finally:
        await second.open()
