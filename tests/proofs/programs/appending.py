"""
Appends events to a SQLite file, and writes a line for each one once it is acknowledged.

Usage: appending.py FILE TASKS APPENDS [SYNCHRONOUS]

Each task goes on with a stream of its own, one event after the other, APPENDS times; 0 means until it is killed.
Lines: aggregate id, version, event id, how many appends the transaction carried.
"""

import asyncio
import sys
from itertools import count, islice
from uuid import UUID

from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, Opened


async def append(store: SQLiteEventStore, aggregate_id: UUID, appends: int) -> None:
    first = await store.get_stream_version(aggregate_id, DOOR)
    for version in islice(count(first), appends or None):
        event = Opened(aggregate_id=aggregate_id)
        result = await store.append_events(aggregate_id, DOOR, [event], version)
        sys.stdout.write(f"{aggregate_id} {result.new_version} {event.event_id} {result.shared}\n")
        sys.stdout.flush()


async def main(path: str, tasks: str, appends: str, *synchronous: str) -> None:
    options = dict(zip(["synchronous"], synchronous, strict=False))
    async with SQLiteEventStore(path, **options) as store, asyncio.TaskGroup() as group:
        for number in range(int(tasks)):
            group.create_task(append(store, UUID(int=number), int(appends)))


asyncio.run(main(*sys.argv[1:]))
