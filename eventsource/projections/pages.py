"""Reading the log for one projection, page by page."""

from collections.abc import Collection
from datetime import datetime

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventTypeNotFoundError
from eventsource.exceptions import CheckpointError, SerializationError, UnreadableEvent
from eventsource.projections.operations import CatchUp
from eventsource.stores.interface import EventStore
from eventsource.stores.values import ReadOptions, StoredEvent, selection_of


class UnreadableEventFound(Exception):  # noqa: N818 - it is a find, and no error of whoever reads
    """The next event of the page cannot be read."""

    def __init__(self, event: UnreadableEvent, error: SerializationError) -> None:
        super().__init__(str(error))
        self.event = event
        self.error = error


class Pages:
    """
    The events of these classes in *store*, all if `DomainEvent` is one of them, at most *size* at a time.

    Events of other classes are not even decoded, so a projection needs to know its own only.
    """

    def __init__(self, store: EventStore, event_types: Collection[type[DomainEvent]], size: int) -> None:
        self._store = store
        self._event_types = selection_of(event_types)
        self._most = size

    @property
    def _size(self) -> int:
        return min(self._most, self._store.page_size)

    async def after(self, position: int, replay_until: int | None) -> CatchUp | None:
        """
        Return the next page after *position*, maybe without events; None at the end of the log.

        A page lies on one side of *replay_until*, and ends before an event that cannot be read.

        Raises:
            CheckpointError: If the log ends before *position*.
            EventTypeNotFoundError: If the class of the page's first event is not registered.
            UnreadableEventFound: If the page's first event cannot be read for another reason.
        """
        head = await self._store.get_global_position()  # first: what is appended meanwhile may be in the page, or not
        if head < position:
            raise CheckpointError(
                f"the checkpoint is at {position}, but the log ends at {head}: the store has been emptied or restored; "
                "rebuild the projection"
            )
        if head == position:
            return None
        end = head if replay_until is None else min(head, replay_until)
        try:
            events = await self._read(position, end)
        except (EventTypeNotFoundError, SerializationError) as error:
            if (bad := error.unreadable) is None:
                raise
            end = bad.global_position - 1
            events = await self._read(position, end) if end > position else ()
            if not events and isinstance(error, SerializationError):
                raise UnreadableEventFound(bad, error) from error
            if not events:
                raise
        to_position = events[-1].global_position if len(events) == self._size else end
        return CatchUp(tuple(events), position, to_position, replay_until is not None)

    async def oldest_after(self, position: int) -> datetime | None:
        """Return when the first event after *position* was stored, if there is one."""
        options = ReadOptions(from_position=position, limit=1, event_types=self._event_types)
        try:
            page = await self._store.read_page(options=options)
        except (EventTypeNotFoundError, SerializationError) as error:
            if error.unreadable is None:
                raise
            return error.unreadable.stored_at
        return page[0].stored_at if page else None

    async def _read(self, position: int, end: int) -> tuple[StoredEvent, ...]:
        options = ReadOptions(from_position=position, to_position=end, limit=self._size, event_types=self._event_types)
        return tuple(await self._store.read_page(options=options))
