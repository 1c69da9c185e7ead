"""Dead letters in a SQLite file: the contract, and what several connections to it and other tables in it mean."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.exceptions import DatabaseError, NotConnectedError
from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository
from eventsource.projections.dead_letters.sqlite import SQLiteDLQRepository
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing import DLQRepositoryContract
from eventsource.testing.events import DOOR, opened

Sql = Callable[..., list[tuple[Any, ...]]]

USES: dict[str, Callable[[SQLiteDLQRepository], Any]] = {
    "add_failed_event": lambda dead_letters: fail(dead_letters, UUID(int=1)),
    "get_failed_events": lambda dead_letters: dead_letters.get_failed_events(),
    "get_failed_event_by_id": lambda dead_letters: dead_letters.get_failed_event_by_id(1),
    "mark_resolved": lambda dead_letters: dead_letters.mark_resolved(1, "ann"),
    "mark_retrying": lambda dead_letters: dead_letters.mark_retrying(1),
    "get_failure_stats": lambda dead_letters: dead_letters.get_failure_stats(),
    "get_projection_failure_counts": lambda dead_letters: dead_letters.get_projection_failure_counts(),
    "delete_resolved_events": lambda dead_letters: dead_letters.delete_resolved_events(),
}


class TestContractOfAFile(DLQRepositoryContract):
    @pytest.fixture
    async def dead_letters(self, tmp_path: Path) -> AsyncIterator[SQLiteDLQRepository]:
        async with SQLiteDLQRepository(tmp_path / "dead_letters.db", synchronous="OFF") as dead_letters:
            yield dead_letters


class TestContractOfMemory(DLQRepositoryContract):
    @pytest.fixture
    async def dead_letters(self) -> AsyncIterator[SQLiteDLQRepository]:
        async with SQLiteDLQRepository(":memory:") as dead_letters:
            yield dead_letters


@pytest.fixture
async def rivals(path: Path) -> AsyncIterator[list[SQLiteDLQRepository]]:
    """Repositories that share a file and no connection, as those of several processes do."""
    first = SQLiteDLQRepository(path, synchronous="OFF")
    second = SQLiteDLQRepository(path, synchronous="OFF", busy_timeout=20_000)
    async with first, second:
        yield [first, second]


async def fail(dead_letters: SQLiteDLQRepository, event_id: UUID) -> int:
    return await dead_letters.add_failed_event(
        event_id, "visits", "Opened", {"number": 1}, ValueError("no such door"), 3, headers={"request": "7"}
    )


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_it_cannot_be_used_while_it_is_not_open(path: Path, use: Callable[..., Any]) -> None:
    """Neither before it was opened nor after it was closed."""
    dead_letters = SQLiteDLQRepository(path)

    with pytest.raises(NotConnectedError, match="async with"):
        await use(dead_letters)
    async with dead_letters:
        pass
    with pytest.raises(NotConnectedError, match="async with"):
        await use(dead_letters)


async def test_entries_survive_closing(path: Path, door: UUID) -> None:
    """All of an entry is there when the file is opened again, and its event is known."""
    async with SQLiteDLQRepository(path) as dead_letters:
        dlq_id = await fail(dead_letters, door)
        await dead_letters.mark_resolved(dlq_id, "ann")
        before = await dead_letters.get_failed_event_by_id(dlq_id)

    async with SQLiteDLQRepository(path) as dead_letters:
        assert before
        assert await dead_letters.get_failed_event_by_id(dlq_id) == before
        assert await fail(dead_letters, door) == dlq_id


async def test_connections_see_what_others_kept(rivals: list[SQLiteDLQRepository], door: UUID) -> None:
    """As soon as it is kept, in both directions."""
    first, second = rivals
    dlq_id = await fail(first, door)

    assert await second.mark_retrying(dlq_id)

    entry = await first.get_failed_event_by_id(dlq_id)
    assert entry
    assert entry.status == "retrying"
    assert await second.get_failed_events(status=None) == [entry]


async def test_an_event_that_fails_everywhere_at_once_has_one_entry(
    rivals: list[SQLiteDLQRepository], door: UUID
) -> None:
    """All connections are told the same id."""
    ids = await asyncio.gather(*(fail(dead_letters, door) for dead_letters in rivals * 8))

    assert len(set(ids)) == 1
    assert [entry.id for entry in await rivals[1].get_failed_events()] == ids[:1]


@pytest.mark.parametrize(("age", "deleted"), [(29, 0), (31, 1)])
async def test_what_was_resolved_30_days_ago_is_deleted(
    path: Path, sql: Sql, door: UUID, age: int, deleted: int
) -> None:
    """Unless another age is given."""
    moment = (datetime.now(UTC) - timedelta(days=age)).isoformat(timespec="microseconds")
    async with SQLiteDLQRepository(path) as dead_letters:
        await dead_letters.mark_resolved(await fail(dead_letters, door), "ann")
        sql("UPDATE dead_letter_queue SET resolved_at = ?", moment)

        assert await dead_letters.delete_resolved_events() == deleted


async def test_the_oldest_failure_is_that_of_time(path: Path, sql: Sql) -> None:
    """Though the entries are in the order of their ids."""
    async with SQLiteDLQRepository(path) as dead_letters:
        ids = [await fail(dead_letters, UUID(int=number)) for number in range(3)]
        sql("UPDATE dead_letter_queue SET first_failed_at = '2024-05-01T12:00:00.000000+00:00' WHERE id = ?", ids[1])

        entries = await dead_letters.get_failed_events(oldest_first=True)
        stats = await dead_letters.get_failure_stats()

    assert [entry.id for entry in entries] == ids
    assert stats.oldest_failure == "2024-05-01T12:00:00.000000+00:00"


async def test_the_file_may_be_that_of_the_event_store(path: Path, door: UUID) -> None:
    """Events, checkpoints and dead letters stand beside one another."""
    store, checkpoints, dead_letters = (
        SQLiteEventStore(path),
        SQLiteCheckpointRepository(path),
        SQLiteDLQRepository(path),
    )
    async with store, checkpoints, dead_letters:
        await store.append_events(door, DOOR, opened(door, 2), 0)
        await checkpoints.save_position("visits", 2, door, "Opened")
        await fail(dead_letters, door)

        assert await store.get_global_position() == 2
        assert await checkpoints.get_position("visits") == 2
        assert [entry.event_id for entry in await dead_letters.get_failed_events()] == [door]


async def test_a_table_of_another_layout_is_refused(path: Path, sql: Sql) -> None:
    """The error says so at once, and names the repository."""
    sql("CREATE TABLE dead_letter_queue (id INTEGER)")
    dead_letters = SQLiteDLQRepository(path)

    with pytest.raises(DatabaseError, match="another layout than SQLiteDLQRepository's"):
        await dead_letters.initialize()

    assert not dead_letters.is_connected


def test_it_tells_how_it_was_made(path: Path) -> None:
    """What users and instrumentations read is public data, before the repository is opened too."""
    dead_letters = SQLiteDLQRepository(path, False)

    assert (dead_letters.system, dead_letters.database, dead_letters.namespace) == ("sqlite", str(path), str(path))
    assert (dead_letters.enable_tracing, SQLiteDLQRepository(path).enable_tracing) == (False, True)
