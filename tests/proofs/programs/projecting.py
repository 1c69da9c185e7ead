"""
Runs a projection of a SQLite file until it is killed; it notes each event once more whenever it is handled.

Usage: projecting.py KIND FILE READ_MODEL RUNNER LEASE

KIND is `plain` (what it writes is committed event by event) or `transactional` (READ_MODEL has the checkpoint too).
Each event adds 1 to a counter in READ_MODEL, and a row with its id and RUNNER to what was seen. The lease is for LEASE
seconds.
"""

import asyncio
import sqlite3
import sys
from contextlib import closing

from eventsource.handlers.decorators import handles
from eventsource.projections.base import CheckpointTrackingProjection, DeclarativeProjection
from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository
from eventsource.projections.runner import ProjectionRunner
from eventsource.projections.sqlite import SQLiteProjection
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import Opened

PATIENCE = 60
TABLES = (
    "CREATE TABLE IF NOT EXISTS seen (number INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT, runner TEXT)",
    "CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY, n INTEGER)",
    "INSERT OR IGNORE INTO counter VALUES (1, 0)",
)


def create(connection: sqlite3.Connection) -> None:
    for statement in TABLES:
        connection.execute(statement)


def count(connection: sqlite3.Connection, event: Opened, runner: str) -> None:
    connection.execute("INSERT INTO seen (event_id, runner) VALUES (?, ?)", (str(event.event_id), runner))
    connection.execute("UPDATE counter SET n = n + 1")


class Plain(DeclarativeProjection):
    def __init__(self, checkpoints: SQLiteCheckpointRepository, connection: sqlite3.Connection, runner: str) -> None:
        super().__init__(checkpoints, name="openings")
        self.connection, self.runner = connection, runner

    @handles(Opened)
    async def on_opened(self, event: Opened) -> None:
        await asyncio.sleep(0.001)  # work that takes time, so that most kills come in the middle of a page
        self.connection.execute("BEGIN IMMEDIATE")
        count(self.connection, event, self.runner)
        self.connection.execute("COMMIT")


class Transactional(SQLiteProjection):
    def __init__(self, path: str, runner: str) -> None:
        super().__init__(path, name="openings", busy_timeout=PATIENCE * 1000)
        self.runner = runner

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        create(connection)

    @handles(Opened)
    def on_opened(self, connection: sqlite3.Connection, event: Opened) -> None:
        count(connection, event, self.runner)


async def run(path: str, projection: CheckpointTrackingProjection, lease: str) -> None:
    async with SQLiteEventStore(path, busy_timeout=PATIENCE * 1000) as store:
        await ProjectionRunner(store, projection, lease_seconds=float(lease)).run()


async def main(kind: str, path: str, read_model: str, runner: str, lease: str) -> None:
    if kind == "transactional":
        async with Transactional(read_model, runner) as transactional:
            await run(path, transactional, lease)
        return
    with closing(sqlite3.connect(read_model, isolation_level=None, timeout=PATIENCE)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # a process that is killed loses nothing by that
        create(connection)
        async with SQLiteCheckpointRepository(path, busy_timeout=PATIENCE * 1000) as checkpoints:
            await run(path, Plain(checkpoints, connection, runner), lease)


asyncio.run(main(*sys.argv[1:]))
