# ruff: noqa: S101 - contracts assert, as tests do
"""What a checkpoint repository promises about beginning again."""

import pytest

from eventsource.exceptions import CheckpointConflictError
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.testing.checkpoint_repository_subject import OPEN_DOORS, VISITS, CheckpointRepositorySubject
from eventsource.testing.events import Opened


class ResettingContract(CheckpointRepositorySubject):
    """A reset forgets what was handled and nothing else, and tells how far events come for the second time."""

    async def test_a_projection_that_nobody_knows_may_be_reset(self, checkpoints: CheckpointRepository) -> None:
        """That is no error, and the projection has still not begun."""
        await checkpoints.reset_checkpoint(VISITS)

        assert await checkpoints.get_checkpoint_data(VISITS) is None
        assert await checkpoints.get_all_checkpoints() == []

    async def test_a_reset_forgets_what_was_handled(self, checkpoints: CheckpointRepository, event: Opened) -> None:
        """The projection is as if it had never begun; another one's checkpoint stays."""
        for name in (VISITS, OPEN_DOORS):
            await checkpoints.save_position(name, 5, event.event_id, event.event_type)

        await checkpoints.reset_checkpoint(VISITS)

        assert await checkpoints.get_checkpoint(VISITS) is None
        assert await checkpoints.get_position(VISITS) is None
        assert await checkpoints.get_checkpoint_data(VISITS) is None
        assert [data.projection_name for data in await checkpoints.get_all_checkpoints()] == [OPEN_DOORS]

    async def test_events_are_counted_anew_after_a_reset(
        self, checkpoints: CheckpointRepository, event: Opened
    ) -> None:
        """The position may be lower than before."""
        await checkpoints.save_position(VISITS, 5, event.event_id, event.event_type, events=5)
        await checkpoints.reset_checkpoint(VISITS)

        await checkpoints.save_position(VISITS, 2, None, None)

        assert await checkpoints.get_checkpoint_data(VISITS) == CheckpointData(
            VISITS, events_processed=1, global_position=2
        )

    @pytest.mark.parametrize("expected", [0, 5])
    async def test_who_goes_on_after_a_reset_is_stopped(self, checkpoints: CheckpointRepository, expected: int) -> None:
        """No expectation is met, neither that of the position before nor that of 0."""
        await checkpoints.save_position(VISITS, 5, None, None)
        await checkpoints.reset_checkpoint(VISITS)

        with pytest.raises(CheckpointConflictError, match=f"has been reset, expected {expected}"):
            await checkpoints.save_position(VISITS, 6, None, None, expected=expected)

        assert await checkpoints.get_checkpoint_data(VISITS) is None

    async def test_a_reset_leaves_the_lease(self, checkpoints: CheckpointRepository) -> None:
        """Whoever has it is still the only one who may move the checkpoint."""
        await checkpoints.acquire_lease(VISITS, "ann", 60)
        await checkpoints.save_position(VISITS, 5, None, None, owner="ann")

        await checkpoints.reset_checkpoint(VISITS)

        assert await checkpoints.acquire_lease(VISITS, "bob", 60) is None
        await checkpoints.save_position(VISITS, 1, None, None, owner="ann")
        assert await checkpoints.get_position(VISITS) == 1

    async def test_who_gets_the_lease_learns_how_far_to_replay(self, checkpoints: CheckpointRepository) -> None:
        """The projection has not begun, but whoever is to run it knows up to where events were handled before."""
        await checkpoints.save_position(VISITS, 9, None, None)

        await checkpoints.reset_checkpoint(VISITS, replay_until=9)

        assert await checkpoints.get_checkpoint_data(VISITS) is None
        assert await checkpoints.acquire_lease(VISITS, "ann", 60) == CheckpointData(VISITS, replay_until=9)

    async def test_a_replay_lasts_until_its_end_is_reached(
        self, checkpoints: CheckpointRepository, event: Opened
    ) -> None:
        """Neither a position before that nor an event without a position ends it."""
        await checkpoints.reset_checkpoint(VISITS, replay_until=9)

        await checkpoints.save_position(VISITS, 8, None, None)
        await checkpoints.update_checkpoint(VISITS, event.event_id, event.event_type)

        data = await checkpoints.get_checkpoint_data(VISITS)
        assert data
        assert (data.global_position, data.events_processed, data.replay_until) == (8, 2, 9)

    @pytest.mark.parametrize("position", [9, 10])
    async def test_a_replay_ends_with_the_save_that_reaches_its_end(
        self, checkpoints: CheckpointRepository, position: int
    ) -> None:
        """From there on events are handled for the first time."""
        await checkpoints.reset_checkpoint(VISITS, replay_until=9)
        await checkpoints.save_position(VISITS, 8, None, None)

        await checkpoints.save_position(VISITS, position, None, None)

        assert await checkpoints.get_checkpoint_data(VISITS) == CheckpointData(
            VISITS, events_processed=2, global_position=position
        )

    async def test_a_refused_save_ends_no_replay(self, checkpoints: CheckpointRepository) -> None:
        """Nothing was changed, that neither."""
        await checkpoints.reset_checkpoint(VISITS, replay_until=9)
        await checkpoints.save_position(VISITS, 8, None, None)

        with pytest.raises(CheckpointConflictError):
            await checkpoints.save_position(VISITS, 10, None, None, expected=7)

        data = await checkpoints.get_checkpoint_data(VISITS)
        assert data
        assert data.replay_until == 9

    async def test_the_last_reset_says_how_far_to_replay(self, checkpoints: CheckpointRepository) -> None:
        """One that says nothing means that nothing was handled before."""
        await checkpoints.reset_checkpoint(VISITS, replay_until=9)

        await checkpoints.reset_checkpoint(VISITS)

        assert await checkpoints.acquire_lease(VISITS, "ann", 60) == CheckpointData(VISITS)
