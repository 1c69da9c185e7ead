"""The operations that pass an event store's door; fields are named as the arguments of the public methods."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from eventsource.events.base import DomainEvent
from eventsource.stores.values import ReadOptions, StoredEvent
from eventsource.types import Headers


@dataclass(slots=True)
class Append:
    """Append events, at least one, to one stream."""

    aggregate_id: UUID
    aggregate_type: str
    events: tuple[DomainEvent, ...]
    expected_version: int
    headers: Headers | None

    def with_headers(self, headers: Headers | None) -> "Append":
        """Return the same operation with other *headers*."""
        return Append(self.aggregate_id, self.aggregate_type, self.events, self.expected_version, headers)


@dataclass(slots=True)
class GetEvents:
    """Get the stream of an aggregate, or of all aggregates of that id where the type is None."""

    aggregate_id: UUID
    aggregate_type: str | None
    from_version: int
    from_timestamp: datetime | None
    to_timestamp: datetime | None


@dataclass(slots=True)
class ReadPage:
    """
    Read at most ``batch_size`` events that ``options`` select and that come ``after`` the one given.

    With an ``aggregate_id``, of the streams of that id; without, of the whole store. An ``aggregate_type``
    narrows both.
    """

    aggregate_id: UUID | None
    aggregate_type: str | None
    options: ReadOptions
    batch_size: int
    after: StoredEvent | None


@dataclass(slots=True)
class EventExists:
    """Ask whether an event is stored."""

    event_id: UUID


@dataclass(slots=True)
class GetStreamVersion:
    """Ask for the version of a stream."""

    aggregate_id: UUID
    aggregate_type: str


@dataclass(slots=True)
class GetGlobalPosition:
    """Ask for the position of the newest event."""
