"""Appends that wait for the one writer of a SQLite file share its next transaction."""

import asyncio
import sqlite3
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

from eventsource.databases.sqlite import SQLiteDatabase, SQLiteOptions
from eventsource.exceptions import DuplicateEventError, NotConnectedError, OptimisticLockError
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import AppendResult
from eventsource.testing.events import DOOR, Opened, opened

request: ContextVar[str] = ContextVar("request", default="nobody's")


def append(store: SQLiteEventStore, events: list[Opened], expected: int = 0) -> asyncio.Task[AppendResult]:
    return asyncio.create_task(store.append_events(events[0].aggregate_id, DOOR, [*events], expected))


async def with_queue(path: Path) -> tuple[SQLiteEventStore, list[asyncio.Task[AppendResult]]]:
    """Return an open store, and 64 appends: the first is under way, the others wait for it."""
    store = SQLiteEventStore(path)
    await store.initialize()
    tasks = [append(store, opened(uuid4(), 1)) for _ in range(64)]
    await asyncio.sleep(0)
    return store, tasks


async def test_a_lone_append_shares_with_nobody(store: SQLiteEventStore, door: UUID) -> None:
    """It does not wait for others to come."""
    assert (await append(store, opened(door, 3))).shared == 1


async def test_waiting_appends_share_a_transaction(store: SQLiteEventStore) -> None:
    """While the first is written all others come together, and are written in their order."""
    tasks = [append(store, opened(uuid4(), 1)) for _ in range(64)]

    results = await asyncio.gather(*tasks)

    assert [result.shared for result in results] == [1, *[63] * 63]
    assert [result.global_position for result in results] == list(range(1, 65))


async def test_a_bad_append_harms_only_itself(store: SQLiteEventStore, door: UUID) -> None:
    """Conflicts and duplicates in a group get their errors; everybody else is written."""
    known = Opened(aggregate_id=uuid4())
    await append(store, [known])
    good = [opened(uuid4(), 2) for _ in range(62)]
    stale = append(store, opened(door, 1), 5)
    before = [append(store, events) for events in good[:31]]
    copied = append(store, [Opened(aggregate_id=door), Opened(aggregate_id=door, event_id=known.event_id)])
    after = [append(store, events) for events in good[31:]]

    outcomes = await asyncio.gather(stale, copied, *before, *after, return_exceptions=True)

    assert [type(each) for each in outcomes] == [OptimisticLockError, DuplicateEventError, *[AppendResult] * 62]
    assert await store.get_stream_version(door, DOOR) == 0
    assert await store.get_global_position() == 1 + 2 * 62


async def test_a_job_that_fails_leaves_nothing(path: Path) -> None:
    """What it wrote before it failed is undone; the other jobs of its transaction are written."""
    database = SQLiteDatabase(str(path), SQLiteOptions())
    await database.write(lambda connection: connection.execute("CREATE TABLE names (name TEXT)") and None)

    def insert(connection: sqlite3.Connection, name: str) -> None:
        connection.execute("INSERT INTO names VALUES (?)", (name,))
        if name == "bad":
            raise LookupError(name)

    names = ["alone", "before", "bad", "after"]
    outcomes = await asyncio.gather(
        *(database.write(partial(insert, name=name)) for name in names), return_exceptions=True
    )
    written = await database.read(lambda connection: connection.execute("SELECT name FROM names").fetchall())
    await database.close()

    assert [isinstance(each, LookupError) for each in outcomes] == [False, False, True, False]
    assert written == [("alone",), ("before",), ("after",)]


async def test_appends_of_one_group_see_one_another(store: SQLiteEventStore, door: UUID) -> None:
    """A stream may grow several times within a transaction, and a clash within it is found."""
    tasks = [append(store, opened(uuid4(), 1))]
    tasks += [append(store, opened(door, 1), version) for version in (0, 1, 1, 2)]

    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert [isinstance(each, AppendResult) for each in outcomes] == [True, True, True, False, True]
    assert await store.get_stream_version(door, DOOR) == 3


async def test_an_append_cancelled_while_queued_writes_nothing(store: SQLiteEventStore, door: UUID) -> None:
    """It is taken back; what is queued around it is written."""
    running, queued, behind = (append(store, opened(each, 1)) for each in (uuid4(), door, uuid4()))
    await asyncio.sleep(0)

    queued.cancel()
    results = await asyncio.gather(running, behind)

    assert queued.cancelled()
    assert [result.shared for result in results] == [1, 1]
    assert await store.get_stream_version(door, DOOR) == 0


async def test_an_append_cancelled_on_its_way_is_written_whole(store: SQLiteEventStore, door: UUID) -> None:
    """It is too late to take it back; those that wait behind it get their answers."""
    running, behind = append(store, opened(door, 3)), append(store, opened(uuid4(), 1))
    await asyncio.sleep(0)

    running.cancel()
    await behind

    assert running.cancelled()
    assert await store.get_stream_version(door, DOOR) == 3


async def test_a_group_of_cancelled_appends_is_no_group(store: SQLiteEventStore, door: UUID) -> None:
    """When all that were queued are taken back, the next append is served."""
    running, *queued = (append(store, opened(uuid4(), 1)) for _ in range(3))
    await asyncio.sleep(0)
    for each in queued:
        each.cancel()
    await running

    assert (await append(store, opened(door, 1))).shared == 1
    assert await store.get_global_position() == 2


async def test_closing_answers_every_queued_append(path: Path) -> None:
    """All that were asked for before are written; what comes later is told that the store is closed."""
    store, tasks = await with_queue(path)

    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    late = append(store, opened(uuid4(), 1))
    outcomes = await asyncio.gather(*tasks, late, return_exceptions=True)
    await closing

    async with store:
        assert await store.get_global_position() == 64
    assert [type(each) for each in outcomes] == [*[AppendResult] * 64, NotConnectedError]


async def test_a_cancelled_closing_answers_every_queued_append(path: Path) -> None:
    """Whoever closes has made a promise to those who wait, and closes the file before giving up."""
    store, tasks = await with_queue(path)

    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.wait([closing])

    assert [type(each) for each in outcomes] == [AppendResult] * 64
    assert (closing.cancelled(), store.is_connected) == (True, False)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


async def test_a_closing_that_is_cancelled_twice_closes_the_file(path: Path) -> None:
    """However impatient somebody is: no connection and no thread is left behind."""
    store, tasks = await with_queue(path)

    closing = asyncio.create_task(store.close())
    for _ in range(2):
        await asyncio.sleep(0)
        closing.cancel()
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})

    assert closing.cancelled()
    assert all(task.done() for task in tasks)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


async def test_closing_answers_every_reader(path: Path, door: UUID) -> None:
    """What is being read when the store is closed is read to its end."""
    async with SQLiteEventStore(path) as store:
        await append(store, opened(door, 3))
        reading = [asyncio.create_task(store.get_events(door, DOOR)) for _ in range(32)]
        await asyncio.sleep(0)

    streams = await asyncio.gather(*reading)

    assert [stream.version for stream in streams] == [3] * 32


async def test_a_job_runs_in_the_context_of_its_caller(path: Path) -> None:
    """Neither that of the thread nor that of the job before, be it served at once or after waiting."""
    database = SQLiteDatabase(str(path), SQLiteOptions())

    async def write(name: str) -> str:
        request.set(name)
        written: str = (await database.write(lambda connection: request.get())).result
        return written

    async def read(name: str) -> str:
        request.set(name)
        return await database.read(lambda connection: request.get())

    seen = await asyncio.gather(write("first"), write("second"), read("third"), read("fourth"))
    await database.close()

    assert seen == ["first", "second", "third", "fourth"]
