"""
Positions in PostgreSQL become visible in their order: interleavings that lose events elsewhere, on a real server.

Each is led twice by the same steps, which real locks hold: with writers that append to the log, and with writers to a
table whose positions a sequence gives out. A reader goes on from the last position that it has seen.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.exceptions import DatabaseError
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.stores.values import ReadOptions
from eventsource.testing.events import DOOR, Opened, opened
from services.fixtures import drop_schema
from services.postgresql_appends import Gate
from services.postgresql_writers import Appender, Inserter, Writer, append_within

Session: TypeAlias = Callable[[], Awaitable[Any]]
Read: TypeAlias = Callable[[int], Awaitable[list[int]]]

INTERLEAVINGS = {
    "one holds the position between two of another": ("A+ B+ A+ A! ? B! ?", [2]),
    "the first is the last to commit": ("A+ B+ C+ C! ? B! ? A! ?", [1, 2]),
    "one stays open while others come and go": ("A+ B+ B! ? C+ C! ? D+ D! ? A+ ? A! ?", [1]),
    "one between two others is undone": ("A+ B+ C+ C! ? B- ? A! ?", [1]),
    "one is undone and writes no more": ("A+ B+ A+ A- C+ ? C! ? B! ?", [2]),
}
"""
The steps, and the positions that a sequence loses by them.

A letter is a writer with its transaction; ``+`` writes an event, ``!`` commits, ``-`` undoes, ``?`` reads.
"""


class Follower:
    """A reader that goes on from the last position that it has seen, and remembers all."""

    def __init__(self, read: Read) -> None:
        self.seen: list[int] = []
        self._read = read

    async def go_on(self) -> None:
        self.seen += await self._read(self.seen[-1] if self.seen else 0)


async def led(steps: str, open_writer: Callable[[], Awaitable[Writer]], follower: Follower) -> dict[str, Writer]:
    """Take all *steps*, and return the writers, which have ended."""
    writers: dict[str, Writer] = {}
    for name, what in steps.replace("?", "??").split():
        if what == "?":
            await follower.go_on()
            continue
        if name not in writers:
            writers[name] = await open_writer()
        await {"+": writers[name].append, "!": writers[name].commit, "-": writers[name].roll_back}[what]()
    for writer in writers.values():
        await writer.ended()
    await follower.go_on()
    return writers


@pytest.fixture
async def store(postgresql_dsn: str, schema: str) -> AsyncIterator[PostgreSQLEventStore]:
    async with PostgreSQLEventStore(postgresql_dsn, options=PostgreSQLOptions(schema=schema)) as store:
        yield store


@pytest.fixture
async def gate(store: PostgreSQLEventStore, schema: str, session: Session) -> Gate:
    """A transaction that appends to the log while it is open."""
    return Gate(await session(), await session(), schema, Opened(aggregate_id=uuid4()))


@pytest.fixture
def elsewhere(postgresql_dsn: str) -> Iterator[str]:
    """The name of another schema that is the test's own."""
    name = f"test-{uuid4()}"
    yield name
    asyncio.run(drop_schema(postgresql_dsn, name))


@pytest.fixture
def logged(store: PostgreSQLEventStore) -> Follower:
    """A reader of the log."""

    async def read(position: int) -> list[int]:
        page = await store.read_page(options=ReadOptions(from_position=position))
        return [stored.global_position for stored in page]

    return Follower(read)


@pytest.fixture
def appender(schema: str, session: Session) -> Callable[[], Awaitable[Appender]]:
    """Open a writer to the log."""

    async def open_writer() -> Appender:
        return Appender(await session(), await session(), schema, lambda door: Opened(aggregate_id=door))

    return open_writer


@pytest.mark.parametrize("steps", [steps for steps, _ in INTERLEAVINGS.values()], ids=INTERLEAVINGS)
async def test_a_reader_of_the_log_meets_every_event_in_order(
    store: PostgreSQLEventStore, appender: Callable[[], Awaitable[Writer]], logged: Follower, steps: str
) -> None:
    """None appears below a position that was seen, so none is missed; what was undone is nowhere."""
    writers = await led(steps, appender, logged)

    stays = [position for name, writer in writers.items() if f"{name}-" not in steps for position in writer.written]
    assert logged.seen == sorted(stays)
    assert len(stays) == await count(store)


@pytest.mark.parametrize(("steps", "lost"), INTERLEAVINGS.values(), ids=INTERLEAVINGS)
async def test_a_reader_of_a_sequence_misses_events(
    store: PostgreSQLEventStore, session: Session, steps: str, lost: list[int]
) -> None:
    """By the same steps: so they would show it if the log lost any."""
    observer = await session()
    await Inserter.create_table(observer)

    async def open_writer() -> Inserter:
        return Inserter(await session(), observer)

    async def read(position: int) -> list[int]:
        rows = await observer.fetch("SELECT position FROM naive WHERE position > $1 ORDER BY position", position)
        return [row["position"] for row in rows]

    follower = Follower(read)

    await led(steps, open_writer, follower)

    stored = [row["position"] for row in await observer.fetch("SELECT position FROM naive")]
    assert sorted(set(stored) - set(follower.seen)) == lost


async def count(store: PostgreSQLEventStore) -> int:
    """Return how many events there are."""
    return len([stored async for stored in store.read_all()])


async def test_nothing_of_an_open_transaction_is_seen(
    store: PostgreSQLEventStore, appender: Callable[[], Awaitable[Writer]], logged: Follower
) -> None:
    """Neither its events nor those of whoever waits for it; once it ends all are there."""
    first, second = await appender(), await appender()
    await first.append()
    await second.append()
    await logged.go_on()
    before, waits = list(logged.seen), second.waits

    await first.commit()
    await second.commit()
    await second.ended()
    await logged.go_on()

    assert (before, waits, logged.seen) == ([], True, [1, 2])


async def test_a_position_that_was_undone_is_not_waited_for(
    store: PostgreSQLEventStore, appender: Callable[[], Awaitable[Writer]], logged: Follower, door: UUID
) -> None:
    """Nobody will ever fill the gap, and what comes behind it is read."""
    writer = await appender()
    await writer.append()
    await writer.roll_back()

    result = await store.append_events(door, DOOR, opened(door, 1), 0)
    await logged.go_on()

    assert (writer.written, result.global_position, logged.seen) == ([1], 2, [2])


async def test_reading_waits_for_nobody(store: PostgreSQLEventStore, gate: Gate, door: UUID) -> None:
    """While a transaction that appends is open, all that was committed before can be read in every way."""
    await store.append_events(door, DOOR, opened(door, 2), 0)

    async with gate:
        page = await store.read_page()
        stream = await store.get_events(door, DOOR)
        position = await store.get_global_position()

    assert (len(page), stream.version, position) == (2, 2, 2)


async def test_logs_of_two_schemas_wait_for_nobody_of_the_other(
    postgresql_dsn: str, gate: Gate, elsewhere: str, door: UUID
) -> None:
    """Each has an order of its own, and so a lock."""
    other = PostgreSQLEventStore(postgresql_dsn, options=PostgreSQLOptions(schema=elsewhere))

    async with gate, other:
        result = await other.append_events(door, DOOR, opened(door, 1), 0)

    assert result.global_position == 1


async def test_an_append_that_waits_too_long_is_told_why(
    postgresql_dsn: str, schema: str, gate: Gate, door: UUID
) -> None:
    """Nothing of it is written, and when the others are gone it can be made again."""
    options = PostgreSQLOptions(schema=schema, lock_timeout=0.05)

    async with PostgreSQLEventStore(postgresql_dsn, options=options) as impatient:
        async with gate:
            with pytest.raises(DatabaseError, match="nothing was written; others kept a lock for longer than"):
                await impatient.append_events(door, DOOR, opened(door, 1), 0)
        before = await impatient.get_global_position()
        result = await impatient.append_events(door, DOOR, opened(door, 1), 0)

    assert (before, result.new_version) == (0, 1)


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_a_transaction_that_sees_the_past_cannot_append(
    store: PostgreSQLEventStore, schema: str, session: Session, isolation: str
) -> None:
    """It would judge by a stream that has moved since, under the lock too: the error says at what it must run."""
    connection = await session()

    with pytest.raises(asyncpg.PostgresError, match="must be appended at READ COMMITTED, not at"):
        async with connection.transaction(isolation=isolation):
            await append_within(connection, schema, Opened(aggregate_id=uuid4()))

    assert await store.get_global_position() == 0


async def test_a_server_whose_transactions_see_the_past_is_refused(
    store: PostgreSQLEventStore, postgresql_dsn: str, door: UUID
) -> None:
    """Where that is the default of the user or the address, the error says so to whoever appends."""
    address = f"{postgresql_dsn}?default_transaction_isolation=serializable"

    async with PostgreSQLEventStore(address, options=store.options) as strict:
        with pytest.raises(DatabaseError, match="appended at READ COMMITTED, not at serializable; nothing was written"):
            await strict.append_events(door, DOOR, opened(door, 1), 0)

    assert await store.get_global_position() == 0
