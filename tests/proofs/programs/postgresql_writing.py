"""
Appends events to streams in PostgreSQL, and rows to a table with a serial number beside them, for some seconds.

Usage: postgresql_writing.py DSN SCHEMA CONNECTIONS SECONDS SEED

The library has so many CONNECTIONS, and so has what writes to the table `naive`. Line: how many events, how many rows.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from random import Random
from uuid import uuid4

import asyncpg

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing.events import DOOR, opened

TASKS, STREAMS = 4, 5


async def append(store: PostgreSQLEventStore, end: float, random: Random) -> int:
    versions = {uuid4(): 0 for _ in range(STREAMS)}
    while asyncio.get_running_loop().time() < end:
        aggregate_id = random.choice([*versions])
        events = opened(aggregate_id, random.choice((1, 1, 1, 5)))
        result = await store.append_events(aggregate_id, DOOR, events, versions[aggregate_id])
        versions[aggregate_id] = result.new_version
    return sum(versions.values())


async def insert(connection: asyncpg.Connection, table: str, end: float) -> int:
    rows = 0
    while asyncio.get_running_loop().time() < end:
        await connection.execute(f"INSERT INTO {table} (value) VALUES ($1)", "opened")
        rows += 1
    return rows


async def main(dsn: str, schema: str, connections: str, seconds: str, seed: str) -> None:
    options = PostgreSQLOptions(schema=schema, max_size=int(connections))
    async with AsyncExitStack() as stack:
        # They share the connections, and each one sends as if it had two.
        stores = [PostgreSQLEventStore(dsn, options=options) for _ in range(int(connections))]
        for store in stores:
            await stack.enter_async_context(store)
        naive = [await asyncpg.connect(dsn) for _ in range(int(connections))]
        for connection in naive:
            stack.push_async_callback(connection.close)
        end = asyncio.get_running_loop().time() + float(seconds)
        writers = [append(store, end, Random(f"{seed}/{task}")) for store in stores for task in range(TASKS)]
        inserters = [insert(connection, f'"{schema}".naive', end) for connection in naive]
        written = await asyncio.gather(*writers, *inserters)
    sys.stdout.write(f"{sum(written[: len(writers)])} {sum(written[len(writers) :])}\n")


asyncio.run(main(*sys.argv[1:]))
