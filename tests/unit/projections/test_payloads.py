"""Events as they are kept in a dead-letter queue, and back."""

from typing import Any
from uuid import uuid4

import pytest

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry
from eventsource.projections.dead_letters.payloads import event_of, payload_of
from eventsource.projections.dead_letters.values import DLQEntry


class Painted(DomainEvent):
    event_type: str = "tests.Painted"
    aggregate_type: str = "Door"
    shade: str


class Varnished(DomainEvent):
    event_type: str = "tests.Painted"
    aggregate_type: str = "Door"


@pytest.fixture
def event() -> Painted:
    """An event whose class is in no registry."""
    return Painted(aggregate_id=uuid4(), shade="red")


def kept(event: DomainEvent) -> DLQEntry:
    """Return an entry of *event*, under the name that it says it has."""
    return DLQEntry(1, event.event_id, "visits", event.event_type, payload_of(event), "no such door")


def test_a_class_that_nobody_has_registered_is_found(event: Painted) -> None:
    """The projection that wants it knows it, as a store in memory does."""
    assert event_of(kept(event), None, [Painted]) == event


def test_a_class_that_is_registered_under_another_name_is_found(event: Painted) -> None:
    """With what is said of it there."""
    registry = EventRegistry()
    registry.register(Painted, "door.painted")

    assert event_of(kept(event), registry, [Painted]) == event


def test_old_versions_of_a_class_that_is_registered_under_another_name_are_carried_forward(event: Painted) -> None:
    """By the upcasters of that name."""

    class Repainted(Painted):
        event_type: str = "tests.Painted"
        event_version: int = 2
        coats: int

    registry = EventRegistry()
    registry.register(Repainted, "door.repainted", upcast={1: lambda data: {**data, "coats": 3}})

    today: Any = event_of(kept(event), registry, [Repainted])

    assert (today.event_id, today.event_version, today.coats) == (event.event_id, 2, 3)


def test_what_is_wanted_counts_more_than_what_is_registered(event: Painted) -> None:
    """Another class of that name belongs to somebody else."""
    registry = EventRegistry()
    registry.register(Varnished)

    assert event_of(kept(event), registry, [Painted]) == event
