"""
Publishes events in a steady flow, each batch again until the broker has confirmed it.

Usage: broker_publishing.py BROKER ADDRESS NAME AGGREGATES EVENTS SECONDS TIMEOUT

Publishes EVENTS events of so many AGGREGATES in turn, evenly over SECONDS; publishing may take TIMEOUT seconds. Several
tasks do so at the same time, with aggregates of their own each.
Lines: one for each confirmed batch: events confirmed so far, failures so far, and the longest that publishing took.
"""

import asyncio
import logging
import sys
from collections.abc import Iterator, Sequence
from uuid import UUID

from broker_buses import bus_over

from eventsource.bus.broker import BrokerEventBus
from eventsource.exceptions import EventBusError
from eventsource.testing.events import Opened

TASKS = 5
BATCH = 40


def batches(aggregates: Sequence[int], events: int) -> Iterator[list[Opened]]:
    """Yield the events of *aggregates*: of each in turn the next one."""
    places = [divmod(place, len(aggregates)) for place in range(events)]
    for first in range(0, events, BATCH):
        yield [
            Opened(aggregate_id=UUID(int=aggregates[index]), number=number + 1)
            for number, index in places[first : first + BATCH]
        ]


class Publishing:
    def __init__(self, bus: BrokerEventBus) -> None:
        self._bus = bus
        self._confirmed, self._failures, self._longest = 0, 0, 0.0

    async def publish_all(self, aggregates: Sequence[int], events: int, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        begun, pause = loop.time(), seconds * BATCH / events
        for number, batch in enumerate(batches(aggregates, events)):
            await asyncio.sleep(begun + number * pause - loop.time())
            while not await self._has_published(batch):
                self._failures += 1
                await asyncio.sleep(0.1)  # the broker is away, and may say so at once
            self._confirmed += len(batch)
            sys.stdout.write(f"{self._confirmed} {self._failures} {self._longest:.3f}\n")
            sys.stdout.flush()

    async def _has_published(self, events: list[Opened]) -> bool:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            await self._bus.publish(events)
        except EventBusError:
            return False
        finally:
            self._longest = max(self._longest, loop.time() - begun)
        return True


async def main(
    broker: str, address: str, name: str, aggregates: str, events: str, seconds: str, publish_timeout: str
) -> None:
    logging.disable(logging.ERROR)  # that the broker is away is no news
    async with bus_over(broker, address, name, float(publish_timeout)) as bus:
        publishing = Publishing(bus)
        async with asyncio.TaskGroup() as tasks:
            for task in range(TASKS):
                own = range(task, int(aggregates), TASKS)
                tasks.create_task(publishing.publish_all(own, int(events) // TASKS, float(seconds)))


asyncio.run(main(*sys.argv[1:]))
