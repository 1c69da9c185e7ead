"""Events as messages of RabbitMQ, and what is delivered as what a bus understands."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage
from pamqp.encode import encode_table_value

from eventsource.bus.messages import Address, Received, UniqueNames, describing
from eventsource.bus.serializing import EventSerializer
from eventsource.events.base import DomainEvent
from eventsource.exceptions import MessageTooLargeError, PublishError
from eventsource.types import Headers

REPLAYED = "x-replayed-from-dlq"
RETRY_COUNT = "x-retry-count"
ORIGINAL_ROUTING_KEY = "x-original-routing-key"
DLQ_PREFIX = "x-dlq-"

_RESERVED = (RETRY_COUNT, "x-last-retry-at", REPLAYED, ORIGINAL_ROUTING_KEY, "x-death", "x-delivery-count", "CC", "BCC")
_RESERVED_PREFIXES = (DLQ_PREFIX, "x-first-death-", "x-last-death-")
_FOR_ONE_DELIVERY = ("CC", "BCC", "x-delivery-count")
_LONGEST_NAME = 128
_LONGEST_KEY = 255
_MOST_HEADERS = 100_000
"""Bytes; all headers of a message have to fit into one frame, of 128 KiB usually."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Outgoing:
    """A message on its way to an exchange."""

    message: Message
    exchange: str
    routing_key: str
    mandatory: bool = True

    @property
    def event_id(self) -> UUID | None:
        """Which event it carries, if it tells."""
        try:
            return UUID(self.message.message_id)
        except (TypeError, ValueError):
            return None


class Writer:
    """Writes events as messages to one exchange."""

    def __init__(self, serializer: EventSerializer, exchange: str, mandatory: bool) -> None:
        self._serializer = serializer
        self._exchange = exchange
        self._mandatory = mandatory

    def routing_key_of(self, event: DomainEvent) -> str:
        """Return the routing key of *event*: ``<aggregate_type>.<event_type>``."""
        return f"{event.aggregate_type}.{self._serializer.registry.name_of(event)}"

    def message_of(self, event: DomainEvent, headers: Headers | None) -> Outgoing:
        """
        Return the message that carries *event*.

        Raises:
            PublishError: If its headers or its routing key are more than the broker takes.
            SerializationError: If a value of it has no JSON form.
        """
        routing_key = self.routing_key_of(event)
        if len(routing_key.encode()) > _LONGEST_KEY:
            raise PublishError(f"the routing key {routing_key!r} is longer than {_LONGEST_KEY} bytes", event.event_id)
        message = Message(
            self._serializer.serialize(event),
            headers=self._headers_of(event, headers),
            content_type=self._serializer.content_type(),
            content_encoding="utf-8",
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=str(event.event_id),
            timestamp=_moment_of(event),
        )
        return Outgoing(message, self._exchange, routing_key, self._mandatory)

    def _headers_of(self, event: DomainEvent, headers: Headers | None) -> UniqueNames[Any]:
        """Return the event's own facts and *headers*; whoever adds one later replaces none."""
        own = dict(describing(event, self._serializer.registry.name_of(event)))
        kept = {name: value for name, value in (headers or {}).items() if not is_reserved(name)}
        if kept:
            _check_size(kept, event.event_id)
        return UniqueNames({**kept, **own, RETRY_COUNT: 0})


def received(message: AbstractIncomingMessage, queue: str) -> Received:
    """Return what *queue* has delivered as what a bus understands."""
    headers = message.headers
    sent_at = message.timestamp
    return Received(
        body=message.body,
        headers=dict(_texts(headers)),
        address=Address(queue, routing_key=message.routing_key),
        lane=_text(headers.get("aggregate_id")),
        message_id=message.message_id,
        sent_at=sent_at if isinstance(sent_at, datetime) else None,
        is_redelivered=bool(message.redelivered),
        is_replayed=REPLAYED in headers,
        origin=message,
    )


def again(message: AbstractIncomingMessage, headers: Mapping[str, Any]) -> Message:
    """Return what was delivered as a message to send once more, with *headers* instead of its own."""
    return Message(
        message.body,
        headers=UniqueNames(
            {name: _carried(value) for name, value in headers.items() if name not in _FOR_ONE_DELIVERY}
        ),
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        delivery_mode=DeliveryMode.PERSISTENT,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
    )


def is_reserved(name: str) -> bool:
    """Tell whether a header is for the bookkeeping of the bus or the broker, and not for users."""
    return name in _RESERVED or name.startswith(_RESERVED_PREFIXES)


def _moment_of(event: DomainEvent) -> datetime | None:
    """Return when *event* occurred; None before 1970, for which there is no AMQP timestamp."""
    moment = event.occurred_at
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment if moment >= _EPOCH else None


def _check_size(headers: Headers, event_id: UUID) -> None:
    size = 0
    for name, value in headers.items():
        length = len(name.encode())
        if length > _LONGEST_NAME:
            raise PublishError(f"the name of the header {name!r} is longer than {_LONGEST_NAME} bytes", event_id)
        size += length + len(value.encode())
    if size > _MOST_HEADERS:
        raise MessageTooLargeError(f"headers of {size} bytes are more than {_MOST_HEADERS}: carry less", event_id)


def _texts(headers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if (text := _text(value)) is not None:
            yield name, text


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _carried(value: Any) -> Any:
    """Return *value*, or its text if the driver can read it and not write it."""
    try:
        encode_table_value(value)
    except Exception:  # whatever the driver does not like about it
        return str(value)
    return value
