"""Which class stands for which name in the store."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TypeVar, overload

from eventsource.events.base import DomainEvent
from eventsource.events.checks import check_event_class
from eventsource.events.upcasting import Upcaster, check_upcasters
from eventsource.exceptions import EventSourceError, UnreadableEvent

logger = logging.getLogger(__name__)

TEvent = TypeVar("TEvent", bound=DomainEvent)


class EventTypeNotFoundError(EventSourceError, KeyError):
    """No class is registered under this name; ``unreadable`` says which stored event has it, if one was read."""

    def __init__(self, event_type: str, available_types: list[str]) -> None:
        super().__init__(
            f"Unknown event type {event_type!r}; registered are: {', '.join(sorted(available_types)) or 'none'}. "
            "Decorate its class with @register_event and import the module before reading; "
            "a renamed type is found by register_event(aliases=[...])"
        )
        self.event_type = event_type
        self.available_types = available_types
        self.unreadable: UnreadableEvent | None = None

    def __str__(self) -> str:  # a KeyError would show the message quoted
        return str(self.args[0])


class DuplicateEventTypeError(EventSourceError, ValueError):
    """Another class is registered under this name."""

    def __init__(self, event_type: str, existing_class: type[DomainEvent], new_class: type[DomainEvent]) -> None:
        super().__init__(
            f"event type {event_type!r} is registered for {existing_class.__module__}.{existing_class.__qualname__}; "
            f"give {new_class.__module__}.{new_class.__qualname__} an event_type of its own"
        )
        self.event_type = event_type
        self.existing_class = existing_class
        self.new_class = new_class


@dataclass(frozen=True, slots=True)
class RegisteredType:
    """A class, the name that it is written under, and the way from its old versions."""

    name: str
    event_class: type[DomainEvent]
    aliases: frozenset[str] = frozenset()
    upcasters: Mapping[int, Upcaster] = field(default_factory=dict)

    def merged_with(self, other: "RegisteredType") -> "RegisteredType":
        """Return what both registrations of one class under one name say together."""
        return replace(other, aliases=self.aliases | other.aliases, upcasters={**self.upcasters, **other.upcasters})


class EventRegistry:
    """Finds the class of a stored event by its name; safe to use from several threads."""

    def __init__(self) -> None:
        self._types: dict[str, RegisteredType] = {}
        self._known: dict[str, RegisteredType] = {}
        self._names: dict[type[DomainEvent], str] = {}
        self._lock = Lock()

    def register(
        self,
        event_class: type[TEvent],
        event_type: str | None = None,
        *,
        aliases: Iterable[str] = (),
        upcast: Mapping[int, Upcaster] | None = None,
    ) -> type[TEvent]:
        """
        Register *event_class* and return it.

        Args:
            event_class: The class that stored events of this type are read as.
            event_type: The name in the store; the default of the class's ``event_type`` field if not given.
            aliases: Names under which the class was written in former times.
            upcast: For each former ``event_version``, the function that turns its JSON values into the next one's.

        Raises:
            DuplicateEventTypeError: If another class has the name or an alias.
            TypeError: If *event_class* is no event class, or *aliases* a string.
            ValueError: If *upcast* does not lead to the class's ``event_version``.
        """
        check_event_class(event_class)
        if isinstance(aliases, str):
            raise TypeError(f"aliases must be a collection of names, not the string {aliases!r}: write [{aliases!r}]")
        name = event_type or _name_of(event_class)
        check_upcasters(name, event_class.model_fields["event_version"].default, upcast or {})
        entry = RegisteredType(name, event_class, frozenset(aliases), dict(upcast or {}))
        with self._lock:
            self._add(entry)
        logger.debug("Registered event type %s", name, extra=_facts(name, event_class))
        return event_class

    def resolve(self, event_type: str) -> RegisteredType:
        """
        Return what is known about the name or alias *event_type*.

        Raises:
            EventTypeNotFoundError: If nothing is.
        """
        if entry := self._known.get(event_type):
            return entry
        raise EventTypeNotFoundError(event_type, self.list_types())

    def name_of(self, event: DomainEvent) -> str:
        """
        Return the name to write *event* under: that of its class, or its ``event_type`` if that is not registered.

        Raises:
            DuplicateEventTypeError: If its ``event_type`` is registered for another class, as which it would be read.
        """
        cls = type(event)
        entry = self._known.get(event.event_type)
        if entry is not None and entry.event_class is cls:
            return entry.name
        if name := self._names.get(cls):
            return name
        if entry is not None:
            raise DuplicateEventTypeError(event.event_type, entry.event_class, cls)
        return event.event_type

    def names_of(self, event_class: type[DomainEvent]) -> frozenset[str]:
        """Return all names under which events of *event_class* may be stored, former ones too, and no other class's."""
        known = {name for name, entry in tuple(self._known.items()) if entry.event_class is event_class}
        return frozenset(known or {_name_of(event_class)} - self._known.keys())

    def get(self, event_type: str) -> type[DomainEvent]:
        """
        Return the class registered under *event_type*.

        Raises:
            EventTypeNotFoundError: If there is none.
        """
        return self.resolve(event_type).event_class

    def get_or_none(self, event_type: str) -> type[DomainEvent] | None:
        """Return the class registered under *event_type*, if any."""
        entry = self._known.get(event_type)
        return entry.event_class if entry else None

    def contains(self, event_type: str) -> bool:
        """Tell whether a class is registered under *event_type*."""
        return event_type in self._known

    def list_types(self) -> list[str]:
        """Return the registered names, sorted."""
        return sorted(self._types)

    def list_classes(self) -> list[type[DomainEvent]]:
        """Return the registered classes in the order of their names."""
        return [self._types[name].event_class for name in self.list_types()]

    def unregister(self, event_type: str) -> bool:
        """Forget *event_type* and its aliases; tell whether it was known."""
        with self._lock:
            entry = self._types.pop(event_type, None)
            if entry is None:
                return False
            self._known = {name: each for each in self._types.values() for name in (each.name, *each.aliases)}
            self._names = {each.event_class: each.name for each in reversed(self._types.values())}
        logger.debug("Unregistered event type %s", event_type, extra=_facts(event_type, entry.event_class))
        return True

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._types.clear()
            self._known.clear()
            self._names.clear()
        logger.debug("Cleared the event registry")

    def _add(self, entry: RegisteredType) -> None:
        for name in (entry.name, *entry.aliases):
            existing = self._known.get(name)
            if existing and existing.event_class is not entry.event_class:
                raise DuplicateEventTypeError(name, existing.event_class, entry.event_class)
        if known := self._types.get(entry.name):
            entry = known.merged_with(entry)
        self._types[entry.name] = entry
        self._known.update(dict.fromkeys((entry.name, *entry.aliases), entry))
        self._names.setdefault(entry.event_class, entry.name)

    def __len__(self) -> int:
        return len(self._types)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, event_type: object) -> bool:
        return event_type in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._types))


def _name_of(event_class: type[DomainEvent]) -> str:
    default = event_class.model_fields["event_type"].default
    return default if isinstance(default, str) else event_class.__name__


def _facts(event_type: str, event_class: type[DomainEvent]) -> dict[str, str]:
    return {"event_type": event_type, "event_class": event_class.__name__}


default_registry = EventRegistry()


@overload
def register_event(event_class: type[TEvent], /) -> type[TEvent]: ...
@overload
def register_event(
    *,
    event_type: str | None = None,
    registry: EventRegistry | None = None,
    aliases: Iterable[str] = (),
    upcast: Mapping[int, Upcaster] | None = None,
) -> Callable[[type[TEvent]], type[TEvent]]: ...
def register_event(
    event_class: type[TEvent] | None = None,
    /,
    *,
    event_type: str | None = None,
    registry: EventRegistry | None = None,
    aliases: Iterable[str] = (),
    upcast: Mapping[int, Upcaster] | None = None,
) -> type[TEvent] | Callable[[type[TEvent]], type[TEvent]]:
    """Register the decorated class, in the default registry if no other is given; see `EventRegistry.register`."""

    def register(cls: type[TEvent]) -> type[TEvent]:
        return (registry or default_registry).register(cls, event_type, aliases=aliases, upcast=upcast)

    return register(event_class) if event_class else register


def get_event_class(event_type: str) -> type[DomainEvent]:
    """
    Return the class that the default registry has for *event_type*.

    Raises:
        EventTypeNotFoundError: If there is none.
    """
    return default_registry.get(event_type)


def get_event_class_or_none(event_type: str) -> type[DomainEvent] | None:
    """Return the class that the default registry has for *event_type*, if any."""
    return default_registry.get_or_none(event_type)


def is_event_registered(event_type: str) -> bool:
    """Tell whether the default registry knows *event_type*."""
    return default_registry.contains(event_type)


def list_registered_events() -> list[str]:
    """Return the names in the default registry, sorted."""
    return default_registry.list_types()
