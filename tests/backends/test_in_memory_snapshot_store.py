"""Snapshots in a dictionary."""

from uuid import UUID

import pytest

from eventsource.snapshots.in_memory import InMemorySnapshotStore
from eventsource.snapshots.values import Snapshot
from eventsource.testing import SnapshotStoreContract
from eventsource.testing.events import DOOR, NOON


class TestContract(SnapshotStoreContract):
    @pytest.fixture
    async def store(self) -> InMemorySnapshotStore:
        return InMemorySnapshotStore()


async def test_the_very_snapshot_is_kept(door: UUID) -> None:
    """Nothing is copied."""
    store = InMemorySnapshotStore()
    snapshot = Snapshot(door, DOOR, 1, {}, 1, NOON)

    await store.save_snapshot(snapshot)

    assert await store.get_snapshot(door, DOOR) is snapshot


async def test_snapshots_are_counted_until_they_are_cleared(door: UUID) -> None:
    """One of each aggregate counts."""
    store = InMemorySnapshotStore()
    for version in (1, 2):
        await store.save_snapshot(Snapshot(door, DOOR, version, {}, 1, NOON))

    counted = store.snapshot_count
    await store.clear()

    assert (counted, store.snapshot_count) == (1, 0)
    assert await store.get_snapshot(door, DOOR) is None


def test_it_names_itself() -> None:
    """What an instrumentation reads is public data."""
    assert (InMemorySnapshotStore.system, InMemorySnapshotStore().namespace) == ("memory", None)
    assert InMemorySnapshotStore(enable_tracing=False).enable_tracing is False
