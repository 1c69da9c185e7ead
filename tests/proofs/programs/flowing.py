"""
Appends events to a SQLite file in a steady flow, and writes a line for each one once it is acknowledged.

Usage: flowing.py FILE EVENTS SECONDS

Appends EVENTS events, one after the other, to a few streams in turn, evenly over so many SECONDS.
Lines: event id.
"""

import asyncio
import sys
from itertools import cycle, islice
from uuid import UUID

from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import ExpectedVersion
from eventsource.testing.events import DOOR, Opened

STREAMS = [UUID(int=number) for number in range(16)]


async def main(path: str, events: str, seconds: str) -> None:
    loop = asyncio.get_running_loop()
    async with SQLiteEventStore(path, busy_timeout=60_000) as store:
        begun, pause = loop.time(), float(seconds) / int(events)
        for number, aggregate_id in enumerate(islice(cycle(STREAMS), int(events))):
            await asyncio.sleep(begun + number * pause - loop.time())
            event = Opened(aggregate_id=aggregate_id, number=number)
            await store.append_events(aggregate_id, DOOR, [event], ExpectedVersion.ANY)
            sys.stdout.write(f"{event.event_id}\n")
            sys.stdout.flush()


asyncio.run(main(*sys.argv[1:]))
