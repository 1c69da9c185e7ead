"""
Follows a log in PostgreSQL by the position of what it read last, and writes what it saw, in that order.

Usage: postgresql_following.py KIND DSN SCHEMA

KIND is `library` (reads the store's events) or `naive` (reads the table `naive`). Ends when standard input does, once
nothing more is there. Lines: position, stream, version there; of the table, whose rows are in no stream, `-` and 0.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import asyncpg

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.stores.values import ReadOptions
from eventsource.testing import events as events_of_the_program  # noqa: F401 - which are registered by that

Seen = tuple[int, str, int]
Read = Callable[[int], Awaitable[list[Seen]]]

PAUSE = 0.002
"""Seconds between two looks: many of them fall into the transactions that are open for milliseconds."""


async def library(stack: AsyncExitStack, dsn: str, schema: str) -> Read:
    store = PostgreSQLEventStore(dsn, options=PostgreSQLOptions(schema=schema, max_size=1))
    await stack.enter_async_context(store)

    async def read(last: int) -> list[Seen]:
        found = [each async for each in store.read_all(ReadOptions(from_position=last))]
        return [(each.global_position, str(each.aggregate_id), each.stream_position) for each in found]

    return read


async def naive(stack: AsyncExitStack, dsn: str, schema: str) -> Read:
    connection = await asyncpg.connect(dsn)
    stack.push_async_callback(connection.close)

    async def read(last: int) -> list[Seen]:
        query = f'SELECT position FROM "{schema}".naive WHERE position > $1 ORDER BY position'
        return [(position, "-", 0) for (position,) in await connection.fetch(query, last)]

    return read


async def follow(read: Read, is_over: Callable[[], bool]) -> list[Seen]:
    seen: list[Seen] = []
    while True:
        was_over = is_over()
        found = await read(seen[-1][0] if seen else 0)
        seen += found
        if was_over and not found:
            return seen
        await asyncio.sleep(PAUSE)


async def main(kind: str, dsn: str, schema: str) -> None:
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    async with AsyncExitStack() as stack:
        read = await {"library": library, "naive": naive}[kind](stack, dsn, schema)
        seen = await follow(read, over.done)
    await over
    sys.stdout.writelines(f"{position} {stream} {version}\n" for position, stream, version in seen)


asyncio.run(main(*sys.argv[1:]))
