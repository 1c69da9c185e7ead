"""Events as they are kept in a dead-letter queue, and back."""

from collections.abc import Collection

import pydantic_core
from pydantic_core import PydanticSerializationError

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry, default_registry
from eventsource.exceptions import SerializationError
from eventsource.projections.dead_letters.values import DLQEntry
from eventsource.serialization import EventSerializer


def payload_of(event: DomainEvent) -> str:
    """Return *event* as JSON text; a value without JSON form, which only a store in memory has, as Python shows it."""
    try:
        return event.model_dump_json(round_trip=True, fallback=repr)
    except (PydanticSerializationError, UnicodeError):
        return pydantic_core.to_json({"event_id": event.event_id, "event": ascii(event)}).decode()


def event_of(entry: DLQEntry, registry: EventRegistry | None, wanted: Collection[type[DomainEvent]]) -> DomainEvent:
    """
    Return the event that *entry* keeps, as today's version of its class, which may be one of those *wanted*.

    Raises:
        EventTypeNotFoundError: If neither these nor *registry*, or the default one, have its type.
        SerializationError: If what is kept is no such event.
    """
    registry = default_registry if registry is None else registry
    event_type = entry.event_type
    for each in wanted:
        if each.model_fields["event_type"].default == event_type:
            registry, event_type = _home_of(each, event_type, registry)
            break
    return EventSerializer(registry).decode(event_type, _version(entry), entry.event_data)


def _home_of(event_class: type[DomainEvent], event_type: str, registry: EventRegistry) -> tuple[EventRegistry, str]:
    """Return a registry that knows *event_class*, and the name there."""
    for name in registry.names_of(event_class):
        if registry.get_or_none(name) is event_class:
            return registry, registry.resolve(name).name
    alone = EventRegistry()
    alone.register(event_class, event_type)
    return alone, event_type


def _version(entry: DLQEntry) -> int:
    try:
        values = pydantic_core.from_json(entry.event_data)
    except ValueError as error:
        raise SerializationError(entry.event_type, f"event {entry.event_id} is no JSON: {error}") from error
    version = values.get("event_version", 1) if isinstance(values, dict) else 1
    return version if isinstance(version, int) else 1
