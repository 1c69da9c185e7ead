"""Events, the names they are stored under, and how old ones are read."""

from eventsource.events.base import DomainEvent
from eventsource.events.registry import (
    DuplicateEventTypeError,
    EventRegistry,
    EventTypeNotFoundError,
    default_registry,
    get_event_class,
    get_event_class_or_none,
    is_event_registered,
    list_registered_events,
    register_event,
)
from eventsource.events.upcasting import Upcaster

__all__ = [
    "DomainEvent",
    "DuplicateEventTypeError",
    "EventRegistry",
    "EventTypeNotFoundError",
    "Upcaster",
    "default_registry",
    "get_event_class",
    "get_event_class_or_none",
    "is_event_registered",
    "list_registered_events",
    "register_event",
]
