"""What event stores take and give: stored events, streams, results and options of reading."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from uuid import UUID

from eventsource.events.base import DomainEvent
from eventsource.events.checks import check_event_class, check_type
from eventsource.types import Headers


class ReadDirection(Enum):
    """Whether the oldest event comes first or the newest."""

    FORWARD = "forward"
    BACKWARD = "backward"


class ExpectedVersion:
    """Instead of a version number, what an append may expect of the stream."""

    ANY = -1
    NO_STREAM = 0
    STREAM_EXISTS = -2


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """
    An event and where it stands.

    ``stream_position`` is the version that the event gave its stream, ``global_position`` its place in the whole
    store; ``headers`` are what the append was given beside the event.
    """

    event: DomainEvent
    stream_id: str
    stream_position: int
    global_position: int
    stored_at: datetime
    headers: Headers = field(default_factory=dict)

    @property
    def event_id(self) -> UUID:
        """The event's id."""
        return self.event.event_id

    @property
    def event_type(self) -> str:
        """The event's type."""
        return self.event.event_type

    @property
    def aggregate_id(self) -> UUID:
        """The id of the event's aggregate."""
        return self.event.aggregate_id

    @property
    def aggregate_type(self) -> str:
        """The type of the event's aggregate."""
        return self.event.aggregate_type


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """
    Which events to read, and from which end.

    Filters come first, then direction, then ``limit``. ``from_position`` is exclusive, ``to_position`` inclusive (a
    stream's version, or a global position); the timestamps are inclusive and compared with ``occurred_at``, UTC without
    a time zone; ``event_types`` are matched exactly, whatever names they were stored under.

    Raises:
        TypeError: If an option is of another type than its annotation says.
        ValueError: If ``from_position`` is below -1 (which reads from the start, as 0 does), or ``to_position`` or
            ``limit`` below 0.
    """

    direction: ReadDirection = ReadDirection.FORWARD
    from_position: int = 0
    limit: int | None = None
    from_timestamp: datetime | None = None
    to_timestamp: datetime | None = None
    tenant_id: UUID | None = None
    to_position: int | None = None
    event_types: Collection[type[DomainEvent]] | None = None

    def __post_init__(self) -> None:
        check_type("direction", self.direction, ReadDirection)
        check_type("from_position", self.from_position, int)
        for name, kind in (
            ("limit", int),
            ("from_timestamp", datetime),
            ("to_timestamp", datetime),
            ("tenant_id", UUID),
            ("to_position", int),
        ):
            if (value := getattr(self, name)) is not None:
                check_type(name, value, kind)
        if self.event_types is not None:
            object.__setattr__(self, "event_types", _classes(self.event_types))
        for name, least in (("from_position", -1), ("to_position", 0), ("limit", 0)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ValueError(f"{name} must be {least} or more, not {value}")


@dataclass(frozen=True, slots=True)
class EventStream:
    """
    The events of one aggregate that were asked for.

    ``version`` is that of the whole stream, however few of its events were asked for; 0 if there are none.
    """

    aggregate_id: UUID
    aggregate_type: str
    events: list[DomainEvent] = field(default_factory=list)
    version: int = 0

    def __post_init__(self) -> None:
        if self.events is None:
            object.__setattr__(self, "events", [])

    @property
    def is_empty(self) -> bool:
        """Whether there is no event here."""
        return not self.events

    @property
    def latest_event(self) -> DomainEvent | None:
        """The newest of the events here."""
        return self.events[-1] if self.events else None

    @classmethod
    def empty(cls, aggregate_id: UUID, aggregate_type: str) -> "EventStream":
        """Return the stream of an aggregate to which nothing has happened."""
        return cls(aggregate_id, aggregate_type)


@dataclass(frozen=True, slots=True)
class AppendResult:
    """
    What an append did.

    ``global_position`` is that of its last event. ``repeated`` says that all of its events stood in the stream
    already, ``shared`` how many appends the transaction carried that made them durable.
    """

    success: bool
    new_version: int
    global_position: int = 0
    conflict: bool = False
    repeated: bool = field(default=False, compare=False, kw_only=True)
    shared: int = field(default=1, compare=False, kw_only=True)

    @classmethod
    def successful(cls, new_version: int, global_position: int = 0) -> "AppendResult":
        """Return the result of an append that left the stream at *new_version*."""
        return cls(success=True, new_version=new_version, global_position=global_position)

    @classmethod
    def conflicted(cls, current_version: int) -> "AppendResult":
        """Return the result of an append that found the stream at *current_version* and wrote nothing."""
        return cls(success=False, new_version=current_version, conflict=True)


def selection_of(
    event_types: Collection[type[DomainEvent]] | None,
) -> Collection[type[DomainEvent]] | None:
    """Return what to select for a subscriber that wants *event_types*, of which `DomainEvent` stands for all."""
    return None if event_types is None or DomainEvent in event_types else event_types


def _classes(event_types: Collection[type[DomainEvent]]) -> frozenset[type[DomainEvent]]:
    if isinstance(event_types, type | str) or not isinstance(event_types, Collection):
        raise TypeError(f"event_types must be a collection of event classes, not {event_types!r}: write [EventClass]")
    for each in event_types:
        check_event_class(each, "; event_types must be a collection of event classes")
    return frozenset(event_types)


def format_stream_id(aggregate_id: UUID, aggregate_type: str | None) -> str:
    """Return the id of the stream of one aggregate, or of all streams of its id where the type is None."""
    return str(aggregate_id) if aggregate_type is None else f"{aggregate_id}:{aggregate_type}"


def parse_stream_id(stream_id: str) -> tuple[UUID, str | None]:
    """
    Return aggregate id and type; the type is None, which means all, where *stream_id* is a bare UUID.

    Raises:
        ValueError: If it does not begin with a UUID.
    """
    check_type("stream_id", stream_id, str)
    aggregate_id, _, aggregate_type = stream_id.partition(":")
    try:
        return UUID(aggregate_id), aggregate_type or None
    except ValueError:
        message = f"{stream_id!r} is no stream id: write '<aggregate id>:<aggregate type>', the id being a UUID"
        raise ValueError(message) from None


def as_utc(moment: datetime) -> datetime:
    """Return *moment* with a time zone; one without is taken as UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
