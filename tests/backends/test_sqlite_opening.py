# ruff: noqa: ASYNC240 - tests may wait for a file
"""Opening and closing a SQLite file: options, sharing, what cannot be opened."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.databases.sqlite import SQLiteOptions
from eventsource.exceptions import DatabaseError, NotConnectedError
from eventsource.snapshots.sqlite import SQLiteSnapshotStore
from eventsource.snapshots.values import Snapshot
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, NOON, opened

Sql = Callable[..., list[tuple[Any, ...]]]

USES: dict[str, Callable[[SQLiteEventStore, UUID], Any]] = {
    "append_events": lambda store, door: store.append_events(door, DOOR, opened(door, 1), 0),
    "get_events": lambda store, door: store.get_events(door),
    "read_page": lambda store, door: store.read_page(),
    "read_all": lambda store, door: anext(store.read_all()),
    "read_stream": lambda store, door: anext(store.read_stream(str(door))),
    "get_events_by_type": lambda store, door: store.get_events_by_type(DOOR),
    "event_exists": lambda store, door: store.event_exists(door),
    "get_stream_version": lambda store, door: store.get_stream_version(door, DOOR),
    "get_global_position": lambda store, door: store.get_global_position(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_it_cannot_be_used_before_it_is_opened(path: Path, door: UUID, use: Callable[..., Any]) -> None:
    """The error says how to open it, and is a RuntimeError too; no file is made."""
    with pytest.raises(NotConnectedError, match="async with") as refused:
        await use(SQLiteEventStore(path), door)

    assert isinstance(refused.value, RuntimeError)
    assert not path.exists()


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_it_cannot_be_used_after_it_was_closed(path: Path, door: UUID, use: Callable[..., Any]) -> None:
    """As before it was opened."""
    async with SQLiteEventStore(path) as store:
        pass

    with pytest.raises(NotConnectedError):
        await use(store, door)

    assert not store.is_connected


async def test_it_may_be_opened_again(path: Path, door: UUID) -> None:
    """The same object goes on where it was closed."""
    store = SQLiteEventStore(path)
    for version in range(3):
        async with store:
            await store.append_events(door, DOOR, opened(door, 1), version)

    async with store:
        assert await store.get_stream_version(door, DOOR) == 3


async def test_opening_and_closing_may_be_repeated(path: Path, door: UUID) -> None:
    """Twice is once."""
    store = SQLiteEventStore(path)
    await store.initialize()
    await store.initialize()
    await store.append_events(door, DOOR, opened(door, 1), 0)

    await store.close()
    await store.close()

    assert not store.is_connected
    assert not [each for each in path.parent.iterdir() if each != path]


async def test_opening_an_open_store_asks_the_file_nothing(path: Path, door: UUID, sql: Sql) -> None:
    """It is open already, so nothing can fail or be undone, whatever has become of the tables."""
    async with SQLiteEventStore(path) as store:
        await store.append_events(door, DOOR, opened(door, 1), 0)
        sql("ALTER TABLE events RENAME COLUMN payload TO something")
        await store.initialize()
        sql("ALTER TABLE events RENAME COLUMN something TO payload")

        assert await store.get_stream_version(door, DOOR) == 1


async def test_a_cancelled_opening_of_an_open_store_leaves_it_open(store: SQLiteEventStore, door: UUID) -> None:
    """Whoever opened it first still has it."""
    opening = asyncio.create_task(store.initialize())
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])

    await store.append_events(door, DOOR, opened(door, 1), 0)

    assert await store.get_stream_version(door, DOOR) == 1


async def test_a_cancelled_opening_leaves_nothing_open(path: Path, door: UUID) -> None:
    """The same object can be opened again."""
    store = SQLiteEventStore(path)
    opening = asyncio.create_task(store.initialize())
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    was_connected = store.is_connected
    left = sorted(each.name for each in path.parent.iterdir())

    async with store:
        await store.append_events(door, DOOR, opened(door, 1), 0)

    assert (opening.cancelled(), was_connected, left) == (True, False, [path.name])


async def test_a_cancelled_opening_harms_no_other_of_the_same_store(path: Path) -> None:
    """Two tasks open it; the one that is not cancelled has it open."""
    store = SQLiteEventStore(path)
    first, second = (asyncio.create_task(store.initialize()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await second

    assert first.cancelled()
    assert await store.get_global_position() == 0
    await store.close()


async def test_a_store_is_not_taken_for_open_while_it_is_being_opened(path: Path) -> None:
    """Whoever opens it meanwhile waits until the tables are there, and may read at once."""
    store = SQLiteEventStore(path)
    openings = [asyncio.create_task(store.initialize()) for _ in range(3)]
    await asyncio.sleep(0)
    early = [each.done() for each in openings]
    await asyncio.gather(*openings)

    assert early == [False] * 3
    assert await store.get_global_position() == 0
    await store.close()


async def test_all_tasks_that_open_it_in_vain_are_told(path: Path, sql: Sql) -> None:
    """None of them takes the store for open."""
    sql("CREATE TABLE events (id INTEGER)")
    store = SQLiteEventStore(path)

    outcomes = await asyncio.gather(*(store.initialize() for _ in range(3)), return_exceptions=True)

    assert [type(each) for each in outcomes] == [DatabaseError] * 3
    assert not store.is_connected


async def test_it_may_be_opened_by_many_tasks(path: Path, door: UUID) -> None:
    """None of them finds it half open."""
    store = SQLiteEventStore(path)

    async def open_and_append() -> int:
        await store.initialize()
        return (await store.append_events(door, DOOR, opened(door, 1), -1)).new_version

    versions = await asyncio.gather(*(open_and_append() for _ in range(8)))
    await store.close()

    assert sorted(versions) == list(range(1, 9))


async def test_memory_is_lost_when_it_is_closed(door: UUID) -> None:
    """A store in memory begins anew."""
    store = SQLiteEventStore(":memory:")
    async with store:
        await store.append_events(door, DOOR, opened(door, 1), 0)

    async with store:
        assert await store.get_global_position() == 0


async def test_memory_is_private(door: UUID) -> None:
    """Two stores in memory have nothing in common."""
    async with SQLiteEventStore(":memory:") as one, SQLiteEventStore(":memory:") as other:
        await one.append_events(door, DOOR, opened(door, 1), 0)

        assert await other.get_global_position() == 0


async def test_stores_of_one_file_share_its_connections(path: Path) -> None:
    """Appends to both wait for one another in one queue, and share a transaction."""
    link = path.with_name("link.db")
    link.symlink_to(path)
    async with SQLiteEventStore(path) as one, SQLiteEventStore(str(link)) as other:
        appends = [opened(UUID(int=number), 1) for number in range(4)]
        stores = [one, one, other, other]

        results = await asyncio.gather(
            *(
                store.append_events(events[0].aggregate_id, DOOR, events, 0)
                for store, events in zip(stores, appends, strict=True)
            )
        )

    assert [result.shared for result in results] == [1, 3, 3, 3]


async def test_closing_one_store_leaves_the_others_open(path: Path, door: UUID) -> None:
    """The last one closes the file."""
    async with SQLiteEventStore(path) as one, SQLiteSnapshotStore(path) as snapshots:
        await one.append_events(door, DOOR, opened(door, 1), 0)
        await one.close()

        await snapshots.save_snapshot(Snapshot(door, DOOR, 1, {}, 1, NOON))
        await one.initialize()

        assert await one.get_stream_version(door, DOOR) == 1
        assert await snapshots.snapshot_exists(door, DOOR)


async def test_stores_that_are_opened_otherwise_get_along(path: Path, door: UUID) -> None:
    """Other options make other connections to the same events."""
    async with SQLiteEventStore(path) as one, SQLiteEventStore(path, busy_timeout=1234) as other:
        await one.append_events(door, DOOR, opened(door, 1), 0)
        await other.append_events(door, DOOR, opened(door, 1), 1)

        assert await one.get_stream_version(door, DOOR) == 2


async def pragma_of(store: SQLiteEventStore, name: str) -> set[Any]:
    """Ask the connection that writes, and one that reads."""

    def ask(connection: Any) -> Any:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    return {(await store._connected.write(ask)).result, await store._connected.read(ask)}


async def test_what_is_acknowledged_is_flushed(store: SQLiteEventStore) -> None:
    """By default each commit is on the disk before it is answered."""
    assert await pragma_of(store, "synchronous") == {2}
    assert await pragma_of(store, "journal_mode") == {"wal"}
    assert await pragma_of(store, "busy_timeout") == {5000}


@pytest.mark.parametrize(("synchronous", "level"), [("OFF", 0), ("NORMAL", 1), ("FULL", 2), ("EXTRA", 3)])
async def test_how_much_is_flushed_can_be_chosen(path: Path, synchronous: Any, level: int) -> None:
    """Every level that SQLite has is on offer."""
    async with SQLiteEventStore(path, synchronous=synchronous, busy_timeout=77) as store:
        assert await pragma_of(store, "synchronous") == {level}
        assert await pragma_of(store, "busy_timeout") == {77}


@pytest.mark.parametrize("before", [True, False])
async def test_a_file_without_a_log_can_be_chosen(path: Path, door: UUID, sql: Sql, before: bool) -> None:
    """Whatever mode the file was left in, it is opened in the one that is asked for."""
    async with SQLiteEventStore(path, wal_mode=before) as store:
        await store.append_events(door, DOOR, opened(door, 1), 0)

    async with SQLiteEventStore(path, wal_mode=not before) as store:
        assert await store.get_stream_version(door, DOOR) == 1

    assert sql("PRAGMA journal_mode") == [("delete" if before else "wal",)]


@pytest.mark.parametrize(
    "options", [{"synchronous": "full"}, {"synchronous": "FULL; DROP"}, {"busy_timeout": -1}], ids=str
)
def test_options_that_sqlite_does_not_know_are_refused(path: Path, options: dict[str, Any]) -> None:
    """When the store is made, not when it is opened."""
    with pytest.raises(ValueError, match=next(iter(options))):
        SQLiteEventStore(path, **options)


def test_all_stores_are_opened_alike(path: Path) -> None:
    """The defaults of the stores are those of the options; else they would not share a file."""
    assert SQLiteEventStore(path)._options == SQLiteSnapshotStore(path)._options == SQLiteOptions()


async def test_a_relative_path_is_that_of_the_opening(
    tmp_path: Path, door: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that are made later go to the same file, wherever the process is by then."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    async with SQLiteEventStore("events.db") as store:
        monkeypatch.chdir(tmp_path / "elsewhere")

        await store.append_events(door, DOOR, opened(door, 1), 0)

        assert (await store.get_events(door, DOOR)).version == 1
    assert [each.name for each in (tmp_path / "elsewhere").iterdir()] == []


@pytest.mark.parametrize("kind", [SQLiteEventStore, SQLiteSnapshotStore])
@pytest.mark.parametrize("path", ["", "file:events.db", "file::memory:?cache=shared"])
def test_what_is_no_path_is_refused(kind: Any, path: str) -> None:
    """An empty name would be a file that is deleted at once, a URI a file of that name."""
    with pytest.raises(ValueError, match="is no file: give a path, or ':memory:'"):
        kind(path)


async def test_a_directory_is_no_database(tmp_path: Path) -> None:
    """The error says what it is."""
    with pytest.raises(DatabaseError, match="it is a directory: give a file"):
        await SQLiteEventStore(tmp_path).initialize()


async def test_a_file_of_another_kind_is_no_database(path: Path) -> None:
    """It is left as it was."""
    path.write_text("no database at all " * 100)

    with pytest.raises(DatabaseError, match="something else than a SQLite database"):
        await SQLiteEventStore(path).initialize()

    assert path.read_text().startswith("no database at all")


async def test_after_a_failed_opening_another_try_may_succeed(tmp_path: Path, door: UUID) -> None:
    """A missing directory is named, and once it is there the same object opens the file."""
    store = SQLiteEventStore(tmp_path / "data" / "events.db")
    with pytest.raises(DatabaseError, match=r"data/events\.db.*give a file in a directory that exists"):
        await store.initialize()
    was_connected = store.is_connected

    (tmp_path / "data").mkdir()
    async with store:
        await store.append_events(door, DOOR, opened(door, 1), 0)

    assert not was_connected


async def test_a_failed_opening_harms_no_other_store_of_the_file(
    store: SQLiteEventStore, path: Path, sql: Sql, door: UUID
) -> None:
    """A table that only the other store minds is no matter of this one."""
    sql("CREATE TABLE snapshots (id INTEGER)")

    with pytest.raises(DatabaseError, match="another layout than SQLiteSnapshotStore's"):
        await SQLiteSnapshotStore(path).initialize()

    await store.append_events(door, DOOR, opened(door, 1), 0)
    assert await store.get_stream_version(door, DOOR) == 1
