"""Dead letters in a dictionary."""

from uuid import UUID

import pytest

from eventsource.projections.dead_letters.in_memory import InMemoryDLQRepository
from eventsource.projections.dead_letters.values import DLQStats
from eventsource.testing import DLQRepositoryContract


class TestContract(DLQRepositoryContract):
    @pytest.fixture
    def dead_letters(self) -> InMemoryDLQRepository:
        return InMemoryDLQRepository()


async def test_clearing_forgets_all_entries(door: UUID) -> None:
    """An event that fails afterwards gets an entry with its own data."""
    dead_letters = InMemoryDLQRepository()
    await dead_letters.add_failed_event(door, "visits", "Opened", "{}", ValueError())

    await dead_letters.clear()

    assert await dead_letters.get_failed_events(status=None) == []
    assert await dead_letters.get_failure_stats() == DLQStats()
    await dead_letters.add_failed_event(door, "visits", "Opened", "[]", ValueError())
    assert [entry.event_data for entry in await dead_letters.get_failed_events()] == ["[]"]


def test_it_names_itself() -> None:
    """What an instrumentation reads is public data."""
    assert (InMemoryDLQRepository.system, InMemoryDLQRepository().namespace) == ("memory", None)
    assert InMemoryDLQRepository(enable_tracing=False).enable_tracing is False
