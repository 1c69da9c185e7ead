"""Checkpoints in PostgreSQL: the contract, and what it means that several processes share them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias
from uuid import UUID

import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.exceptions import CheckpointConflictError, DatabaseError
from eventsource.projections.checkpoints.postgresql import PostgreSQLCheckpointRepository
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.stores.interface import EventStore
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing import CheckpointRepositoryContract
from eventsource.testing.events import DOOR, opened
from services.postgresql_writers import waiting_for

Session: TypeAlias = Callable[[], Awaitable[Any]]
Execute: TypeAlias = Callable[..., Awaitable[list[tuple[Any, ...]]]]

INSERTED = "INSERT INTO projection_checkpoints VALUES ('visits', NULL, NULL, NULL, 0, 5, NULL, 'ann', 1e12)"
"""A checkpoint as another process makes it, with a lease that lasts."""


class TestContract(CheckpointRepositoryContract):
    @pytest.fixture
    async def checkpoints(
        self, postgresql_dsn: str, schema: str, event_store: EventStore
    ) -> AsyncIterator[PostgreSQLCheckpointRepository]:
        options = PostgreSQLOptions(schema=schema)
        repository = PostgreSQLCheckpointRepository(postgresql_dsn, event_store=event_store, options=options)
        async with repository as checkpoints:
            yield checkpoints


@pytest.fixture
async def rivals(postgresql_dsn: str, schema: str) -> AsyncIterator[list[PostgreSQLCheckpointRepository]]:
    """Repositories that share a table and no connection, as those of several processes do."""
    options = PostgreSQLOptions(schema=schema)
    first = PostgreSQLCheckpointRepository(postgresql_dsn, options=options)
    second = PostgreSQLCheckpointRepository(postgresql_dsn, options=replace(options, max_size=5))
    async with first, second:
        yield [first, second]


async def test_checkpoints_survive_closing(postgresql_dsn: str, schema: str, door: UUID) -> None:
    """All of a checkpoint is there for whoever connects next, and so is the lease."""
    options = PostgreSQLOptions(schema=schema)
    async with PostgreSQLCheckpointRepository(postgresql_dsn, options=options) as checkpoints:
        await checkpoints.acquire_lease("visits", "ann", 600)
        await checkpoints.reset_checkpoint("visits", replay_until=9)
        await checkpoints.save_position("visits", 5, door, "Opened", owner="ann", events=5)
        before = await checkpoints.get_checkpoint_data("visits")

    async with PostgreSQLCheckpointRepository(postgresql_dsn, options=options) as checkpoints:
        assert await checkpoints.get_checkpoint_data("visits") == before
        assert await checkpoints.acquire_lease("visits", "bob", 600) is None
        assert await checkpoints.acquire_lease("visits", "ann", 600) == before


async def test_connections_see_what_others_saved(rivals: list[PostgreSQLCheckpointRepository], door: UUID) -> None:
    """As soon as it is saved, in both directions."""
    first, second = rivals
    await first.save_position("visits", 5, door, "Opened")
    await second.save_position("visits", 6, door, "Opened", expected=5)

    with pytest.raises(CheckpointConflictError, match="is at 6, expected 5"):
        await first.save_position("visits", 7, door, "Opened", expected=5)

    assert await first.get_checkpoint_data("visits") == await second.get_checkpoint_data("visits")


async def test_one_of_many_connections_gets_the_lease(rivals: list[PostgreSQLCheckpointRepository]) -> None:
    """However many ask at once for what nobody has asked for before."""
    asking = [
        checkpoints.acquire_lease("visits", f"runner {number}", 600) for number, checkpoints in enumerate(rivals * 16)
    ]

    outcomes = await asyncio.gather(*asking)

    assert [data for data in outcomes if data] == [CheckpointData("visits")]


async def test_a_lease_that_was_released_elsewhere_is_free(rivals: list[PostgreSQLCheckpointRepository]) -> None:
    """What one connection gives back another one gets, and the first is told so."""
    first, second = rivals
    await first.acquire_lease("visits", "ann", 600)
    await first.release_lease("visits", "ann")

    data = await second.acquire_lease("visits", "bob", 600)

    assert data == CheckpointData("visits")
    with pytest.raises(CheckpointConflictError, match="may be moved by 'bob'"):
        await first.save_position("visits", 5, None, None, owner="ann")


async def test_a_lease_ends_by_the_clock_of_the_server(
    rivals: list[PostgreSQLCheckpointRepository], execute: Execute
) -> None:
    """Which is one for all processes, whatever their own clocks say."""
    first, second = rivals
    await first.acquire_lease("visits", "ann", 600)

    ((seconds,),) = await execute(
        "SELECT (lease_expires_at - extract(epoch FROM clock_timestamp()))::double precision "
        "FROM projection_checkpoints"
    )
    await execute("UPDATE projection_checkpoints SET lease_expires_at = extract(epoch FROM clock_timestamp())")
    data = await second.acquire_lease("visits", "bob", 600)

    assert 500 < seconds <= 600
    assert data is not None


async def test_of_moves_that_expect_the_same_one_is_made(rivals: list[PostgreSQLCheckpointRepository]) -> None:
    """The others are told."""
    await rivals[0].save_position("visits", 5, None, None)
    moves = [checkpoints.save_position("visits", 6, None, None, expected=5) for checkpoints in rivals * 8]

    outcomes = await asyncio.gather(*moves, return_exceptions=True)

    assert sorted(type(each).__name__ for each in outcomes) == [*["CheckpointConflictError"] * 15, "NoneType"]
    assert await rivals[1].get_position("visits") == 6


@pytest.mark.parametrize(("ending", "holder"), [("COMMIT", "ann"), ("ROLLBACK", "bob")])
async def test_a_lease_waits_for_whoever_makes_the_checkpoint(
    rivals: list[PostgreSQLCheckpointRepository], session: Session, ending: str, holder: str
) -> None:
    """It is given by what that has left: a lease, or nothing at all."""
    other = await session()
    await other.execute("BEGIN")
    await other.execute(
        "INSERT INTO projection_checkpoints VALUES ('visits', NULL, NULL, NULL, 0, 5, NULL, 'ann', 1e12)"
    )

    acquiring = asyncio.create_task(rivals[0].acquire_lease("visits", "bob", 600))
    await waiting_for(other, 1, await session())
    await other.execute(ending)
    data = await acquiring

    assert data == (None if holder == "ann" else CheckpointData("visits"))
    await rivals[1].save_position("visits", 6, None, None, owner=holder)


async def test_moves_of_a_checkpoint_that_is_not_there_yet_all_count(
    rivals: list[PostgreSQLCheckpointRepository],
) -> None:
    """Whoever makes it: no move is lost between looking for it and making it."""
    await asyncio.gather(*(checkpoints.save_position("visits", 1, None, None) for checkpoints in rivals * 8))

    assert await rivals[0].get_checkpoint_data("visits") == CheckpointData(
        "visits", events_processed=16, global_position=1
    )


async def test_connections_that_move_it_by_turns_lose_no_move(rivals: list[PostgreSQLCheckpointRepository]) -> None:
    """Whoever expects what it has read, and reads again after a conflict, counts every step once."""

    async def step(checkpoints: PostgreSQLCheckpointRepository) -> None:
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


async def test_a_move_that_is_refused_leaves_nothing(
    rivals: list[PostgreSQLCheckpointRepository], execute: Execute
) -> None:
    """Nor a checkpoint that was made for it."""
    with pytest.raises(CheckpointConflictError, match="has been reset, expected 5"):
        await rivals[0].save_position("visits", 6, None, None, expected=5)

    assert await execute("SELECT projection_name FROM projection_checkpoints") == []


async def test_a_move_waits_for_one_under_way(rivals: list[PostgreSQLCheckpointRepository], session: Session) -> None:
    """And is judged by what that has left; other checkpoints are moved in the meantime."""
    await rivals[0].save_position("visits", 5, None, None)
    other = await session()
    await other.execute("BEGIN")
    await other.execute("UPDATE projection_checkpoints SET global_position = 6 WHERE projection_name = 'visits'")

    moving = asyncio.create_task(rivals[1].save_position("visits", 7, None, None, expected=5))
    await waiting_for(other, 1, await session())
    await rivals[1].save_position("open doors", 1, None, None)
    await other.execute("COMMIT")

    with pytest.raises(CheckpointConflictError, match="is at 6, expected 5"):
        await moving


async def test_a_move_that_waits_too_long_is_told_why(
    rivals: list[PostgreSQLCheckpointRepository],
    postgresql_dsn: str,
    schema: str,
    session: Callable[[], Awaitable[Any]],
) -> None:
    """Nothing is moved."""
    await rivals[0].save_position("visits", 5, None, None)
    connection = await session()
    options = PostgreSQLOptions(schema=schema, lock_timeout=0.05)

    async with PostgreSQLCheckpointRepository(postgresql_dsn, options=options) as impatient, connection.transaction():
        await connection.execute("SELECT FROM projection_checkpoints FOR UPDATE")
        with pytest.raises(DatabaseError, match="nothing was written; others kept a lock for longer than lock_timeout"):
            await impatient.save_position("visits", 6, None, None)

    assert await rivals[0].get_position("visits") == 5


@pytest.mark.parametrize(
    ("position", "event_type"),
    [(2**63, "Opened"), (1, "Ope\0ned"), (1, "\ud800")],
    ids=["number", "nul", "surrogate"],
)
async def test_what_a_column_cannot_hold_moves_nothing(
    rivals: list[PostgreSQLCheckpointRepository], door: UUID, position: int, event_type: str
) -> None:
    """The error says so."""
    with pytest.raises(DatabaseError, match="nothing was written; PostgreSQL cannot store such a value"):
        await rivals[0].save_position("visits", position, door, event_type)

    assert await rivals[1].get_checkpoint_data("visits") is None


async def test_names_are_in_one_order_everywhere(rivals: list[PostgreSQLCheckpointRepository]) -> None:
    """Whatever the server sorts by."""
    names = ["Zebra", "apple", "Zoo", "äpfel", "a b", "a-b"]
    for name in names:
        await rivals[0].save_position(name, 1, None, None)

    checkpoints = await rivals[1].get_all_checkpoints()

    assert [each.projection_name for each in checkpoints] == sorted(names)


async def test_the_schema_may_be_that_of_the_event_store(postgresql_dsn: str, schema: str, door: UUID) -> None:
    """Events and checkpoints stand beside one another, and the lag is that of the events."""
    events, options = opened(door, 2), PostgreSQLOptions(schema=schema)
    store = PostgreSQLEventStore(postgresql_dsn, options=options)
    async with store, PostgreSQLCheckpointRepository(postgresql_dsn, event_store=store, options=options) as checkpoints:
        await store.append_events(door, DOOR, events, 0)
        await checkpoints.save_position("visits", 1, events[0].event_id, events[0].event_type)

        lag = await checkpoints.get_lag_metrics("visits")

        assert lag
        assert (lag.last_event_id, lag.latest_event_id) == (str(events[0].event_id), str(events[1].event_id))
        assert (await store.get_events(door, DOOR)).version == 2


def test_it_tells_how_it_was_made(postgresql_dsn: str, schema: str) -> None:
    """What users and instrumentations read is public data, before the repository is opened too."""
    options = PostgreSQLOptions(schema=schema)
    checkpoints = PostgreSQLCheckpointRepository(postgresql_dsn, False, options=options)

    assert (checkpoints.system, checkpoints.options, checkpoints.is_connected) == ("postgresql", options, False)
    assert (checkpoints.enable_tracing, PostgreSQLCheckpointRepository(postgresql_dsn).enable_tracing) == (False, True)
