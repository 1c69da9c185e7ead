"""The stores behind pgbouncer in transaction mode, where each transaction may have another connection."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.databases.postgresql_schema import quoted
from eventsource.handlers import handles
from eventsource.projections.checkpoints.postgresql import PostgreSQLCheckpointRepository
from eventsource.projections.dead_letters.postgresql import PostgreSQLDLQRepository
from eventsource.projections.postgresql import PostgreSQLProjection
from eventsource.projections.runner import ProjectionRunner
from eventsource.snapshots.postgresql import PostgreSQLSnapshotStore
from eventsource.snapshots.values import Snapshot
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing.events import DOOR, NOON, Opened, opened
from services.availability import NotAvailableError
from services.fixtures import do_without
from services.pgbouncer import PgBouncer

pytestmark = pytest.mark.servers

RunnerOf = Callable[..., ProjectionRunner]

AT_MOST = 20.0

CONNECTIONS = 5
"""How many the pooler has to the server."""


class Visits(PostgreSQLProjection):
    """Notes the number of each event in a table that it names with its schema, since no setting of a session lasts."""

    @property
    def table(self) -> str:
        return f"{quoted(self.options.schema)}.visits"

    @handles(Opened)
    async def on_opened(self, connection: Any, event: Opened) -> None:
        await connection.execute(f"INSERT INTO {self.table} (number) VALUES ($1)", event.number)

    async def _create_tables(self, connection: Any) -> None:
        await connection.execute(
            f"""
            CREATE TABLE IF NOT EXISTS {self.table} (
                number bigint NOT NULL, place bigint GENERATED ALWAYS AS IDENTITY
            )
            """
        )


@pytest.fixture(scope="module")
def address(postgresql_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """That of a pooler for all of these tests: none does anything to it."""
    try:
        with PgBouncer(tmp_path_factory.mktemp("pgbouncer"), upstream=postgresql_dsn) as pooler:
            yield pooler.address
    except NotAvailableError as error:
        do_without(str(error))


@pytest.fixture
def options(schema: str) -> PostgreSQLOptions:
    """What has to be said behind a pooler."""
    return PostgreSQLOptions(schema=schema, statement_cache_size=0, listen=False)


async def test_all_stores_work(address: str, options: PostgreSQLOptions, door: UUID) -> None:
    """What they write they find again, over whichever connection."""
    async with (
        PostgreSQLEventStore(address, options=options) as events,
        PostgreSQLSnapshotStore(address, options=options) as snapshots,
        PostgreSQLDLQRepository(address, options=options) as dead_letters,
    ):
        await events.append_events(door, DOOR, opened(door, 2), 0)
        await snapshots.save_snapshot(Snapshot(door, DOOR, 2, {}, 1, NOON))
        await dead_letters.add_failed_event(door, "doors", "Opened", {}, LookupError("no room"))

        assert [stored.stream_position async for stored in events.read_all()] == [1, 2]
        assert await snapshots.snapshot_exists(door, DOOR)
        assert len(await dead_letters.get_failed_events("doors")) == 1


async def test_many_appends_at_once_are_all_written(address: str, options: PostgreSQLOptions) -> None:
    """Each to its stream, in both of two stores that share nothing, and in order."""
    doors = [uuid4() for _ in range(64)]
    async with PostgreSQLEventStore(address, options=options) as one:
        async with PostgreSQLEventStore(f"{address}?", options=options) as other:
            stores = [one, other] * 32
            await asyncio.gather(
                *(
                    store.append_events(door, DOOR, opened(door, 3), 0)
                    for store, door in zip(stores, doors, strict=True)
                )
            )
        log = [stored async for stored in one.read_all()]

    assert sorted(stored.event.aggregate_id for stored in log) == sorted(doors * 3)
    assert [stored.global_position for stored in log] == sorted({stored.global_position for stored in log})


async def test_one_of_many_gets_a_lease(address: str, options: PostgreSQLOptions) -> None:
    """And gives it back, whoever's connection that was."""
    async with PostgreSQLCheckpointRepository(address, options=options) as checkpoints:
        acquired = await asyncio.gather(*(checkpoints.acquire_lease("doors", str(each), 60.0) for each in range(16)))
        (owner,) = [str(each) for each, checkpoint in enumerate(acquired) if checkpoint is not None]
        await checkpoints.release_lease("doors", owner)

        assert await checkpoints.acquire_lease("doors", "next", 60.0) is not None


async def test_a_projection_is_run(
    address: str, options: PostgreSQLOptions, append: Callable[..., Awaitable[int]], runner_of: RunnerOf
) -> None:
    """Read model and checkpoint are one transaction there, too; events are found by looking."""
    async with (
        PostgreSQLEventStore(address, options=options) as log,
        Visits(address, options=options) as visits,
        runner_of(log, visits) as runner,
    ):
        await runner.wait_for(await append(log, *range(50)), AT_MOST)
        last = await append(log, 50)
        await runner.wait_for(last, AT_MOST)

        rows = await visits.fetch(f"SELECT number FROM {visits.table} ORDER BY place")
        position = await visits.checkpoints.get_position(visits.projection_name)

    assert ([number for (number,) in rows], position) == ([*range(51)], last)


async def test_nothing_is_left_on_its_connections(
    address: str, postgresql_dsn: str, options: PostgreSQLOptions, door: UUID
) -> None:
    """Neither settings nor locks: they are the next one's."""
    async with PostgreSQLEventStore(address, options=options) as store:
        await store.append_events(door, DOOR, opened(door, 1), 0)
        await store.get_events(door)
    async with AsyncExitStack() as stack:
        left = [await settings_of(await transaction_at(address, stack)) for _ in range(CONNECTIONS)]
        expected = await settings_of(await transaction_at(postgresql_dsn, stack))

    assert left == [expected] * CONNECTIONS


async def transaction_at(address: str, stack: AsyncExitStack) -> Any:
    """Begin a transaction, which has a connection of its own until *stack* is left."""
    connection = await asyncpg.connect(address, statement_cache_size=0)
    stack.push_async_callback(connection.close)
    await stack.enter_async_context(connection.transaction())
    return connection


async def settings_of(connection: Any) -> list[str]:
    """Return what the stores set for a transaction of theirs."""
    names = ("lock_timeout", "idle_in_transaction_session_timeout", "enable_seqscan", "transaction_isolation")
    return [await connection.fetchval(f"SHOW {name}") for name in names]
