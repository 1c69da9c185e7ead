"""
Forwards the events of a SQLite file to a bus, and writes a line for each one once a handler there has it.

Usage: forwarding.py FILE PAGE LEASE STOP

Reads PAGE events at a time, under a lease of LEASE seconds, and ends at the end of the log. The handler never returns
from the STOP-th event; 0 means that it always does.
Lines: event id.
"""

import asyncio
import signal
import sys
from itertools import count

from eventsource.bus.memory import InMemoryEventBus
from eventsource.events.base import DomainEvent
from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository
from eventsource.projections.forwarding import EventForwarder
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing import events

assert events  # they are registered


async def main(path: str, page: str, lease: str, stop: str) -> None:
    numbers = count(1)

    async def handle(event: DomainEvent) -> None:
        sys.stdout.write(f"{event.event_id}\n")
        sys.stdout.flush()
        if next(numbers) == int(stop):
            signal.pause()

    async with (
        SQLiteEventStore(path) as store,
        SQLiteCheckpointRepository(path) as checkpoints,
        InMemoryEventBus() as bus,
    ):
        bus.subscribe_to_all_events(handle)
        options = {"batch_size": int(page), "lease_seconds": float(lease)}
        async with EventForwarder(store, bus, checkpoints, **options) as forwarder:
            await forwarder.wait_for()


asyncio.run(main(*sys.argv[1:]))
