"""Refusing bad arguments at the door, with an error that shows them."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from eventsource.events.base import DomainEvent


def check_type(name: str, value: object, expected: type[Any]) -> None:
    """
    Check that an argument is what its annotation says.

    Raises:
        TypeError: If it is not.
    """
    if not isinstance(value, expected):
        raise TypeError(f"{name} must be of type {expected.__name__}, not {value!r}")


def check_name(name: str, value: str) -> None:
    """
    Check an argument that names something.

    Raises:
        TypeError: If it is no string.
        ValueError: If it is empty, or has a character that some databases cannot store.
    """
    check_type(name, value, str)
    if not value:
        raise ValueError(f"{name} must not be empty")
    if "\0" in value:
        raise ValueError(f"{name} must not have the character U+0000, but is {value!r}")


def check_events(events: Iterable[DomainEvent]) -> tuple[DomainEvent, ...]:
    """
    Return *events* as a tuple.

    Raises:
        TypeError: If it is one event instead of a list of events, or holds anything else.
    """
    if isinstance(events, DomainEvent):
        raise TypeError(f"expected a list of events, not the event {events}: write [event]")
    collected = tuple(events)
    for event in collected:
        if not isinstance(event, DomainEvent):
            raise TypeError(f"expected a list of events, but it contains {event!r}")
    return collected


def check_event_class(event_type: object, advice: str = "") -> None:
    """
    Check that *event_type* is an event class; *advice* says what to write where it is not.

    Raises:
        TypeError: If it is anything else, an instance of an event or the name of a type, say.
    """
    if not (isinstance(event_type, type) and issubclass(event_type, DomainEvent)):
        raise TypeError(f"expected a subclass of DomainEvent, got {event_type!r}{advice}")


def check_aggregate(aggregate_id: UUID, aggregate_type: str) -> None:
    """
    Check what names an aggregate.

    Raises:
        TypeError: If the id is no UUID or the type no string.
        ValueError: If the type is empty.
    """
    check_type("aggregate_id", aggregate_id, UUID)
    check_name("aggregate_type", aggregate_type)
