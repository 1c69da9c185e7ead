"""Checkpoints in a dictionary."""

from uuid import UUID

import pytest

from eventsource.projections.checkpoints.in_memory import InMemoryCheckpointRepository
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.stores.interface import EventStore
from eventsource.testing import CheckpointRepositoryContract


class TestContract(CheckpointRepositoryContract):
    @pytest.fixture
    def checkpoints(self, event_store: EventStore) -> InMemoryCheckpointRepository:
        return InMemoryCheckpointRepository(event_store=event_store)


async def test_clearing_forgets_checkpoints_and_leases() -> None:
    """Afterwards it is as new."""
    checkpoints = InMemoryCheckpointRepository()
    await checkpoints.acquire_lease("visits", "ann", 600)
    await checkpoints.save_position("visits", 5, None, None)

    await checkpoints.clear()

    assert await checkpoints.get_all_checkpoints() == []
    assert await checkpoints.acquire_lease("visits", "bob", 600) == CheckpointData("visits")


async def test_without_an_event_store_nobody_is_behind(door: UUID) -> None:
    """What is known of the projection is told all the same."""
    checkpoints = InMemoryCheckpointRepository()
    await checkpoints.update_checkpoint("visits", door, "Opened")

    lag = await checkpoints.get_lag_metrics("visits")

    assert lag
    assert (lag.last_event_id, lag.latest_event_id, lag.lag_seconds) == (str(door), None, 0.0)


def test_it_names_itself() -> None:
    """What an instrumentation reads is public data."""
    assert (InMemoryCheckpointRepository.system, InMemoryCheckpointRepository().namespace) == ("memory", None)
    assert InMemoryCheckpointRepository(enable_tracing=False).enable_tracing is False
