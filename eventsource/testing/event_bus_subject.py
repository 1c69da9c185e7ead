"""The bus that a contract is about, and handlers that remember what they were given."""

import asyncio
from collections import Counter
from uuid import UUID, uuid4

import pytest

from eventsource.bus.interface import EventBus
from eventsource.events.base import DomainEvent

PATIENCE = 30.0
"""How many seconds a test waits for an event before it fails."""


@pytest.mark.asyncio
class EventBusSubject:
    """The fixtures of the contracts of event buses; they run in both modes of pytest-asyncio."""

    @pytest.fixture
    def bus(self) -> EventBus:
        """Return a bus without subscriptions; a backend's test class says which."""
        raise NotImplementedError("override the fixture 'bus' with one that yields an event bus")

    @pytest.fixture
    def door(self) -> UUID:
        """Return the id of the aggregate that the events are about."""
        return uuid4()


class Recorder:
    """A handler that remembers the ids of its events; those of one aggregate come in their order."""

    def __init__(self) -> None:
        self.events: list[DomainEvent] = []
        self._came = asyncio.Event()

    async def handle(self, event: DomainEvent) -> None:
        """Remember *event*."""
        self.record(event)

    def record(self, event: DomainEvent) -> None:
        """Remember *event*, without waiting for anything."""
        self.events.append(event)
        self._came.set()

    @property
    def counts(self) -> Counter[UUID]:
        """How often each event came, by its id."""
        return Counter(event.event_id for event in self.events)

    async def received(self, *events: DomainEvent) -> list[DomainEvent]:
        """Return what came, in its order, once all of *events* have come."""
        wanted = Counter(event.event_id for event in events)
        async with asyncio.timeout(PATIENCE):
            while not wanted <= self.counts:
                self._came.clear()
                await self._came.wait()
        return list(self.events)


class Gate(Recorder):
    """A handler that stays in hand of an event until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = asyncio.Event()
        self.open = asyncio.Event()

    async def handle(self, event: DomainEvent) -> None:
        """Wait, then remember *event*."""
        self.entered.set()
        await self.open.wait()
        self.record(event)
