"""Messages: how an event looks on its way through a broker."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from eventsource.events.base import DomainEvent
from eventsource.handlers.adapter import HandlerAdapter
from eventsource.types import Headers

Value = TypeVar("Value")

EVENT_TYPE = "event_type"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message goes to or comes from, in the terms of its broker; None where it has no such thing."""

    destination: str
    key: str | None = None
    routing_key: str | None = None
    partition: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """Where a broker is: the host, or all of them as its clients are told, and the port if there is one."""

    address: str
    port: int | None = None


@dataclass(slots=True, eq=False)
class Received:
    """
    A message as a broker has delivered it.

    ``headers`` are those with text. Messages of one ``lane`` are handled in their order. ``is_redelivered`` if the
    broker says that it was delivered before, ``is_replayed`` if it was a dead letter in between. ``origin`` is what
    the driver knows of it. ``event`` and the handlers that ``remain`` are known once an attempt has begun.
    """

    body: bytes
    headers: Headers
    address: Address
    lane: Hashable
    message_id: str | None
    sent_at: datetime | None
    is_redelivered: bool
    is_replayed: bool
    origin: Any
    event: DomainEvent | None = None
    remaining: tuple[HandlerAdapter, ...] | None = None

    @property
    def event_type(self) -> str | None:
        """The type of its event, as the sender has named it."""
        return self.headers.get(EVENT_TYPE)


class UniqueNames(dict[str, Value]):
    """Headers by name of which none is replaced: whoever adds one later, a driver's own tracing say, is ignored."""

    def __setitem__(self, name: str, value: Value) -> None:
        if name not in self:
            super().__setitem__(name, value)


def describing(event: DomainEvent, event_type: str) -> Iterator[tuple[str, Any]]:
    """Yield names and values of the headers that describe *event*, which was written as an *event_type*."""
    yield from identifying(event, event_type)
    yield from relating(event)


def identifying(event: DomainEvent, event_type: str) -> Iterator[tuple[str, Any]]:
    """Yield those that say what *event* is."""
    yield EVENT_TYPE, event_type
    yield "aggregate_id", str(event.aggregate_id)
    yield "aggregate_type", event.aggregate_type
    yield "aggregate_version", event.aggregate_version


def relating(event: DomainEvent) -> Iterator[tuple[str, Any]]:
    """Yield those that say what *event* belongs to, as far as it belongs to something."""
    for name in ("correlation_id", "tenant_id", "causation_id", "actor_id"):
        if (value := getattr(event, name)) is not None:
            yield name, str(value)
