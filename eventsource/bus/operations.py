"""The operations that pass an event bus's door."""

from dataclasses import dataclass

from eventsource.bus.messages import Received
from eventsource.events.base import DomainEvent
from eventsource.handlers.adapter import HandlerAdapter
from eventsource.types import Headers


@dataclass(slots=True)
class Publish:
    """Publish events, at least one, in their order."""

    events: tuple[DomainEvent, ...]
    background: bool
    headers: Headers | None

    def with_headers(self, headers: Headers | None) -> "Publish":
        """Return the same operation with other *headers*."""
        return Publish(self.events, self.background, headers)


@dataclass(slots=True)
class Dispatch:
    """Hand one event to its handlers, at least one; those that ``remain`` afterwards have not handled it."""

    event: DomainEvent
    handlers: tuple[HandlerAdapter, ...]
    remain: tuple[HandlerAdapter, ...] = ()


@dataclass(slots=True)
class Handle:
    """Let one handler handle one event."""

    event: DomainEvent
    handler: HandlerAdapter


@dataclass(slots=True)
class Consume:
    """Attempt to handle one message that a broker has delivered; ``attempt`` counts from 0."""

    message: Received
    attempt: int

    @property
    def headers(self) -> Headers:
        """The headers of the message."""
        return self.message.headers


@dataclass(slots=True)
class DeadLetter:
    """Keep a message that was not handled, after so many attempts, in the queue or topic of dead letters."""

    message: Received
    error: Exception
    attempts: int
    reason: str


@dataclass(slots=True)
class RefreshConsumption:
    """See how far a consumer is behind, and how its connections are."""
