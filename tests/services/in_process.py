"""A bus over a broker within the process, for tests that need no server."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace
from typing import Any

from eventsource.bus.broker import BrokerEventBus
from eventsource.bus.lanes import Consumption, Lanes
from eventsource.bus.messages import Address, Received, Server, describing
from eventsource.bus.operations import DeadLetter, RefreshConsumption
from eventsource.bus.serializing import EventSerializer
from eventsource.bus.statistics import BrokerStats
from eventsource.bus.stopping import Stop
from eventsource.exceptions import BrokerConnectionError
from eventsource.retry import ExponentialBackoffRetryPolicy, RetryConfig


@dataclass(slots=True)
class LocalStats(BrokerStats):
    """What is counted."""

    rebalance_count: int = 0


class LocalBus(BrokerEventBus):
    """A bus over a broker within the process, which is a queue."""

    system = "kafka"
    server = Server("here", 9092)
    consumer_group = "guests"
    config = SimpleNamespace(topic_name="doors")
    is_connected = False

    def __init__(self, max_retries: int = 0) -> None:
        super().__init__(
            stats=LocalStats(),
            serializer=EventSerializer(),
            policy=ExponentialBackoffRetryPolicy(RetryConfig(max_retries, 0.001, 0.001, jitter=0.0)),
            enable_dlq=True,
            shutdown_timeout=5.0,
            consumer="local",
        )
        self.is_broken = False
        self.lag: dict[int, int] = {}
        self.sent: list[Received] = []
        self.settled: list[Received] = []
        self._offsets = count()
        self._queue: asyncio.Queue[Received] = asyncio.Queue()

    @property
    def stats(self) -> LocalStats:
        return self._stats

    def address_of(self, event: Any) -> Address:
        return Address("doors", key=str(event.aggregate_id), routing_key="Door.opened")

    def message_of(self, event: Any, **headers: str) -> Received:
        """Return a message that carries *event*."""
        return self._message_of(event, headers)

    def deliver(self, message: Received) -> None:
        """Let *message* be consumed."""
        self._queue.put_nowait(message)

    async def consume(self) -> None:
        """Begin to consume."""
        self.start_consuming_in_background()
        await self.wait_until_consuming()

    async def has_settled(self, messages: int) -> None:
        """Return once so many messages are settled."""
        async with asyncio.timeout(20):
            while len(self.settled) < messages:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.001)

    async def refresh(self) -> None:
        """Look at the lag."""
        await self._perform(self._refresh, RefreshConsumption())

    async def _refresh(self, refresh: RefreshConsumption) -> None:
        pass

    async def _connect(self) -> None:
        self.is_connected = True
        await self.refresh()

    async def _disconnect(self) -> None:
        self.is_connected = False

    def _message_of(self, event: Any, headers: Any) -> Received:
        described = describing(event, self._serializer.registry.name_of(event))
        own = {name: str(value) for name, value in described}
        return Received(
            body=self._serializer.serialize(event),
            headers={**(headers or {}), **own},
            address=Address("doors", str(event.aggregate_id), "Door.opened", 3, next(self._offsets)),
            lane=event.aggregate_id,
            message_id=str(event.event_id),
            sent_at=event.occurred_at,
            is_redelivered=False,
            is_replayed=False,
            origin=None,
        )

    async def _send(self, messages: Sequence[Received]) -> None:
        if self.is_broken:
            raise BrokerConnectionError("the broker is gone")
        for message in messages:
            self.sent.append(message)
            self.deliver(message)

    async def _keep(self, dead_letter: DeadLetter) -> None:
        if self.is_broken:
            raise BrokerConnectionError("the broker is gone")

    async def _run_session(self, stop: Stop) -> None:
        async with Lanes(_Consumption(self), self._policy, concurrency=10, window=100) as lanes:
            feeding = asyncio.create_task(self._feed(lanes))
            self._delivering.set()
            await stop.requested()
            feeding.cancel()
            await asyncio.wait({feeding})
            await lanes.finish(patience=stop.patience, waiting=False)

    async def _feed(self, lanes: Lanes[Received]) -> None:
        while True:
            message = await self._queue.get()
            await lanes.admit(message.lane, message)


class _Consumption(Consumption[Received]):
    def __init__(self, bus: LocalBus) -> None:
        self._bus = bus

    async def attempt(self, message: Received, number: int) -> None:
        await self._bus._attempt(message, number)

    async def dead_letter(self, message: Received, error: Exception, attempts: int) -> None:
        await self._bus._bury(message, error, attempts)

    async def settle(self, message: Received) -> None:
        self._bus.settled.append(message)
