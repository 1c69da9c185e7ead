"""Consuming: one connection from its beginning to its end."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from eventsource.bus.consuming import Attempt, Bury
from eventsource.bus.lanes import Consumption, Lanes
from eventsource.bus.messages import Received
from eventsource.bus.rabbitmq.config import RabbitMQEventBusConfig
from eventsource.bus.rabbitmq.connection import Line, bounded
from eventsource.bus.rabbitmq.messages import received
from eventsource.bus.rabbitmq.topology import declare_queue
from eventsource.bus.stopping import Stop, running
from eventsource.exceptions import BrokerConnectionError, EventBusError
from eventsource.retry import RetryPolicy


class Session(Consumption[Received]):
    """
    Consumes from the queue of a group over *line* until that is lost.

    What is delivered and not settled when it ends is delivered again by the broker, to this consumer or to another one.
    """

    def __init__(self, config: RabbitMQEventBusConfig, line: Line, attempt: Attempt, bury: Bury) -> None:
        self._config = config
        self._line = line
        self._attempt = attempt
        self._bury = bury
        self._delivered: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._channel: AbstractChannel | None = None
        self._lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def run(
        self, policy: RetryPolicy, routing_keys: Iterable[str], stop: Stop, note_delivering: Callable[[], None]
    ) -> None:
        """
        Consume until *stop* is requested, finish in its patience, and return.

        Raises:
            EventBusError: If consuming cannot begin, or ends by itself.
        """
        lanes = Lanes(
            self,
            policy,
            concurrency=self._config.max_concurrency,
            window=self._config.prefetch_count,
            parking=self._config.parking,
        )
        async with lanes:
            await stop.unless(self._begin(routing_keys))
            if stop.is_requested:
                return
            note_delivering()
            failure = await self._feed_until_the_end(lanes, stop)
            # The consumer is not cancelled before: the queue would be somebody else's while its messages are in hand.
            patience = stop.patience if stop.is_requested else self._config.shutdown_timeout
            await lanes.finish(patience=patience, waiting=False)
            failure = failure or self._failure_of(lanes)
        if failure is not None:
            raise failure

    async def attempt(self, message: Received, number: int) -> None:
        """Make attempt *number* to handle *message*."""
        await self._attempt(message, number)

    async def dead_letter(self, message: Received, error: Exception, attempts: int) -> None:
        """Keep *message* as a dead letter, unless the broker is going to deliver it again."""
        if not self._lost.done():
            await self._bury(message, error, attempts)

    async def settle(self, message: Received) -> None:
        """Acknowledge *message*; where that fails, the session is lost, and it is delivered again."""
        if self._lost.done():
            return
        try:
            async with bounded(self._config, "acknowledging a message", self._config.ack_timeout):
                await message.origin.ack()
        except EventBusError as error:
            self._lose(error)

    async def _begin(self, routing_keys: Iterable[str]) -> None:
        """
        Have messages delivered.

        The prefetch is that of the consumer, and it has room for the parked messages from the beginning: one of the
        whole channel could be raised later, but quorum queues refuse it.
        """
        self._channel = channel = await self._line.open_channel()
        queue = await declare_queue(channel, self._config, routing_keys)
        async with bounded(self._config, f"consuming from queue {self._config.queue_name!r}"):
            await channel.set_qos(self._config.prefetch_count + self._config.parking)
            await self._watch(channel)
            await queue.consume(self._receive, consumer_tag=self._config.consumer_name)

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        self._delivered.put_nowait(message)

    async def _feed_until_the_end(self, lanes: Lanes[Received], stop: Stop) -> BaseException | None:
        """Let *lanes* have what is delivered until *stop* is requested or something fails; return what is wrong."""
        async with running(self._feed(lanes)) as feeding, running(stop.requested()) as stopping:
            ends: set[asyncio.Future[Any]] = {feeding, stopping, self._lost, lanes.failure}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return feeding.exception() if feeding.done() else None

    async def _feed(self, lanes: Lanes[Received]) -> None:
        while True:
            message = received(await self._delivered.get(), self._config.queue_name)
            await lanes.admit(message.lane, message)

    def _failure_of(self, lanes: Lanes[Received]) -> BaseException | None:
        if self._lost.done():
            return self._lost.result()
        return lanes.failure.exception() if lanes.failure.done() else None

    async def _watch(self, channel: AbstractChannel) -> None:
        """Notice when there is nothing to be delivered any more."""
        place = f"RabbitMQ at {self._config.masked_url}"

        def closed(_: object, reason: BaseException | None = None) -> None:
            self._lose(BrokerConnectionError(f"{place} has closed the consumer's channel: {reason!r}"))

        def cancelled(_: object) -> None:
            self._lose(
                EventBusError(f"{place} has cancelled the consumer; queue {self._config.queue_name!r} was deleted?")
            )

        channel.close_callbacks.add(closed)
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(cancelled)

    def _lose(self, error: Exception) -> None:
        if not self._lost.done():
            self._lost.set_result(error)
