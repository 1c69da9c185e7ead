"""A channel on which the broker confirms what it takes."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractChannel, AbstractExchange
from aio_pika.exceptions import ChannelPreconditionFailed, DeliveryError
from aio_pika.exceptions import PublishError as Returned
from aiormq.exceptions import ChannelAccessRefused

from eventsource.bus.rabbitmq.connection import is_of_lost_connection
from eventsource.bus.rabbitmq.messages import Outgoing
from eventsource.bus.rabbitmq.statistics import RabbitMQEventBusStats
from eventsource.cancellation import is_being_cancelled
from eventsource.exceptions import MessageTooLargeError, PublishError, PublishTimeoutError, UnroutableError

Outcome = BaseException | None
"""None if the broker has taken a message, else what the driver has raised."""


class Outlet:
    """
    Publishes messages on *channel*, and counts in *stats* what became of them.

    It has one of each message id under way at a time, because answers are told apart by it.
    """

    def __init__(self, channel: AbstractChannel, stats: RabbitMQEventBusStats) -> None:
        self._channel = channel
        self._stats = stats
        self._exchanges: dict[str, AbstractExchange] = {"": channel.default_exchange}
        self._under_way: dict[str | None, asyncio.Future[None]] = {}

    @property
    def is_open(self) -> bool:
        """Whether messages can be published."""
        return not self._channel.is_closed

    async def send(self, messages: Sequence[Outgoing], deadline: float) -> list[Outcome]:
        """Publish *messages*, each with an id of its own, in their order, and return what became of each."""
        for name in {message.exchange for message in messages} - self._exchanges.keys():
            self._exchanges[name] = await self._channel.get_exchange(name, ensure=False)
        try:
            async with self._reserved({message.message.message_id for message in messages}, deadline):
                if len(messages) == 1:
                    return [await self._publish(messages[0], deadline)]
                return await asyncio.gather(*(self._publish(message, deadline) for message in messages))
        except TimeoutError as error:
            return [error for _ in messages]

    @asynccontextmanager
    async def _reserved(self, ids: set[str | None], deadline: float) -> AsyncIterator[None]:
        """Wait until none of *ids* is under way, and let them be that."""
        async with asyncio.timeout_at(deadline):
            while busy := self._under_way.keys() & ids:
                await asyncio.wait({self._under_way[message_id] for message_id in busy})
        done = asyncio.get_running_loop().create_future()
        self._under_way |= dict.fromkeys(ids, done)
        try:
            yield
        finally:
            for message_id in ids:
                del self._under_way[message_id]
            done.set_result(None)

    async def _publish(self, outgoing: Outgoing, deadline: float) -> Outcome:
        outcome: Outcome = None
        exchange = self._exchanges[outgoing.exchange]
        remaining = max(0.001, deadline - asyncio.get_running_loop().time())
        try:
            await exchange.publish(
                outgoing.message, outgoing.routing_key, mandatory=outgoing.mandatory, timeout=remaining
            )
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            outcome = error
        except Exception as error:  # whatever it is, the others go on
            outcome = error
        self._note(outcome)
        return outcome

    def _note(self, outcome: Outcome) -> None:
        if outcome is None:
            self._stats.publish_confirms += 1
        elif isinstance(outcome, Returned):
            self._stats.publish_returns += 1


def in_windows(messages: Sequence[Outgoing], size: int) -> Iterator[list[Outgoing]]:
    """Yield *messages* in their order, *size* of them at most at a time, and none with the id of another one."""
    window: list[Outgoing] = []
    ids: set[str | None] = set()
    for message in messages:
        if len(window) == size or message.message.message_id in ids:
            yield window
            window, ids = [], set()
        window.append(message)
        ids.add(message.message.message_id)
    if window:
        yield window


def is_loss(outgoing: Outgoing, outcome: Outcome) -> bool:
    """Tell whether *outcome* says only that the channel is gone, so that the message may be published again."""
    match outcome:
        case asyncio.CancelledError():
            return True
        case DeliveryError() | TimeoutError() | ChannelAccessRefused():
            return False
        case ChannelPreconditionFailed():
            size = _refused_size(outcome)
            return size is not None and size != len(outgoing.message.body)
        case _:
            return outcome is not None and is_of_lost_connection(outcome)


def error_of(outgoing: Outgoing, outcome: BaseException, seconds: float) -> PublishError:
    """Return what to raise because of *outcome*, which is no loss of the channel."""
    where = f"exchange {outgoing.exchange!r} with routing key {outgoing.routing_key!r}"
    match outcome:
        case Returned():
            return UnroutableError(
                f"no queue is bound to {where}: start a consumer once, bind a queue, or set mandatory=False",
                outgoing.event_id,
            )
        case TimeoutError():
            return PublishTimeoutError(
                f"the broker has not confirmed the message to {where} within {seconds} s; it may have taken it, "
                "and publishing it again is safe",
                outgoing.event_id,
            )
        case ChannelPreconditionFailed() if _refused_size(outcome) is not None:
            return MessageTooLargeError(
                f"the broker refuses the message to {where} for its size: {outcome}; raise its max_message_size, "
                "or carry less",
                outgoing.event_id,
            )
        case _:
            return PublishError(f"the message to {where} was not taken: {outcome}", outgoing.event_id)


def _refused_size(error: ChannelPreconditionFailed) -> int | None:
    """Return the size for which the broker has refused a message, if that is what it says."""
    found = re.search(r"message size (\d+) (?:is )?larger than", str(error))
    return int(found[1]) if found else None
