"""Under which name an event is written, so that it is read back as what it was."""

from typing import Any
from uuid import uuid4

import pytest

from eventsource.events.base import DomainEvent
from eventsource.events.registry import DuplicateEventTypeError, EventRegistry, register_event


class Opened(DomainEvent):
    aggregate_type: str = "Door"


class Shut(DomainEvent):
    event_type: str = "door.shut"
    aggregate_type: str = "Door"


class Closed(DomainEvent):
    event_type: str = "door.shut"
    aggregate_type: str = "Door"


@pytest.fixture
def registry() -> EventRegistry:
    return EventRegistry()


def opened(**fields: Any) -> Opened:
    return Opened(aggregate_id=uuid4(), **fields)


def shut() -> Shut:
    return Shut(aggregate_id=uuid4())


def test_it_is_the_registered_name(registry: EventRegistry) -> None:
    """Whatever type the event carries."""
    registry.register(Opened, "door.opened")

    assert [registry.name_of(opened()), registry.name_of(opened(event_type="anything"))] == ["door.opened"] * 2


def test_of_two_names_it_is_the_one_that_the_event_carries(registry: EventRegistry) -> None:
    """Or else the first one."""
    registry.register(Opened, "one")
    registry.register(Opened, "two")

    names = [registry.name_of(opened(event_type=each)) for each in ("one", "two", "three")]

    assert names == ["one", "two", "one"]


def test_an_alias_is_not_written_any_more(registry: EventRegistry) -> None:
    """An event that carries it is written under today's name."""
    registry.register(Opened, "door.opened", aliases=["DoorOpened"])

    assert registry.name_of(opened(event_type="DoorOpened")) == "door.opened"


def test_an_unregistered_event_is_written_under_its_own_type(registry: EventRegistry) -> None:
    """Nobody could read it as something else."""
    assert (registry.name_of(opened()), registry.name_of(shut())) == ("Opened", "door.shut")


def test_a_type_that_another_class_has_is_refused(registry: EventRegistry) -> None:
    """The error names both classes."""
    registry.register(Closed)

    with pytest.raises(DuplicateEventTypeError) as refused:
        registry.name_of(shut())

    error = refused.value
    assert (error.event_type, error.existing_class, error.new_class) == ("door.shut", Closed, Shut)


def test_an_alias_that_another_class_has_is_refused_too(registry: EventRegistry) -> None:
    """An alias is read as that class as well."""
    registry.register(Opened, aliases=["door.shut"])

    with pytest.raises(DuplicateEventTypeError):
        registry.name_of(shut())


def test_a_name_of_its_own_settles_it(registry: EventRegistry) -> None:
    """A class that shares the type of another one is written under the name that it was registered under."""
    registry.register(Closed)
    registry.register(Shut, "door.slammed")

    assert registry.name_of(shut()) == "door.slammed"
    assert registry.name_of(Closed(aggregate_id=uuid4())) == "door.shut"


def test_a_subclass_is_a_class_of_its_own(registry: EventRegistry) -> None:
    """It is not written under the name of its base."""

    class OpenedWide(Opened):
        pass

    registry.register(Opened, "door.opened")

    assert registry.name_of(OpenedWide(aggregate_id=uuid4())) == "OpenedWide"


def test_a_forgotten_name_is_not_written(registry: EventRegistry) -> None:
    """What is left of the names of a class is; then the type of the event."""
    for name in ("one", "two", "three"):
        registry.register(Opened, name)
    names = []

    for name in ("one", "two", "three"):
        registry.unregister(name)
        names.append(registry.name_of(opened()))

    assert names == ["two", "three", "Opened"]


def test_clear_forgets_the_names_to_write(registry: EventRegistry) -> None:
    """As if nothing had ever been registered."""
    registry.register(Opened, "door.opened")
    registry.register(Closed)

    registry.clear()

    assert (registry.name_of(opened()), registry.name_of(shut())) == ("Opened", "door.shut")


@pytest.mark.parametrize("wrong", [opened(), "door.opened", dict, 5], ids=["event", "name", "class", "number"])
def test_what_is_no_event_class_is_not_registered(registry: EventRegistry, wrong: Any) -> None:
    """Neither by the method nor by the decorator, with parentheses or without."""
    for register in (registry.register, register_event(registry=registry), register_event):
        with pytest.raises(TypeError, match="expected a subclass of DomainEvent"):
            register(wrong)

    assert len(registry) == 0
