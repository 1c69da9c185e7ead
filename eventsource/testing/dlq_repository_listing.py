# ruff: noqa: S101 - contracts assert, as tests do
"""What a dead-letter repository promises about finding and counting entries."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from eventsource.projections.dead_letters.interface import DLQRepository, failed_event
from eventsource.projections.dead_letters.values import DLQEntry, DLQStats, DLQStatus, ProjectionFailureCount
from eventsource.testing.dlq_repository_subject import OPEN_DOORS, VISITS, DLQRepositorySubject, add, entry_of
from eventsource.testing.events import NOON, Opened


class ListingContract(DLQRepositorySubject):
    """Entries are found by projection and status, in the order of their first failures, and counted."""

    async def test_where_nothing_failed_there_is_nothing(self, dead_letters: DLQRepository) -> None:
        """Neither entries nor counts."""
        assert await dead_letters.get_failed_events(status=None) == []
        assert await dead_letters.get_failure_stats() == DLQStats(0, 0, 0, None)
        assert await dead_letters.get_projection_failure_counts() == []

    async def test_the_latest_comes_first(self, dead_letters: DLQRepository) -> None:
        """Entries are whole, and equal what their ids give."""
        ids = [await add(dead_letters) for _ in range(3)]

        entries = await dead_letters.get_failed_events()

        assert entries == [await entry_of(dead_letters, dlq_id) for dlq_id in reversed(ids)]

    async def test_the_oldest_may_come_first(self, dead_letters: DLQRepository) -> None:
        """That is the order in which to try them again."""
        ids = [await add(dead_letters) for _ in range(3)]

        assert ids_of(await dead_letters.get_failed_events(oldest_first=True)) == ids

    async def test_failing_again_changes_no_order(self, dead_letters: DLQRepository, event: Opened) -> None:
        """The first failure is what counts."""
        ids = [await add(dead_letters, event), await add(dead_letters)]

        await add(dead_letters, event)

        assert ids_of(await dead_letters.get_failed_events()) == ids[::-1]
        assert ids_of(await dead_letters.get_failed_events(oldest_first=True)) == ids

    async def test_a_clock_that_was_put_back_changes_no_order(self, dead_letters: DLQRepository) -> None:
        """Nor do clocks that differ: an entry that came later is a later one."""
        ids = [await add_at(dead_letters, NOON - timedelta(minutes=minutes)) for minutes in (0, 2, 1)]

        assert ids_of(await dead_letters.get_failed_events()) == ids[::-1]
        assert ids_of(await dead_letters.get_failed_events(oldest_first=True)) == ids

    @pytest.mark.parametrize("limit", [0, 1, 2, 3, 4])
    @pytest.mark.parametrize("oldest_first", [True, False])
    async def test_a_limit_takes_the_first_ones(
        self, dead_letters: DLQRepository, limit: int, oldest_first: bool
    ) -> None:
        """Whichever those are."""
        ids = [await add(dead_letters) for _ in range(3)]

        entries = await dead_letters.get_failed_events(limit=limit, oldest_first=oldest_first)

        assert ids_of(entries) == (ids if oldest_first else ids[::-1])[:limit]

    async def test_100_entries_are_enough_for_a_look(self, dead_letters: DLQRepository) -> None:
        """More are given to those who ask for them."""
        ids = [await add(dead_letters) for _ in range(101)]

        assert ids_of(await dead_letters.get_failed_events()) == ids[:0:-1]
        assert ids_of(await dead_letters.get_failed_events(limit=1000)) == ids[::-1]

    @pytest.mark.parametrize("status", ["failed", "retrying", "resolved"])
    async def test_entries_are_found_by_their_status(self, dead_letters: DLQRepository, status: DLQStatus) -> None:
        """Only those of the given status are meant."""
        ids = await add_of_each_status(dead_letters)

        entries = await dead_letters.get_failed_events(status=status)

        assert [(entry.id, entry.status) for entry in entries] == [(ids[status], status)]

    async def test_failed_entries_are_what_one_asks_for(self, dead_letters: DLQRepository) -> None:
        """Where no status is given those of status failed are meant, and None means all."""
        ids = await add_of_each_status(dead_letters)

        assert ids_of(await dead_letters.get_failed_events()) == [ids["failed"]]
        assert ids_of(await dead_letters.get_failed_events(status=None, oldest_first=True)) == list(ids.values())

    async def test_entries_are_found_by_projection(self, dead_letters: DLQRepository) -> None:
        """Projection and status narrow down the choice together, before the limit does."""
        doors, resolved, first, last = [
            await add(dead_letters, projection_name=name) for name in (OPEN_DOORS, VISITS, VISITS, VISITS)
        ]
        await dead_letters.mark_resolved(resolved, "ann")

        assert ids_of(await dead_letters.get_failed_events(OPEN_DOORS)) == [doors]
        assert ids_of(await dead_letters.get_failed_events(VISITS)) == [last, first]
        assert ids_of(await dead_letters.get_failed_events(VISITS, None, 1, oldest_first=True)) == [resolved]
        assert ids_of(await dead_letters.get_failed_events(VISITS, limit=1, oldest_first=True)) == [first]
        assert await dead_letters.get_failed_events("VISITS") == []

    async def test_what_is_not_resolved_is_counted(self, dead_letters: DLQRepository) -> None:
        """By status; the projections that are concerned are counted once, and the time is that of the oldest."""
        ids = await add_of_each_status(dead_letters)
        await add(dead_letters)
        await add(dead_letters, projection_name=OPEN_DOORS)
        oldest = await entry_of(dead_letters, ids["failed"])

        stats = await dead_letters.get_failure_stats()

        assert (stats.total_failed, stats.total_retrying, stats.affected_projections) == (3, 1, 2)
        assert stats.oldest_failure
        assert datetime.fromisoformat(stats.oldest_failure) == oldest.first_failed_at

    async def test_what_is_resolved_is_not_counted(self, dead_letters: DLQRepository) -> None:
        """Neither its projection nor its time."""
        resolved, waiting = [await add(dead_letters, projection_name=name) for name in (VISITS, OPEN_DOORS)]
        await dead_letters.mark_resolved(resolved, "ann")

        stats = await dead_letters.get_failure_stats()
        counts = await dead_letters.get_projection_failure_counts()

        first_failed_at = (await entry_of(dead_letters, waiting)).first_failed_at
        assert (stats.total_failed, stats.total_retrying, stats.affected_projections) == (1, 0, 1)
        assert stats.oldest_failure
        assert datetime.fromisoformat(stats.oldest_failure) == first_failed_at
        assert [count.projection_name for count in counts] == [OPEN_DOORS]

    async def test_the_projection_that_fails_most_comes_first(self, dead_letters: DLQRepository) -> None:
        """Those that fail alike come in the order of their names; entries that are tried again count too."""
        for name in ("b", "c", "a", "c"):
            await add(dead_letters, projection_name=name)
        await dead_letters.mark_retrying(2)

        counts = await dead_letters.get_projection_failure_counts()

        assert [(count.projection_name, count.failure_count) for count in counts] == [("c", 2), ("a", 1), ("b", 1)]

    async def test_counts_tell_from_when_to_when(self, dead_letters: DLQRepository, event: Opened) -> None:
        """From the oldest first failure to the latest last one, which may be those of one entry."""
        first = await add(dead_letters, event)
        await add(dead_letters)
        await add(dead_letters, event)
        entry = await entry_of(dead_letters, first)

        (count,) = await dead_letters.get_projection_failure_counts()

        assert count.oldest_failure
        assert count.most_recent_failure
        assert datetime.fromisoformat(count.oldest_failure) == entry.first_failed_at
        assert datetime.fromisoformat(count.most_recent_failure) == entry.last_failed_at
        assert count == ProjectionFailureCount(VISITS, 2, count.oldest_failure, count.most_recent_failure)


async def add_at(dead_letters: DLQRepository, moment: datetime) -> int:
    """Keep a new event as one that failed at *moment*, and return the id of its entry."""
    add = failed_event(uuid4(), VISITS, "Opened", "{}", ValueError("no such door"), retry_count=1, headers=None)
    return await dead_letters._add_failed_event(replace(add, failed_at=moment))


async def add_of_each_status(dead_letters: DLQRepository) -> dict[str, int]:
    """Keep an event under each status, and return the ids of the entries by status."""
    ids = {status: await add(dead_letters) for status in ("failed", "retrying", "resolved")}
    await dead_letters.mark_retrying(ids["retrying"])
    await dead_letters.mark_resolved(ids["resolved"], "ann")
    return ids


def ids_of(entries: list[DLQEntry]) -> list[int]:
    """Return the ids of *entries*."""
    return [entry.id for entry in entries]
