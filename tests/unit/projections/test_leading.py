"""Getting, keeping and giving back the lease of a projection."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.projections.leading import Leadership

New = Callable[..., Any]


def leadership(checkpoints: Any, seconds: float = 0.03) -> Leadership:
    """What *me* has to get the lease with."""
    return Leadership(checkpoints, "recorder", "me", seconds)


async def test_a_free_lease_comes_with_the_checkpoint(checkpoints: Any) -> None:
    """Both in one step, so that nobody moves it in between."""
    await checkpoints.save_position("recorder", 5, None, None, events=0)

    checkpoint = await leadership(checkpoints, 3600.0).acquire()

    assert checkpoint == CheckpointData("recorder", global_position=5)
    assert await checkpoints.acquire_lease("recorder", "somebody", 1.0) is None


async def test_one_that_is_taken_does_not(checkpoints: Any) -> None:
    """Whoever wants it asks again."""
    await checkpoints.acquire_lease("recorder", "somebody", 3600.0)

    assert await leadership(checkpoints).acquire() is None


class TestHolding:
    async def test_it_is_renewed_and_the_checkpoint_told(self, checkpoints: Any, until: New) -> None:
        """As long as the block takes."""
        told: list[CheckpointData | None] = []
        await checkpoints.acquire_lease("recorder", "me", 0.03)

        async with leadership(checkpoints).held(told.append):
            await until(lambda: len(told) > 2)

        assert [each and each.projection_name for each in told[:3]] == ["recorder"] * 3

    async def test_a_loss_is_told(self, checkpoints: Any, until: New) -> None:
        """As the lack of a checkpoint."""
        told: list[CheckpointData | None] = []
        await checkpoints.acquire_lease("recorder", "somebody", 3600.0)

        async with leadership(checkpoints).held(told.append):
            await until(lambda: told)

        assert told[0] is None

    async def test_it_is_given_back_afterwards(self, checkpoints: Any) -> None:
        """Also after an error."""
        await checkpoints.acquire_lease("recorder", "me", 3600.0)

        with pytest.raises(KeyError):
            async with leadership(checkpoints, 3600.0).held(lambda checkpoint: None):
                raise KeyError("mine")

        assert await checkpoints.acquire_lease("recorder", "somebody", 1.0) is not None

    async def test_that_of_another_one_stays_where_it_is(self, checkpoints: Any) -> None:
        """Nobody gives back what is not his."""
        await checkpoints.acquire_lease("recorder", "somebody", 3600.0)

        async with leadership(checkpoints, 3600.0).held(lambda checkpoint: None):
            pass

        assert await checkpoints.acquire_lease("recorder", "third", 1.0) is None

    async def test_nothing_is_renewed_afterwards(self, checkpoints: Any) -> None:
        """The task that does it has ended."""
        before = asyncio.all_tasks()

        async with leadership(checkpoints).held(lambda checkpoint: None):
            during = asyncio.all_tasks() - before

        assert (len(during), asyncio.all_tasks()) == (1, before)

    @pytest.mark.parametrize("error", [OSError("gone"), asyncio.CancelledError()], ids=["failed", "cancelled"])
    async def test_a_renewal_that_fails_is_tried_again(
        self, checkpoints: Any, until: New, error: BaseException, caplog: pytest.LogCaptureFixture
    ) -> None:
        """And is on record."""
        told: list[CheckpointData | None] = []
        await checkpoints.acquire_lease("recorder", "me", 3600.0)
        checkpoints.lease_error = error

        async with leadership(checkpoints).held(told.append):
            await until(lambda: checkpoints.failures > 1)
            checkpoints.lease_error = None
            await until(lambda: told)

        assert "The lease of projection recorder was not renewed" in caplog.text
