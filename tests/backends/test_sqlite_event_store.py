"""Events in a SQLite file: the contract, and how events look in the table."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing import EventStoreContract


class TestContractOfAFile(EventStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SQLiteEventStore]:
        async with SQLiteEventStore(tmp_path / "events.db", synchronous="OFF") as store:
            yield store


class TestContractOfMemory(EventStoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[SQLiteEventStore]:
        async with SQLiteEventStore(":memory:") as store:
            yield store
