"""Marking methods as the handlers of an event class."""

from collections.abc import Callable
from typing import Any, TypeVar

from eventsource.events.base import DomainEvent
from eventsource.events.checks import check_event_class

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK = "_handled_event_type"


def handles(event_type: type[DomainEvent]) -> Callable[[Function], Function]:
    """
    Mark a method as the handler of *event_type*; of two marks on one method the outer one counts.

    Raises:
        TypeError: If *event_type* is not an event class.
    """
    check_event_class(event_type, "; write @handles(EventClass)")

    def mark(function: Function) -> Function:
        setattr(function, _MARK, event_type)
        return function

    return mark


def get_handled_event_type(function: Callable[..., Any]) -> type[DomainEvent] | None:
    """Return the event class that *function* is marked to handle, if any."""
    return getattr(function, _MARK, None)


def is_event_handler(function: Callable[..., Any]) -> bool:
    """Tell whether *function* is marked as a handler."""
    return get_handled_event_type(function) is not None
