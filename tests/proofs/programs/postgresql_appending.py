"""
Appends events to PostgreSQL, each again until it is acknowledged, and adds a line to a file for each one then.

Usage: postgresql_appending.py DSN SCHEMA LOG TASKS APPENDS CONNECT_TIMEOUT COMMAND_TIMEOUT

Each task goes on with a stream of its own, one event after the other. Lines: aggregate id, version, event id, position.
Writes one line in the end: how many appends have failed, and the seconds that one has taken at most.
"""

import asyncio
import sys
from pathlib import Path
from uuid import UUID

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.exceptions import DatabaseError
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.stores.values import AppendResult
from eventsource.testing.events import DOOR, Opened

PAUSE = 0.05
"""Seconds after which an append that has failed is made again."""


class Appending:
    def __init__(self, store: PostgreSQLEventStore, log: Path) -> None:
        self.store, self.log = store, log
        self.failures, self.longest = 0, 0.0

    async def append_all(self, aggregate_id: UUID, appends: int) -> None:
        for version in range(appends):
            event = Opened(aggregate_id=aggregate_id, number=version)
            result = await self.append_until_acknowledged(event, version)
            self.note(f"{aggregate_id} {result.new_version} {event.event_id} {result.global_position}\n")

    async def append_until_acknowledged(self, event: Opened, version: int) -> AppendResult:
        while True:
            try:
                return await self.append(event, version)
            except DatabaseError:
                self.failures += 1
                await asyncio.sleep(PAUSE)

    async def append(self, event: Opened, version: int) -> AppendResult:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            return await self.store.append_events(event.aggregate_id, DOOR, [event], version)
        finally:
            self.longest = max(self.longest, loop.time() - begun)

    def note(self, line: str) -> None:
        with self.log.open("a") as log:
            log.write(line)


async def main(
    dsn: str, schema: str, log: str, tasks: str, appends: str, connect_timeout: str, command_timeout: str
) -> None:
    options = PostgreSQLOptions(
        schema=schema, connect_timeout=float(connect_timeout), command_timeout=float(command_timeout)
    )
    async with PostgreSQLEventStore(dsn, options=options) as store:
        appending = Appending(store, Path(log))
        async with asyncio.TaskGroup() as group:
            for number in range(int(tasks)):
                group.create_task(appending.append_all(UUID(int=number), int(appends) // int(tasks)))
    sys.stdout.write(f"{appending.failures} {appending.longest:.2f}\n")


asyncio.run(main(*sys.argv[1:]))
