"""The operations that pass an event bus's door."""

from dataclasses import dataclass

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
    """Hand one event to its handlers, at least one."""

    event: DomainEvent
    handlers: tuple[HandlerAdapter, ...]


@dataclass(slots=True)
class Handle:
    """Let one handler handle one event."""

    event: DomainEvent
    handler: HandlerAdapter
