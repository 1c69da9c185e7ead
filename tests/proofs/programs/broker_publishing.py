"""
Publishes events in a steady flow, each batch again until the broker has confirmed it.

Usage: broker_publishing.py BROKER ADDRESS NAME AGGREGATES EVENTS SECONDS TIMEOUT

Publishes EVENTS events of so many AGGREGATES in turn, evenly over SECONDS; publishing may take TIMEOUT seconds.
Lines: one for each confirmed batch: events confirmed so far, failures so far, and the longest that publishing took.
"""

import asyncio
import sys
from uuid import UUID

from broker_buses import bus_over

from eventsource.bus.broker import BrokerEventBus
from eventsource.exceptions import EventBusError
from eventsource.testing.events import Opened

BATCH = 40


def event_at(place: int, aggregates: int) -> Opened:
    number, aggregate = divmod(place, aggregates)
    return Opened(aggregate_id=UUID(int=aggregate), number=number + 1)


class Publishing:
    def __init__(self, bus: BrokerEventBus) -> None:
        self._bus = bus
        self.failures, self.longest = 0, 0.0

    async def publish(self, events: list[Opened]) -> None:
        while not await self._has_published(events):
            self.failures += 1
            await asyncio.sleep(0.1)  # the broker is away, and may say so at once

    async def _has_published(self, events: list[Opened]) -> bool:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            await self._bus.publish(events)
        except EventBusError:
            return False
        finally:
            self.longest = max(self.longest, loop.time() - begun)
        return True


async def main(
    broker: str, address: str, name: str, aggregates: str, events: str, seconds: str, publish_timeout: str
) -> None:
    loop = asyncio.get_running_loop()
    total, pause = int(events), float(seconds) / int(events)
    async with bus_over(broker, address, name, float(publish_timeout)) as bus:
        publishing, begun = Publishing(bus), loop.time()
        for first in range(0, total, BATCH):
            await asyncio.sleep(begun + first * pause - loop.time())
            end = min(first + BATCH, total)
            await publishing.publish([event_at(place, int(aggregates)) for place in range(first, end)])
            sys.stdout.write(f"{end} {publishing.failures} {publishing.longest:.3f}\n")
            sys.stdout.flush()


asyncio.run(main(*sys.argv[1:]))
