# ruff: noqa: S101 - contracts assert, as tests do
"""What a checkpoint repository promises about the right to move a checkpoint."""

import asyncio

import pytest

from eventsource.exceptions import CheckpointConflictError
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.testing.checkpoint_repository_subject import OPEN_DOORS, VISITS, CheckpointRepositorySubject
from eventsource.testing.events import Opened

TASKS = 32
LONG, SHORT = 600, 0.05
"""Seconds that no test lasts, and seconds that a test may wait."""


class LeasingContract(CheckpointRepositorySubject):
    """One owner at a time has the lease of a projection, until it is released or runs out."""

    async def test_who_gets_the_lease_gets_the_checkpoint(
        self, checkpoints: CheckpointRepository, event: Opened
    ) -> None:
        """It says where to go on."""
        await checkpoints.save_position(VISITS, 5, event.event_id, event.event_type)

        data = await checkpoints.acquire_lease(VISITS, "ann", LONG)

        assert data
        assert data.global_position == 5
        assert data == await checkpoints.get_checkpoint_data(VISITS)

    async def test_a_lease_is_no_beginning(self, checkpoints: CheckpointRepository) -> None:
        """Whoever gets one for a projection that nobody knows gets an empty checkpoint, and nobody else sees one."""
        data = await checkpoints.acquire_lease(VISITS, "ann", LONG)

        assert data == CheckpointData(VISITS)
        assert await checkpoints.get_checkpoint_data(VISITS) is None
        assert await checkpoints.get_all_checkpoints() == []

    async def test_a_second_owner_is_refused(self, checkpoints: CheckpointRepository) -> None:
        """Asking takes nothing from the first one."""
        await checkpoints.acquire_lease(VISITS, "ann", LONG)

        assert await checkpoints.acquire_lease(VISITS, "bob", LONG) is None
        await checkpoints.save_position(VISITS, 1, None, None, owner="ann")
        assert await checkpoints.get_position(VISITS) == 1

    async def test_one_of_many_who_ask_at_once_gets_the_lease(self, checkpoints: CheckpointRepository) -> None:
        """All others are refused, and only that one may move the checkpoint."""
        owners = [f"runner {number}" for number in range(TASKS)]

        outcomes = await asyncio.gather(*(checkpoints.acquire_lease(VISITS, owner, LONG) for owner in owners))

        winners = [owner for owner, data in zip(owners, outcomes, strict=True) if data is not None]
        saves = [checkpoints.save_position(VISITS, 1, None, None, owner=owner) for owner in owners]
        moves = await asyncio.gather(*saves, return_exceptions=True)
        assert len(winners) == 1
        assert [owner for owner, outcome in zip(owners, moves, strict=True) if outcome is None] == winners

    async def test_an_owner_may_ask_again(self, checkpoints: CheckpointRepository) -> None:
        """Renewing a lease tells where the checkpoint is by now."""
        await checkpoints.acquire_lease(VISITS, "ann", LONG)
        await checkpoints.save_position(VISITS, 3, None, None, owner="ann")

        data = await checkpoints.acquire_lease(VISITS, "ann", LONG)

        assert data == CheckpointData(VISITS, events_processed=1, global_position=3)
        assert await checkpoints.acquire_lease(VISITS, "bob", LONG) is None

    async def test_a_renewed_lease_lasts_longer(self, checkpoints: CheckpointRepository) -> None:
        """It holds when the one before has run out, as the lease of another projection shows."""
        await checkpoints.acquire_lease(VISITS, "ann", SHORT)
        await checkpoints.acquire_lease(OPEN_DOORS, "ann", SHORT)

        await checkpoints.acquire_lease(VISITS, "ann", LONG)

        await taken_over(checkpoints, OPEN_DOORS, "bob")
        assert await checkpoints.acquire_lease(VISITS, "bob", LONG) is None

    async def test_a_lease_that_ran_out_is_taken_over(self, checkpoints: CheckpointRepository, event: Opened) -> None:
        """Whoever takes it goes on where the one before ended, who may neither move nor ask any more."""
        await checkpoints.acquire_lease(VISITS, "ann", SHORT)
        await checkpoints.save_position(VISITS, 5, event.event_id, event.event_type, owner="ann")

        data = await taken_over(checkpoints, VISITS, "bob")

        assert data == await checkpoints.get_checkpoint_data(VISITS)
        assert await checkpoints.acquire_lease(VISITS, "ann", LONG) is None
        with pytest.raises(CheckpointConflictError, match="may be moved by 'bob', not by 'ann'"):
            await checkpoints.save_position(VISITS, 6, None, None, owner="ann")
        await checkpoints.save_position(VISITS, 7, None, None, owner="bob")
        assert await checkpoints.get_position(VISITS) == 7

    async def test_a_released_lease_is_free(self, checkpoints: CheckpointRepository) -> None:
        """Another owner gets it at once, and with it the checkpoint as it was left."""
        await checkpoints.acquire_lease(VISITS, "ann", LONG)
        await checkpoints.save_position(VISITS, 5, None, None, owner="ann")

        await checkpoints.release_lease(VISITS, "ann")

        data = await checkpoints.acquire_lease(VISITS, "bob", LONG)
        assert data == CheckpointData(VISITS, events_processed=1, global_position=5)

    async def test_who_released_a_lease_may_not_move_the_checkpoint(self, checkpoints: CheckpointRepository) -> None:
        """Though nobody else has it; asking again is enough."""
        await checkpoints.acquire_lease(VISITS, "ann", LONG)
        await checkpoints.release_lease(VISITS, "ann")

        with pytest.raises(CheckpointConflictError, match="may be moved by nobody, not by 'ann'"):
            await checkpoints.save_position(VISITS, 5, None, None, owner="ann")

        assert await checkpoints.acquire_lease(VISITS, "ann", LONG) == CheckpointData(VISITS)
        await checkpoints.save_position(VISITS, 5, None, None, owner="ann")

    async def test_nobody_releases_the_lease_of_another(self, checkpoints: CheckpointRepository) -> None:
        """Trying is no error and does nothing."""
        await checkpoints.acquire_lease(VISITS, "ann", LONG)

        await checkpoints.release_lease(VISITS, "bob")

        assert await checkpoints.acquire_lease(VISITS, "bob", LONG) is None
        await checkpoints.save_position(VISITS, 5, None, None, owner="ann")

    async def test_a_lease_that_nobody_has_may_be_released(self, checkpoints: CheckpointRepository) -> None:
        """That is no error, and the projection has still not begun."""
        await checkpoints.release_lease(VISITS, "ann")

        assert await checkpoints.get_all_checkpoints() == []
        assert await checkpoints.acquire_lease(VISITS, "bob", LONG) == CheckpointData(VISITS)

    async def test_leases_of_two_projections_are_independent(self, checkpoints: CheckpointRepository) -> None:
        """Neither having nor releasing one concerns the other."""
        await checkpoints.acquire_lease(VISITS, "ann", LONG)

        assert await checkpoints.acquire_lease(OPEN_DOORS, "bob", LONG) == CheckpointData(OPEN_DOORS)
        await checkpoints.release_lease(OPEN_DOORS, "bob")
        assert await checkpoints.acquire_lease(VISITS, "bob", LONG) is None

    async def test_only_the_owner_moves_the_checkpoint(self, checkpoints: CheckpointRepository) -> None:
        """Whoever names another owner learns whose lease it is, and nothing was changed."""
        await checkpoints.acquire_lease(VISITS, "ann", LONG)
        await checkpoints.save_position(VISITS, 5, None, None, owner="ann")

        with pytest.raises(CheckpointConflictError, match=r"may be moved by 'ann', not by 'bob'.*acquire the lease"):
            await checkpoints.save_position(VISITS, 6, None, None, owner="bob", expected=5)

        assert await checkpoints.get_checkpoint_data(VISITS) == CheckpointData(
            VISITS, events_processed=1, global_position=5
        )

    async def test_without_a_lease_no_owner_moves_the_checkpoint(self, checkpoints: CheckpointRepository) -> None:
        """Naming oneself is not having the lease, and the projection has still not begun."""
        with pytest.raises(CheckpointConflictError, match="may be moved by nobody"):
            await checkpoints.save_position(VISITS, 5, None, None, owner="ann")

        assert await checkpoints.get_checkpoint_data(VISITS) is None

    async def test_who_names_no_owner_is_not_asked(self, checkpoints: CheckpointRepository, event: Opened) -> None:
        """Leases concern those who use them; moving without one leaves it where it is."""
        await checkpoints.acquire_lease(VISITS, "ann", LONG)

        await checkpoints.save_position(VISITS, 5, None, None)
        await checkpoints.update_checkpoint(VISITS, event.event_id, event.event_type)

        assert await checkpoints.get_position(VISITS) == 5
        assert await checkpoints.acquire_lease(VISITS, "bob", LONG) is None


async def taken_over(checkpoints: CheckpointRepository, name: str, owner: str) -> CheckpointData:
    """Ask for a lease until whoever has it has lost it, and return what *owner* is given then."""
    async with asyncio.timeout(30):
        while True:
            data = await checkpoints.acquire_lease(name, owner, LONG)
            if data is not None:
                return data
            await asyncio.sleep(SHORT / 20)
