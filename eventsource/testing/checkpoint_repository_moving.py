# ruff: noqa: S101 - contracts assert, as tests do
"""What a checkpoint repository promises about moving a checkpoint."""

import asyncio
from datetime import timedelta

import pytest

from eventsource.exceptions import CheckpointConflictError
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.testing.checkpoint_repository_subject import OPEN_DOORS, VISITS, CheckpointRepositorySubject
from eventsource.testing.events import Closed, Opened

TASKS = 32
NAMES = ["visits", "Visits", "visits ", "größe 日本 \U0001f6aa", 'it\'s "quoted" \\ %_', "ab", "a", "x" * 1000]


class MovingContract(CheckpointRepositorySubject):
    """A checkpoint moves forward only, counts what was handled, and is where its movers think, or stays."""

    async def test_a_projection_that_nobody_knows_has_no_checkpoint(self, checkpoints: CheckpointRepository) -> None:
        """Asking for it is no error."""
        assert await checkpoints.get_checkpoint(VISITS) is None
        assert await checkpoints.get_position(VISITS) is None
        assert await checkpoints.get_checkpoint_data(VISITS) is None
        assert await checkpoints.get_all_checkpoints() == []

    async def test_an_update_notes_the_event(self, checkpoints: CheckpointRepository, event: Opened) -> None:
        """Its id, its type and the time, in UTC; a projection that has no position gets none."""
        await checkpoints.update_checkpoint(VISITS, event.event_id, event.event_type)

        data = await checkpoints.get_checkpoint_data(VISITS)
        assert data
        assert (data.projection_name, data.last_event_id, data.last_event_type) == (
            VISITS,
            event.event_id,
            event.event_type,
        )
        assert data.last_processed_at
        assert data.last_processed_at.utcoffset() == timedelta(0)
        assert (data.events_processed, data.global_position, data.replay_until) == (1, None, None)
        assert await checkpoints.get_checkpoint(VISITS) == event.event_id

    async def test_an_update_leaves_the_position(self, checkpoints: CheckpointRepository, event: Opened) -> None:
        """It counts one more event, whichever way the one before was noted."""
        closed = Closed(aggregate_id=event.aggregate_id)
        await checkpoints.save_position(VISITS, 7, event.event_id, event.event_type)

        await checkpoints.update_checkpoint(VISITS, closed.event_id, closed.event_type)

        data = await checkpoints.get_checkpoint_data(VISITS)
        assert data
        assert (data.last_event_id, data.last_event_type) == (closed.event_id, closed.event_type)
        assert (data.events_processed, data.global_position) == (2, 7)

    async def test_a_position_is_saved_with_its_event(self, checkpoints: CheckpointRepository, event: Opened) -> None:
        """All of it comes back, and an event counts once."""
        await checkpoints.save_position(VISITS, 2**40, event.event_id, event.event_type)

        data = await checkpoints.get_checkpoint_data(VISITS)
        assert data
        assert (data.last_event_id, data.last_event_type) == (event.event_id, event.event_type)
        assert (data.events_processed, data.global_position) == (1, 2**40)
        assert data.last_processed_at
        assert data.last_processed_at.utcoffset() == timedelta(0)
        assert await checkpoints.get_position(VISITS) == 2**40
        assert await checkpoints.get_checkpoint(VISITS) == event.event_id

    async def test_the_events_of_a_page_are_counted(self, checkpoints: CheckpointRepository, event: Opened) -> None:
        """As many as whoever saves the position says, none among them."""
        for position, events in ((10, 6), (11, 0), (20, 3)):
            await checkpoints.save_position(VISITS, position, event.event_id, event.event_type, events=events)

        data = await checkpoints.get_checkpoint_data(VISITS)
        assert data
        assert data.events_processed == 9

    async def test_a_position_without_an_event_leaves_the_one_before(
        self, checkpoints: CheckpointRepository, event: Opened
    ) -> None:
        """A page without events that concern the projection moves the position alone."""
        await checkpoints.save_position(VISITS, 3, event.event_id, event.event_type)
        before = await checkpoints.get_checkpoint_data(VISITS)

        await checkpoints.save_position(VISITS, 8, None, None, events=0)

        after = await checkpoints.get_checkpoint_data(VISITS)
        assert before
        assert after
        assert (after.last_event_id, after.last_event_type, after.last_processed_at) == (
            before.last_event_id,
            before.last_event_type,
            before.last_processed_at,
        )
        assert (after.events_processed, after.global_position) == (1, 8)

    async def test_position_0_is_a_beginning(self, checkpoints: CheckpointRepository) -> None:
        """It is told apart from none, though nothing was handled."""
        await checkpoints.save_position(VISITS, 0, None, None, events=0)

        assert await checkpoints.get_position(VISITS) == 0
        assert [data.projection_name for data in await checkpoints.get_all_checkpoints()] == [VISITS]

    @pytest.mark.parametrize("position", [0, 4])
    async def test_a_checkpoint_never_goes_back(
        self, checkpoints: CheckpointRepository, event: Opened, position: int
    ) -> None:
        """The error names the projection, and nothing was changed."""
        await checkpoints.save_position(VISITS, 5, event.event_id, event.event_type)
        before = await checkpoints.get_checkpoint_data(VISITS)

        with pytest.raises(CheckpointConflictError, match=f"'{VISITS}' is at 5 and cannot go back") as refused:
            await checkpoints.save_position(VISITS, position, Opened(aggregate_id=event.aggregate_id).event_id, "other")

        assert refused.value.projection_name == VISITS
        assert await checkpoints.get_checkpoint_data(VISITS) == before

    async def test_the_same_position_may_be_saved_again(self, checkpoints: CheckpointRepository, event: Opened) -> None:
        """To stand still is not to go back."""
        await checkpoints.save_position(VISITS, 5, None, None)

        await checkpoints.save_position(VISITS, 5, event.event_id, event.event_type)

        assert await checkpoints.get_position(VISITS) == 5
        assert await checkpoints.get_checkpoint(VISITS) == event.event_id

    @pytest.mark.parametrize("position", [5, 6, 50])
    async def test_a_checkpoint_that_is_where_it_is_expected_moves(
        self, checkpoints: CheckpointRepository, event: Opened, position: int
    ) -> None:
        """What was read is still true."""
        await checkpoints.save_position(VISITS, 5, None, None)

        await checkpoints.save_position(VISITS, position, event.event_id, event.event_type, expected=5)

        assert await checkpoints.get_position(VISITS) == position

    @pytest.mark.parametrize("expected", [0, 4, 6, 9])
    async def test_a_checkpoint_that_is_elsewhere_than_expected_stays(
        self, checkpoints: CheckpointRepository, event: Opened, expected: int
    ) -> None:
        """The error tells both positions, and nothing was changed."""
        await checkpoints.save_position(VISITS, 5, event.event_id, event.event_type)
        before = await checkpoints.get_checkpoint_data(VISITS)

        with pytest.raises(CheckpointConflictError, match=f"is at 5, expected {expected}"):
            await checkpoints.save_position(VISITS, 9, None, None, expected=expected)

        assert await checkpoints.get_checkpoint_data(VISITS) == before

    @pytest.mark.parametrize("expected", [0, 9])
    async def test_a_projection_that_has_not_begun_is_nowhere(
        self, checkpoints: CheckpointRepository, expected: int
    ) -> None:
        """No expectation is met, not that of position 0 either, and it has still not begun."""
        with pytest.raises(CheckpointConflictError, match=f"expected {expected}"):
            await checkpoints.save_position(VISITS, 9, None, None, expected=expected)

        assert await checkpoints.get_checkpoint_data(VISITS) is None

    async def test_one_of_several_who_expect_the_same_moves_it(self, checkpoints: CheckpointRepository) -> None:
        """All others learn that it was moved."""
        await checkpoints.save_position(VISITS, 5, None, None)
        positions = range(6, 6 + TASKS)

        outcomes = await asyncio.gather(
            *(checkpoints.save_position(VISITS, position, None, None, expected=5) for position in positions),
            return_exceptions=True,
        )

        winners = [position for position, outcome in zip(positions, outcomes, strict=True) if outcome is None]
        assert [await checkpoints.get_position(VISITS)] == winners
        assert sum(isinstance(outcome, CheckpointConflictError) for outcome in outcomes) == TASKS - 1

    async def test_updates_at_once_are_all_counted(self, checkpoints: CheckpointRepository, event: Opened) -> None:
        """None of them overwrites another."""
        await asyncio.gather(
            *(checkpoints.update_checkpoint(VISITS, event.event_id, event.event_type) for _ in range(TASKS))
        )

        data = await checkpoints.get_checkpoint_data(VISITS)
        assert data
        assert data.events_processed == TASKS

    async def test_projections_do_not_move_one_another(self, checkpoints: CheckpointRepository, event: Opened) -> None:
        """Each has a checkpoint of its own."""
        await checkpoints.save_position(VISITS, 9, event.event_id, event.event_type)

        await checkpoints.save_position(OPEN_DOORS, 2, None, None)

        assert [await checkpoints.get_position(name) for name in (VISITS, OPEN_DOORS)] == [9, 2]
        assert await checkpoints.get_checkpoint(OPEN_DOORS) is None

    async def test_every_name_is_kept_apart(self, checkpoints: CheckpointRepository, event: Opened) -> None:
        """A name may be any text, and all checkpoints are told in the order of names."""
        for position, name in enumerate(NAMES):
            await checkpoints.save_position(name, position, event.event_id, event.event_type)

        assert [await checkpoints.get_position(name) for name in NAMES] == list(range(len(NAMES)))
        told = await checkpoints.get_all_checkpoints()
        assert [data.projection_name for data in told] == sorted(NAMES)
        assert told == [await checkpoints.get_checkpoint_data(name) for name in sorted(NAMES)]
