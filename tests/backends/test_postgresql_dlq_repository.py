"""Dead letters in PostgreSQL: the contract, and what it means that several processes share them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.exceptions import DatabaseError
from eventsource.projections.checkpoints.postgresql import PostgreSQLCheckpointRepository
from eventsource.projections.dead_letters.postgresql import PostgreSQLDLQRepository
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing import DLQRepositoryContract
from eventsource.testing.events import DOOR, NOON, opened
from services.postgresql_writers import waiting_for

Session: TypeAlias = Callable[[], Awaitable[Any]]
Execute: TypeAlias = Callable[..., Awaitable[list[tuple[Any, ...]]]]

INSERTED = """
INSERT INTO dead_letter_queue (projection_name, event_id, event_type, event_data, error_message, error_type,
    retry_count, first_failed_at, last_failed_at)
VALUES ('visits', $1, 'Opened', '{}', 'first', 'ValueError', 1, $2, $2)
"""
"""An entry as another process makes it."""


class TestContract(DLQRepositoryContract):
    nul = r"\x00"

    @pytest.fixture
    async def dead_letters(self, postgresql_dsn: str, schema: str) -> AsyncIterator[PostgreSQLDLQRepository]:
        async with PostgreSQLDLQRepository(postgresql_dsn, options=PostgreSQLOptions(schema=schema)) as dead_letters:
            yield dead_letters


@pytest.fixture
async def rivals(postgresql_dsn: str, schema: str) -> AsyncIterator[list[PostgreSQLDLQRepository]]:
    """Repositories that share a table and no connection, as those of several processes do."""
    options = PostgreSQLOptions(schema=schema)
    first = PostgreSQLDLQRepository(postgresql_dsn, options=options)
    second = PostgreSQLDLQRepository(postgresql_dsn, options=replace(options, max_size=5))
    async with first, second:
        yield [first, second]


@pytest.fixture
def dead_letters(rivals: list[PostgreSQLDLQRepository]) -> PostgreSQLDLQRepository:
    return rivals[0]


async def fail(dead_letters: PostgreSQLDLQRepository, event_id: UUID, message: str = "no such door") -> int:
    return await dead_letters.add_failed_event(
        event_id, "visits", "Opened", {"number": 1}, ValueError(message), 3, headers={"request": "7"}
    )


async def test_entries_survive_closing(postgresql_dsn: str, schema: str, door: UUID) -> None:
    """All of an entry is there for whoever connects next, and its event is known."""
    options = PostgreSQLOptions(schema=schema)
    async with PostgreSQLDLQRepository(postgresql_dsn, options=options) as dead_letters:
        dlq_id = await fail(dead_letters, door)
        await dead_letters.mark_resolved(dlq_id, "ann")
        before = await dead_letters.get_failed_event_by_id(dlq_id)

    async with PostgreSQLDLQRepository(postgresql_dsn, options=options) as dead_letters:
        assert before
        assert await dead_letters.get_failed_event_by_id(dlq_id) == before
        assert await fail(dead_letters, door) == dlq_id


async def test_connections_see_what_others_kept(rivals: list[PostgreSQLDLQRepository], door: UUID) -> None:
    """As soon as it is kept, in both directions."""
    first, second = rivals
    dlq_id = await fail(first, door)

    assert await second.mark_retrying(dlq_id)

    entry = await first.get_failed_event_by_id(dlq_id)
    assert entry
    assert entry.status == "retrying"
    assert await second.get_failed_events(status=None) == [entry]


async def test_an_event_that_fails_everywhere_at_once_has_one_entry(
    rivals: list[PostgreSQLDLQRepository], door: UUID
) -> None:
    """All connections are told the same id."""
    ids = await asyncio.gather(*(fail(dead_letters, door) for dead_letters in rivals * 8))

    assert len(set(ids)) == 1
    assert [entry.id for entry in await rivals[1].get_failed_events()] == ids[:1]


@pytest.mark.parametrize(("ending", "entries"), [("COMMIT", [(1, "second")]), ("ROLLBACK", [(2, "second")])])
async def test_an_entry_waits_for_whoever_makes_it(
    rivals: list[PostgreSQLDLQRepository], session: Session, door: UUID, ending: str, entries: list[tuple[int, str]]
) -> None:
    """It is that one's, with what failed last, or one of its own where the other one is undone."""
    other = await session()
    await other.execute("BEGIN")
    await other.execute(INSERTED, door, NOON)

    failing = asyncio.create_task(fail(rivals[0], door, "second"))
    await waiting_for(other, 1, await session())
    await other.execute(ending)
    await failing

    assert [(entry.id, entry.error_message) for entry in await rivals[1].get_failed_events()] == entries


@pytest.mark.parametrize(("age", "deleted"), [(29, 0), (31, 1)])
async def test_what_was_resolved_30_days_ago_is_deleted(
    dead_letters: PostgreSQLDLQRepository, execute: Execute, door: UUID, age: int, deleted: int
) -> None:
    """Unless another age is given."""
    await dead_letters.mark_resolved(await fail(dead_letters, door), "ann")
    await execute("UPDATE dead_letter_queue SET resolved_at = $1", datetime.now(UTC) - timedelta(days=age))

    assert await dead_letters.delete_resolved_events() == deleted


async def test_the_oldest_failure_is_that_of_time(dead_letters: PostgreSQLDLQRepository, execute: Execute) -> None:
    """Though the entries are in the order of their ids."""
    ids = [await fail(dead_letters, UUID(int=number)) for number in range(3)]
    await execute("UPDATE dead_letter_queue SET first_failed_at = $1 WHERE id = $2", NOON, ids[1])

    entries = await dead_letters.get_failed_events(oldest_first=True)
    stats = await dead_letters.get_failure_stats()

    assert [entry.id for entry in entries] == ids
    assert stats.oldest_failure == "2024-05-01T12:00:00.000000+00:00"


async def test_what_cannot_be_stored_is_written_out(dead_letters: PostgreSQLDLQRepository) -> None:
    """An error may quote anything, and is kept all the same; so is the name of whoever resolves it."""
    dlq_id = await fail(dead_letters, uuid4(), "half \ud83d, \0 and \u00e9")
    await dead_letters.mark_resolved(dlq_id, "ann \udcff")

    entry = await dead_letters.get_failed_event_by_id(dlq_id)

    assert entry
    assert (entry.error_message, entry.resolved_by) == (r"half \ud83d, \x00 and " + "\u00e9", r"ann \udcff")


async def test_an_error_of_a_megabyte_is_kept(dead_letters: PostgreSQLDLQRepository) -> None:
    """Of messages and traces no index is made."""
    message = "".join(uuid4().hex for _ in range(2**15))

    entry = await dead_letters.get_failed_event_by_id(await fail(dead_letters, uuid4(), message))

    assert entry
    assert entry.error_message == message


@pytest.mark.parametrize("dlq_id", [2**63, 10**40], ids=str)
async def test_an_id_that_no_column_holds_is_refused(dead_letters: PostgreSQLDLQRepository, dlq_id: int) -> None:
    """No entry can have it."""
    with pytest.raises(DatabaseError, match="PostgreSQL cannot store such a value"):
        await dead_letters.mark_resolved(dlq_id, "ann")


async def test_projections_that_fail_as_often_are_in_one_order(dead_letters: PostgreSQLDLQRepository) -> None:
    """Whatever the server sorts by."""
    names = ["Zebra", "apple", "Zoo", "\u00e4pfel", "a b", "a-b"]
    for name in names:
        await dead_letters.add_failed_event(uuid4(), name, "Opened", {}, ValueError(), 0)

    counts = await dead_letters.get_projection_failure_counts()

    assert [count.projection_name for count in counts] == sorted(names)


async def test_the_schema_may_be_that_of_the_event_store(postgresql_dsn: str, schema: str, door: UUID) -> None:
    """Events, checkpoints and dead letters stand beside one another."""
    options = PostgreSQLOptions(schema=schema)
    store = PostgreSQLEventStore(postgresql_dsn, options=options)
    checkpoints = PostgreSQLCheckpointRepository(postgresql_dsn, options=options)
    dead_letters = PostgreSQLDLQRepository(postgresql_dsn, options=options)
    async with store, checkpoints, dead_letters:
        await store.append_events(door, DOOR, opened(door, 2), 0)
        await checkpoints.save_position("visits", 2, door, "Opened")
        await fail(dead_letters, door)

        assert await store.get_global_position() == 2
        assert await checkpoints.get_position("visits") == 2
        assert [entry.event_id for entry in await dead_letters.get_failed_events()] == [door]


def test_it_tells_how_it_was_made(postgresql_dsn: str, schema: str) -> None:
    """What users and instrumentations read is public data, before the repository is opened too."""
    options = PostgreSQLOptions(schema=schema)
    dead_letters = PostgreSQLDLQRepository(postgresql_dsn, False, options=options)

    assert (dead_letters.system, dead_letters.options, dead_letters.is_connected) == ("postgresql", options, False)
    assert (dead_letters.enable_tracing, PostgreSQLDLQRepository(postgresql_dsn).enable_tracing) == (False, True)
