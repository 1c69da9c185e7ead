"""Snapshots in a SQLite file: the contract, and what becomes of a table that others wrote to."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.exceptions import DatabaseError, NotConnectedError
from eventsource.snapshots.exceptions import SnapshotDeserializationError, SnapshotError
from eventsource.snapshots.sqlite import SQLiteSnapshotStore
from eventsource.snapshots.values import Snapshot
from eventsource.testing import SnapshotStoreContract
from eventsource.testing.events import DOOR, NOON

Sql = Callable[..., list[tuple[Any, ...]]]

USES: dict[str, Callable[[SQLiteSnapshotStore, Snapshot], Any]] = {
    "save_snapshot": lambda store, snapshot: store.save_snapshot(snapshot),
    "get_snapshot": lambda store, snapshot: store.get_snapshot(snapshot.aggregate_id, DOOR),
    "delete_snapshot": lambda store, snapshot: store.delete_snapshot(snapshot.aggregate_id, DOOR),
    "snapshot_exists": lambda store, snapshot: store.snapshot_exists(snapshot.aggregate_id, DOOR),
    "delete_snapshots_by_type": lambda store, snapshot: store.delete_snapshots_by_type(DOOR),
}


class TestContractOfAFile(SnapshotStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SQLiteSnapshotStore]:
        async with SQLiteSnapshotStore(tmp_path / "snapshots.db", synchronous="OFF") as store:
            yield store


class TestContractOfMemory(SnapshotStoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[SQLiteSnapshotStore]:
        async with SQLiteSnapshotStore(":memory:") as store:
            yield store


@pytest.fixture
def snapshot(door: UUID) -> Snapshot:
    return Snapshot(door, DOOR, 3, {"open": True}, 1, NOON)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_it_cannot_be_used_while_it_is_not_open(path: Path, snapshot: Snapshot, use: Callable[..., Any]) -> None:
    """Neither before it was opened nor after it was closed."""
    store = SQLiteSnapshotStore(path)

    with pytest.raises(NotConnectedError, match="async with"):
        await use(store, snapshot)
    async with store:
        pass
    with pytest.raises(NotConnectedError, match="async with"):
        await use(store, snapshot)


async def test_snapshots_survive_closing(path: Path, snapshot: Snapshot) -> None:
    """What was saved is there when the file is opened again."""
    async with SQLiteSnapshotStore(path) as store:
        await store.save_snapshot(snapshot)

    async with SQLiteSnapshotStore(path) as store:
        assert await store.get_snapshot(snapshot.aggregate_id, DOOR) == snapshot


@pytest.mark.parametrize(
    "damage", ["state = '{'", "state = ''", "created_at = 'yesterday'", "created_at = ''"], ids=str
)
async def test_a_damaged_snapshot_is_named(path: Path, sql: Sql, snapshot: Snapshot, damage: str) -> None:
    """The error says whose snapshot cannot be read and what to do; deleting it still works."""
    async with SQLiteSnapshotStore(path) as store:
        await store.save_snapshot(snapshot)
        sql(f"UPDATE snapshots SET {damage}")

        with pytest.raises(SnapshotDeserializationError, match=f"{snapshot.aggregate_id} cannot be read.*delete it"):
            await store.get_snapshot(snapshot.aggregate_id, DOOR)

        assert await store.delete_snapshot(snapshot.aggregate_id, DOOR)


async def test_a_state_that_is_no_object_is_damage(path: Path, sql: Sql, snapshot: Snapshot) -> None:
    """JSON that is none of an aggregate's state is not handed out as one."""
    async with SQLiteSnapshotStore(path) as store:
        await store.save_snapshot(snapshot)
        sql("UPDATE snapshots SET state = '[1]'")

        with pytest.raises(SnapshotDeserializationError):
            await store.get_snapshot(snapshot.aggregate_id, DOOR)


async def test_a_table_of_another_layout_is_refused(path: Path, sql: Sql) -> None:
    """The error says so at once, and names the store."""
    sql("CREATE TABLE snapshots (id INTEGER)")
    store = SQLiteSnapshotStore(path)

    with pytest.raises(DatabaseError, match="another layout than SQLiteSnapshotStore's"):
        await store.initialize()

    assert not store.is_connected


async def test_a_state_without_json_form_replaces_nothing(path: Path, snapshot: Snapshot, door: UUID) -> None:
    """The snapshot before stays."""
    async with SQLiteSnapshotStore(path) as store:
        await store.save_snapshot(snapshot)

        with pytest.raises(SnapshotError, match="cannot be written as JSON"):
            await store.save_snapshot(Snapshot(door, DOOR, 4, {"key": object()}, 1, NOON))

        assert await store.get_snapshot(door, DOOR) == snapshot


def test_it_tells_how_it_was_made(path: Path) -> None:
    """What users and instrumentations read is public data, before the store is opened too."""
    store = SQLiteSnapshotStore(path, False)

    assert (store.system, store.database_path, store.namespace) == ("sqlite", str(path), str(path))
    assert (store.enable_tracing, SQLiteSnapshotStore(path).enable_tracing) == (False, True)
