"""
Appends pairs of events from many tasks to a few streams of a SQLite file, and writes what became of each pair.

Usage: clashing.py FILE TASKS APPENDS SEED

Waits for a line on standard input once the file is open. Every third append or so is cancelled, at a random moment.
Lines: outcome, aggregate id, version (0 unless acknowledged), the ids of both events.
"""

import asyncio
import sys
from random import Random
from uuid import UUID

from eventsource.exceptions import OptimisticLockError
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, Opened, opened

STREAMS = [UUID(int=number) for number in range(16)]


async def append(store: SQLiteEventStore, pair: list[Opened], random: Random) -> tuple[str, int]:
    aggregate_id = pair[0].aggregate_id
    version = await store.get_stream_version(aggregate_id, DOOR)
    appending = asyncio.create_task(store.append_events(aggregate_id, DOOR, pair, version))
    if random.random() < 0.3:
        await asyncio.sleep(random.expovariate(1000))
        appending.cancel()
    try:
        return "acknowledged", (await appending).new_version
    except OptimisticLockError:
        return "refused", 0
    except asyncio.CancelledError:
        return "cancelled", 0


async def append_often(store: SQLiteEventStore, appends: int, random: Random) -> None:
    for _ in range(appends):
        pair = opened(random.choice(STREAMS), 2)
        outcome, version = await append(store, pair, random)
        ids = " ".join(str(event.event_id) for event in pair)
        sys.stdout.write(f"{outcome} {pair[0].aggregate_id} {version} {ids}\n")


async def main(path: str, tasks: str, appends: str, seed: str) -> None:
    async with SQLiteEventStore(path, busy_timeout=60_000) as store:
        sys.stdin.readline()
        async with asyncio.TaskGroup() as group:
            for number in range(int(tasks)):
                group.create_task(append_often(store, int(appends), Random(f"{seed}/{number}")))


asyncio.run(main(*sys.argv[1:]))
