"""
Handles events as a member of a group, until its input ends or it is killed, and notes that in a file.

Usage: broker_consuming.py BROKER ADDRESS NAME LOG MEMBER

Each tenth event of an aggregate fails when this member handles it for the first time.
Lines: one when the broker has taken it in.
Lines of LOG: what has become of it (begun, failed or done), MEMBER, aggregate, number of the event, nanoseconds.
They are of equal length, a whole number of them to a page, so that no kill cuts one in two and no reader sees half.
What is logged stands beside LOG.
"""

import asyncio
import logging
import os
import sys
from time import monotonic_ns

from broker_buses import bus_over

from eventsource.testing.events import Opened


class Handling:
    def __init__(self, log: int, member: str) -> None:
        self._log, self._member = log, member
        self._has_failed: set[tuple[int, int]] = set()

    async def handle(self, event: Opened) -> None:
        self._note("begun", event)
        # Work takes time, so that most kills come in the middle of it, and now and then longer than a rebalance.
        place = (event.aggregate_id.int, event.number)
        await asyncio.sleep(0.5 if sum(place) % 50 == 0 else 0.01)
        if event.number % 10 == 0 and place not in self._has_failed:
            self._has_failed.add(place)
            self._note("failed", event)
            raise ConnectionError("the database is away")
        self._note("done", event)

    def _note(self, step: str, event: Opened) -> None:
        line = f"{step} {self._member} {event.aggregate_id.int} {event.number} {monotonic_ns()}"
        os.write(self._log, f"{line:63}\n".encode())


async def main(broker: str, address: str, name: str, log: str, member: str) -> None:
    logging.basicConfig(filename=f"{log}.{member}", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    async with bus_over(broker, address, name, publish_timeout=10) as bus:
        bus.subscribe(Opened, Handling(file, member))
        bus.start_consuming_in_background()
        await bus.wait_until_consuming(60)
        sys.stdout.write("consuming\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main(*sys.argv[1:]))
