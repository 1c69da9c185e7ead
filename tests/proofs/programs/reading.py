"""
Reads every event of a SQLite file, and writes how many there were and what memory that took at most.

Usage: reading.py FILE

One line: events, the peak of what Python allocated for reading (bytes), the peak of the whole process (KiB).
"""

import asyncio
import resource
import sys
import tracemalloc

from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import Opened


async def main(path: str) -> None:
    async with SQLiteEventStore(path) as store:
        tracemalloc.start()
        events = 0
        async for stored in store.read_all():
            events += isinstance(stored.event, Opened)
        _, allocated = tracemalloc.get_traced_memory()
    sys.stdout.write(f"{events} {allocated} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\n")


asyncio.run(main(*sys.argv[1:]))
