"""The connection to publish with, which is opened again when it was lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto

from aio_pika.abc import AbstractChannel

from eventsource.bus.rabbitmq.config import RabbitMQEventBusConfig
from eventsource.bus.rabbitmq.connection import Line, bounded, open_line
from eventsource.bus.rabbitmq.outlet import Outlet
from eventsource.bus.rabbitmq.statistics import RabbitMQEventBusStats
from eventsource.bus.rabbitmq.topology import declare_dead_letters, declare_exchange
from eventsource.exceptions import NotConnectedError


class Purpose(Enum):
    """What is published; each has a channel of its own, where it does not wait for the other."""

    EVENTS = auto()
    DEAD_LETTERS = auto()


class LastingLine:
    """
    A connection that is opened when it is needed, and again when it was lost, until it is closed.

    Whoever began something before it was closed cannot go on afterwards: ``times_closed`` tells them from others.
    """

    def __init__(self, config: RabbitMQEventBusConfig, stats: RabbitMQEventBusStats) -> None:
        self._config = config
        self._stats = stats
        self._line: Line | None = None
        self._outlets: dict[Purpose, Outlet] = {}
        self._opening = asyncio.Lock()
        self._closings: set[asyncio.Task[None]] = set()
        self._is_closed_for_good = False
        self.is_wanted = False
        """Whether it was opened, and is not closed; it may be lost."""
        self.times_closed = 0

    @property
    def is_open(self) -> bool:
        """Whether there is a connection with a channel for events."""
        return self._usable(Purpose.EVENTS) is not None

    async def open(self) -> None:
        """
        Connect, and declare the exchange.

        Raises:
            BrokerConnectionError: If the broker cannot be reached in time, or refuses.
            EventBusError: If the exchange is another one than is configured.
        """
        await self.outlet(Purpose.EVENTS, self.times_closed)

    async def reopen(self) -> None:
        """
        Connect again if the connection was lost, within the time-out for connecting.

        Raises:
            BrokerConnectionError: If the broker cannot be reached in time, or refuses.
            EventBusError: If the exchange is another one than is configured.
            NotConnectedError: If it was not opened, or was closed.
        """
        if not self.is_wanted:
            raise NotConnectedError(f"the bus is not connected to {self._config.masked_url}: await connect() first")
        async with bounded(self._config, "connecting again"):
            await self.open()

    async def close(self, *, for_good: bool) -> None:
        """Close the connection in bounded time; what is under way on it fails."""
        self.times_closed += 1
        self.is_wanted = False
        self._is_closed_for_good = self._is_closed_for_good or for_good
        self._drop()
        if self._closings:
            await asyncio.wait(self._closings)

    def check(self, times_closed: int) -> None:
        """
        Raise an error if the connection was closed since it had been closed so often.

        Raises:
            NotConnectedError: If it was, or if it is closed for good.
        """
        if self._is_closed_for_good or self.times_closed != times_closed:
            raise NotConnectedError(
                "the bus was disconnected in the meantime; what was not confirmed may have arrived, "
                "and publishing it again is safe"
            )

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """
        Open another channel for a while.

        Raises:
            BrokerConnectionError: If the connection was lost, and is not to be had again in time.
            NotConnectedError: If there is no connection.
        """
        await self.reopen()
        line = await self._opened(self.times_closed)
        async with line.channel() as channel:
            yield channel

    async def outlet(self, purpose: Purpose, times_closed: int) -> Outlet:
        """
        Return where to publish what is for *purpose*.

        Raises:
            BrokerConnectionError: If the connection cannot be made.
            EventBusError: If what is published to is not what is configured.
            NotConnectedError: If it was closed more than *times_closed*.
        """
        self.check(times_closed)
        if (outlet := self._usable(purpose)) is not None:
            return outlet
        async with self._opening:
            if (outlet := self._usable(purpose)) is None:
                self._outlets[purpose] = outlet = await self._open_outlet(purpose, times_closed)
        return outlet

    def drop(self, outlet: Outlet) -> None:
        """Close the connection of *outlet* if it is the current one; the next one who publishes opens another."""
        if outlet in self._outlets.values():
            self._drop()

    def _usable(self, purpose: Purpose) -> Outlet | None:
        outlet = self._outlets.get(purpose)
        if outlet is None or not outlet.is_open or self._line is None or not self._line.is_open:
            return None
        return outlet

    async def _open_outlet(self, purpose: Purpose, times_closed: int) -> Outlet:
        channel = await (await self._opened(times_closed)).open_channel()
        if purpose is Purpose.EVENTS:
            await declare_exchange(channel, self._config)
            return Outlet(channel, self._stats)
        await declare_dead_letters(channel, self._config)
        return Outlet(channel, RabbitMQEventBusStats())  # dead letters are counted by whoever makes them

    async def _opened(self, times_closed: int) -> Line:
        self.check(times_closed)
        if self._line is not None and self._line.is_open:
            return self._line
        self._drop()
        line = await open_line(self._config, "publishing")
        if self.times_closed != times_closed:
            await line.close()
        self.check(times_closed)
        self._line, self.is_wanted = line, True
        return line

    def _drop(self) -> None:
        """Close the connection in the background."""
        line, self._line = self._line, None
        self._outlets.clear()
        if line is not None:
            closing = asyncio.create_task(line.close())
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)
