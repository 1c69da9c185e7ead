"""What may be subscribed to a bus, as isinstance sees it."""

import importlib
from typing import Any

import pytest

from eventsource import protocols
from eventsource.events.base import DomainEvent
from eventsource.protocols import (
    EventHandler,
    EventSubscriber,
    FlexibleEventHandler,
    FlexibleEventSubscriber,
    SyncEventHandler,
)


class Handling:
    def handle(self, event: DomainEvent) -> None: ...


class Subscribing(Handling):
    def subscribed_to(self) -> list[type[DomainEvent]]:
        return []


@pytest.mark.parametrize("protocol", [EventHandler, SyncEventHandler, FlexibleEventHandler])
def test_whatever_has_a_handle_method_is_a_handler(protocol: Any) -> None:
    """No base class is needed."""
    assert (isinstance(Handling(), protocol), isinstance(object(), protocol)) == (True, False)


def test_a_subscriber_names_its_events_besides() -> None:
    """A handler alone is none."""
    found = [isinstance(each, FlexibleEventSubscriber) for each in (Subscribing(), Handling())]

    assert found == [True, False]


def test_the_base_class_demands_both_methods() -> None:
    """For those who want to be told what is missing."""
    assert EventSubscriber.__abstractmethods__ == {"subscribed_to", "handle"}


@pytest.mark.parametrize(
    ("home", "names"),
    [
        ("eventsource.projections.protocols", "AsyncEventHandler EventHandler EventSubscriber SyncEventHandler"),
        ("eventsource.projections", "AsyncEventHandler EventHandler EventSubscriber SyncEventHandler"),
        ("eventsource.bus.interface", "AsyncEventHandler EventHandler EventSubscriber FlexibleEventHandler"),
        ("eventsource.bus", "AsyncEventHandler EventHandler EventSubscriber FlexibleEventHandler"),
    ],
)
def test_they_are_found_where_people_look_for_them(home: str, names: str) -> None:
    """Whichever path it is imported from, a name is one class."""
    module = importlib.import_module(home)

    assert [getattr(module, name) for name in names.split()] == [getattr(protocols, name) for name in names.split()]
