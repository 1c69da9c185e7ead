"""Who shares the connections to a PostgreSQL: stores, pools of somebody else's, event loops."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.exceptions import DatabaseError, NotConnectedError
from eventsource.snapshots.postgresql import PostgreSQLSnapshotStore
from eventsource.snapshots.values import Snapshot
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing.events import DOOR, NOON, opened
from services.postgresql_sessions import Sessions
from services.postgresql_writers import PATIENCE


@pytest.fixture
def options(schema: str) -> PostgreSQLOptions:
    return PostgreSQLOptions(schema=schema)


async def append_one(store: PostgreSQLEventStore, door: UUID, version: int) -> int:
    """Append an event to what is at *version*, and return the new one."""
    return (await store.append_events(door, DOOR, opened(door, 1), version)).new_version


class TestStores:
    async def test_those_of_one_address_share_its_connections(
        self, sessions: Sessions, options: PostgreSQLOptions, door: UUID
    ) -> None:
        """None is opened for a second store while one is free."""
        async with (
            PostgreSQLEventStore(sessions.address, options=options) as events,
            PostgreSQLSnapshotStore(sessions.address, options=replace(options)) as snapshots,
        ):
            await append_one(events, door, 0)
            await snapshots.save_snapshot(Snapshot(door, DOOR, 1, {}, 1, NOON))

            assert len(await sessions.pids()) == 1

    async def test_there_are_no_more_connections_than_the_options_say(
        self, sessions: Sessions, options: PostgreSQLOptions, door: UUID
    ) -> None:
        """Those who come when all are taken wait for one."""
        async with PostgreSQLEventStore(sessions.address, options=replace(options, max_size=3)) as store:
            await asyncio.gather(*(store.get_events(door) for _ in range(64)))

            assert len(await sessions.pids()) == 3

    async def test_some_can_be_kept_open(self, sessions: Sessions, options: PostgreSQLOptions) -> None:
        """From the start."""
        async with PostgreSQLEventStore(sessions.address, options=replace(options, min_size=2)):
            assert len(await sessions.pids()) == 2

    async def test_closing_one_leaves_the_others_open(
        self, sessions: Sessions, options: PostgreSQLOptions, door: UUID
    ) -> None:
        """The last one disconnects."""
        async with (
            PostgreSQLEventStore(sessions.address, options=options) as events,
            PostgreSQLSnapshotStore(sessions.address, options=options) as snapshots,
        ):
            await append_one(events, door, 0)
            await events.close()

            await snapshots.save_snapshot(Snapshot(door, DOOR, 1, {}, 1, NOON))
            await events.initialize()

            assert await events.get_stream_version(door, DOOR) == 1
        await sessions.become(0)

    async def test_those_that_are_opened_otherwise_get_along(
        self, sessions: Sessions, options: PostgreSQLOptions, door: UUID
    ) -> None:
        """Other options make other connections to the same events."""
        async with (
            PostgreSQLEventStore(sessions.address, options=options) as one,
            PostgreSQLEventStore(sessions.address, options=replace(options, max_size=2)) as other,
        ):
            await append_one(one, door, 0)
            await append_one(other, door, 1)

            assert (await one.get_stream_version(door, DOOR), len(await sessions.pids())) == (2, 2)

    async def test_a_failed_opening_harms_no_other(
        self, postgresql_dsn: str, options: PostgreSQLOptions, execute: Any, door: UUID
    ) -> None:
        """A table that only the other store minds is no matter of this one."""
        async with PostgreSQLEventStore(postgresql_dsn, options=options) as store:
            await execute("CREATE TABLE snapshots (id integer)")

            with pytest.raises(DatabaseError, match="another layout than PostgreSQLSnapshotStore's"):
                await PostgreSQLSnapshotStore(postgresql_dsn, options=options).initialize()

            assert await append_one(store, door, 0) == 1


class TestPools:
    @pytest.fixture
    async def pool(self, sessions: Sessions) -> AsyncIterator[Any]:
        """A pool of the user's own, of two connections."""
        async with asyncpg.create_pool(sessions.address, min_size=0, max_size=2) as pool:
            yield pool

    async def test_one_of_somebody_elses_is_used_and_not_closed(
        self, pool: Any, sessions: Sessions, options: PostgreSQLOptions, door: UUID
    ) -> None:
        """Whoever has made it closes it."""
        async with (
            PostgreSQLEventStore(pool, options=options) as events,
            PostgreSQLSnapshotStore(pool, options=options) as snapshots,
        ):
            await append_one(events, door, 0)
            await snapshots.save_snapshot(Snapshot(door, DOOR, 1, {}, 1, NOON))
            await asyncio.gather(*(append_one(events, uuid4(), 0) for _ in range(64)))

        assert await pool.fetchval("SELECT 1") == 1
        assert 1 <= len(await sessions.pids()) <= 2

    async def test_the_limits_of_the_options_hold_in_it(
        self, pool: Any, options: PostgreSQLOptions, schema: str, door: UUID
    ) -> None:
        """They are nobody else's."""
        async with PostgreSQLEventStore(pool, options=replace(options, lock_timeout=0.05)) as store:
            async with pool.acquire() as other, other.transaction():
                await other.execute(f'LOCK TABLE "{schema}".events IN SHARE MODE')
                with pytest.raises(DatabaseError, match="others kept a lock for longer than lock_timeout"):
                    await append_one(store, door, 0)

            assert await pool.fetchval("SHOW lock_timeout") == "0"

    async def test_a_store_knows_the_database_of_a_pool_once_it_is_open(
        self, pool: Any, options: PostgreSQLOptions
    ) -> None:
        """Before that nobody has told it."""
        store = PostgreSQLEventStore(pool, options=options)
        before = store.namespace
        async with store:
            after = store.namespace

        assert (before, after) == (None, f"postgres|{options.schema}")

    async def test_one_that_was_closed_is_told(self, pool: Any, options: PostgreSQLOptions, door: UUID) -> None:
        """The store can be closed then, too."""
        async with PostgreSQLEventStore(pool, options=options) as store:
            await pool.close()

            with pytest.raises(DatabaseError, match="the pool's server: pool is clos"):
                await append_one(store, door, 0)

        assert not store.is_connected


class TestEventLoops:
    def test_they_may_use_one_store_one_after_the_other(
        self, postgresql_dsn: str, options: PostgreSQLOptions, door: UUID
    ) -> None:
        """Each asyncio.run opens and closes the same object."""
        store = PostgreSQLEventStore(postgresql_dsn, options=options)

        async def append(version: int) -> int:
            async with store:
                return await append_one(store, door, version)

        assert [asyncio.run(append(version)) for version in range(3)] == [1, 2, 3]

    @pytest.mark.parametrize("use", [append_one, lambda store, door, _: store.get_events(door)], ids=["append", "read"])
    async def test_one_in_another_thread_is_refused(
        self, postgresql_dsn: str, options: PostgreSQLOptions, door: UUID, use: Callable[..., Any]
    ) -> None:
        """While the first one lives; that one goes on as if nothing had been."""
        async with PostgreSQLEventStore(postgresql_dsn, options=options) as store:
            await append_one(store, door, 0)

            with pytest.raises(NotConnectedError, match="open a store for each event loop"):
                await asyncio.to_thread(lambda: asyncio.run(use(store, door, 1)))

            assert await append_one(store, door, 1) == 2

    async def test_each_may_have_a_store_of_the_log(
        self, postgresql_dsn: str, options: PostgreSQLOptions, door: UUID
    ) -> None:
        """They are at work at the same time, each with its own connections."""

        async def open_and_append() -> int:
            async with PostgreSQLEventStore(postgresql_dsn, options=options) as other:
                return await append_one(other, door, 1)

        async with PostgreSQLEventStore(postgresql_dsn, options=options) as store:
            await append_one(store, door, 0)
            others = await asyncio.to_thread(lambda: asyncio.run(open_and_append()))

            assert (others, await append_one(store, door, 2)) == (2, 3)

    @pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
    def test_one_that_ended_with_the_store_open_blocks_nobody(
        self, postgresql_dsn: str, options: PostgreSQLOptions, door: UUID
    ) -> None:
        """The next one closes it, and opens it for itself."""
        store = PostgreSQLEventStore(postgresql_dsn, options=options)

        async def open_and_append() -> None:
            await store.initialize()
            await append_one(store, door, 0)

        async def open_anew() -> int:
            async with asyncio.timeout(PATIENCE):
                await store.close()
                async with store:
                    return await append_one(store, door, 1)

        asyncio.run(open_and_append())

        assert asyncio.run(open_anew()) == 2
        gc.collect()  # what the first one has left warns that nobody has closed it
