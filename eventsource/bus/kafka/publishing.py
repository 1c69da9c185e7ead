"""Sending messages to Kafka."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
)

from eventsource.bus.kafka.config import KafkaEventBusConfig
from eventsource.bus.kafka.connecting import bounded, connection_settings, start, stop
from eventsource.bus.kafka.messages import Pairs, drop_repeated, headers_of
from eventsource.bus.serializing import EventSerializer
from eventsource.bus.stopping import forget
from eventsource.events.base import DomainEvent
from eventsource.exceptions import (
    BrokerConnectionError,
    EventBusError,
    MessageTooLargeError,
    NotConnectedError,
    PublishError,
    PublishTimeoutError,
)
from eventsource.types import Headers

logger = logging.getLogger("eventsource.bus.kafka")

_WINDOW = 1000
"""How many messages are under way before the first of them are waited for."""

_RECORD_OVERHEAD = 100
_HEADER_OVERHEAD = 10
"""Bytes that a record and a header take beside their content, at most (Kafka's record format 2)."""

_NO_LIMIT = 2**31 - 1

_FATAL = (OutOfOrderSequenceNumber, InvalidProducerEpoch, MessageSizeTooLargeError)
"""After these, what an idempotent producer sends to the partition is refused."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Pairs
    event_id: UUID | None = None

    @property
    def size(self) -> int:
        """How many bytes it takes at most, before it is compressed."""
        headers = sum(len(name.encode()) + len(value or b"") + _HEADER_OVERHEAD for name, value in self.headers)
        return len(self.key or b"") + len(self.value) + headers + _RECORD_OVERHEAD


class Writer:
    """Turns events into messages for *topic*: the key is the id of the aggregate, which gives them their order."""

    def __init__(self, serializer: EventSerializer, topic: str, max_size: int) -> None:
        self._serializer = serializer
        self._topic = topic
        self._max_size = max_size

    def message_of(self, event: DomainEvent, headers: Headers | None) -> Outgoing:
        """
        Return the message that carries *event*.

        Raises:
            MessageTooLargeError: If it has too many bytes.
            SerializationError: If a value of the event has no JSON form.
        """
        event_type = self._serializer.registry.name_of(event)
        key, value = str(event.aggregate_id).encode(), self._serializer.serialize(event)
        message = Outgoing(self._topic, key, value, headers_of(event, event_type, headers), event.event_id)
        if message.size > self._max_size:
            raise _too_large(message, f"at most {self._max_size} are sent (max_request_size)")
        return message


class Publisher:
    """A producer that is replaced when it cannot be used any more."""

    def __init__(self, config: KafkaEventBusConfig) -> None:
        self._config = config
        self._producer: AIOKafkaProducer | None = None
        self._replacing = asyncio.Lock()
        self._sending = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether it was opened and not closed."""
        return self._producer is not None

    def check_open(self) -> None:
        """Raise a `NotConnectedError` if it is not open."""
        if self._producer is None:
            raise NotConnectedError("the bus is not connected to Kafka: await connect() first")

    async def open(self) -> None:
        """
        Connect.

        Raises:
            BrokerConnectionError: If that is not possible.
        """
        self._sending = asyncio.Lock()  # in the event loop that is running
        self._producer = await self._started()

    async def close(self) -> None:
        """Disconnect, in bounded time."""
        if (producer := self._producer) is not None:
            self._producer = None
            await stop(producer)

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """
        Send *messages* in their order, and return when the brokers have confirmed all of them.

        Raises:
            MessageTooLargeError: If one of them is, for the brokers; those before it are sent.
            NotConnectedError: If it is not open.
            PublishError: If the brokers refuse one; those before it may have been sent, and those after it, too.
            PublishTimeoutError: If they do not answer.
        """
        rest = iter(messages)
        while window := list(islice(rest, _WINDOW)):
            await self._send_window(window)

    async def partitions_of(self, topic: str) -> set[int]:
        """
        Return the numbers of the partitions of *topic*, which is made if the brokers are set up so.

        Raises:
            PublishError: If there is no such topic.
            PublishTimeoutError: If the brokers do not answer.
        """
        try:
            return set(await bounded(self._opened.partitions_for(topic), self._config.connect_timeout))
        except (KafkaError, TimeoutError) as error:
            raise self._failure(error, self._producer, topic, self._config.connect_timeout) from error

    @property
    def _opened(self) -> AIOKafkaProducer:
        self.check_open()
        return self._producer

    async def _send_window(self, messages: Sequence[Outgoing]) -> None:
        producer = self._opened
        confirmations: list[asyncio.Future[Any]] = []
        try:
            await bounded(self._sent(producer, messages, confirmations), self._config.publish_timeout)
        except (KafkaError, TimeoutError, BrokerConnectionError) as error:
            culprit = _culprit(messages, confirmations)
            failure = self._failure(error, producer, culprit.topic, self._config.publish_timeout, culprit)
            await self._replace_after(error, producer)
            raise failure from error
        finally:
            for confirmation in confirmations:
                confirmation.add_done_callback(forget)

    async def _sent(
        self, producer: AIOKafkaProducer, messages: Sequence[Outgoing], confirmations: "list[asyncio.Future[Any]]"
    ) -> None:
        async with self._sending:  # whoever waits for room in a batch would be overtaken by who comes later
            for message in messages:
                confirmations.append(await producer.send(message.topic, message, message.key, headers=message.headers))
        for confirmation in confirmations:
            await asyncio.shield(confirmation)

    async def _replace_after(self, error: BaseException, producer: Any) -> None:
        if not isinstance(error, _FATAL):
            return
        async with self._replacing:
            if self._producer is not producer:
                return
            successor = await self._started()
            if self._producer is producer:
                self._producer = successor
                await stop(producer)
            else:  # it was closed meanwhile
                await stop(successor)

    async def _started(self) -> AIOKafkaProducer:
        config = self._config
        # What we write is measured before, dead letters are as they came.
        settings = {**config.producer_settings, **connection_settings(config), "max_request_size": _NO_LIMIT}
        try:
            producer = AIOKafkaProducer(
                **settings,
                request_timeout_ms=round(config.publish_timeout * 1000),
                value_serializer=_body_of,
            )
        except RuntimeError as error:  # aiokafka misses a library for the compression
            raise BrokerConnectionError(f"{error}; install it, or choose another compression_type") from error
        await start(producer, config, config.connect_timeout)
        return producer

    def _failure(
        self, error: BaseException, producer: Any, topic: str, seconds: float, message: Outgoing | None = None
    ) -> EventBusError | NotConnectedError:
        event_id = message.event_id if message else None
        if self._producer is None:
            return NotConnectedError(f"the bus was disconnected from Kafka before event {event_id} was confirmed")
        known = producer.client.cluster.partitions_for_topic(topic)
        if isinstance(error, UnknownTopicOrPartitionError) or not known:
            return PublishError(
                f"there is no topic {topic!r} at {self._config.bootstrap_servers}, or it was not found within "
                f"{seconds:g} s; create it, or let the brokers do so (auto.create.topics.enable)",
                event_id,
            )
        if isinstance(error, MessageSizeTooLargeError) and message is not None:
            return _too_large(
                message,
                f"topic {topic!r} takes fewer in a batch; "
                "set max_request_size to its max.message.bytes, and batch_size to no more",
            )
        if isinstance(error, TimeoutError | KafkaTimeoutError | RequestTimedOutError):
            return PublishTimeoutError(
                f"Kafka at {self._config.bootstrap_servers} has not confirmed event {event_id} within {seconds:g} s; "
                "it may still arrive, and publishing it again is safe",
                event_id,
            )
        return PublishError(f"Kafka has refused event {event_id}: {type(error).__name__}: {error}", event_id)


def _body_of(message: Outgoing) -> bytes:
    """Return the body; it is asked for when nobody, a tracer of the driver say, can add a header any more."""
    drop_repeated(message.headers)
    return message.value


def _culprit(messages: Sequence[Outgoing], confirmations: "list[asyncio.Future[Any]]") -> Outgoing:
    """Return the first message that is not confirmed."""
    for message, confirmation in zip(messages, confirmations, strict=False):
        if not confirmation.done() or confirmation.cancelled() or confirmation.exception() is not None:
            return message
    return messages[min(len(confirmations), len(messages) - 1)]


def _too_large(message: Outgoing, limit: str) -> MessageTooLargeError:
    return MessageTooLargeError(
        f"event {message.event_id} makes a message of {message.size} bytes, but {limit}", message.event_id
    )
