"""
Handles events as a member of a group, until it is terminated, and notes in a file when it begins and ends with each.

Usage: delivery_handling.py SYSTEM ADDRESS NAME FILE MEMBER SECONDS EVERY

SYSTEM is `kafka` or `rabbitmq`, MEMBER how this one is called. Each event takes so many SECONDS. Each EVERY-th event of
an aggregate fails once in each process; 0 means that none does. What the library logs is in a file beside FILE.
Lines: one when it consumes.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable

from delivery_buses import bus_at
from delivery_notes import Key, key_of, notebook

from eventsource.bus.broker import BrokerEventBus
from eventsource.testing.events import Opened


class FailedOnceError(Exception):
    """What the handler raises."""


def handler(path: str, member: str, seconds: float, every: int) -> Callable[[Opened], Awaitable[None]]:
    note = notebook(path, member)
    failed: set[Key] = set()

    async def handle(event: Opened) -> None:
        note("begun", event)
        await asyncio.sleep(seconds)
        if every and event.number % every == 0 and key_of(event) not in failed:
            failed.add(key_of(event))
            note("failed", event)
            raise FailedOnceError(f"event {key_of(event)} fails once")
        note("done", event)

    return handle


async def tell_of(bus: BrokerEventBus) -> None:
    await bus.wait_until_consuming(60)
    sys.stdout.write("consuming\n")
    sys.stdout.flush()


async def main(system: str, address: str, name: str, path: str, member: str, seconds: str, every: str) -> None:
    logging.basicConfig(filename=f"{path}.{member}.log", level=logging.WARNING, format="%(asctime)s %(message)s")
    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    async with bus_at(system, address, name) as bus:
        bus.subscribe(Opened, handler(path, member, float(seconds), int(every)))
        consuming = bus.start_consuming_in_background()
        telling = asyncio.create_task(tell_of(bus))
        leaving = asyncio.create_task(terminated.wait())
        await asyncio.wait({consuming, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if consuming.done():
            await consuming  # raises what has ended it
        telling.cancel()


asyncio.run(main(*sys.argv[1:]))
