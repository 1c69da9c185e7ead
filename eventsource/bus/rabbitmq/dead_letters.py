"""The queue of dead letters: written, looked at, played again, emptied."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity, DeliveryError

from eventsource.bus.messages import EVENT_TYPE, Received
from eventsource.bus.operations import DeadLetter
from eventsource.bus.rabbitmq.config import RabbitMQEventBusConfig
from eventsource.bus.rabbitmq.connection import bounded
from eventsource.bus.rabbitmq.deaths import get_first_death_reason, get_original_routing_key
from eventsource.bus.rabbitmq.lasting import LastingLine
from eventsource.bus.rabbitmq.messages import (
    DLQ_PREFIX,
    ORIGINAL_ROUTING_KEY,
    REPLAYED,
    RETRY_COUNT,
    Outgoing,
    again,
)
from eventsource.bus.rabbitmq.publishing import Publisher
from eventsource.bus.rabbitmq.values import DLQMessage
from eventsource.exceptions import EventBusError

REASON = f"{DLQ_PREFIX}reason"
ERROR_TYPE = f"{DLQ_PREFIX}error-type"
ATTEMPTS = f"{DLQ_PREFIX}retry-count"
TIMESTAMP = f"{DLQ_PREFIX}timestamp"

_LONGEST_REASON = 1000
_OF_THE_BROKER = ("x-death", "x-first-death-", "x-last-death-")


class DeadLetterQueue:
    """The dead letters of a consumer group; they are asked for over *line*."""

    def __init__(self, config: RabbitMQEventBusConfig, line: LastingLine, publisher: Publisher) -> None:
        self._config = config
        self._line = line
        self._publisher = publisher

    async def keep(self, dead_letter: DeadLetter) -> None:
        """Add *dead_letter*, and return once the broker has confirmed it."""
        message = dead_letter.message
        facts = {
            REASON: str(dead_letter.error)[:_LONGEST_REASON],
            ERROR_TYPE: type(dead_letter.error).__name__,
            ATTEMPTS: dead_letter.attempts - 1,
            TIMESTAMP: datetime.now(UTC).isoformat(),
            ORIGINAL_ROUTING_KEY: _original_routing_key(message),
        }
        copy = again(message.origin, {**message.origin.headers, **facts})
        outgoing = Outgoing(copy, self._config.dlq_exchange_name, self._config.queue_name)
        await self._publisher.send_dead_letter(outgoing)

    async def count(self) -> int:
        """Return how many there are."""
        async with self._opened() as found:
            return _count_of(found[1]) if found else 0

    async def read(self, limit: int) -> list[DLQMessage]:
        """Return *limit* of them at most, the oldest first; they stay where they are."""
        async with self._opened() as found:
            return [_described(message) async for message in self._each(found[1], limit)] if found else []

    async def replay(self, message_id: str) -> bool:
        """Have the group handle the one with *message_id* again, and tell whether it is there."""
        async with self._opened() as found:
            if not found:
                return False
            channel, queue = found
            async for message in self._each(queue, _count_of(queue)):
                if message.message_id == message_id:
                    await self._send_back(channel, message)
                    return True
        return False

    async def purge(self) -> int:
        """Delete all of them, and return how many there were."""
        async with self._opened() as found:
            if not found:
                return 0
            async with self._asking("emptying"):
                purged = await found[1].purge()
            return purged.message_count or 0

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[AbstractChannel, AbstractQueue] | None]:
        """Give a channel of its own, at the end of which what was taken is put back; None if there is no queue."""
        async with self._line.channel() as channel:
            queue = None
            async with self._asking("looking for"):
                with suppress(ChannelNotFoundEntity):
                    queue = await channel.get_queue(self._config.dlq_queue_name)
            yield None if queue is None else (channel, queue)

    async def _each(self, queue: AbstractQueue, limit: int) -> AsyncIterator[AbstractIncomingMessage]:
        for _ in range(limit):
            async with self._asking("reading"):
                message = await queue.get(fail=False, timeout=None)
            if message is None:
                return
            yield message

    async def _send_back(self, channel: AbstractChannel, message: AbstractIncomingMessage) -> None:
        """Publish *message* to the queue of this group, and to no other one; delete it here after that is certain."""
        kept = {name: value for name, value in message.headers.items() if not _is_of_dead_letters(name)}
        headers = {**kept, RETRY_COUNT: 0, REPLAYED: _routing_key_before(message) or ""}
        async with self._asking("replaying a message of"):
            try:
                await channel.default_exchange.publish(again(message, headers), self._config.queue_name, timeout=None)
            except DeliveryError as error:
                raise EventBusError(
                    f"queue {self._config.queue_name!r} has not taken the dead letter {message.message_id}, which "
                    f"stays where it is: {error}; start a consumer once"
                ) from error
            await message.ack()

    def _asking(self, doing: str) -> Any:
        return bounded(self._config, f"{doing} queue {self._config.dlq_queue_name!r}")


def _original_routing_key(message: Received) -> str:
    """Return the routing key with which its event was published, also if it was a dead letter before."""
    return message.headers.get(REPLAYED) or message.address.routing_key or ""


def _routing_key_before(message: AbstractIncomingMessage) -> str | None:
    """Return the routing key that a dead letter had before it was one, whoever has made it one."""
    return _text(message.headers.get(ORIGINAL_ROUTING_KEY)) or get_original_routing_key(message)


def _is_of_dead_letters(name: str) -> bool:
    return name in (REASON, ERROR_TYPE, ATTEMPTS, TIMESTAMP, ORIGINAL_ROUTING_KEY) or name.startswith(_OF_THE_BROKER)


def _described(message: AbstractIncomingMessage) -> DLQMessage:
    headers: dict[str, Any] = dict(message.headers)
    count = headers.get(ATTEMPTS)
    return DLQMessage(
        message_id=message.message_id,
        routing_key=message.routing_key,
        body=message.body.decode(errors="replace"),
        headers=headers,
        event_type=_text(headers.get(EVENT_TYPE)),
        dlq_reason=_text(headers.get(REASON)) or get_first_death_reason(message),
        dlq_error_type=_text(headers.get(ERROR_TYPE)),
        dlq_retry_count=count if isinstance(count, int) else None,
        dlq_timestamp=_text(headers.get(TIMESTAMP)),
        original_routing_key=_routing_key_before(message),
    )


def _count_of(queue: AbstractQueue) -> int:
    return queue.declaration_result.message_count or 0


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
