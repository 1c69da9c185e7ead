"""The buses over a broker that a contract is about, and handlers that fail."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID, uuid4

import pytest

from eventsource.bus.broker import BrokerEventBus
from eventsource.events.base import DomainEvent
from eventsource.headers import current_headers
from eventsource.testing.event_bus_subject import PATIENCE, Gate, Recorder
from eventsource.testing.events import Opened

SOON = 0.01
"""Seconds after which a message is tried again for the first time."""


@dataclass(frozen=True, slots=True)
class DeadLetterSeen:
    """
    A message that was kept because it could not be handled.

    ``headers`` are those with text. ``reason`` is the text of the last error, ``retry_count`` how often the message was
    tried again.
    """

    message_id: str | None
    event_type: str | None
    error_type: str
    reason: str
    retry_count: int
    headers: dict[str, str]
    body: bytes


MakeBus: TypeAlias = Callable[..., BrokerEventBus]
DeadLetters: TypeAlias = Callable[[BrokerEventBus], Awaitable[list[DeadLetterSeen]]]
Replay: TypeAlias = Callable[[BrokerEventBus, DeadLetterSeen], Awaitable[None]]
PublishRaw: TypeAlias = Callable[[BrokerEventBus, bytes, dict[str, str]], Awaitable[None]]


@pytest.mark.asyncio
class BrokerSubject:
    """The fixtures of the contracts of buses over brokers; they run in both modes of pytest-asyncio."""

    @pytest.fixture
    def make_bus(self) -> MakeBus:
        """
        Return what makes buses that are not connected; a backend's test class says which.

        All of one test go over one topic or exchange, which no other test uses. They take the fields of the backend's
        configuration: consumer_group, max_retries, retry_base_delay, enable_dlq and shutdown_timeout. They are shut
        down after the test.
        """
        raise NotImplementedError("override the fixture 'make_bus' with one that returns a function which makes buses")

    @pytest.fixture
    def hopeless_bus(self) -> BrokerEventBus:
        """Return a bus that is ready to consume, but that the broker refuses as a consumer."""
        raise NotImplementedError("override the fixture 'hopeless_bus' with a bus whose consumer the broker refuses")

    @pytest.fixture
    def dead_letters(self) -> DeadLetters:
        """Return what reads the dead letters of a bus, the oldest first."""
        raise NotImplementedError("override the fixture 'dead_letters' with one that returns an asynchronous function")

    @pytest.fixture
    def replay(self) -> Replay:
        """Return what replays a dead letter of a bus."""
        raise NotImplementedError("override the fixture 'replay' with one that returns an asynchronous function")

    @pytest.fixture
    def publish_raw(self) -> PublishRaw:
        """Return what puts a message where a bus publishes, as somebody else might do, with the driver alone."""
        raise NotImplementedError("override the fixture 'publish_raw' with one that returns an asynchronous function")

    @pytest.fixture
    def door(self) -> UUID:
        """Return the id of the aggregate that the events are about."""
        return uuid4()


async def consuming(*buses: BrokerEventBus) -> None:
    """Let *buses* connect, and return once the broker delivers to each of them."""
    for bus in buses:
        if not bus.is_connected:
            await bus.connect()
        bus.start_consuming_in_background()
        await bus.wait_until_consuming(PATIENCE)


async def busy_and_idle(
    make_bus: MakeBus, events: Sequence[DomainEvent]
) -> tuple[tuple[BrokerEventBus, Gate], tuple[BrokerEventBus, Recorder]]:
    """
    Return two members of a group, each with its handler, once *events* are published.

    The first has one of them in hand, which waits at the gate; the second is not connected yet.
    """
    first, second = make_bus(), make_bus()
    gate, recorder = Gate(), Recorder()
    first.subscribe(Opened, gate)
    second.subscribe(Opened, recorder)
    await consuming(first)
    await first.publish(events)
    await asyncio.wait_for(gate.entered.wait(), PATIENCE)
    return (first, gate), (second, recorder)


class Failing(Recorder):
    """A handler that fails at chosen events, so many times, and remembers the others and its attempts."""

    def __init__(self, times: dict[UUID, int]) -> None:
        super().__init__()
        self.attempts: list[DomainEvent] = []
        self._left = defaultdict(int, times)

    async def handle(self, event: DomainEvent) -> None:
        """Raise, or remember *event*."""
        self.attempts.append(event)
        if self._left[event.event_id] > 0:
            self._left[event.event_id] -= 1
            raise LookupError(f"no room for {event.event_id}")
        self.record(event)


class HeaderRecorder(Recorder):
    """A handler that remembers with which headers each event came."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[dict[str, str]] = []

    async def handle(self, event: DomainEvent) -> None:
        """Remember *event* and its headers."""
        self.headers.append(dict(current_headers()))
        self.record(event)


async def ended(*tasks: "asyncio.Task[None]") -> None:
    """Return when *tasks* are done."""
    _, late = await asyncio.wait(tasks, timeout=PATIENCE)
    if late:
        raise TimeoutError(f"not done after {PATIENCE} s: {late}")


async def idle() -> None:
    """Let everything go on that waits for nothing."""
    for _ in range(100):
        await asyncio.sleep(0)
