"""The operations that pass the doors of projections and of their runners."""

from dataclasses import dataclass

from eventsource.events.base import DomainEvent
from eventsource.handlers.registry import HandlerInfo
from eventsource.stores.values import StoredEvent


@dataclass(slots=True)
class Project:
    """Attempt to handle one event; in a replay it was handled before."""

    event: DomainEvent
    replay: bool = False


@dataclass(slots=True)
class Call:
    """Call the one handler of an event."""

    event: DomainEvent
    handler: HandlerInfo


@dataclass(slots=True)
class CatchUp:
    """Handle one page of the log: of the events between two positions those that the projection wants, at least one."""

    events: tuple[StoredEvent, ...]
    from_position: int
    to_position: int
    replay: bool


@dataclass(slots=True)
class RefreshLag:
    """See how far a projection is behind."""
