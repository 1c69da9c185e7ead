# ruff: noqa: S101 - contracts assert, as tests do
"""What a dead-letter repository promises to those who see to entries."""

from datetime import timedelta

import pytest

from eventsource.projections.dead_letters.interface import DLQRepository
from eventsource.projections.dead_letters.operations import DeleteResolvedEvents
from eventsource.testing.dlq_repository_subject import OPEN_DOORS, VISITS, DLQRepositorySubject, add, entry_of
from eventsource.testing.events import Opened


class SettlingContract(DLQRepositorySubject):
    """An entry is tried again, resolved, deleted; whatever it was, it is failed when its event fails again."""

    async def test_a_resolved_entry_tells_by_whom_and_when(self, dead_letters: DLQRepository) -> None:
        """The rest of it stays, and so do other entries."""
        dlq_id, other = await add(dead_letters), await add(dead_letters)
        before = await entry_of(dead_letters, dlq_id)

        assert await dead_letters.mark_resolved(dlq_id, "ann") is True

        entry = await entry_of(dead_letters, dlq_id)
        assert (entry.status, entry.resolved_by) == ("resolved", "ann")
        assert entry.resolved_at
        assert entry.resolved_at.utcoffset() == timedelta(0)
        assert entry.last_failed_at == before.last_failed_at
        assert (entry.error_message, entry.event_data) == (before.error_message, before.event_data)
        assert (await entry_of(dead_letters, other)).status == "failed"

    async def test_the_last_who_resolves_an_entry_is_told(self, dead_letters: DLQRepository) -> None:
        """To resolve it twice is no error."""
        dlq_id = await add(dead_letters)
        await dead_letters.mark_resolved(dlq_id, "ann")

        assert await dead_letters.mark_resolved(dlq_id, "bob") is True

        assert (await entry_of(dead_letters, dlq_id)).resolved_by == "bob"

    async def test_all_entries_of_a_projection_are_resolved_at_once(self, dead_letters: DLQRepository) -> None:
        """Whether they failed or are being tried again; it is told how many they were."""
        ids = [await add(dead_letters) for _ in range(3)]
        await dead_letters.mark_retrying(ids[1])

        assert await dead_letters.resolve_failed_events(VISITS, "ann") == 3

        entries = [await entry_of(dead_letters, dlq_id) for dlq_id in ids]
        assert {(entry.status, entry.resolved_by) for entry in entries} == {("resolved", "ann")}
        assert all(entry.resolved_at and entry.resolved_at.utcoffset() == timedelta(0) for entry in entries)

    async def test_resolving_all_entries_leaves_other_projections_alone(self, dead_letters: DLQRepository) -> None:
        """They have something to see to still, though it be the same event."""
        await add(dead_letters)
        before = await entry_of(dead_letters, await add(dead_letters, projection_name=OPEN_DOORS))

        assert await dead_letters.resolve_failed_events(VISITS, "ann") == 1

        assert await entry_of(dead_letters, before.id) == before

    async def test_resolving_all_entries_leaves_those_resolved_before_alone(self, dead_letters: DLQRepository) -> None:
        """Thanks to whom and when stays true of them, and they are not counted."""
        dlq_id = await add(dead_letters)
        await dead_letters.mark_resolved(dlq_id, "ann")
        before = await entry_of(dead_letters, dlq_id)

        counts = [await dead_letters.resolve_failed_events(name, "bob") for name in (VISITS, "nobody's")]

        assert (counts, await entry_of(dead_letters, dlq_id)) == ([0, 0], before)

    async def test_an_entry_that_is_tried_again_says_so(self, dead_letters: DLQRepository) -> None:
        """Nothing else of it changes."""
        dlq_id = await add(dead_letters)
        before = await entry_of(dead_letters, dlq_id)

        assert await dead_letters.mark_retrying(dlq_id) is True

        after = await entry_of(dead_letters, dlq_id)
        assert after.status == "retrying"
        assert (after.retry_count, after.last_failed_at) == (before.retry_count, before.last_failed_at)

    async def test_a_resolved_entry_may_be_tried_again(self, dead_letters: DLQRepository) -> None:
        """It is not resolved any more, by nobody and at no time."""
        dlq_id = await add(dead_letters)
        await dead_letters.mark_resolved(dlq_id, "ann")

        await dead_letters.mark_retrying(dlq_id)

        entry = await entry_of(dead_letters, dlq_id)
        assert (entry.status, entry.resolved_at, entry.resolved_by) == ("retrying", None, None)
        assert await dead_letters.delete_resolved_events(0) == 0

    async def test_an_entry_that_nobody_knows_is_not_marked(self, dead_letters: DLQRepository) -> None:
        """That is no error, but it is told."""
        dlq_id = await add(dead_letters)

        assert await dead_letters.mark_resolved(dlq_id + 1, "ann") is False
        assert await dead_letters.mark_retrying(dlq_id + 1) is False
        assert (await entry_of(dead_letters, dlq_id)).status == "failed"

    @pytest.mark.parametrize("status", ["retrying", "resolved"])
    async def test_an_entry_whose_event_fails_again_is_failed(
        self, dead_letters: DLQRepository, event: Opened, status: str
    ) -> None:
        """Whatever somebody thought of it; that it was resolved is forgotten."""
        dlq_id = await add(dead_letters, event)
        await (
            dead_letters.mark_retrying(dlq_id) if status == "retrying" else dead_letters.mark_resolved(dlq_id, "ann")
        )

        assert await add(dead_letters, event) == dlq_id

        entry = await entry_of(dead_letters, dlq_id)
        assert (entry.status, entry.resolved_at, entry.resolved_by) == ("failed", None, None)
        assert await dead_letters.get_failed_events(VISITS) == [entry]
        assert await dead_letters.delete_resolved_events(0) == 0

    async def test_what_was_just_resolved_can_be_deleted(self, dead_letters: DLQRepository) -> None:
        """An age of 0 days is reached at once; entries that are not resolved stay."""
        failed, retrying, *resolved = [await add(dead_letters) for _ in range(4)]
        await dead_letters.mark_retrying(retrying)
        for dlq_id in resolved:
            await dead_letters.mark_resolved(dlq_id, "ann")

        assert await dead_letters.delete_resolved_events(0) == 2
        assert await dead_letters.delete_resolved_events(0) == 0
        left = await dead_letters.get_failed_events(status=None, oldest_first=True)
        assert [entry.id for entry in left] == [failed, retrying]
        assert await dead_letters.get_failed_event_by_id(resolved[0]) is None

    @pytest.mark.parametrize("days", [30, 1, 0.5])
    async def test_what_was_resolved_lately_stays(self, dead_letters: DLQRepository, days: float) -> None:
        """Only entries of the given age are deleted, and parts of days count."""
        dlq_id = await add(dead_letters)
        await dead_letters.mark_resolved(dlq_id, "ann")

        assert await dead_letters.delete_resolved_events(days) == 0
        assert await dead_letters.delete_resolved_events() == 0
        assert (await entry_of(dead_letters, dlq_id)).status == "resolved"

    async def test_a_moment_decides_what_is_deleted(self, dead_letters: DLQRepository) -> None:
        """What was resolved at the very moment that the hook is given goes, what was resolved after it stays."""
        dlq_id = await add(dead_letters)
        await dead_letters.mark_resolved(dlq_id, "ann")
        resolved_at = (await entry_of(dead_letters, dlq_id)).resolved_at
        assert resolved_at

        before = await dead_letters._delete_resolved_events(
            DeleteResolvedEvents(resolved_at - timedelta(microseconds=1))
        )
        at = await dead_letters._delete_resolved_events(DeleteResolvedEvents(resolved_at))

        assert (before, at) == (0, 1)

    async def test_an_event_whose_entry_was_deleted_gets_a_new_one(
        self, dead_letters: DLQRepository, event: Opened
    ) -> None:
        """Under an id that was never used, though the entry was the last one."""
        dlq_id = await add(dead_letters, event, event_data="{}")
        await dead_letters.mark_resolved(dlq_id, "ann")
        await dead_letters.delete_resolved_events(0)

        again = await add(dead_letters, event, event_data="[]")

        assert again > dlq_id
        assert (await entry_of(dead_letters, again)).event_data == "[]"
