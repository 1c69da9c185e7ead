"""Events as they are kept in a dead-letter queue, and back."""

import pydantic_core
from pydantic_core import PydanticSerializationError

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry
from eventsource.exceptions import SerializationError
from eventsource.projections.dead_letters.values import DLQEntry
from eventsource.serialization import EventSerializer


def payload_of(event: DomainEvent) -> str:
    """Return *event* as JSON text; a value without JSON form, which only a store in memory has, as Python shows it."""
    try:
        return event.model_dump_json(round_trip=True, fallback=repr)
    except (PydanticSerializationError, UnicodeError):
        return pydantic_core.to_json({"event_id": event.event_id, "event": ascii(event)}).decode()


def event_of(entry: DLQEntry, registry: EventRegistry | None) -> DomainEvent:
    """
    Return the event that *entry* keeps, as today's version of its class.

    Raises:
        EventTypeNotFoundError: If *registry*, or the default one, does not know its type.
        SerializationError: If what is kept is no such event.
    """
    return EventSerializer(registry).decode(entry.event_type, _version(entry), entry.event_data)


def _version(entry: DLQEntry) -> int:
    try:
        values = pydantic_core.from_json(entry.event_data)
    except ValueError as error:
        raise SerializationError(entry.event_type, f"event {entry.event_id} is no JSON: {error}") from error
    version = values.get("event_version", 1) if isinstance(values, dict) else 1
    return version if isinstance(version, int) else 1
