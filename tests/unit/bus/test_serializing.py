"""Events to the bodies of messages and back."""

import json
from typing import Any
from uuid import uuid4

import pytest

from eventsource.bus.serializing import EventSerializer
from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry, default_registry
from eventsource.exceptions import DeserializationError, SerializationError
from eventsource.testing.events import Closed, Measured, Opened, OpenedWide


class Painted(DomainEvent):
    aggregate_type: str = "Door"
    event_version: int = 2
    colour: str


class Noted(DomainEvent):
    aggregate_type: str = "Door"
    note: Any = None


def name_the_colour(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "colour": f"#{data['colour']}"}


@pytest.fixture
def registry() -> EventRegistry:
    registry = EventRegistry()
    registry.register(Painted, upcast={1: name_the_colour}, aliases=["Coloured"])
    registry.register(Opened)
    return registry


@pytest.fixture
def serializer(registry: EventRegistry) -> EventSerializer:
    return EventSerializer(registry)


def body(**fields: object) -> bytes:
    return json.dumps({"aggregate_id": str(uuid4()), **fields}).encode()


def test_an_event_comes_back_as_it_was() -> None:
    """By the default registry, if no other is given."""
    serializer = EventSerializer()
    event = Measured(aggregate_id=uuid4(), text="Tür \u0000", key=b"\x00\xff")

    read = serializer.deserialize(serializer.serialize(event), event.event_type, Measured)

    assert read == event
    assert serializer.registry is default_registry


def test_bodies_are_json(serializer: EventSerializer) -> None:
    """Whoever is not written in Python reads them, too."""
    event = Opened(aggregate_id=uuid4(), number=3)

    written = json.loads(serializer.serialize(event))

    assert (written["number"], written["event_id"]) == (3, str(event.event_id))
    assert serializer.content_type() == "application/json"


@pytest.mark.parametrize("written_as", ["Painted", "Coloured"])
def test_an_old_version_is_read_as_that_of_today(serializer: EventSerializer, written_as: str) -> None:
    """Also under a name that its class had in former times."""
    read = serializer.deserialize(body(event_type=written_as, event_version=1, colour="f00"), written_as, Painted)

    assert isinstance(read, Painted)
    assert (read.colour, read.event_version, read.event_type) == ("#f00", 2, "Painted")


def test_the_version_of_today_is_not_carried_forward(serializer: EventSerializer) -> None:
    """It is read as it is."""
    event = Painted(aggregate_id=uuid4(), colour="red")

    assert serializer.deserialize(serializer.serialize(event), "Painted", Painted) == event


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"no JSON",
        b"null",
        b"[]",
        body(event_version=2, colour=["red"]),
        body(event_version=9, colour="red"),
    ],
    ids=["empty", "no text", "no JSON", "null", "a list", "a field of another type", "a version to come"],
)
def test_what_is_no_such_event_cannot_be_read(serializer: EventSerializer, data: bytes) -> None:
    """Whatever is wrong with it, one error says so."""
    with pytest.raises(DeserializationError):
        serializer.deserialize(data, "Painted", Painted)


def test_a_type_that_nobody_has_registered_cannot_be_read(serializer: EventSerializer) -> None:
    """The error tells what to do about it."""
    with pytest.raises(DeserializationError, match="register_event"):
        serializer.deserialize(body(), "Closed", Closed)


def test_an_event_of_another_class_is_refused(serializer: EventSerializer) -> None:
    """A registry that has another class for the type does not fool whoever asked."""
    with pytest.raises(DeserializationError, match="is no OpenedWide"):
        serializer.deserialize(body(), "eventsource.testing.Opened", OpenedWide)


def test_what_has_no_json_form_cannot_be_written(serializer: EventSerializer) -> None:
    """The error names the event."""
    event = Noted(aggregate_id=uuid4(), note=object())

    with pytest.raises(SerializationError, match=str(event.event_id)):
        serializer.serialize(event)
