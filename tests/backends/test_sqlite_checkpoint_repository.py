"""Checkpoints in a SQLite file: the contract, and what several connections to it and other tables in it mean."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.exceptions import CheckpointConflictError, DatabaseError, NotConnectedError
from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.stores.interface import EventStore
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing import CheckpointRepositoryContract
from eventsource.testing.events import DOOR, opened

Sql = Callable[..., list[tuple[Any, ...]]]

USES: dict[str, Callable[[SQLiteCheckpointRepository], Any]] = {
    "get_checkpoint": lambda checkpoints: checkpoints.get_checkpoint("visits"),
    "get_position": lambda checkpoints: checkpoints.get_position("visits"),
    "get_checkpoint_data": lambda checkpoints: checkpoints.get_checkpoint_data("visits"),
    "get_all_checkpoints": lambda checkpoints: checkpoints.get_all_checkpoints(),
    "get_lag_metrics": lambda checkpoints: checkpoints.get_lag_metrics("visits"),
    "update_checkpoint": lambda checkpoints: checkpoints.update_checkpoint("visits", UUID(int=1), "Opened"),
    "save_position": lambda checkpoints: checkpoints.save_position("visits", 5, None, None),
    "reset_checkpoint": lambda checkpoints: checkpoints.reset_checkpoint("visits"),
    "acquire_lease": lambda checkpoints: checkpoints.acquire_lease("visits", "ann", 600),
    "release_lease": lambda checkpoints: checkpoints.release_lease("visits", "ann"),
}


class TestContractOfAFile(CheckpointRepositoryContract):
    @pytest.fixture
    async def checkpoints(self, tmp_path: Path, event_store: EventStore) -> AsyncIterator[SQLiteCheckpointRepository]:
        path = tmp_path / "checkpoints.db"
        async with SQLiteCheckpointRepository(path, event_store=event_store, synchronous="OFF") as checkpoints:
            yield checkpoints


class TestContractOfMemory(CheckpointRepositoryContract):
    @pytest.fixture
    async def checkpoints(self, event_store: EventStore) -> AsyncIterator[SQLiteCheckpointRepository]:
        async with SQLiteCheckpointRepository(":memory:", event_store=event_store) as checkpoints:
            yield checkpoints


@pytest.fixture
async def rivals(path: Path) -> AsyncIterator[list[SQLiteCheckpointRepository]]:
    """Repositories that share a file and no connection, as those of several processes do."""
    first = SQLiteCheckpointRepository(path, synchronous="OFF")
    second = SQLiteCheckpointRepository(path, synchronous="OFF", busy_timeout=20_000)
    async with first, second:
        yield [first, second]


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_it_cannot_be_used_while_it_is_not_open(path: Path, use: Callable[..., Any]) -> None:
    """Neither before it was opened nor after it was closed."""
    checkpoints = SQLiteCheckpointRepository(path)

    with pytest.raises(NotConnectedError, match="async with"):
        await use(checkpoints)
    async with checkpoints:
        pass
    with pytest.raises(NotConnectedError, match="async with"):
        await use(checkpoints)


async def test_checkpoints_survive_closing(path: Path, door: UUID) -> None:
    """All of a checkpoint is there when the file is opened again, and so is the lease."""
    async with SQLiteCheckpointRepository(path) as checkpoints:
        await checkpoints.acquire_lease("visits", "ann", 600)
        await checkpoints.reset_checkpoint("visits", replay_until=9)
        await checkpoints.save_position("visits", 5, door, "Opened", owner="ann", events=5)
        before = await checkpoints.get_checkpoint_data("visits")

    async with SQLiteCheckpointRepository(path) as checkpoints:
        assert await checkpoints.get_checkpoint_data("visits") == before
        assert await checkpoints.acquire_lease("visits", "bob", 600) is None
        assert await checkpoints.acquire_lease("visits", "ann", 600) == before


async def test_connections_see_what_others_saved(rivals: list[SQLiteCheckpointRepository], door: UUID) -> None:
    """As soon as it is saved, in both directions."""
    first, second = rivals
    await first.save_position("visits", 5, door, "Opened")
    await second.save_position("visits", 6, door, "Opened", expected=5)

    with pytest.raises(CheckpointConflictError, match="is at 6, expected 5"):
        await first.save_position("visits", 7, door, "Opened", expected=5)

    assert await first.get_checkpoint_data("visits") == await second.get_checkpoint_data("visits")


async def test_one_of_many_connections_gets_the_lease(rivals: list[SQLiteCheckpointRepository]) -> None:
    """However many ask at once."""
    asking = [
        checkpoints.acquire_lease("visits", f"runner {number}", 600) for number, checkpoints in enumerate(rivals * 16)
    ]

    outcomes = await asyncio.gather(*asking)

    assert [data for data in outcomes if data] == [CheckpointData("visits")]


async def test_a_lease_that_was_released_elsewhere_is_free(rivals: list[SQLiteCheckpointRepository]) -> None:
    """What one connection gives back another one gets, and the first is told so."""
    first, second = rivals
    await first.acquire_lease("visits", "ann", 600)
    await first.release_lease("visits", "ann")

    data = await second.acquire_lease("visits", "bob", 600)

    assert data == CheckpointData("visits")
    with pytest.raises(CheckpointConflictError, match="may be moved by 'bob'"):
        await first.save_position("visits", 5, None, None, owner="ann")


async def test_connections_that_move_it_by_turns_lose_no_move(rivals: list[SQLiteCheckpointRepository]) -> None:
    """Whoever expects what it has read, and reads again after a conflict, counts every step once."""

    async def step(checkpoints: SQLiteCheckpointRepository) -> None:
        while True:
            position = await checkpoints.get_position("visits") or 0
            try:
                return await checkpoints.save_position("visits", position + 1, None, None, expected=position)
            except CheckpointConflictError:
                continue

    await rivals[0].save_position("visits", 0, None, None, events=0)

    await asyncio.gather(*(step(checkpoints) for checkpoints in rivals * 8))

    assert await rivals[1].get_checkpoint_data("visits") == CheckpointData(
        "visits", events_processed=16, global_position=16
    )


async def test_the_file_may_be_that_of_the_event_store(path: Path, door: UUID) -> None:
    """Events and checkpoints stand beside one another, and the lag is that of the events."""
    events = opened(door, 2)
    async with SQLiteEventStore(path) as store, SQLiteCheckpointRepository(path, event_store=store) as checkpoints:
        await store.append_events(door, DOOR, events, 0)
        await checkpoints.save_position("visits", 1, events[0].event_id, events[0].event_type)

        lag = await checkpoints.get_lag_metrics("visits")

        assert lag
        assert (lag.last_event_id, lag.latest_event_id) == (str(events[0].event_id), str(events[1].event_id))
        assert (await store.get_events(door, DOOR)).version == 2


async def test_without_an_event_store_nobody_is_behind(path: Path, door: UUID) -> None:
    """Though there are events in the file."""
    async with SQLiteEventStore(path) as store, SQLiteCheckpointRepository(path) as checkpoints:
        await store.append_events(door, DOOR, opened(door, 1), 0)
        await checkpoints.update_checkpoint("visits", door, "Opened")

        lag = await checkpoints.get_lag_metrics("visits")

    assert lag
    assert (lag.last_event_id, lag.latest_event_id, lag.lag_seconds) == (str(door), None, 0.0)


async def test_a_table_of_another_layout_is_refused(path: Path, sql: Sql) -> None:
    """The error says so at once, and names the repository."""
    sql("CREATE TABLE projection_checkpoints (projection_name TEXT)")
    checkpoints = SQLiteCheckpointRepository(path)

    with pytest.raises(DatabaseError, match="another layout than SQLiteCheckpointRepository's"):
        await checkpoints.initialize()

    assert not checkpoints.is_connected


def test_it_tells_how_it_was_made(path: Path) -> None:
    """What users and instrumentations read is public data, before the repository is opened too."""
    checkpoints = SQLiteCheckpointRepository(path, False)

    assert (checkpoints.system, checkpoints.database, checkpoints.namespace) == ("sqlite", str(path), str(path))
    assert (checkpoints.enable_tracing, SQLiteCheckpointRepository(path).enable_tracing) == (False, True)
