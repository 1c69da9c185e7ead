"""Which events are read: options that make no sense are refused when they are made."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from eventsource.events.base import DomainEvent
from eventsource.stores import ReadDirection, ReadOptions

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


class Opened(DomainEvent):
    aggregate_type: str = "Door"


class Closed(DomainEvent):
    aggregate_type: str = "Door"


WRONG: list[tuple[str, Any]] = [
    ("direction", "backward"),
    ("direction", None),
    ("from_position", "0"),
    ("from_position", None),
    ("from_position", 1.5),
    ("limit", "10"),
    ("limit", 2.0),
    ("from_timestamp", "2024-05-01"),
    ("from_timestamp", 1714564800.0),
    ("from_timestamp", NOON.date()),
    ("to_timestamp", NOON.isoformat()),
    ("tenant_id", "6f1c9a52-7a0e-4b57-9a52-0a4c7c0f4b11"),
    ("tenant_id", 7),
    ("to_position", "3"),
    ("to_position", 1.5),
    ("event_types", Opened),
    ("event_types", "Opened"),
    ("event_types", 5),
    ("event_types", (each for each in [Opened])),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda value: repr(value)[:20])
def test_an_option_of_another_type_is_refused(name: str, value: Any) -> None:
    """The error names it and shows what was given."""
    with pytest.raises(TypeError, match=f"{name} must be ") as refused:
        ReadOptions(**{name: value})

    assert repr(value) in str(refused.value)


@pytest.mark.parametrize(("name", "value"), [("from_position", -2), ("limit", -1), ("to_position", -1)])
def test_a_number_below_its_least_is_refused(name: str, value: int) -> None:
    """The error says what it may be."""
    with pytest.raises(ValueError, match=f"{name} must be"):
        ReadOptions(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", ["Opened", Opened(aggregate_id=uuid4()), dict, None], ids=lambda wrong: repr(wrong)[:20]
)
def test_what_is_no_event_class_is_not_selected(wrong: Any) -> None:
    """One such thing among classes is enough; the error shows it."""
    with pytest.raises(TypeError, match="event_types must be a collection of event classes") as refused:
        ReadOptions(event_types=[Opened, wrong])

    assert repr(wrong) in str(refused.value)


def test_a_single_class_is_not_taken_for_a_collection() -> None:
    """The error says how to write it."""
    with pytest.raises(TypeError, match=r"write \[EventClass\]"):
        ReadOptions(event_types=Opened)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "classes", [[Opened, Closed], (Closed, Opened), {Opened, Closed}, {Opened: 1, Closed: 2}, [Opened, Closed, Opened]]
)
def test_any_collection_of_classes_is_kept_as_their_set(classes: Any) -> None:
    """Options that select the same are equal, and have one hash."""
    options = ReadOptions(event_types=classes)

    assert options == ReadOptions(event_types=frozenset([Opened, Closed]))
    assert hash(options) == hash(ReadOptions(event_types=frozenset([Opened, Closed])))


def test_what_becomes_of_the_collection_changes_no_options() -> None:
    """They are frozen, whatever they were made of."""
    classes: list[type[DomainEvent]] = [Opened]
    options = ReadOptions(event_types=classes)

    classes.append(Closed)

    assert options == ReadOptions(event_types=[Opened])


def test_no_classes_are_not_all_classes() -> None:
    """Who selects none says so by an empty collection."""
    assert ReadOptions(event_types=[]).event_types == frozenset()
    assert ReadOptions(event_types=[]) != ReadOptions()


def test_all_options_may_be_given_and_none_has_to_be() -> None:
    """What is right is kept as it was given."""
    tenant = uuid4()

    options = ReadOptions(ReadDirection.BACKWARD, 3, 0, NOON, NOON, tenant, 0, [Opened])

    assert (options.direction, options.from_position, options.limit) == (ReadDirection.BACKWARD, 3, 0)
    assert (options.from_timestamp, options.to_timestamp, options.tenant_id) == (NOON, NOON, tenant)
    assert (options.to_position, options.event_types) == (0, {Opened})
    assert ReadOptions() == ReadOptions(ReadDirection.FORWARD, 0, None, None, None, None, None, None)
