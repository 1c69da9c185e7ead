"""Events in PostgreSQL: the contract, what becomes of a table that others wrote to, and what a column cannot hold."""

import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.events.registry import EventRegistry, EventTypeNotFoundError
from eventsource.exceptions import DatabaseError, SerializationError, UnreadableEvent
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.stores.values import ExpectedVersion, ReadOptions
from eventsource.testing import EventStoreContract
from eventsource.testing.events import DOOR, NOON, Closed, Opened, opened

Execute = Callable[..., Awaitable[list[tuple[Any, ...]]]]

LARGEST = 2**63 - 1
"""The greatest number that a column of versions holds."""


@pytest.fixture
async def store(postgresql_dsn: str, schema: str) -> AsyncIterator[PostgreSQLEventStore]:
    async with PostgreSQLEventStore(postgresql_dsn, options=PostgreSQLOptions(schema=schema)) as store:
        yield store


class TestContract(EventStoreContract):
    @pytest.fixture
    async def store(self, store: PostgreSQLEventStore) -> PostgreSQLEventStore:
        return store


class TestDamage:
    @pytest.mark.parametrize("payload", ["[]", "null", "{}", '{"aggregate_id": 5}', r'"\u0000"', '"\U0001f6aa"'])
    async def test_a_damaged_payload_is_named(
        self, store: PostgreSQLEventStore, execute: Execute, door: UUID, payload: str
    ) -> None:
        """The error says which event at which position cannot be read."""
        events = opened(door, 3)
        await store.append_events(door, DOOR, events, 0)
        await execute("UPDATE events SET payload = $1 WHERE version = 2", payload)

        for reading in (store.get_events(door), store.read_page(), store.get_events_by_type(DOOR)):
            with pytest.raises(SerializationError, match=f"event {events[1].event_id} at position 2"):
                await reading

    async def test_of_a_damaged_payload_is_told_all_that_is_left(
        self, store: PostgreSQLEventStore, execute: Execute, door: UUID
    ) -> None:
        """Where the event stands, what it was, when it was stored, and the text as it is."""
        await store.append_events(door, DOOR, opened(door, 3), 0)
        _, damaged, _ = await store.read_page()
        await execute("UPDATE events SET payload = '[1,  2]' WHERE version = 2")

        with pytest.raises(SerializationError) as caught:
            await store.read_page()

        assert caught.value.unreadable == UnreadableEvent(
            damaged.event_id, damaged.event_type, 2, damaged.stored_at, "[1,  2]"
        )

    @pytest.mark.parametrize("text", ["{", "", "no JSON"])
    @pytest.mark.parametrize("column", ["payload", "headers"])
    async def test_what_is_no_json_cannot_get_there(
        self, store: PostgreSQLEventStore, execute: Execute, door: UUID, column: str, text: str
    ) -> None:
        """The server refuses whoever tries, and what was there stays."""
        await store.append_events(door, DOOR, opened(door, 1), 0, headers={"request": "7"})
        before = await store.read_page()

        with pytest.raises(asyncpg.InvalidTextRepresentationError):
            await execute(f"UPDATE events SET {column} = $1", text)

        assert await store.read_page() == before

    async def test_events_around_a_damaged_one_can_be_read(
        self, store: PostgreSQLEventStore, execute: Execute, door: UUID
    ) -> None:
        """Damage does not spread."""
        await store.append_events(door, DOOR, opened(door, 3), 0)
        await execute("UPDATE events SET payload = '{}' WHERE version = 2")

        behind = await store.read_page(options=ReadOptions(from_position=2))
        before = await store.read_page(options=ReadOptions(to_position=1))

        assert [each.global_position for page in (before, behind) for each in page] == [1, 3]
        assert [event.aggregate_version for event in (await store.get_events(door, DOOR, 2)).events] == [3]
        assert await store.get_stream_version(door, DOOR) == 3

    async def test_an_unregistered_type_is_named(
        self, store: PostgreSQLEventStore, postgresql_dsn: str, schema: str, door: UUID
    ) -> None:
        """What cannot be loaded is said with the event, its position and the types that are known."""
        registry = EventRegistry()
        registry.register(Closed)
        (event,) = opened(door, 1)
        await store.append_events(door, DOOR, [event], 0)

        async with PostgreSQLEventStore(postgresql_dsn, registry, options=store.options) as elsewhere:
            with pytest.raises(EventTypeNotFoundError, match=r"Opened.*registered are: .*Closed") as gone:
                await elsewhere.get_events(door)

        assert f"event {event.event_id} at position 1" in gone.value.__notes__[0]


class TestValues:
    async def test_numbers_of_64_bits_are_kept(self, store: PostgreSQLEventStore, door: UUID) -> None:
        """The greatest that a column holds comes back as it was."""
        event = Opened(aggregate_id=door, event_version=1, number=LARGEST)

        await store.append_events(door, DOOR, [event], 0)

        assert (await store.get_events(door, DOOR)).events == [event]

    @pytest.mark.parametrize("number", [LARGEST + 1, 10**40, -(10**40)])
    async def test_a_field_may_be_greater_than_any_column(
        self, store: PostgreSQLEventStore, execute: Execute, door: UUID, number: int
    ) -> None:
        """A payload is text: no digit of it is rounded, neither here nor for those who look into it by SQL."""
        await store.append_events(door, DOOR, [Opened(aggregate_id=door, number=number)], 0)

        (event,) = (await store.get_events(door, DOOR)).events

        assert isinstance(event, Opened)
        assert event.number == number
        assert await execute("SELECT payload ->> 'number' FROM events") == [(str(number),)]

    async def test_a_type_version_of_more_than_64_bits_is_refused(
        self, store: PostgreSQLEventStore, door: UUID
    ) -> None:
        """What a column cannot hold is a clear error, and nothing is written."""
        events = [*opened(door, 1), Opened(aggregate_id=door, event_version=LARGEST + 1)]

        with pytest.raises(DatabaseError, match="nothing was written; PostgreSQL cannot store such a value"):
            await store.append_events(door, DOOR, events, 0)

        assert await store.get_global_position() == 0

    async def test_half_a_surrogate_pair_is_no_type(self, store: PostgreSQLEventStore, door: UUID) -> None:
        """What cannot be compared with a column is a clear error."""
        with pytest.raises(DatabaseError, match="nothing was read; PostgreSQL cannot store such a value"):
            await store.get_events(door, "Door \ud83d")

    async def test_a_type_longer_than_an_index_takes_is_refused(self, store: PostgreSQLEventStore, door: UUID) -> None:
        """The server says so, and nothing is written."""
        endless = "".join(uuid4().hex for _ in range(200))

        with pytest.raises(DatabaseError, match=r"index row size.*nothing was written"):
            await store.append_events(door, endless, [Opened(aggregate_id=door, aggregate_type=endless)], 0)

        assert await store.get_global_position() == 0

    @pytest.mark.parametrize("expected", [LARGEST + 1, 10**40])
    async def test_an_expectation_beyond_all_versions_is_refused(
        self, store: PostgreSQLEventStore, door: UUID, expected: int
    ) -> None:
        """No stream can be there; nothing is written."""
        with pytest.raises(DatabaseError, match="nothing was written"):
            await store.append_events(door, DOOR, opened(door, 1), expected)

        assert await store.get_global_position() == 0

    async def test_any_character_may_stand_in_a_field_and_in_a_header(
        self, store: PostgreSQLEventStore, door: UUID
    ) -> None:
        """Even U+0000, which PostgreSQL has in no text."""
        characters = "".join(map(chr, range(0xD800))) + "\ue000\uffff\U0001f6aa\U0010ffff"
        event = Opened(aggregate_id=door, metadata={characters: characters})

        await store.append_events(door, DOOR, [event], 0, headers={characters: characters})

        (stored,) = await store.read_page()
        assert (stored.event, stored.headers) == (event, {characters: characters})

    async def test_an_event_of_a_megabyte_is_kept(self, store: PostgreSQLEventStore, door: UUID) -> None:
        """There is no limit that anybody meets."""
        event = Opened(aggregate_id=door, metadata={"text": "\u00e9" * 2**20})

        await store.append_events(door, DOOR, [event], 0)

        assert (await store.get_events(door, DOOR)).events == [event]


class TestTable:
    async def test_payload_and_headers_are_json(
        self, store: PostgreSQLEventStore, execute: Execute, door: UUID
    ) -> None:
        """Of the type that keeps a text as it is, and that SQL can look into."""
        await store.append_events(door, DOOR, opened(door, 1), 0, headers={"b": "2", "a": "1"})

        rows = await execute(
            "SELECT pg_typeof(payload)::text, payload ->> 'number', pg_typeof(headers)::text, headers::text FROM events"
        )

        assert rows == [("json", "1", "json", '{"b":"2","a":"1"}')]

    async def test_events_without_headers_have_none(
        self, store: PostgreSQLEventStore, execute: Execute, door: UUID
    ) -> None:
        """Nothing is stored for them."""
        await store.append_events(door, DOOR, opened(door, 2), 0)

        assert await execute("SELECT headers IS NULL FROM events") == [(True,), (True,)]

    async def test_the_columns_are_those_of_the_event(
        self, store: PostgreSQLEventStore, execute: Execute, door: UUID
    ) -> None:
        """So that SQL can select by them."""
        tenant = uuid4()
        event = Opened(aggregate_id=door, tenant_id=tenant, occurred_at=NOON, event_version=1)
        await store.append_events(door, DOOR, [event], 0)

        columns = "event_id, event_type, event_version, aggregate_id, aggregate_type, version, tenant_id, occurred_at"

        assert await execute(f"SELECT {columns} FROM events") == [
            (event.event_id, event.event_type, 1, door, DOOR, 1, tenant, NOON)
        ]

    async def test_positions_are_never_used_again(
        self, store: PostgreSQLEventStore, execute: Execute, door: UUID
    ) -> None:
        """A reader's position stays true though somebody deletes the newest event by hand."""
        await store.append_events(door, DOOR, opened(door, 2), 0)
        await execute("DELETE FROM events WHERE version = 2")

        result = await store.append_events(door, DOOR, opened(door, 1), 1)

        assert (result.new_version, result.global_position) == (2, 3)

    @pytest.mark.parametrize("of_all", [True, False], ids=["the log", "a stream"])
    async def test_reading_needs_the_memory_of_a_page(
        self, store: PostgreSQLEventStore, door: UUID, of_all: bool
    ) -> None:
        """However long the log is, an iterator holds one page of it."""
        store.page_size = 4
        for _ in range(20):
            events = opened(door, 10, metadata={"text": "x" * 50_000})
            await store.append_events(door, DOOR, events, ExpectedVersion.ANY)
        read = 0
        tracemalloc.start()

        async for _ in store.read_all() if of_all else store.read_stream(f"{door}:{DOOR}"):
            read += 1

        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert read == 200
        assert peak < 3_000_000 < 200 * 50_000


def test_it_tells_how_it_was_made(postgresql_dsn: str, schema: str) -> None:
    """What users and instrumentations read is public data, before the store is opened too."""
    registry, options = EventRegistry(), PostgreSQLOptions(schema=schema)
    plain = PostgreSQLEventStore(postgresql_dsn)
    other = PostgreSQLEventStore(postgresql_dsn, registry, options=options, enable_tracing=False)

    assert (plain.system, plain.options, plain.enable_tracing) == ("postgresql", PostgreSQLOptions(), True)
    assert (other.event_registry, other.options, other.enable_tracing) == (registry, options, False)
    assert not plain.is_connected
