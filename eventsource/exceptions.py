"""The errors of the library: each carries its facts as attributes and says what to do next."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID


class EventSourceError(Exception):
    """Everything that this library raises on purpose."""

    def __reduce__(self) -> tuple[Callable[..., "EventSourceError"], tuple[Any, ...]]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[EventSourceError], args: tuple[Any, ...], facts: dict[str, Any]) -> EventSourceError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(facts)
    return error


class NotConnectedError(EventSourceError, RuntimeError):
    """A component was used before it was opened or after it was closed."""


class EventStoreError(EventSourceError):
    """An event store could not do what it was asked to."""


class DatabaseError(EventStoreError):
    """The database refused or failed; the message says what is known of what was written."""


class EventBusError(EventSourceError):
    """An event bus could not do what it was asked to."""


class BrokerConnectionError(EventBusError, ConnectionError):
    """A message broker cannot be reached, or refuses this client."""


class PublishError(EventBusError):
    """The broker has not taken a message; ``event_id`` is that of its event, if it is known."""

    def __init__(self, message: str, event_id: UUID | None = None) -> None:
        super().__init__(message)
        self.event_id = event_id


class PublishTimeoutError(PublishError, TimeoutError):
    """The broker has not confirmed a message in time; it may have taken it, and publishing it again is safe."""

    def __new__(cls, message: str, event_id: UUID | None = None) -> Self:
        """Keep the id from `OSError`, which would take two arguments for a number and its text."""
        return super().__new__(cls, message)


class UnroutableError(PublishError):
    """The broker has no queue for a message and has given it back."""


class MessageTooLargeError(PublishError, ValueError):
    """A message is larger than the broker takes; trying again is of no use."""


class DeserializationError(EventBusError):
    """A message cannot be turned into an event; trying again is of no use."""


class CheckpointError(EventSourceError):
    """A checkpoint could not be read or moved."""


class CheckpointConflictError(CheckpointError):
    """The checkpoint is not where it was expected, or somebody else may move it; it was not moved."""

    def __init__(self, projection_name: str, message: str) -> None:
        super().__init__(f"the checkpoint of projection {projection_name!r} {message}; it was not moved")
        self.projection_name = projection_name


class OptimisticLockError(EventStoreError):
    """Somebody else has written to the stream in the meantime; nothing was written."""

    def __init__(self, aggregate_id: UUID, expected_version: int, actual_version: int) -> None:
        super().__init__(
            f"the stream of aggregate {aggregate_id} is at version {actual_version}, "
            f"expected {_EXPECTATIONS.get(expected_version, expected_version)}; reload the aggregate and retry"
        )
        self.aggregate_id = aggregate_id
        self.expected_version = expected_version
        self.actual_version = actual_version


_EXPECTATIONS = {0: "0 (no stream)", -2: "an existing stream"}


class DuplicateEventError(EventStoreError, ValueError):
    """An event of the append is known already, and the append does not repeat what stands in the stream."""

    def __init__(self, event_id: UUID, message: str) -> None:
        super().__init__(f"event {event_id} {message}; nothing was appended")
        self.event_id = event_id


class ForeignEventError(EventStoreError, ValueError):
    """An event was given to a stream that it does not belong to."""

    def __init__(self, event_id: UUID, belongs_to: str, appended_to: str) -> None:
        super().__init__(
            f"event {event_id} belongs to {belongs_to}, not to {appended_to}; nothing was appended: "
            "append it to its own stream, or give event, aggregate and repository the same aggregate_type"
        )
        self.event_id = event_id
        self.belongs_to = belongs_to
        self.appended_to = appended_to


class EventNotFoundError(EventSourceError):
    """No event has this id."""

    def __init__(self, event_id: UUID) -> None:
        super().__init__(f"Event not found: {event_id}")
        self.event_id = event_id


class EventVersionError(EventSourceError):
    """A new event does not carry the aggregate's next version."""

    def __init__(self, expected_version: int, actual_version: int, event_id: UUID, aggregate_id: UUID) -> None:
        super().__init__(
            f"event {event_id} carries version {actual_version}, but aggregate {aggregate_id} "
            f"expects version {expected_version}; build it with aggregate_version=self.get_next_version()"
        )
        self.expected_version = expected_version
        self.actual_version = actual_version
        self.event_id = event_id
        self.aggregate_id = aggregate_id


class AggregateNotFoundError(EventSourceError):
    """The aggregate has neither events nor a snapshot."""

    def __init__(self, aggregate_id: UUID, aggregate_type: str | None = None) -> None:
        kind = f" of type {aggregate_type}" if aggregate_type else ""
        super().__init__(f"Aggregate{kind} not found: {aggregate_id}")
        self.aggregate_id = aggregate_id
        self.aggregate_type = aggregate_type


@dataclass(frozen=True, slots=True)
class UnreadableEvent:
    """What is known of a stored event whose payload or headers cannot be read."""

    event_id: UUID
    event_type: str
    global_position: int
    stored_at: datetime
    payload: str


class SerializationError(EventSourceError):
    """
    An event could not be turned into JSON, or its JSON not into an event.

    ``unreadable`` says where the event is stored, if it is.
    """

    def __init__(self, event_type: str, message: str, *, unreadable: UnreadableEvent | None = None) -> None:
        super().__init__(f"Serialization error for {event_type}: {message}")
        self.event_type = event_type
        self.message = message
        self.unreadable = unreadable


class ProjectionError(EventSourceError):
    """A projection failed on an event."""

    def __init__(self, projection_name: str, event_id: UUID, message: str) -> None:
        super().__init__(f"Projection {projection_name} failed on event {event_id}: {message}")
        self.projection_name = projection_name
        self.event_id = event_id


class RebuildError(EventSourceError):
    """A projection does not say how its read model is emptied, so that events would be reflected twice."""

    def __init__(self, projection_name: str, projection_class: str) -> None:
        super().__init__(
            f"projection {projection_name} cannot be rebuilt: {projection_class} does not say how its read model is "
            "emptied; implement _truncate_read_models(), or _empty_tables(connection) if a database has it"
        )
        self.projection_name = projection_name
        self.projection_class = projection_class


class UnhandledEventError(EventSourceError):
    """A class that handles every event strictly has no handler for this one."""

    def __init__(self, event_type: str, event_id: UUID, handler_class: str, available_handlers: list[str]) -> None:
        super().__init__(
            f"{handler_class} has no handler for {event_type} (event {event_id}); "
            f"it handles {', '.join(available_handlers) or 'none'}: add a method decorated with "
            f"@handles({event_type}), or set unregistered_event_handling to 'ignore' or 'warn'"
        )
        self.event_type = event_type
        self.event_id = event_id
        self.handler_class = handler_class
        self.available_handlers = available_handlers
