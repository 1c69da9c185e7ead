"""Aggregates whose events are applied by marked methods."""

import logging
from typing import Literal
from uuid import uuid4

import pytest
from pydantic import BaseModel

from eventsource.aggregates.base import DeclarativeAggregate
from eventsource.events.base import DomainEvent
from eventsource.exceptions import UnhandledEventError
from eventsource.handlers import handles


class Opened(DomainEvent):
    aggregate_type: str = "Door"


class OpenedWide(Opened):
    pass


class Shut(DomainEvent):
    aggregate_type: str = "Door"


class DoorState(BaseModel):
    position: Literal["open", "shut", "ajar"]


class Door(DeclarativeAggregate[DoorState]):
    aggregate_type = "Door"

    def raise_new(self, event_class: type[DomainEvent]) -> None:
        event = event_class(
            aggregate_id=self.aggregate_id, aggregate_type="Door", aggregate_version=self.get_next_version()
        )
        self._raise_event(event)

    @property
    def position(self) -> str | None:
        return self.state.position if self.state else None

    @handles(Opened)
    def _on_opened(self, event: Opened) -> None:
        self._state = DoorState(position="open")

    def _get_initial_state(self) -> DoorState:
        return DoorState(position="shut")


class SlidingDoor(Door):
    @handles(Shut)
    def _on_shut(self, event: Shut) -> None:
        self._state = DoorState(position="shut")


class StuckDoor(SlidingDoor):
    def _on_moved(self, event: DomainEvent) -> None: ...

    @handles(Opened)
    def _on_opened_a_little(self, event: Opened) -> None:
        self._state = DoorState(position="ajar")


class CarefulDoor(Door):
    unregistered_event_handling = "warn"


class StrictDoor(Door):
    unregistered_event_handling = "error"


def test_an_event_is_applied_by_its_handler() -> None:
    """No dispatching has to be written."""
    door = Door(uuid4())

    door.raise_new(Opened)

    assert (door.position, door.version) == ("open", 1)


def test_inherited_handlers_count() -> None:
    """A subclass adds to what its base handles."""
    door = SlidingDoor(uuid4())

    door.raise_new(Opened)
    opened = door.position
    door.raise_new(Shut)

    assert (opened, door.position) == ("open", "shut")


def test_the_handler_of_the_derived_class_wins() -> None:
    """The base's is not called besides."""
    door = StuckDoor(uuid4())

    door.raise_new(Opened)

    assert door.position == "ajar"


def test_subclasses_leave_the_handlers_of_their_base_alone() -> None:
    """A door that cannot be shut stays one."""
    door = Door(uuid4())

    door.raise_new(Shut)

    assert door.position is None


def test_an_event_is_matched_by_its_exact_class() -> None:
    """The handler of a base class does not see its subclasses."""
    door = Door(uuid4())

    door.raise_new(OpenedWide)

    assert door.position is None


def test_two_handlers_of_one_event_are_refused_with_the_class() -> None:
    """Not at the first event, but at import."""
    with pytest.raises(ValueError, match="TwiceDoor handles Opened twice, in first and in second"):

        class TwiceDoor(Door):
            @handles(Opened)
            def first(self, event: Opened) -> None: ...

            @handles(Opened)
            def second(self, event: Opened) -> None: ...


def test_an_asynchronous_handler_is_refused_with_the_class() -> None:
    """Nobody would await it."""
    with pytest.raises(ValueError, match=r"LateDoor\._on_shut must not be async"):

        class LateDoor(Door):
            @handles(Shut)
            async def _on_shut(self, event: Shut) -> None: ...


def test_a_handler_without_parameters_is_refused_with_the_class() -> None:
    """It could not see the event."""
    with pytest.raises(ValueError, match=r"BlindDoor\._on_shut takes 0 arguments besides self; it must take \(event\)"):

        class BlindDoor(Door):
            @handles(Shut)
            def _on_shut(self) -> None: ...


def test_a_handler_with_two_parameters_is_refused_with_the_class() -> None:
    """There is no context here, unlike for projections."""
    with pytest.raises(ValueError, match=r"BusyDoor\._on_shut takes 2 arguments besides self; it must take \(event\)"):

        class BusyDoor(Door):
            @handles(Shut)
            def _on_shut(self, context: object, event: Shut) -> None: ...


def test_an_unknown_mode_is_refused_with_the_class() -> None:
    """A typing error would otherwise be taken for ignore."""
    with pytest.raises(ValueError, match=r"Mistyped\.unregistered_event_handling is 'warning'"):

        class Mistyped(Door):
            unregistered_event_handling = "warning"  # type: ignore[assignment]


class TestUnhandledEvents:
    def test_an_ignored_event_is_kept_and_counted(self, caplog: pytest.LogCaptureFixture) -> None:
        """It happened, even if it changes nothing."""
        door = Door(uuid4())

        with caplog.at_level(logging.WARNING, "eventsource.handlers.registry"):
            door.raise_new(Shut)

        assert (door.version, len(door.uncommitted_events), caplog.records) == (1, 1, [])

    def test_a_warning_names_the_event_and_the_class(self, caplog: pytest.LogCaptureFixture) -> None:
        """The event is kept all the same."""
        door = CarefulDoor(uuid4())

        with caplog.at_level(logging.WARNING, "eventsource.handlers.registry"):
            door.raise_new(Shut)

        assert caplog.messages == [
            "No handler registered for event type Shut in CarefulDoor. Available handlers: Opened"
        ]
        assert door.version == 1

    def test_an_error_leaves_the_aggregate_as_it_was(self) -> None:
        """All or nothing holds here too."""
        door = StrictDoor(uuid4())

        with pytest.raises(UnhandledEventError) as caught:
            door.raise_new(Shut)

        assert (caught.value.event_type, caught.value.handler_class) == ("Shut", "StrictDoor")
        assert (door.version, door.uncommitted_events) == (0, [])

    def test_history_is_as_strict(self) -> None:
        """An event that nobody handles is found when it is read as well."""
        door = StrictDoor(uuid4())

        with pytest.raises(UnhandledEventError):
            door.load_from_history([Shut(aggregate_id=door.aggregate_id)])
