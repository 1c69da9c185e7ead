"""Events of some classes in a SQLite file, under whatever names they were stored there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry, EventTypeNotFoundError
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import ReadOptions
from eventsource.testing.events import DOOR


class Painted(DomainEvent):
    aggregate_type: str = DOOR


class Varnished(DomainEvent):
    aggregate_type: str = DOOR


class Namesake(DomainEvent):
    event_type: str = "Painted"
    aggregate_type: str = DOOR


@pytest.fixture
def registry() -> EventRegistry:
    """A registry that knows no class yet."""
    return EventRegistry()


def knowing(*classes: type[DomainEvent], **names: type[DomainEvent]) -> EventRegistry:
    """A registry of *classes*, and of others under *names*."""
    registry = EventRegistry()
    for each in classes:
        registry.register(each)
    for name, each in names.items():
        registry.register(each, name)
    return registry


async def append(path: Path, registry: EventRegistry, door: UUID, *classes: type[DomainEvent], **fields: Any) -> None:
    """Append an event of each of *classes*, as a process does that has this *registry*."""
    events = [each(aggregate_id=door, **fields) for each in classes]
    async with SQLiteEventStore(path, registry) as store:
        await store.append_events(door, DOOR, events, -1)


async def positions_of(path: Path, registry: EventRegistry, classes: Sequence[type[DomainEvent]]) -> list[int]:
    """Say where the events of *classes* stand, as a process sees it that has this *registry*."""
    async with SQLiteEventStore(path, registry) as store:
        return [each.global_position async for each in store.read_all(ReadOptions(event_types=classes))]


async def test_a_class_is_found_under_all_its_names(path: Path, door: UUID) -> None:
    """An event is written under the name that it carries, and there may be several."""
    registry = knowing(Varnished, one=Painted, two=Painted)
    for event_type in ("one", "two", "one"):
        await append(path, registry, door, Painted, event_type=event_type)
        await append(path, registry, door, Varnished)

    assert await positions_of(path, registry, [Painted]) == [1, 3, 5]
    assert await positions_of(path, registry, [Varnished]) == [2, 4, 6]


async def test_a_renamed_class_is_found_under_its_former_name_too(
    path: Path, registry: EventRegistry, door: UUID
) -> None:
    """An alias says what it was called."""
    registry.register(Painted, "door.painted", aliases=["Painted", "painted_door"])
    await append(path, knowing(Painted, Varnished), door, Painted, Varnished)
    await append(path, knowing(painted_door=Painted), door, Painted)
    await append(path, registry, door, Painted)

    assert await positions_of(path, registry, [Painted]) == [1, 3, 4]


async def test_a_name_that_was_given_away_finds_its_new_class(path: Path, door: UUID) -> None:
    """Who reads says what a name means, not who wrote."""
    await append(path, knowing(Painted), door, Painted)

    assert await positions_of(path, knowing(Painted=Varnished), [Varnished]) == [1]
    assert await positions_of(path, knowing(Painted=Varnished, other=Painted), [Painted]) == []


@pytest.mark.parametrize("name", ["it's", '"quoted"', "[a, b]", "Tür\u2028", "5", "null", "\\", "%", "*"])
async def test_a_name_may_have_any_characters(path: Path, registry: EventRegistry, door: UUID, name: str) -> None:
    """It is compared whole, and nothing in it means anything."""
    registry.register(Painted, name)
    registry.register(Varnished)
    await append(path, registry, door, Varnished, Painted)

    assert await positions_of(path, registry, [Painted]) == [2]


async def test_names_differ_by_case(path: Path, door: UUID) -> None:
    """Two classes may be called so."""
    registry = knowing(painted=Painted, Painted=Varnished)
    await append(path, registry, door, Painted, Varnished)

    assert await positions_of(path, registry, [Painted]) == [1]


async def test_a_class_registered_later_is_found(path: Path, registry: EventRegistry, door: UUID) -> None:
    """The registry is asked for each page, not once for all."""
    await append(path, knowing(old=Painted), door, Painted, Painted)

    async with SQLiteEventStore(path, registry) as store:
        before = await store.read_page(options=ReadOptions(event_types=[Painted]))
        registry.register(Painted, aliases=["old"])
        after = await store.read_page(options=ReadOptions(event_types=[Painted]))

    assert (len(before), len(after)) == (0, 2)


async def test_events_of_a_class_that_is_not_registered_are_no_silent_loss(path: Path, door: UUID) -> None:
    """They are found by the name of their class, and the error says that it is not registered."""
    await append(path, knowing(Painted), door, Painted)

    with pytest.raises(EventTypeNotFoundError) as gone:
        await positions_of(path, knowing(Varnished), [Painted])

    assert gone.value.event_type == "Painted"


async def test_types_that_nobody_knows_any_more_disturb_no_other_class(path: Path, door: UUID) -> None:
    """Reading everything would stop at them."""
    await append(path, knowing(Painted, Varnished), door, Painted, Varnished, Painted, Varnished)

    assert await positions_of(path, knowing(Varnished), [Varnished]) == [2, 4]


async def test_a_class_is_not_read_as_another_one_of_its_name(path: Path, door: UUID) -> None:
    """The name is registered for that other class, whose events are none of this one."""
    await append(path, knowing(Painted), door, Painted)

    assert await positions_of(path, knowing(Painted), [Namesake]) == []
