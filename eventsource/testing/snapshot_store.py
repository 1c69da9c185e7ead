# ruff: noqa: S101 - contracts assert, as tests do
"""What every snapshot store promises."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import pytest

from eventsource.snapshots.interface import SnapshotStore
from eventsource.snapshots.values import Snapshot
from eventsource.testing.events import DOOR, NEPAL, NOON

Use: TypeAlias = Callable[[Any, Snapshot], Awaitable[object]]

HOOKS = {
    "save_snapshot": "_save_snapshot",
    "get_snapshot": "_get_snapshot",
    "delete_snapshot": "_delete_snapshot",
    "snapshot_exists": "_snapshot_exists",
    "delete_snapshots_by_type": "_delete_snapshots",
}
STATES: dict[str, dict[str, Any]] = {
    "no values": {},
    "values of all kinds": {"open": True, "by": None, "count": 2**60, "width": 0.1 + 0.2},
    "containers": {"": [], "visits": [{"who": ["a", {"b": [1]}]}]},
    "text": {"größe": "日本 \U0001f6aa \u0000 \u2028 \"quoted\" \\ 'single'"},
}
WRONG_USES: dict[str, tuple[str, Use]] = {
    "save a state": ("snapshot", lambda store, snapshot: store.save_snapshot(snapshot.state)),
    "save nothing": ("snapshot", lambda store, snapshot: store.save_snapshot(None)),
    "get by text": ("aggregate_id", lambda store, snapshot: store.get_snapshot(str(snapshot.aggregate_id), DOOR)),
    "get without type": ("aggregate_type", lambda store, snapshot: store.get_snapshot(snapshot.aggregate_id, None)),
    "look by text": ("aggregate_id", lambda store, snapshot: store.snapshot_exists(str(snapshot.aggregate_id), DOOR)),
    "look by class": ("aggregate_type", lambda store, snapshot: store.snapshot_exists(snapshot.aggregate_id, Snapshot)),
    "delete by text": ("aggregate_id", lambda store, snapshot: store.delete_snapshot(str(snapshot.aggregate_id), DOOR)),
    "delete without type": (
        "aggregate_type",
        lambda store, snapshot: store.delete_snapshot(snapshot.aggregate_id, None),
    ),
    "delete all without type": ("aggregate_type", lambda store, snapshot: store.delete_snapshots_by_type(None)),
    "delete all below text": (
        "schema_version_below",
        lambda store, snapshot: store.delete_snapshots_by_type(DOOR, "9"),
    ),
}


@pytest.mark.asyncio
class SnapshotStoreContract:
    """
    What every snapshot store promises; a backend's test class overrides the fixture ``store``.

    The fixture gives each test an open store without snapshots.
    """

    @pytest.fixture
    def store(self) -> SnapshotStore:
        """Return an open store without snapshots; a backend's test class says which."""
        raise NotImplementedError("override the fixture 'store' with one that yields an open, empty snapshot store")

    @pytest.fixture
    def snapshot(self) -> Snapshot:
        """Return a snapshot of an aggregate that nobody knows yet."""
        return Snapshot(uuid4(), DOOR, 5, {"open": True}, 1, NOON)

    async def test_an_aggregate_without_a_snapshot_has_none(self, store: SnapshotStore) -> None:
        """Asking for it is no error."""
        assert await store.get_snapshot(uuid4(), DOOR) is None
        assert not await store.snapshot_exists(uuid4(), DOOR)

    async def test_what_is_read_equals_what_was_saved(self, store: SnapshotStore, snapshot: Snapshot) -> None:
        """All of the snapshot comes back."""
        await store.save_snapshot(snapshot)

        assert await store.get_snapshot(snapshot.aggregate_id, DOOR) == snapshot
        assert await store.snapshot_exists(snapshot.aggregate_id, DOOR)

    @pytest.mark.parametrize("state", STATES.values(), ids=STATES)
    async def test_every_state_survives(self, store: SnapshotStore, snapshot: Snapshot, state: dict[str, Any]) -> None:
        """A state is whatever JSON can hold."""
        snapshot = replace(snapshot, state=state)

        await store.save_snapshot(snapshot)

        assert await store.get_snapshot(snapshot.aggregate_id, DOOR) == snapshot

    @pytest.mark.parametrize(
        "created_at",
        [NOON.astimezone(NEPAL), NOON.replace(tzinfo=None), NOON + timedelta(microseconds=1)],
        ids=str,
    )
    async def test_the_time_survives(self, store: SnapshotStore, snapshot: Snapshot, created_at: Any) -> None:
        """With its offset, without one, to the microsecond."""
        await store.save_snapshot(replace(snapshot, created_at=created_at))

        read = await store.get_snapshot(snapshot.aggregate_id, DOOR)

        assert read
        assert read.created_at == created_at
        assert read.created_at.utcoffset() == created_at.utcoffset()

    @pytest.mark.parametrize("version", [4, 5, 6])
    async def test_a_snapshot_replaces_the_one_before(
        self, store: SnapshotStore, snapshot: Snapshot, version: int
    ) -> None:
        """There is one of each aggregate: the last that was saved, though its version be lower."""
        later = replace(snapshot, version=version, state={"open": False}, schema_version=2)
        await store.save_snapshot(snapshot)

        await store.save_snapshot(later)

        assert await store.get_snapshot(snapshot.aggregate_id, DOOR) == later
        assert await store.delete_snapshots_by_type(DOOR) == 1

    async def test_id_and_type_name_an_aggregate(self, store: SnapshotStore, snapshot: Snapshot) -> None:
        """The same id under another type is another aggregate."""
        gate = replace(snapshot, aggregate_type="Gate", version=9)
        await store.save_snapshot(snapshot)
        await store.save_snapshot(gate)

        assert await store.get_snapshot(snapshot.aggregate_id, DOOR) == snapshot
        assert await store.get_snapshot(snapshot.aggregate_id, "Gate") == gate
        assert not await store.snapshot_exists(snapshot.aggregate_id, "gate")

    async def test_a_deleted_snapshot_is_gone(self, store: SnapshotStore, snapshot: Snapshot) -> None:
        """Deleting tells whether there was one."""
        await store.save_snapshot(snapshot)

        assert await store.delete_snapshot(snapshot.aggregate_id, DOOR) is True
        assert await store.delete_snapshot(snapshot.aggregate_id, DOOR) is False
        assert await store.get_snapshot(snapshot.aggregate_id, DOOR) is None

    async def test_deleting_one_snapshot_leaves_the_others(self, store: SnapshotStore, snapshot: Snapshot) -> None:
        """Neither another id nor another type is meant."""
        others = [replace(snapshot, aggregate_id=uuid4()), replace(snapshot, aggregate_type="Gate")]
        for each in (snapshot, *others):
            await store.save_snapshot(each)

        await store.delete_snapshot(snapshot.aggregate_id, DOOR)

        assert [await self._is_there(store, each) for each in (snapshot, *others)] == [False, True, True]

    async def test_the_snapshots_of_a_type_are_deleted(self, store: SnapshotStore, snapshot: Snapshot) -> None:
        """Deleting a type tells how many there were, and leaves other types alone."""
        twin, gate = replace(snapshot, aggregate_id=uuid4()), replace(snapshot, aggregate_type="Gate")
        for each in (snapshot, twin, gate):
            await store.save_snapshot(each)

        assert await store.delete_snapshots_by_type(DOOR) == 2
        assert await store.delete_snapshots_by_type(DOOR) == 0
        assert [await self._is_there(store, each) for each in (snapshot, twin, gate)] == [False, False, True]

    @pytest.mark.parametrize(("limit", "left"), [(0, [1, 2, 3]), (1, [1, 2, 3]), (2, [2, 3]), (3, [3]), (4, [])])
    async def test_snapshots_of_older_schemas_are_deleted(
        self, store: SnapshotStore, snapshot: Snapshot, limit: int, left: list[int]
    ) -> None:
        """Only those below the given schema version go."""
        snapshots = [replace(snapshot, aggregate_id=uuid4(), schema_version=version) for version in (1, 2, 3)]
        for each in snapshots:
            await store.save_snapshot(each)

        assert await store.delete_snapshots_by_type(DOOR, schema_version_below=limit) == 3 - len(left)
        assert [each.schema_version for each in snapshots if await self._is_there(store, each)] == left

    async def test_many_tasks_may_save_at_once(self, store: SnapshotStore, snapshot: Snapshot) -> None:
        """One of the snapshots of an aggregate stays, whole; those of other aggregates are all there."""
        rivals = [replace(snapshot, version=number, state={"number": number}) for number in range(32)]
        others = [replace(snapshot, aggregate_id=uuid4()) for _ in range(32)]

        await asyncio.gather(*(store.save_snapshot(each) for each in (*rivals, *others)))

        assert await store.get_snapshot(snapshot.aggregate_id, DOOR) in rivals
        assert all([await self._is_there(store, each) for each in others])

    @pytest.mark.parametrize(("name", "use"), WRONG_USES.values(), ids=WRONG_USES)
    async def test_arguments_of_another_type_are_refused(
        self, store: SnapshotStore, snapshot: Snapshot, name: str, use: Use
    ) -> None:
        """The error names the argument; nothing is found, kept or deleted."""
        await store.save_snapshot(snapshot)

        with pytest.raises(TypeError, match=f"{name} must be "):
            await use(store, snapshot)

        assert await store.get_snapshot(snapshot.aggregate_id, DOOR) == snapshot

    @pytest.mark.parametrize("method", ["get_snapshot", "delete_snapshot", "snapshot_exists"])
    async def test_an_empty_type_is_refused(self, store: SnapshotStore, method: str) -> None:
        """An aggregate without a type could not be named."""
        with pytest.raises(ValueError, match="aggregate_type"):
            await getattr(store, method)(uuid4(), "")

    @pytest.mark.parametrize(("method", "hook"), HOOKS.items())
    async def test_overriding_a_final_method_names_the_hook(self, store: SnapshotStore, method: str, hook: str) -> None:
        """Who overrides a public method learns at once what to implement instead."""
        with pytest.raises(TypeError, match=f"hook {hook} instead"):
            type("Overriding", (type(store),), {method: lambda self: None})

    async def _is_there(self, store: SnapshotStore, snapshot: Snapshot) -> bool:
        key: tuple[UUID, str] = snapshot.aggregate_id, snapshot.aggregate_type
        return await store.snapshot_exists(*key) and await store.get_snapshot(*key) == snapshot
