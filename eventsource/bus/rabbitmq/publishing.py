"""Publishing: one connection, which is opened again when it was lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import PublishError as Returned

from eventsource.bus.rabbitmq.config import RabbitMQEventBusConfig
from eventsource.bus.rabbitmq.connection import Line, open_line
from eventsource.bus.rabbitmq.messages import Outgoing
from eventsource.bus.rabbitmq.outlet import Outcome, Outlet, error_of, in_windows, is_loss
from eventsource.bus.rabbitmq.statistics import RabbitMQEventBusStats
from eventsource.bus.rabbitmq.topology import declare_dead_letters, declare_exchange
from eventsource.exceptions import BrokerConnectionError, NotConnectedError, PublishError, PublishTimeoutError

_LEAVING = 2.0
"""Seconds that those have who are publishing while the connection is to be closed."""


class Publisher:
    """Publishes over a connection of its own; events on one channel, dead letters on another."""

    def __init__(self, config: RabbitMQEventBusConfig, stats: RabbitMQEventBusStats) -> None:
        self._config = config
        self._stats = stats
        self._line: Line | None = None
        self._events: Outlet | None = None
        self._dead_letters: Outlet | None = None
        self._opening = asyncio.Lock()
        self._sending: set[asyncio.Future[None]] = set()
        self._closings: set[asyncio.Task[None]] = set()
        self._times_closed = 0
        self._was_open = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection with a channel for events."""
        return self._is_usable(self._events)

    async def open(self) -> None:
        """
        Connect, and declare the exchange.

        Raises:
            BrokerConnectionError: If the broker cannot be reached in time, or refuses.
            EventBusError: If the exchange is another one than is configured.
        """
        await self._outlet_for_events()

    async def close(self) -> None:
        """Let those finish who are publishing, for a moment, and close the connection."""
        self._times_closed += 1
        if self._sending:
            await asyncio.wait(self._sending, timeout=_LEAVING)
        self._drop()
        self._was_open = False
        if self._closings:
            await asyncio.wait(self._closings)

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """
        Open another channel for a while.

        Raises:
            NotConnectedError: If there is no connection.
        """
        if self._line is None or not self._line.is_open:
            raise NotConnectedError(f"the bus is not connected to {self._config.masked_url}: await connect() first")
        async with self._line.channel() as channel:
            yield channel

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """
        Publish *messages* in their order, and return once all are confirmed.

        Raises:
            BrokerConnectionError: If the connection cannot be made, or not again in time.
            PublishError: If the broker does not take one.
        """
        for window in in_windows(messages, self._config.batch_size):
            await self._send(window, for_dead_letters=False)

    async def send_dead_letter(self, message: Outgoing) -> None:
        """Publish *message* likewise, on a channel where it waits for no event."""
        await self._send([message], for_dead_letters=True)

    async def _send(self, window: list[Outgoing], *, for_dead_letters: bool) -> None:
        deadline = asyncio.get_running_loop().time() + self._config.publish_timeout
        times_closed = self._times_closed
        leaving = asyncio.get_running_loop().create_future()
        self._sending.add(leaving)
        try:
            remaining = window
            while remaining := await self._attempt(remaining, deadline, for_dead_letters):
                if self._times_closed != times_closed:
                    raise NotConnectedError("the bus was disconnected while it was publishing; publish again")
                await self._wait_until_next(deadline, len(remaining))
        finally:
            self._sending.discard(leaving)
            leaving.set_result(None)

    async def _attempt(self, window: list[Outgoing], deadline: float, for_dead_letters: bool) -> list[Outgoing]:
        """Publish *window*, and return what has to be published again because the connection was lost."""
        try:
            outlet = await self._outlet_until(deadline, for_dead_letters)
        except BrokerConnectionError:
            if self._was_open:
                return window
            raise
        outcomes = await outlet.send(window, deadline)
        errors = [
            error_of(message, outcome, self._config.publish_timeout)
            for message, outcome in zip(window, outcomes, strict=True)
            if outcome is not None and not is_loss(message, outcome)
        ]
        if errors:
            self._raise_first(errors, outlet)
        return [message for message, outcome in zip(window, outcomes, strict=True) if outcome is not None]

    def _raise_first(self, errors: list[PublishError], outlet: Outlet) -> None:
        if any(isinstance(error, PublishTimeoutError) for error in errors) and self._is_current(outlet):
            self._drop()  # a connection that nobody answers on may be dead without anybody having noticed
        raise errors[0]

    async def _wait_until_next(self, deadline: float, unconfirmed: int) -> None:
        remaining = deadline - asyncio.get_running_loop().time()
        if remaining <= 0:
            raise BrokerConnectionError(
                f"the connection to RabbitMQ at {self._config.masked_url} was lost, and not to be had again within "
                f"{self._config.publish_timeout} s; {unconfirmed} message(s) are not confirmed: publish again"
            )
        await asyncio.sleep(min(self._config.reconnect_delay, remaining))

    async def _outlet_until(self, deadline: float, for_dead_letters: bool) -> Outlet:
        try:
            async with asyncio.timeout_at(deadline):
                return await (self._outlet_for_dead_letters() if for_dead_letters else self._outlet_for_events())
        except TimeoutError as error:
            raise BrokerConnectionError(
                f"RabbitMQ at {self._config.masked_url} cannot be connected to within {self._config.publish_timeout} s"
            ) from error

    async def _outlet_for_events(self) -> Outlet:
        if self._events is None or not self._is_usable(self._events):
            async with self._opening:
                if self._events is None or not self._is_usable(self._events):
                    self._events = await self._open_outlet()
        return self._events

    async def _outlet_for_dead_letters(self) -> Outlet:
        if self._dead_letters is None or not self._is_usable(self._dead_letters):
            async with self._opening:
                if self._dead_letters is None or not self._is_usable(self._dead_letters):
                    self._dead_letters = await self._open_outlet_for_dead_letters()
        return self._dead_letters

    async def _open_outlet(self) -> Outlet:
        line = await self._open_line()
        channel = await line.open_channel()
        await declare_exchange(channel, self._config)
        return Outlet(channel, self._note_outcome)

    async def _open_outlet_for_dead_letters(self) -> Outlet:
        channel = await (await self._open_line()).open_channel()
        await declare_dead_letters(channel, self._config)
        return Outlet(channel, lambda outcome: None)

    async def _open_line(self) -> Line:
        if self._line is None or not self._line.is_open:
            self._drop()
            times_closed = self._times_closed
            line = await open_line(self._config, "publishing")
            if self._times_closed != times_closed:
                await line.close()
                raise NotConnectedError("the bus was disconnected while it was connecting; connect again")
            self._line = line
            self._was_open = True
        return self._line

    def _is_usable(self, outlet: Outlet | None) -> bool:
        return outlet is not None and outlet.is_open and self._line is not None and self._line.is_open

    def _is_current(self, outlet: Outlet) -> bool:
        return outlet is self._events or outlet is self._dead_letters

    def _drop(self) -> None:
        """Close the connection in the background; the next one who publishes opens another."""
        line, self._line, self._events, self._dead_letters = self._line, None, None, None
        if line is not None:
            closing = asyncio.create_task(line.close())
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)

    def _note_outcome(self, outcome: Outcome) -> None:
        if outcome is None:
            self._stats.publish_confirms += 1
        elif isinstance(outcome, Returned):
            self._stats.publish_returns += 1
