"""What the benchmarks of the brokers share: the events, and handlers that know when they are done."""

import asyncio
from uuid import uuid4

from benchmarks.sample import Deposited, deposits
from eventsource import DomainEvent

AGGREGATES = 50
EVENTS = 5_000
SLOW_EVENTS = 500
PAUSE = 0.002
"""How many seconds a slow handler waits, for a database say."""


class Counting:
    """A handler that is done when it has handled so many events; each takes it *pause* seconds."""

    def __init__(self, events: int, pause: float = 0.0) -> None:
        self.done = asyncio.Event()
        self._left = events
        self._pause = pause

    async def handle(self, event: DomainEvent) -> None:
        """Handle *event*."""
        if self._pause:
            await asyncio.sleep(self._pause)
        self._left -= 1
        if not self._left:
            self.done.set()


def sample(events: int) -> list[Deposited]:
    """Return events of several accounts, in turn."""
    accounts = [deposits(uuid4(), events // AGGREGATES) for _ in range(AGGREGATES)]
    return [event for turn in zip(*accounts, strict=True) for event in turn]
