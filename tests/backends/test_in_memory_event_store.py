"""Events in a list."""

from uuid import uuid4

import pytest

from eventsource.stores.in_memory import InMemoryEventStore
from eventsource.testing import EventStoreContract
from eventsource.testing.events import DOOR, NEPAL, NOON, opened, opened_at


class TestContract(EventStoreContract):
    @pytest.fixture
    async def store(self) -> InMemoryEventStore:
        return InMemoryEventStore()
