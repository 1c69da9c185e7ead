"""What a runner leads through the log."""

from abc import ABC, abstractmethod

from eventsource.events.base import DomainEvent
from eventsource.exceptions import SerializationError, UnreadableEvent
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.projections.cursor import Cursor
from eventsource.projections.operations import CatchUp
from eventsource.projections.outcomes import CaughtUp


class Follower(ABC):
    """A projection, or whatever else is to be given the events of the log in their order."""

    checkpoints: CheckpointRepository

    @property
    @abstractmethod
    def projection_name(self) -> str:
        """What its checkpoint is called."""

    @abstractmethod
    def subscribed_to(self) -> list[type[DomainEvent]]:
        """Return the event classes that it wants."""

    @abstractmethod
    async def _project_page(self, page: CatchUp, cursor: Cursor) -> CaughtUp:
        """Handle the events of *page*, and let *cursor* know how far it came; a halt ends it early."""

    @abstractmethod
    async def _skip_unreadable(self, bad: UnreadableEvent, error: SerializationError) -> None:
        """See to it that an event which nobody can read is not forgotten."""

    def _can_be_rebuilt(self) -> bool:
        """Tell whether it may be given all events once more."""
        return True

    async def _begin(self, checkpoint: CheckpointData, owner: str) -> None:
        """Make ready for the first event."""
        await self.checkpoints.save_position(self.projection_name, 0, None, None, owner=owner, events=0)


def check_follower(projection: object) -> None:
    """
    Check that *projection* can be led through the log.

    Raises:
        TypeError: If it has no checkpoint.
        ValueError: If it wants no events.
    """
    if not isinstance(projection, Follower):
        raise TypeError(f"{projection!r} tracks no checkpoint: derive it from CheckpointTrackingProjection")
    if not projection.subscribed_to():
        raise ValueError(
            f"projection {projection.projection_name} wants no events: mark its handlers with @handles(Event), "
            "or return event classes from subscribed_to()"
        )
