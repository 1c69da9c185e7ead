"""Handlers that are called without awaiting: what a class is told that gets one wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from eventsource.events.base import DomainEvent
from eventsource.handlers.decorators import handles
from eventsource.handlers.registry import check_synchronous, handlers_of

PARAMETERS = ("connection", "event")
REASON = "it runs on a thread"


class Opened(DomainEvent):
    aggregate_type: str = "Door"


def right(self: object, connection: object, event: Opened) -> None: ...


def with_more(self: object, connection: object, event: Opened, times: int) -> None: ...


def with_less(self: object, event: Opened) -> None: ...


async def waiting(self: object, connection: object, event: Opened) -> None: ...


def door(handler: Callable[..., Any]) -> type:
    """Return a class whose one method is *handler*."""
    return type("Door", (), {"on_opened": handles(Opened)(handler)})


def check(cls: type) -> None:
    check_synchronous(cls, handlers_of(cls).values(), PARAMETERS, REASON)


def test_one_that_is_called_as_it_wants_to_be_is_right() -> None:
    """The parameters are counted, whatever they are called."""
    check(door(right))


def test_an_asynchronous_one_is_refused_with_the_reason() -> None:
    """Nobody would await it."""
    with pytest.raises(ValueError, match=r"^the handler Door\.on_opened must not be async: it runs on a thread$"):
        check(door(waiting))


@pytest.mark.parametrize(("handler", "count"), [(with_less, 1), (with_more, 3)])
def test_another_number_of_parameters_is_refused_with_those_wanted(handler: Callable[..., Any], count: int) -> None:
    """The error says what there is and what there must be."""
    with pytest.raises(
        ValueError, match=rf"Door\.on_opened takes {count} arguments besides self; it must take \(connection, event\)$"
    ):
        check(door(handler))


def test_inherited_ones_are_checked_too() -> None:
    """The class that is told is the one that was made."""

    class Gate(door(waiting)):  # type: ignore[misc]
        pass

    with pytest.raises(ValueError, match=r"Gate\.on_opened must not be async"):
        check(Gate)
