"""Events in modules whose annotations are strings, and events that name classes defined later."""

from __future__ import annotations

from typing import Literal
from uuid import uuid4

from pydantic import BaseModel

from eventsource.events.base import DomainEvent


class Ordered(DomainEvent):
    aggregate_type: str = "Order"
    lines: list[Line]


class OrderedAgain(Ordered):
    pass


class Cancelled(DomainEvent):
    event_type: Literal["order.cancelled"] = "order.cancelled"
    aggregate_type: str = "Order"
    reason: Reason | None = None


class Line(BaseModel):
    product: str


class Reason(BaseModel):
    text: str


def test_an_event_may_name_a_class_that_is_defined_later() -> None:
    """The field is completed when the event is first made."""
    event = Ordered(aggregate_id=uuid4(), lines=[Line(product="tea")])

    assert event.lines == [Line(product="tea")]


def test_such_an_event_is_named_for_its_class() -> None:
    """Completing the fields keeps the default of event_type."""
    event = Ordered(aggregate_id=uuid4(), lines=[])

    assert event.event_type == "Ordered"


def test_a_subclass_of_such_an_event_is_named_for_its_own_class() -> None:
    """It holds over two steps as well."""
    event = OrderedAgain(aggregate_id=uuid4(), lines=[])

    assert event.event_type == "OrderedAgain"


def test_an_explicit_name_is_kept() -> None:
    """An annotation that is a string counts as one."""
    event = Cancelled(aggregate_id=uuid4(), reason=Reason(text="late"))

    assert event.event_type == "order.cancelled"


def test_such_an_event_survives_its_dictionary() -> None:
    """The classes that were defined later are read back too."""
    event = Ordered(aggregate_id=uuid4(), lines=[Line(product="tea")])

    assert Ordered.from_dict(event.to_dict()) == event
