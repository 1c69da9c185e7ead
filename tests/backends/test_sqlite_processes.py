"""Several processes that use one SQLite file, and connections that hold its lock."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from eventsource.exceptions import DatabaseError
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import StoredEvent
from eventsource.testing.events import DOOR, opened

PROCESSES = 8

INITIALIZE = """
import asyncio, sys
from eventsource.stores.sqlite import SQLiteEventStore

async def main(path):
    print("ready", flush=True)
    sys.stdin.readline()
    async with SQLiteEventStore(path):
        pass

asyncio.run(main(sys.argv[1]))
"""
COUNT_UP = """
import asyncio, sys
from uuid import UUID
from eventsource.exceptions import OptimisticLockError
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, opened

async def main(path, door):
    appended = 0
    async with SQLiteEventStore(path) as store:
        while appended < 20:
            version = await store.get_stream_version(door, DOOR)
            try:
                await store.append_events(door, DOOR, opened(door, 2), version)
                appended += 1
            except OptimisticLockError:
                pass

asyncio.run(main(sys.argv[1], UUID(sys.argv[2])))
"""
APPEND_UNTIL_KILLED = """
import asyncio, sys
from uuid import uuid4
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, Opened

async def append(store):
    while True:
        event = Opened(aggregate_id=uuid4())
        await store.append_events(event.aggregate_id, DOOR, [event], 0)
        print(event.event_id, flush=True)

async def main(path):
    async with SQLiteEventStore(path) as store:
        await asyncio.gather(*(append(store) for _ in range(8)))

asyncio.run(main(sys.argv[1]))
"""


def python(script: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ends(processes: list["subprocess.Popen[str]"]) -> list[tuple[int, str]]:
    return [(process.returncode, errors) for process in processes for _, errors in [process.communicate(timeout=60)]]


async def log_of(path: Path) -> list[StoredEvent]:
    async with SQLiteEventStore(path) as store:
        return [stored async for stored in store.read_all()]


@pytest.fixture
def rival(path: Path, store: SQLiteEventStore) -> Iterator[sqlite3.Connection]:
    """A connection of somebody else's, with which a test can lock the file of an open store."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def test_many_processes_may_create_the_file_at_once(path: Path) -> None:
    """Each of them finds or makes the table; none fails because another was quicker."""
    processes = [python(INITIALIZE, path) for _ in range(PROCESSES)]
    for process in processes:
        assert process.stdout
        process.stdout.readline()

    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()

    assert ends(processes) == [(0, "")] * PROCESSES


def test_processes_may_append_to_one_stream(path: Path, door: UUID) -> None:
    """Versions have no gap, the two events of an append stand together, and positions follow."""
    processes = [python(COUNT_UP, path, door) for _ in range(3)]

    assert ends(processes) == [(0, "")] * 3
    stored = asyncio.run(log_of(path))
    assert [each.stream_position for each in stored] == list(range(1, 121))
    assert [getattr(each.event, "number", None) for each in stored] == [1, 2] * 60
    assert [each.global_position for each in stored] == sorted(each.global_position for each in stored)


def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    """A process that is killed within appends has lost nothing that it was told is stored."""
    process = python(APPEND_UNTIL_KILLED, path)
    assert process.stdout
    acknowledged = [process.stdout.readline().strip() for _ in range(50)]

    process.kill()
    acknowledged += [line for line in process.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]

    stored = {str(each.event_id) for each in asyncio.run(log_of(path))}
    assert len(acknowledged) >= 50
    assert {each.strip() for each in acknowledged} <= stored


async def test_a_lock_held_too_long_is_named(path: Path, rival: sqlite3.Connection, door: UUID) -> None:
    """After busy_timeout every waiting append is told so, and writes nothing; the next one is served."""
    appends = [opened(uuid4(), 1) for _ in range(3)]
    async with SQLiteEventStore(path, busy_timeout=1) as impatient:
        rival.execute("BEGIN IMMEDIATE")

        outcomes = await asyncio.gather(
            *(impatient.append_events(each[0].aggregate_id, DOOR, each, 0) for each in appends),
            return_exceptions=True,
        )

        rival.execute("ROLLBACK")
        assert all(isinstance(each, DatabaseError) and "raise busy_timeout" in str(each) for each in outcomes)
        assert (await impatient.append_events(door, DOOR, opened(door, 1), 0)).global_position == 1


async def test_a_lock_held_for_a_while_is_waited_for(
    store: SQLiteEventStore, rival: sqlite3.Connection, door: UUID
) -> None:
    """Who has locked the file does not hold up reading, and appends follow when it is done."""
    rival.execute("BEGIN IMMEDIATE")
    appending = asyncio.create_task(store.append_events(door, DOOR, opened(door, 1), 0))

    before = await store.get_stream_version(door, DOOR)
    rival.execute("ROLLBACK")
    result = await appending

    assert (before, result.new_version) == (0, 1)


async def test_a_new_file_is_waited_for(path: Path) -> None:
    """While somebody else has locked it, opening goes on trying."""
    with closing(sqlite3.connect(path, isolation_level=None)) as rival:
        rival.execute("CREATE TABLE theirs (id INTEGER)")
        rival.execute("BEGIN EXCLUSIVE")
        asyncio.get_running_loop().call_later(0.05, rival.execute, "COMMIT")

        async with SQLiteEventStore(path) as store:
            assert await store.get_global_position() == 0


async def test_opening_waits_no_longer_than_busy_timeout(path: Path, rival: sqlite3.Connection) -> None:
    """It gives up after busy_timeout and says so; afterwards the file can be opened."""
    store = SQLiteEventStore(path, busy_timeout=1)
    rival.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseError, match="raise busy_timeout"):
        await store.initialize()
    was_connected = store.is_connected

    rival.execute("ROLLBACK")
    async with store:
        assert await store.get_global_position() == 0

    assert not was_connected
