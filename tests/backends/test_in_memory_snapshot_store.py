"""Snapshots in a dictionary."""

import pytest

from eventsource.snapshots.in_memory import InMemorySnapshotStore
from eventsource.testing import SnapshotStoreContract


class TestContract(SnapshotStoreContract):
    @pytest.fixture
    async def store(self) -> InMemorySnapshotStore:
        return InMemorySnapshotStore()
