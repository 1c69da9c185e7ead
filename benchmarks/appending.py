"""Appending to a SQLite file that flushes every commit."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias
from uuid import uuid4

from benchmarks.measuring import Figure, compared, stopwatch
from benchmarks.sample import ACCOUNT, Deposited, deposits
from eventsource import SQLiteEventStore

WRITERS = 64
EACH = 16
SEQUENTIAL = {1: 300, 10: 150, 100: 40}
"""How many events in an append, and how many appends in a row."""

Row: TypeAlias = tuple[Any, ...]

_AT_VERSION = "SELECT 1 FROM events WHERE aggregate_id = ? AND aggregate_type = ? AND version = ?"
_INSERT = """
INSERT INTO events (event_id, event_type, event_version, aggregate_id, aggregate_type, tenant_id, occurred_at,
    payload, headers, stored_at, version)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


async def run() -> list[Figure]:
    """Compare with plain sqlite3, with appending in turn, and with one commit for each append."""
    figures = []
    for size, appends in SEQUENTIAL.items():
        ways = {f"{size} event(s) an append": partial(_in_turn, size, appends), "sqlite3": partial(_raw, size, appends)}
        figures += await compared(ways, "sqlite3", "in turn: ")
    for peer, way in {"the same in turn": _all_in_turn, "one commit each": _one_commit_each}.items():
        figures += await compared({f"{WRITERS} writers at once": _at_once, peer: way}, peer)
    return figures


async def _in_turn(size: int, appends: int) -> float:
    aggregate_id = uuid4()
    events = deposits(aggregate_id, size * appends)
    async with _store() as store:
        with stopwatch() as watch:
            for version in range(0, len(events), size):
                await store.append_events(aggregate_id, ACCOUNT, events[version : version + size], version)
    return watch.seconds / appends


async def _raw(size: int, appends: int) -> float:
    """Write rows that are ready, on the thread that has them: what the disk and SQLite themselves take."""
    rows = _rows(deposits(uuid4(), size * appends))
    async with _connection() as connection:
        with stopwatch() as watch:
            for first in range(0, len(rows), size):
                _append_raw(connection, rows[first : first + size])
    return watch.seconds / appends


async def _at_once() -> float:
    accounts = _accounts()
    async with _store() as store:
        with stopwatch() as watch:
            await asyncio.gather(*(_append_one_by_one(store, events) for events in accounts))
    return watch.seconds / (WRITERS * EACH)


async def _all_in_turn() -> float:
    accounts = _accounts()
    async with _store() as store:
        with stopwatch() as watch:
            for events in accounts:
                await _append_one_by_one(store, events)
    return watch.seconds / (WRITERS * EACH)


async def _one_commit_each() -> float:
    """Let as many tasks write rows that are ready, through one thread, in a transaction of its own each."""
    accounts = [_rows(events) for events in _accounts()]
    hop = asyncio.get_running_loop().run_in_executor

    async def append_one_by_one(rows: list[Row]) -> None:
        for row in rows:
            await hop(thread, _append_raw, connection, [row])

    async with _connection() as connection:
        with ThreadPoolExecutor(1) as thread, stopwatch() as watch:
            await asyncio.gather(*(append_one_by_one(rows) for rows in accounts))
    return watch.seconds / (WRITERS * EACH)


def _accounts() -> list[list[Deposited]]:
    """Return for each writer the events that it appends."""
    return [deposits(uuid4(), EACH) for _ in range(WRITERS)]


async def _append_one_by_one(store: SQLiteEventStore, events: list[Deposited]) -> None:
    for version, event in enumerate(events):
        await store.append_events(event.aggregate_id, ACCOUNT, [event], version)


def _append_raw(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    *_, aggregate_id, aggregate_type, _, _, _, _, _, version = rows[0]
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_AT_VERSION, (aggregate_id, aggregate_type, version - 1)).fetchone()
    for row in rows:
        connection.execute(_INSERT, row)
    connection.execute("COMMIT")


def _rows(events: list[Deposited]) -> list[Row]:
    now = time.time_ns() // 1000
    return [
        (
            str(event.event_id),
            event.event_type,
            event.event_version,
            str(event.aggregate_id),
            event.aggregate_type,
            None,
            now,
            event.model_dump_json(),
            None,
            now,
            event.aggregate_version,
        )
        for event in events
    ]


@asynccontextmanager
async def _store() -> AsyncIterator[SQLiteEventStore]:
    with TemporaryDirectory() as directory:
        async with SQLiteEventStore(f"{directory}/events.db") as store:
            yield store


@asynccontextmanager
async def _connection() -> AsyncIterator[sqlite3.Connection]:
    """Open a file with the store's table as the store would."""
    async with _store() as store:
        connection = sqlite3.connect(store.database, isolation_level=None, check_same_thread=False)
        with closing(connection):
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
