"""
Lets a projection catch up with a SQLite file, and writes how many events there were and what memory that took at most.

Usage: catching_up.py KIND FILE

KIND is `plain` or `transactional`. The projection counts the events.
One line: events, the peak of what Python allocated for it (bytes), the peak of the whole process (KiB).
"""

import asyncio
import sqlite3
import sys
import tracemalloc
from pathlib import Path

from eventsource.databases import sqlite
from eventsource.handlers.decorators import handles
from eventsource.projections.base import DeclarativeProjection
from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository
from eventsource.projections.cursor import Cursor
from eventsource.projections.dead_letters.sqlite import SQLiteDLQRepository
from eventsource.projections.operations import CatchUp
from eventsource.projections.outcomes import CaughtUp
from eventsource.projections.runner import ProjectionRunner
from eventsource.projections.sqlite import SQLiteProjection
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import ReadOptions
from eventsource.testing.events import Opened


class Plain(DeclarativeProjection):
    events = 0

    async def count(self) -> int:
        return self.events

    @handles(Opened)
    async def on_opened(self, event: Opened) -> None:
        self.events += 1


class Transactional(SQLiteProjection):
    async def count(self) -> int:
        ((events,),) = await self.fetch("SELECT n FROM counter")
        return int(events)

    async def _project_page(self, page: CatchUp, cursor: Cursor) -> CaughtUp:
        caught_up = await super()._project_page(page, cursor)
        # A thread that has written a page may keep it until it has something else to write.
        await self._connected.write(lambda connection: None)
        return caught_up

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE counter (n INTEGER)")
        connection.execute("INSERT INTO counter VALUES (0)")

    @handles(Opened)
    def on_opened(self, connection: sqlite3.Connection, event: Opened) -> None:
        connection.execute("UPDATE counter SET n = n + 1")


async def main(kind: str, path: str) -> None:
    sqlite._READERS = 1  # or a thread that has read a page may keep it until another has read the next one
    async with SQLiteEventStore(path) as store:
        await warm_up(store)
        if kind == "transactional":
            async with Transactional(path, name="openings") as transactional:
                await catch_up(store, transactional)
            return
        async with SQLiteCheckpointRepository(path) as checkpoints, SQLiteDLQRepository(path) as dead_letters:
            await catch_up(store, Plain(checkpoints, dead_letters))


async def warm_up(store: SQLiteEventStore) -> None:
    async for _ in store.read_all(ReadOptions(limit=5_000)):
        pass


async def catch_up(store: SQLiteEventStore, projection: Plain | Transactional) -> None:
    tracemalloc.start()
    async with ProjectionRunner(store, projection) as runner:
        await runner.wait_for()
        events = await projection.count()
        _, allocated = tracemalloc.get_traced_memory()
    sys.stdout.write(f"{events} {allocated} {resident()}\n")


def resident() -> int:
    # Not getrusage: its peak includes that of the process that started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0])


asyncio.run(main(*sys.argv[1:]))
