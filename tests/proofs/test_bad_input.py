"""What a SQLite store refuses: each with an error that says what is wrong and what to do, and with nothing written."""

import sqlite3
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.events.registry import EventRegistry, EventTypeNotFoundError
from eventsource.exceptions import (
    DatabaseError,
    DuplicateEventError,
    EventSourceError,
    ForeignEventError,
    NotConnectedError,
    OptimisticLockError,
    SerializationError,
)
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, Opened, opened

DOOR_ID = UUID(int=1)
STORED = opened(DOOR_ID, 3)


async def a_stale_version(store: SQLiteEventStore) -> None:
    await store.append_events(DOOR_ID, DOOR, opened(DOOR_ID, 1), 2)


async def the_event_of_another_aggregate(store: SQLiteEventStore) -> None:
    await store.append_events(DOOR_ID, DOOR, [*opened(DOOR_ID, 1), Opened(aggregate_id=UUID(int=2))], 3)


async def the_event_of_another_type(store: SQLiteEventStore) -> None:
    await store.append_events(DOOR_ID, DOOR, [Opened(aggregate_id=DOOR_ID, aggregate_type="Window")], 3)


async def events_known_in_part(store: SQLiteEventStore) -> None:
    await store.append_events(DOOR_ID, DOOR, [STORED[2], Opened(aggregate_id=DOOR_ID)], 3)


async def an_event_known_elsewhere(store: SQLiteEventStore) -> None:
    copy = STORED[0].model_copy(update={"aggregate_id": UUID(int=2)})
    await store.append_events(UUID(int=2), DOOR, [copy], 0)


async def a_value_without_json(store: SQLiteEventStore) -> None:
    await store.append_events(DOOR_ID, DOOR, [Opened(aggregate_id=DOOR_ID, metadata={"door": object()})], 3)


async def a_type_that_is_not_registered(store: SQLiteEventStore) -> None:
    async with SQLiteEventStore(store.database, EventRegistry()) as stranger:
        await stranger.get_events(DOOR_ID, DOOR)


async def a_damaged_payload(store: SQLiteEventStore) -> None:
    await store.get_events(UUID(int=3), DOOR)


async def a_closed_store(store: SQLiteEventStore) -> None:
    await store.close()
    await store.append_events(DOOR_ID, DOOR, opened(DOOR_ID, 1), 3)


async def a_directory(store: SQLiteEventStore) -> None:
    async with SQLiteEventStore(Path(store.database).parent):
        pass


async def a_file_that_is_no_database(store: SQLiteEventStore) -> None:
    async with SQLiteEventStore(__file__):
        pass


REFUSED: list[tuple[Callable[[SQLiteEventStore], Awaitable[None]], type[EventSourceError], str]] = [
    (a_stale_version, OptimisticLockError, "at version 3, expected 2; reload the aggregate and retry"),
    (the_event_of_another_aggregate, ForeignEventError, f"Door {UUID(int=2)}, not to Door {DOOR_ID}"),
    (the_event_of_another_type, ForeignEventError, f"Window {DOOR_ID}, not to Door {DOOR_ID}"),
    (events_known_in_part, DuplicateEventError, "is new, but other events of the same append are stored already"),
    (an_event_known_elsewhere, DuplicateEventError, f"in the stream of Door {DOOR_ID}: give it an id of its own"),
    (a_value_without_json, SerializationError, "Unable to serialize unknown type"),
    (a_type_that_is_not_registered, EventTypeNotFoundError, "Decorate its class with @register_event"),
    (a_damaged_payload, SerializationError, f"event {UUID(int=4)} at position 4 cannot be read"),
    (a_closed_store, NotConnectedError, "is not open: use it inside 'async with'"),
    (a_directory, DatabaseError, "it is a directory: give a file"),
    (a_file_that_is_no_database, DatabaseError, "give another one"),
]


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteEventStore]:
    """A store with three good events of one door, and a damaged one of another."""
    async with SQLiteEventStore(path) as store:
        await store.append_events(DOOR_ID, DOOR, STORED, 0)
        damaged = Opened(aggregate_id=UUID(int=3), event_id=UUID(int=4))
        await store.append_events(UUID(int=3), DOOR, [damaged], 0)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE events SET payload = substr(payload, 1, 40) WHERE global_position = 4")
        yield store


@pytest.mark.parametrize(
    ("attempt", "error", "says"), [pytest.param(*each, id=each[0].__name__.replace("_", " ")) for each in REFUSED]
)
async def test_it_is_refused(
    store: SQLiteEventStore,
    path: Path,
    report: Callable[[str], None],
    attempt: Callable[[SQLiteEventStore], Awaitable[None]],
    error: type[EventSourceError],
    says: str,
) -> None:
    """The error has the facts, and the file holds what it held before."""
    before = _rows(path)

    with pytest.raises(error) as refused:
        await attempt(store)

    assert says in str(refused.value)
    assert _rows(path) == before
    assert len(before) == 4
    report(f"{attempt.__name__.replace('_', ' ')}: {error.__name__}: {refused.value}")


async def test_a_full_disk_is_refused(disk: Path, report: Callable[[str], None]) -> None:
    """Appending fails, what was stored stays, and what was not is not there in part."""
    async with SQLiteEventStore(disk / "events.db") as store:
        await store.append_events(DOOR_ID, DOOR, STORED, 0)

        with pytest.raises(DatabaseError, match="nothing was written; the disk is full: make room") as refused:
            await store.append_events(DOOR_ID, DOOR, opened(DOOR_ID, 50, metadata={"text": "x" * 40_000}), 3)

        assert (await store.get_events(DOOR_ID, DOOR)).events == _with_versions(STORED)
        report(f"a full disk: DatabaseError: {refused.value}")


async def test_a_read_only_mount_is_refused(disk: Path, report: Callable[[str], None]) -> None:
    """Opening fails, and the file is untouched."""
    path = disk / "events.db"
    async with SQLiteEventStore(path) as store:
        await store.append_events(DOOR_ID, DOOR, STORED, 0)
    before = path.read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)  # noqa: ASYNC221 - nothing else runs

    with pytest.raises(DatabaseError, match=r"read-only|may be written to") as refused:
        await SQLiteEventStore(path).initialize()

    assert path.read_bytes() == before
    report(f"a read-only mount: DatabaseError: {refused.value}")


def _rows(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM events ORDER BY global_position").fetchall()


def _with_versions(events: list[Opened]) -> list[Opened]:
    return [event.with_aggregate_version(version) for version, event in enumerate(events, 1)]
