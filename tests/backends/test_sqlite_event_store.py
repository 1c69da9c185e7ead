"""Events in a SQLite file: the contract, and what becomes of a table that others wrote to."""

import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.events.base import DomainEvent
from eventsource.events.registry import DuplicateEventTypeError, EventRegistry, EventTypeNotFoundError
from eventsource.exceptions import DatabaseError, SerializationError
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing import EventStoreContract
from eventsource.testing.events import DOOR, Closed, Opened, opened

Sql = Callable[..., list[tuple[Any, ...]]]


class Impostor(DomainEvent):
    event_type: str = "eventsource.testing.Opened"
    aggregate_type: str = DOOR


class TestContractOfAFile(EventStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SQLiteEventStore]:
        async with SQLiteEventStore(tmp_path / "events.db", synchronous="OFF") as store:
            yield store


class TestContractOfMemory(EventStoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[SQLiteEventStore]:
        async with SQLiteEventStore(":memory:") as store:
            yield store


@pytest.mark.parametrize("payload", ["{", "[]", "", "null", "{}", '{"aggregate_id": 5}'])
async def test_a_damaged_payload_is_named(store: SQLiteEventStore, sql: Sql, door: UUID, payload: str) -> None:
    """The error says which event at which position cannot be read."""
    events = opened(door, 3)
    await store.append_events(door, DOOR, events, 0)
    sql("UPDATE events SET payload = ? WHERE version = 2", payload)

    for reading in (store.get_events(door), store.read_page(), store.get_events_by_type(DOOR)):
        with pytest.raises(SerializationError, match=f"event {events[1].event_id} at position 2"):
            await reading


async def test_text_that_is_no_text_names_event_and_position(store: SQLiteEventStore, sql: Sql, door: UUID) -> None:
    """Bytes that are not UTF-8 are as corrupt as any other payload."""
    await store.append_events(door, DOOR, opened(door, 1), 0)
    sql("UPDATE events SET payload = CAST(x'ff' AS TEXT)")

    with pytest.raises(SerializationError, match=r"event .{36} at position 1 cannot be read"):
        await store.get_events(door)


async def test_headers_that_are_no_json_name_event_and_position(store: SQLiteEventStore, sql: Sql, door: UUID) -> None:
    """What stands beside an event is told apart from the event itself."""
    await store.append_events(door, DOOR, opened(door, 1), 0, headers={"request": "7"})
    sql("UPDATE events SET headers = '{'")

    with pytest.raises(SerializationError, match=r"the headers of event .{36} at position 1 cannot be read"):
        await store.read_page()

    assert (await store.get_events(door)).version == 1


async def test_a_number_of_more_than_64_bits_is_refused(store: SQLiteEventStore, door: UUID) -> None:
    """What a column cannot hold is a clear error, and nothing is written."""
    event = Opened(aggregate_id=door, aggregate_type=DOOR, event_version=2**63)

    with pytest.raises(DatabaseError, match="nothing was written"):
        await store.append_events(door, DOOR, [event], 0)

    assert await store.get_global_position() == 0


async def test_half_a_surrogate_pair_is_no_type(store: SQLiteEventStore, door: UUID) -> None:
    """What cannot be compared with a column is a clear error."""
    with pytest.raises(DatabaseError, match="surrogates"):
        await store.get_events(door, "\ud800")


async def test_events_around_a_damaged_one_can_be_read(store: SQLiteEventStore, sql: Sql, door: UUID) -> None:
    """Damage does not spread."""
    await store.append_events(door, DOOR, opened(door, 3), 0)
    sql("UPDATE events SET payload = '' WHERE version = 2")

    assert [event.aggregate_version for event in (await store.get_events(door, DOOR, 2)).events] == [3]
    assert await store.get_stream_version(door, DOOR) == 3


async def test_an_unregistered_type_is_named(store: SQLiteEventStore, path: Path, door: UUID) -> None:
    """What cannot be loaded is said with the event, its position and the types that are known."""
    registry = EventRegistry()
    registry.register(Closed)
    (event,) = opened(door, 1)
    await store.append_events(door, DOOR, [event], 0)

    async with SQLiteEventStore(path, registry) as elsewhere:
        with pytest.raises(
            EventTypeNotFoundError, match=r"Opened.*registered are: eventsource\.testing\.Closed"
        ) as gone:
            await elsewhere.get_events(door)

    assert gone.value.event_type == event.event_type
    assert f"event {event.event_id} at position 1" in gone.value.__notes__[0]


async def test_types_are_read_by_the_registry_given(path: Path, door: UUID) -> None:
    """The default registry is not asked when there is another one."""

    class Renamed(Opened):
        event_type: str = "eventsource.testing.Opened"

    registry = EventRegistry()
    registry.register(Renamed)

    async with SQLiteEventStore(path) as writer, SQLiteEventStore(path, registry) as store:
        await writer.append_events(door, DOOR, opened(door, 1), 0)
        (event,) = (await store.get_events(door, DOOR)).events

    assert type(event) is Renamed
    assert store.event_registry is registry


async def test_classes_called_alike_are_read_back_as_themselves(path: Path, door: UUID) -> None:
    """What is written is the registered name, and the event is as it was."""
    front, back = (type("Painted", (DomainEvent,), {"__module__": __name__}) for _ in range(2))
    registry = EventRegistry()
    registry.register(front, "front.Painted")
    registry.register(back, "back.Painted")
    events = [each(aggregate_id=door, aggregate_type=DOOR) for each in (front, back, front)]

    async with SQLiteEventStore(path, registry) as store:
        await store.append_events(door, DOOR, events, 0)
        read = (await store.get_events(door, DOOR)).events

    assert [type(event) for event in read] == [front, back, front]
    assert read == [event.with_aggregate_version(version) for version, event in enumerate(events, 1)]


async def test_an_event_that_would_be_read_as_another_class_is_refused(store: SQLiteEventStore, door: UUID) -> None:
    """Its type is registered for that class and its own is not registered; nothing of the append is written."""
    impostor = Impostor(aggregate_id=door)

    with pytest.raises(DuplicateEventTypeError) as refused:
        await store.append_events(door, DOOR, [*opened(door, 1), impostor], 0)

    assert (refused.value.existing_class, refused.value.new_class) == (Opened, Impostor)
    assert await store.get_global_position() == 0


@pytest.mark.parametrize("version", [1, 4])
async def test_a_version_without_an_upcaster_is_named(path: Path, door: UUID, version: int) -> None:
    """The error says which event at which position, and which versions can be read."""

    class Painted(DomainEvent):
        event_version: int = 3

    registry = EventRegistry()
    registry.register(Painted, upcast={2: lambda data: data})
    event = Painted(aggregate_id=door, aggregate_type=DOOR, event_version=version)

    async with SQLiteEventStore(path, registry) as store:
        await store.append_events(door, DOOR, [event], 0)
        with pytest.raises(SerializationError, match=f"position 1.*version {version}, but only versions 2 to 3"):
            await store.get_events(door, DOOR)


@pytest.mark.parametrize("value", [object(), "\ud800", {1, object()}], ids=["object", "half a character", "set"])
async def test_what_has_no_json_form_is_refused(store: SQLiteEventStore, door: UUID, value: object) -> None:
    """Nothing of the append is written."""
    events = [*opened(door, 1), Opened(aggregate_id=door, metadata={"value": value})]

    with pytest.raises(SerializationError, match=str(events[1].event_id)):
        await store.append_events(door, DOOR, events, 0)

    assert await store.get_global_position() == 0


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE events (id INTEGER)", "CREATE VIEW events AS SELECT 1 AS global_position"]
)
async def test_a_table_of_another_layout_is_refused(path: Path, sql: Sql, statement: str) -> None:
    """The error says so at once, and what is there stays as it was."""
    sql(statement)
    store = SQLiteEventStore(path)

    with pytest.raises(DatabaseError, match="another layout than SQLiteEventStore's"):
        await store.initialize()

    assert not store.is_connected
    assert [text for (text,) in sql("SELECT sql FROM sqlite_master")] == [statement]


async def test_positions_are_never_used_again(store: SQLiteEventStore, sql: Sql, door: UUID) -> None:
    """A reader's position stays true though somebody deletes the newest event by hand."""
    await store.append_events(door, DOOR, opened(door, 2), 0)
    sql("DELETE FROM events WHERE version = 2")

    result = await store.append_events(door, DOOR, opened(door, 1), 1)

    assert (result.new_version, result.global_position) == (2, 3)


@pytest.mark.parametrize("of_all", [True, False], ids=["the log", "a stream"])
async def test_reading_needs_the_memory_of_a_page(store: SQLiteEventStore, door: UUID, of_all: bool) -> None:
    """However long the log is, an iterator holds one page of it."""
    store.page_size = 4
    for _ in range(20):
        await store.append_events(door, DOOR, opened(door, 10, metadata={"text": "x" * 50_000}), -1)
    read = 0
    tracemalloc.start()

    async for _ in store.read_all() if of_all else store.read_stream(f"{door}:{DOOR}"):
        read += 1

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read == 200
    assert peak < 3_000_000 < 200 * 50_000


def test_it_tells_how_it_was_made(path: Path) -> None:
    """What users and instrumentations read is public data, before the store is opened too."""
    plain, other = (
        SQLiteEventStore(str(path)),
        SQLiteEventStore(path, wal_mode=False, busy_timeout=7, enable_tracing=False),
    )

    assert (plain.system, plain.database, plain.namespace, plain.is_connected) == (
        "sqlite",
        str(path),
        str(path),
        False,
    )
    assert (plain.wal_mode, plain.busy_timeout, plain.enable_tracing) == (True, 5000, True)
    assert (other.wal_mode, other.busy_timeout, other.enable_tracing) == (False, 7, False)
