"""Under which names the events of a class may be stored, so that all of them are found."""

from uuid import uuid4

import pytest

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry


class Opened(DomainEvent):
    aggregate_type: str = "Door"


class OpenedWide(Opened):
    pass


class Shut(DomainEvent):
    event_type: str = "door.shut"
    aggregate_type: str = "Door"


class Closed(DomainEvent):
    event_type: str = "door.shut"
    aggregate_type: str = "Door"


class Nameless(DomainEvent):
    event_type: str
    aggregate_type: str = "Door"


@pytest.fixture
def registry() -> EventRegistry:
    return EventRegistry()


def test_it_is_the_registered_name(registry: EventRegistry) -> None:
    """Nothing was written under the name that the class has by itself."""
    registry.register(Opened, "door.opened")

    assert registry.names_of(Opened) == {"door.opened"}


def test_former_names_count(registry: EventRegistry) -> None:
    """What was written under an alias is an event of the class too."""
    registry.register(Opened, "door.opened", aliases=["Opened", "DoorOpened"])

    assert registry.names_of(Opened) == {"door.opened", "Opened", "DoorOpened"}


def test_the_names_of_all_registrations_count(registry: EventRegistry) -> None:
    """A class may be written under several names, each with aliases."""
    registry.register(Opened, "one", aliases=["first"])
    registry.register(Opened, "two", aliases=["second"])
    registry.register(Opened, "two", aliases=["zwei"])

    assert registry.names_of(Opened) == {"one", "first", "two", "second", "zwei"}


def test_the_names_of_other_classes_do_not_count(registry: EventRegistry) -> None:
    """A subclass is a class of its own, and so is a base."""
    registry.register(Opened, aliases=["DoorOpened"])
    registry.register(OpenedWide, aliases=["DoorOpenedWide"])
    registry.register(Shut)

    assert registry.names_of(OpenedWide) == {"OpenedWide", "DoorOpenedWide"}
    assert registry.names_of(Opened) == {"Opened", "DoorOpened"}


@pytest.mark.parametrize(
    ("event_class", "name"),
    [(Opened, "Opened"), (OpenedWide, "OpenedWide"), (Shut, "door.shut"), (Nameless, "Nameless")],
)
def test_a_class_that_is_not_registered_has_its_own_name(
    registry: EventRegistry, event_class: type[DomainEvent], name: str
) -> None:
    """It would be registered under that one."""
    assert registry.names_of(event_class) == {name}


@pytest.mark.parametrize("names", [{"event_type": "door.shut"}, {"aliases": ["door.shut"]}], ids=str)
def test_a_class_whose_name_is_another_ones_has_none(registry: EventRegistry, names: dict[str, str]) -> None:
    """Everything stored under that name is read as the other class."""
    registry.register(Closed, **names)  # type: ignore[arg-type]

    assert registry.names_of(Shut) == frozenset()


def test_a_forgotten_name_does_not_count(registry: EventRegistry) -> None:
    """What is left does; in the end it is the class's own name."""
    for name in ("one", "two"):
        registry.register(Opened, name, aliases=[f"former {name}"])
    names = []

    for name in ("one", "two"):
        registry.unregister(name)
        names.append(registry.names_of(Opened))

    assert names == [{"two", "former two"}, {"Opened"}]


def test_clear_forgets_all_names(registry: EventRegistry) -> None:
    """As if nothing had ever been registered."""
    registry.register(Opened, "door.opened", aliases=["DoorOpened"])

    registry.clear()

    assert registry.names_of(Opened) == {"Opened"}


@pytest.mark.parametrize("event_type", ["one", "two", "alias", "anything"])
def test_what_is_written_is_among_the_names(registry: EventRegistry, event_type: str) -> None:
    """Whatever type an event carries, it is found again."""
    registry.register(Opened, "one", aliases=["alias"])
    registry.register(Opened, "two")

    written = registry.name_of(Opened(aggregate_id=uuid4(), event_type=event_type))

    assert written in registry.names_of(Opened)
