"""Damaged events in a SQLite file: what is told of them, and who is not disturbed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry
from eventsource.exceptions import SerializationError, UnreadableEvent
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import ReadDirection, ReadOptions, StoredEvent
from eventsource.testing.events import DOOR, Closed, Opened, opened

Sql = Callable[..., list[tuple[Any, ...]]]

DAMAGES = {
    "payload": "UPDATE events SET payload = '{' WHERE version = 2",
    "headers": "UPDATE events SET headers = '{' WHERE version = 2",
}
READINGS: dict[str, Callable[[SQLiteEventStore, UUID], Any]] = {
    "read_page": lambda store, door: store.read_page(),
    "read_page of a stream": lambda store, door: store.read_page(f"{door}:{DOOR}"),
    "read_all": lambda store, door: anext(store.read_all()),
    "read_stream": lambda store, door: anext(store.read_stream(str(door))),
}


async def written(store: SQLiteEventStore, door: UUID, *events: DomainEvent) -> list[StoredEvent]:
    """Append *events* and return them as they are stored."""
    await store.append_events(door, DOOR, events, 0, headers={"request": "7"})
    return list(await store.read_page())


@pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
@pytest.mark.parametrize("payload", ["{", "", "null", '{"aggregate_id": 5}', "no JSON at all: \U0001f6aa"])
async def test_of_a_damaged_payload_is_told_all_that_is_left(
    store: SQLiteEventStore, sql: Sql, door: UUID, payload: str, reading: Callable[..., Any]
) -> None:
    """Where the event stands, what it was, when it was stored, and the text as it is."""
    _, damaged, _ = await written(store, door, *opened(door, 3))
    sql("UPDATE events SET payload = ? WHERE version = 2", payload)

    with pytest.raises(SerializationError) as caught:
        await reading(store, door)

    assert caught.value.unreadable == UnreadableEvent(
        damaged.event_id, damaged.event_type, damaged.global_position, damaged.stored_at, payload
    )


async def test_a_payload_that_is_no_text_is_shown_as_far_as_it_can_be(
    store: SQLiteEventStore, sql: Sql, door: UUID
) -> None:
    """A byte that is not UTF-8 is written as its number."""
    await written(store, door, *opened(door, 1))
    sql("UPDATE events SET payload = CAST(x'7bff' AS TEXT)")

    with pytest.raises(SerializationError) as caught:
        await store.read_page()

    assert caught.value.unreadable is not None
    assert caught.value.unreadable.payload == "{\\xff"


@pytest.mark.parametrize("headers", ["'{'", "'no JSON'", "CAST(x'ff' AS TEXT)"])
async def test_damaged_headers_leave_the_payload(store: SQLiteEventStore, sql: Sql, door: UUID, headers: str) -> None:
    """The error is about the headers, and tells the event as it was written."""
    _, damaged, _ = await written(store, door, *opened(door, 3))
    (payload,) = sql("SELECT payload FROM events WHERE version = 2")[0]
    sql(f"UPDATE events SET headers = {headers} WHERE version = 2")

    with pytest.raises(SerializationError, match="the headers of event") as caught:
        await store.read_page()

    assert caught.value.unreadable == UnreadableEvent(
        damaged.event_id, damaged.event_type, 2, damaged.stored_at, payload
    )


async def test_an_event_that_cannot_be_upcast_is_told_of_too(path: Path, sql: Sql, door: UUID) -> None:
    """Under the name that it is stored under."""

    class Painted(DomainEvent):
        aggregate_type: str = DOOR
        event_version: int = 2

    registry = EventRegistry()
    registry.register(Painted, "door.painted", aliases=["Painted"], upcast={1: lambda data: {}[data]})
    async with SQLiteEventStore(path, registry) as store:
        await store.append_events(door, DOOR, [Painted(aggregate_id=door, event_version=1)], 0)
        sql("UPDATE events SET event_type = 'Painted'")

        with pytest.raises(SerializationError) as caught:
            await store.read_page()

    assert caught.value.unreadable is not None
    assert (caught.value.unreadable.event_type, caught.value.unreadable.global_position) == ("Painted", 1)


async def test_an_event_that_was_not_written_stands_nowhere(store: SQLiteEventStore, door: UUID) -> None:
    """The same error says that it has no JSON form."""
    with pytest.raises(SerializationError) as caught:
        await store.append_events(door, DOOR, [Opened(aggregate_id=door, metadata={"value": object()})], 0)

    assert caught.value.unreadable is None


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("direction", ReadDirection)
async def test_a_reader_may_go_on_behind_a_damaged_event(
    store: SQLiteEventStore, sql: Sql, door: UUID, direction: ReadDirection, damage: str
) -> None:
    """The position that the error tells is where to go on, in either direction."""
    await written(store, door, *opened(door, 3))
    sql(damage)
    with pytest.raises(SerializationError) as caught:
        await store.read_page(options=ReadOptions(direction))
    assert caught.value.unreadable is not None
    position = caught.value.unreadable.global_position

    behind = await store.read_page(options=ReadOptions(direction, from_position=position))
    before = await store.read_page(options=ReadOptions(direction, to_position=position - 1))

    assert [[each.global_position for each in page] for page in (before, behind)] == [[1], [3]]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("of_all", [True, False], ids=["the log", "a stream"])
async def test_a_page_of_other_classes_is_not_disturbed(
    store: SQLiteEventStore, sql: Sql, door: UUID, of_all: bool, damage: str
) -> None:
    """An event that is not asked for may be as damaged as it likes."""
    stream_id = None if of_all else f"{door}:{DOOR}"
    first, _, last = await written(
        store, door, Closed(aggregate_id=door), Opened(aggregate_id=door), Closed(aggregate_id=door)
    )
    sql(damage)

    assert list(await store.read_page(stream_id, ReadOptions(event_types=[Closed]))) == [first, last]
    with pytest.raises(SerializationError):
        await store.read_page(stream_id, ReadOptions(event_types=[Opened, Closed]))
