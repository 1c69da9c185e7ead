"""Which class stands for which name."""

import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from eventsource.events import registry as registry_module
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
from eventsource.exceptions import EventSourceError


class Opened(DomainEvent):
    aggregate_type: str = "Door"


class Shut(DomainEvent):
    event_type: str = "door.shut"
    aggregate_type: str = "Door"


class Painted(DomainEvent):
    aggregate_type: str = "Door"
    event_version: int = 3


def add_colour(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "colour": "white"}


def add_gloss(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "gloss": True}


@pytest.fixture
def registry() -> EventRegistry:
    return EventRegistry()


class TestNames:
    def test_a_class_is_found_by_its_event_type(self, registry: EventRegistry) -> None:
        """The default of the field is the name."""
        registry.register(Shut)

        assert registry.get("door.shut") is Shut

    def test_a_class_that_gives_no_event_type_is_found_by_its_own_name(self, registry: EventRegistry) -> None:
        """Most events need no other name."""
        registry.register(Opened)

        assert registry.get("Opened") is Opened

    def test_a_name_given_at_registration_wins(self, registry: EventRegistry) -> None:
        """The class is known under that name only."""
        registry.register(Opened, "door.opened")

        assert list(registry) == ["door.opened"]

    def test_register_returns_the_class(self, registry: EventRegistry) -> None:
        """It can be used as a decorator."""
        assert registry.register(Opened) is Opened

    def test_an_alias_finds_the_class(self, registry: EventRegistry) -> None:
        """A renamed event is still read."""
        registry.register(Opened, aliases=["DoorOpened", "door_opened"])

        assert [registry.get(name) for name in ("DoorOpened", "door_opened")] == [Opened, Opened]

    def test_an_alias_is_not_listed_as_a_type(self, registry: EventRegistry) -> None:
        """Nothing is written under it any more."""
        registry.register(Opened, aliases=["DoorOpened"])

        assert (registry.list_types(), len(registry), "DoorOpened" in registry) == (["Opened"], 1, True)

    def test_types_are_listed_sorted(self, registry: EventRegistry) -> None:
        """The classes come in the order of their names."""
        registry.register(Shut)
        registry.register(Opened)

        assert (registry.list_types(), registry.list_classes()) == (["Opened", "door.shut"], [Opened, Shut])

    def test_iteration_is_over_a_copy(self, registry: EventRegistry) -> None:
        """Types may be forgotten while one walks over them."""
        registry.register(Shut)
        registry.register(Opened)

        for name in registry:
            registry.unregister(name)

        assert len(registry) == 0

    def test_an_empty_registry_is_true(self, registry: EventRegistry) -> None:
        """A registry that is still empty is not mistaken for none."""
        assert registry


class TestUnknownTypes:
    def test_an_unknown_type_is_an_error(self, registry: EventRegistry) -> None:
        """The error carries what was asked for and what there is."""
        registry.register(Opened)

        with pytest.raises(EventTypeNotFoundError) as caught:
            registry.get("Closed")

        assert (caught.value.event_type, caught.value.available_types) == ("Closed", ["Opened"])

    def test_the_error_is_a_key_error_of_the_library(self) -> None:
        """Either kind of handler catches it."""
        assert issubclass(EventTypeNotFoundError, KeyError)
        assert issubclass(EventTypeNotFoundError, EventSourceError)

    def test_the_message_lists_what_is_known(self) -> None:
        """The names are sorted, and the text is not quoted as that of a KeyError would be."""
        message = str(EventTypeNotFoundError("Closed", ["b", "a"]))

        assert message.startswith("Unknown event type 'Closed'; registered are: a, b.")

    def test_the_message_says_that_nothing_is_known(self) -> None:
        """An import that was forgotten shows at once."""
        assert "registered are: none" in str(EventTypeNotFoundError("Closed", []))

    def test_the_error_can_be_pickled(self) -> None:
        """It may cross a process boundary."""
        error = EventTypeNotFoundError("Closed", ["a"])

        copy = pickle.loads(pickle.dumps(error))

        assert (copy.event_type, copy.available_types, str(copy)) == ("Closed", ["a"], str(error))

    def test_get_or_none_gives_none(self, registry: EventRegistry) -> None:
        """One may ask without a try."""
        assert registry.get_or_none("Closed") is None


class TestDuplicates:
    def test_the_same_class_may_be_registered_again(self, registry: EventRegistry) -> None:
        """Importing a module twice does no harm."""
        registry.register(Opened)

        registry.register(Opened)

        assert registry.list_classes() == [Opened]

    def test_another_class_of_the_same_name_is_refused(self, registry: EventRegistry) -> None:
        """The first one stays, and the error names both."""
        registry.register(Opened)

        with pytest.raises(DuplicateEventTypeError) as caught:
            registry.register(Shut, "Opened")

        assert (caught.value.existing_class, caught.value.new_class) == (Opened, Shut)
        assert registry.get("Opened") is Opened

    def test_the_message_names_both_classes_with_their_modules(self) -> None:
        """Classes of one name in two modules can be told apart."""
        message = str(DuplicateEventTypeError("Opened", Opened, Shut))

        assert f"{Opened.__module__}.Opened" in message
        assert f"{Shut.__module__}.Shut" in message

    def test_the_error_is_a_value_error_of_the_library(self) -> None:
        """Either kind of handler catches it."""
        assert issubclass(DuplicateEventTypeError, ValueError)
        assert issubclass(DuplicateEventTypeError, EventSourceError)

    def test_an_alias_that_is_taken_is_refused(self, registry: EventRegistry) -> None:
        """A refused registration leaves no trace, not even of its own name."""
        registry.register(Opened)

        with pytest.raises(DuplicateEventTypeError):
            registry.register(Shut, aliases=["Opened"])

        assert "door.shut" not in registry


class TestMerging:
    def test_aliases_of_two_registrations_are_joined(self, registry: EventRegistry) -> None:
        """The second registration takes nothing away."""
        registry.register(Opened, aliases=["first"])

        registry.register(Opened, aliases=["second"])

        assert registry.resolve("first").aliases == {"first", "second"}

    def test_upcasters_of_two_registrations_are_joined(self, registry: EventRegistry) -> None:
        """A module may add the older versions to what another one registered."""
        registry.register(Painted, upcast={2: add_gloss})

        registry.register(Painted, upcast={1: add_colour, 2: add_gloss})

        assert registry.resolve("Painted").upcasters == {1: add_colour, 2: add_gloss}

    def test_a_plain_registration_keeps_upcasters(self, registry: EventRegistry) -> None:
        """Registering again without them does not forget them."""
        registry.register(Painted, upcast={2: add_gloss}, aliases=["DoorPainted"])

        registry.register(Painted)

        assert registry.resolve("DoorPainted").upcasters == {2: add_gloss}


class TestUnregistering:
    def test_a_type_is_forgotten_with_its_aliases(self, registry: EventRegistry) -> None:
        """None of the names is left."""
        registry.register(Opened, aliases=["DoorOpened"])

        assert registry.unregister("Opened")

        assert ("Opened" in registry, "DoorOpened" in registry) == (False, False)

    def test_an_unknown_type_cannot_be_forgotten(self, registry: EventRegistry) -> None:
        """The answer tells."""
        assert not registry.unregister("Opened")

    def test_an_alias_that_repeats_the_name_can_be_forgotten(self, registry: EventRegistry) -> None:
        """It is one name only."""
        registry.register(Opened, aliases=["Opened"])

        assert registry.unregister("Opened")

        assert "Opened" not in registry

    def test_an_alias_that_two_names_share_stays_with_the_other(self, registry: EventRegistry) -> None:
        """What one registration forgets, the other still says."""
        registry.register(Opened, "one", aliases=["shared"])
        registry.register(Opened, "two", aliases=["shared"])

        registry.unregister("two")

        assert registry.resolve("shared").name == "one"

    def test_a_name_is_free_again(self, registry: EventRegistry) -> None:
        """Another class may take it."""
        registry.register(Opened)
        registry.unregister("Opened")

        registry.register(Shut, "Opened")

        assert registry.get("Opened") is Shut

    def test_clear_forgets_everything(self, registry: EventRegistry) -> None:
        """Aliases too."""
        registry.register(Opened, aliases=["DoorOpened"])

        registry.clear()

        assert (len(registry), "DoorOpened" in registry) == (0, False)


class TestThreads:
    def test_of_threads_that_race_for_a_name_one_wins(self, registry: EventRegistry) -> None:
        """All others are told, and the winner is what is found."""
        classes = [type(f"Raced{number}", (Opened,), {"__module__": __name__}) for number in range(8)]
        barrier = Barrier(len(classes))

        def race(event_class: type[DomainEvent]) -> type[DomainEvent] | None:
            barrier.wait()
            try:
                return registry.register(event_class, "prize")
            except DuplicateEventTypeError:
                return None

        with ThreadPoolExecutor(len(classes)) as pool:
            winners = [winner for winner in pool.map(race, classes) if winner]

        assert winners == [registry.get("prize")]


class TestDecorator:
    def test_it_registers_in_the_given_registry(self, registry: EventRegistry) -> None:
        """The class comes back as it is, under the given name."""
        decorated = register_event(event_type="door.opened", registry=registry)(Opened)

        assert (decorated, registry.get("door.opened")) == (Opened, Opened)

    def test_an_empty_registry_is_used_too(self, registry: EventRegistry) -> None:
        """It is not mistaken for none."""
        register_event(registry=registry)(Opened)

        assert "Opened" in registry

    def test_without_a_registry_it_is_the_default_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The plain functions look there."""
        monkeypatch.setattr(registry_module, "default_registry", EventRegistry())

        register_event(Shut)

        assert list_registered_events() == ["door.shut"]
        assert (get_event_class("door.shut"), get_event_class_or_none("door.shut")) == (Shut, Shut)
        assert is_event_registered("door.shut")

    def test_aliases_and_upcasters_are_passed_on(self, registry: EventRegistry) -> None:
        """All of register can be said by the decorator."""
        register_event(registry=registry, aliases=["DoorPainted"], upcast={2: add_gloss})(Painted)

        assert registry.resolve("DoorPainted").upcasters == {2: add_gloss}

    def test_the_default_registry_is_public(self) -> None:
        """There is one for the whole process."""
        assert isinstance(default_registry, EventRegistry)


def test_registering_is_logged_with_its_facts(registry: EventRegistry, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever misses an event type can see what was registered."""
    with caplog.at_level(logging.DEBUG, "eventsource.events.registry"):
        registry.register(Shut)

    (record,) = caplog.records
    assert (vars(record)["event_type"], vars(record)["event_class"]) == ("door.shut", "Shut")
