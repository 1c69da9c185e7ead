"""Snapshots in a SQLite file: the contract, and what its table may hold."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventsource.snapshots.sqlite import SQLiteSnapshotStore
from eventsource.testing import SnapshotStoreContract


class TestContractOfAFile(SnapshotStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SQLiteSnapshotStore]:
        async with SQLiteSnapshotStore(tmp_path / "snapshots.db", synchronous="OFF") as store:
            yield store


class TestContractOfMemory(SnapshotStoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[SQLiteSnapshotStore]:
        async with SQLiteSnapshotStore(":memory:") as store:
            yield store
