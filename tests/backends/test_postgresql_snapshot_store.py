"""Snapshots in PostgreSQL: the contract, and what becomes of a table that others wrote to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.exceptions import DatabaseError
from eventsource.snapshots.exceptions import SnapshotDeserializationError, SnapshotError
from eventsource.snapshots.postgresql import PostgreSQLSnapshotStore
from eventsource.snapshots.values import Snapshot
from eventsource.testing import SnapshotStoreContract
from eventsource.testing.events import DOOR, NEPAL, NOON

Execute = Callable[..., Awaitable[list[tuple[Any, ...]]]]


@pytest.fixture
async def store(postgresql_dsn: str, schema: str) -> AsyncIterator[PostgreSQLSnapshotStore]:
    async with PostgreSQLSnapshotStore(postgresql_dsn, options=PostgreSQLOptions(schema=schema)) as store:
        yield store


class TestContract(SnapshotStoreContract):
    @pytest.fixture
    async def store(self, store: PostgreSQLSnapshotStore) -> PostgreSQLSnapshotStore:
        return store


@pytest.fixture
def snapshot(door: UUID) -> Snapshot:
    return Snapshot(door, DOOR, 3, {"open": True}, 1, NOON)


async def test_snapshots_survive_closing(postgresql_dsn: str, schema: str, snapshot: Snapshot) -> None:
    """What was saved is there for whoever connects next."""
    options = PostgreSQLOptions(schema=schema)
    async with PostgreSQLSnapshotStore(postgresql_dsn, options=options) as store:
        await store.save_snapshot(snapshot)

    async with PostgreSQLSnapshotStore(postgresql_dsn, options=options) as store:
        assert await store.get_snapshot(snapshot.aggregate_id, DOOR) == snapshot


async def test_a_snapshot_keeps_its_offset(store: PostgreSQLSnapshotStore, door: UUID) -> None:
    """The moment is read back as it was given, and not as the server's."""
    moment = NOON.astimezone(NEPAL)

    await store.save_snapshot(Snapshot(door, DOOR, 3, {}, 1, moment))

    read = await store.get_snapshot(door, DOOR)
    assert read
    assert (read.created_at, read.created_at.utcoffset()) == (moment, moment.utcoffset())


async def test_a_state_is_kept_as_it_was_written(
    store: PostgreSQLSnapshotStore, execute: Execute, snapshot: Snapshot
) -> None:
    """The column is of a type that neither sorts keys nor rounds numbers, and that SQL can look into."""
    state = {"b": 1.10, "a": 10**40, "\u00e9": None}
    await store.save_snapshot(Snapshot(snapshot.aggregate_id, DOOR, 3, state, 1, NOON))

    ((kind, number),) = await execute("SELECT pg_typeof(state)::text, state ->> 'a' FROM snapshots")
    read = await store.get_snapshot(snapshot.aggregate_id, DOOR)

    assert read
    assert (kind, number, [*read.state.items()]) == ("json", str(10**40), [*state.items()])


@pytest.mark.parametrize("damage", ["created_at = 'yesterday'", "created_at = ''", "state = '[1]'", "state = 'null'"])
async def test_a_damaged_snapshot_is_named(
    store: PostgreSQLSnapshotStore, execute: Execute, snapshot: Snapshot, damage: str
) -> None:
    """The error says whose snapshot cannot be read and what to do; deleting it still works."""
    await store.save_snapshot(snapshot)
    await execute(f"UPDATE snapshots SET {damage}")

    with pytest.raises(SnapshotDeserializationError, match=f"{snapshot.aggregate_id} cannot be read.*delete it"):
        await store.get_snapshot(snapshot.aggregate_id, DOOR)

    assert await store.delete_snapshot(snapshot.aggregate_id, DOOR)


async def test_a_state_that_is_no_json_cannot_get_there(
    store: PostgreSQLSnapshotStore, execute: Execute, snapshot: Snapshot
) -> None:
    """The server refuses whoever tries."""
    await store.save_snapshot(snapshot)

    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await execute("UPDATE snapshots SET state = '{'")

    assert await store.get_snapshot(snapshot.aggregate_id, DOOR) == snapshot


async def test_a_state_without_json_form_replaces_nothing(
    store: PostgreSQLSnapshotStore, snapshot: Snapshot, door: UUID
) -> None:
    """The snapshot before stays."""
    await store.save_snapshot(snapshot)

    with pytest.raises(SnapshotError, match="cannot be written as JSON"):
        await store.save_snapshot(Snapshot(door, DOOR, 4, {"key": object()}, 1, NOON))

    assert await store.get_snapshot(door, DOOR) == snapshot


@pytest.mark.parametrize(
    ("aggregate_type", "version"), [(DOOR, 2**63), ("Do\0or", 4), ("\ud800", 4)], ids=["number", "U+0000", "surrogate"]
)
async def test_what_a_column_cannot_hold_replaces_nothing(
    store: PostgreSQLSnapshotStore, execute: Execute, snapshot: Snapshot, aggregate_type: str, version: int
) -> None:
    """The error says so, and the snapshot before stays."""
    await store.save_snapshot(snapshot)

    with pytest.raises(DatabaseError, match="nothing was written; PostgreSQL cannot store such a value"):
        await store.save_snapshot(Snapshot(snapshot.aggregate_id, aggregate_type, version, {}, 1, NOON))

    assert await execute("SELECT version FROM snapshots") == [(3,)]


async def test_snapshots_of_one_aggregate_that_are_saved_at_once_leave_one(
    store: PostgreSQLSnapshotStore, execute: Execute, door: UUID
) -> None:
    """Though none was there before: all are saved, and one of them is the last."""
    snapshots = [Snapshot(door, DOOR, version, {"version": version}, 1, NOON) for version in range(1, 17)]

    await asyncio.gather(*(store.save_snapshot(each) for each in snapshots))

    assert await store.get_snapshot(door, DOOR) in snapshots
    assert await execute("SELECT count(*) FROM snapshots") == [(1,)]


def test_it_tells_how_it_was_made(postgresql_dsn: str, schema: str) -> None:
    """What users and instrumentations read is public data, before the store is opened too."""
    store = PostgreSQLSnapshotStore(postgresql_dsn, False, options=PostgreSQLOptions(schema=schema))

    assert (store.system, store.options.schema, store.is_connected) == ("postgresql", schema, False)
    assert (store.enable_tracing, PostgreSQLSnapshotStore(postgresql_dsn).enable_tracing) == (False, True)
