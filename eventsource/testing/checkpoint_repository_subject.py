"""The checkpoint repository that a contract is about."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.stores.in_memory import InMemoryEventStore
from eventsource.stores.operations import ReadPage
from eventsource.stores.values import StoredEvent
from eventsource.testing.events import Opened

VISITS = "visits"
OPEN_DOORS = "open doors"
"""The names of two projections."""


class FastEventStore(InMemoryEventStore):
    """An event store whose clock is ``ahead`` of everybody else's, or behind it."""

    ahead = timedelta(seconds=90)

    async def _read_page(self, read: ReadPage) -> Sequence[StoredEvent]:
        return [replace(each, stored_at=each.stored_at + self.ahead) for each in await super()._read_page(read)]


@pytest.mark.asyncio
class CheckpointRepositorySubject:
    """The fixtures of the contracts of checkpoint repositories; they run in both modes of pytest-asyncio."""

    @pytest.fixture
    def event_store(self) -> FastEventStore:
        """Return the store in which the repository looks for the newest event."""
        return FastEventStore()

    @pytest.fixture
    def checkpoints(self, event_store: FastEventStore) -> CheckpointRepository:
        """Return an open repository without checkpoints; a backend's test class says which."""
        raise NotImplementedError(
            "override the fixture 'checkpoints' with one that takes the fixture 'event_store' "
            "and yields an open, empty checkpoint repository with it"
        )

    @pytest.fixture
    def event(self) -> Opened:
        """Return an event that a projection has handled."""
        return Opened(aggregate_id=uuid4())
