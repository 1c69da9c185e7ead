"""Marking functions as handlers."""

from typing import Any
from uuid import uuid4

import pytest

from eventsource.events.base import DomainEvent
from eventsource.handlers import get_handled_event_type, handles, is_event_handler
from eventsource.projections import decorators
from eventsource.projections import handles as handles_of_projections


class Opened(DomainEvent):
    aggregate_type: str = "Door"


class Shut(DomainEvent):
    aggregate_type: str = "Door"


def test_a_marked_function_names_its_event() -> None:
    """The mark is the event class itself."""

    @handles(Opened)
    def on_opened(event: Opened) -> None: ...

    assert (get_handled_event_type(on_opened), is_event_handler(on_opened)) == (Opened, True)


def test_an_unmarked_function_names_none() -> None:
    """It is no handler."""

    def on_opened(event: Opened) -> None: ...

    assert (get_handled_event_type(on_opened), is_event_handler(on_opened)) == (None, False)


def test_the_function_stays_the_same() -> None:
    """Signature and docstring are those that were written."""

    def on_opened(event: Opened) -> None: ...

    assert handles(Opened)(on_opened) is on_opened


def test_a_bound_method_carries_the_mark() -> None:
    """Asking an object is as good as asking its class."""

    class Doors:
        @handles(Opened)
        def on_opened(self, event: Opened) -> None: ...

    assert get_handled_event_type(Doors().on_opened) is Opened


def test_of_two_marks_the_outer_one_counts() -> None:
    """One function handles one event class."""

    @handles(Shut)
    @handles(Opened)
    def on_door(event: DomainEvent) -> None: ...

    assert get_handled_event_type(on_door) is Shut


@pytest.mark.parametrize(
    "wrong", ["Opened", int, None, Opened(aggregate_id=uuid4())], ids=["name", "int", "none", "instance"]
)
def test_anything_but_an_event_class_is_refused(wrong: Any) -> None:
    """A mistake is found where the decorator stands."""
    with pytest.raises(TypeError, match="expected a subclass of DomainEvent"):
        handles(wrong)


def test_projections_offer_the_same_decorator() -> None:
    """It is one function under the paths that people know."""
    assert handles_of_projections is decorators.handles is handles


def test_forgotten_parentheses_are_pointed_out() -> None:
    """The decorated function stands where the class of the event should."""
    with pytest.raises(TypeError, match=r"write @handles\(EventClass\)"):
        handles(lambda self, event: None)  # type: ignore[arg-type]
