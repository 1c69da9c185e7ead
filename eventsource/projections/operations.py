"""The operations that pass a projection's door."""

from dataclasses import dataclass

from eventsource.events.base import DomainEvent
from eventsource.handlers.registry import HandlerInfo


@dataclass(slots=True)
class Project:
    """Handle one event."""

    event: DomainEvent


@dataclass(slots=True)
class Call:
    """Call the one handler of an event."""

    event: DomainEvent
    handler: HandlerInfo
