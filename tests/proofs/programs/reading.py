"""
Reads every event of a SQLite file, and writes how many there were and what memory that took at most.

Usage: reading.py FILE

One line: events, the peak of what Python allocated for reading (bytes), the peak of the whole process (KiB).
"""

import asyncio
import sys
import tracemalloc
from pathlib import Path

from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import ReadOptions
from eventsource.testing.events import Opened


async def main(path: str) -> None:
    async with SQLiteEventStore(path) as store:
        await asyncio.gather(*(warm_up(store) for _ in range(8)))
        tracemalloc.start()
        events = 0
        async for stored in store.read_all():
            events += isinstance(stored.event, Opened)
        _, allocated = tracemalloc.get_traced_memory()
    sys.stdout.write(f"{events} {allocated} {resident()}\n")


async def warm_up(store: SQLiteEventStore) -> None:
    # How many threads read, each with a connection and its cache, is limited, but up to chance: here all of them do.
    async for _ in store.read_all(ReadOptions(limit=5_000)):
        pass


def resident() -> int:
    # Not getrusage: its peak includes that of the process that started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0])


asyncio.run(main(*sys.argv[1:]))
