"""The dead-letter repository that a contract is about."""

from typing import Any, ClassVar
from uuid import uuid4

import pytest

from eventsource.events.base import DomainEvent
from eventsource.projections.dead_letters.interface import DLQRepository
from eventsource.projections.dead_letters.values import DLQEntry
from eventsource.testing.events import Opened

VISITS = "visits"
OPEN_DOORS = "open doors"
"""The names of two projections."""


@pytest.mark.asyncio
class DLQRepositorySubject:
    """The fixtures of the contracts of dead-letter repositories; they run in both modes of pytest-asyncio."""

    nul: ClassVar[str] = "\0"
    """What becomes of this character; where a database cannot store it, override this with what it writes instead."""

    @pytest.fixture
    def dead_letters(self) -> DLQRepository:
        """Return an open repository without entries; a backend's test class says which."""
        raise NotImplementedError(
            "override the fixture 'dead_letters' with one that yields an open, empty dead-letter repository"
        )

    @pytest.fixture
    def event(self) -> Opened:
        """Return an event that a projection cannot handle."""
        return Opened(aggregate_id=uuid4())


async def add(
    dead_letters: DLQRepository, event: DomainEvent | None = None, projection_name: str = VISITS, **arguments: Any
) -> int:
    """Keep *event*, or a new one, and return the id of its entry."""
    event = event or Opened(aggregate_id=uuid4())
    arguments = {"error": ValueError("no such door"), "event_data": event.to_dict(), **arguments}
    return await dead_letters.add_failed_event(event.event_id, projection_name, event.event_type, **arguments)


async def entry_of(dead_letters: DLQRepository, dlq_id: int) -> DLQEntry:
    """Return an entry that must be there."""
    entry = await dead_letters.get_failed_event_by_id(dlq_id)
    if entry is None:
        raise LookupError(f"there is no entry {dlq_id}")
    return entry
