"""What came of handling a page."""

from dataclasses import dataclass

from eventsource.events.base import DomainEvent


@dataclass(slots=True)
class Attempted:
    """One attempt to handle an event that was made together with others: how long it took, and what it raised."""

    event: DomainEvent
    seconds: float
    error: Exception | None = None


@dataclass(slots=True)
class CaughtUp:
    """How far a page was handled, and the attempts that did not pass the projection's door one by one."""

    position: int
    attempts: tuple[Attempted, ...] = ()
