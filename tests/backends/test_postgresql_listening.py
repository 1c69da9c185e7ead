"""Listening to a PostgreSQL: what becomes of the connection, of runners that rely on it, and of pools of others."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.databases.postgresql_schema import quoted
from eventsource.projections.runner import ProjectionRunner
from eventsource.stores.announcing import Wake
from eventsource.stores.postgresql import PostgreSQLEventStore as Store
from eventsource.stores.postgresql_queries import Queries
from services.postgresql import PostgreSQL
from services.postgresql_sessions import Sessions
from services.postgresql_writers import PATIENCE

Append = Callable[..., Awaitable[int]]
Execute = Callable[..., Awaitable[list[tuple[Any, ...]]]]
Session = Callable[[], Awaitable[Any]]
Told = Callable[[], Awaitable[list[str]]]
Until = Callable[[Callable[[], object]], Awaitable[None]]

LISTENING = "LISTEN%"


@pytest.fixture
def place(postgresql_place: Any) -> Any:
    """The place of these tests."""
    return postgresql_place


@pytest.fixture
def options(schema: str) -> PostgreSQLOptions:
    return PostgreSQLOptions(schema=schema)


@pytest.fixture
async def store(sessions: Sessions, options: PostgreSQLOptions) -> AsyncIterator[Store]:
    """The one that is followed."""
    async with Store(sessions.address, options=options) as store:
        yield store


@pytest.fixture
async def other(postgresql_dsn: str, options: PostgreSQLOptions) -> AsyncIterator[Store]:
    """One on the same table, which this process takes for another log: its address is another one."""
    async with Store(postgresql_dsn, options=options) as other:
        yield other


@pytest.fixture
def append_elsewhere(append: Append, other: Store) -> Append:
    """Append an event of each number by that other store, and return the position of the last."""
    return partial(append, other)


@pytest.fixture
async def append_silently(append: Append, postgresql_dsn: str, options: PostgreSQLOptions) -> AsyncIterator[Append]:
    """Do the same by a store that tells nobody."""
    async with Store(postgresql_dsn, options=replace(options, notify=False)) as silent:
        yield partial(append, silent)


@pytest.fixture
async def pool(sessions: Sessions) -> AsyncIterator[Any]:
    """A pool of somebody else's."""
    async with asyncpg.create_pool(sessions.address, min_size=1, max_size=2) as pool:
        yield pool


@pytest.fixture
async def told(session: Session, schema: str, other: Store, until: Until) -> Told:
    """What the server has told those who listen for appends to the test's schema."""
    listener, sender, told = await session(), await session(), []
    channel = await listener.fetchval(Queries(schema).channel)
    await listener.add_listener(channel, lambda *notification: told.append(notification[-1]))

    async def until_here() -> list[str]:
        await sender.fetch("SELECT pg_notify($1, 'here')", channel)
        await until(lambda: "here" in told)
        return told[:-1]

    return until_here


@pytest.fixture
async def runner(
    store: Store, view: Any, runner_of: Callable[..., ProjectionRunner], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ProjectionRunner]:
    """One that follows the store and never polls."""
    monkeypatch.setattr("eventsource.projections.following._SHORTEST_POLL", 3600.0)
    never = {"poll_interval": 3600.0, "checkpoint_interval": 3600.0}
    async with following(store), runner_of(store, view, **never) as runner:
        await runner.wait_for(0, PATIENCE)
        yield runner


@asynccontextmanager
async def following(store: Store) -> AsyncIterator[Wake]:
    """Follow *store*, where nobody does so yet: inside the block it listens, and has not been woken."""
    wake = Wake()
    async with store.following(wake):
        assert await wake.wait(PATIENCE)
        wake.clear()
        yield wake


class TestHearing:
    async def test_a_schema_may_have_any_name(
        self, sessions: Sessions, postgresql_dsn: str, schema: str, execute: Execute, append: Append
    ) -> None:
        """Who appends and who listens call the log the same."""
        options = PostgreSQLOptions(schema=f'{schema[:40]} It\'s "Ü"')
        try:
            async with (
                Store(sessions.address, options=options) as store,
                Store(postgresql_dsn, options=options) as other,
                following(store) as wake,
            ):
                await append(other, 1)

                assert await wake.wait(PATIENCE)
        finally:
            await execute(f"DROP SCHEMA {quoted(options.schema)} CASCADE")

    async def test_those_who_follow_another_schema_are_not_told(
        self, postgresql_dsn: str, schema: str, execute: Execute, told: Told, append: Append, append_elsewhere: Append
    ) -> None:
        """They would look in vain."""
        options = PostgreSQLOptions(schema=f"{schema}-2")
        async with Store(postgresql_dsn, options=options) as store:
            await append(store, 1)
        await execute(f"DROP SCHEMA {quoted(options.schema)} CASCADE")
        await append_elsewhere(1)

        assert await told() == [""]


class TestOptions:
    @pytest.mark.parametrize(("notify", "expected"), [(True, [""]), (False, [])])
    async def test_appends_tell_others_if_they_are_to(
        self,
        postgresql_dsn: str,
        options: PostgreSQLOptions,
        told: Told,
        append: Append,
        notify: bool,
        expected: list[str],
    ) -> None:
        """Of each append, once."""
        async with Store(postgresql_dsn, options=replace(options, notify=notify)) as store:
            await append(store, 1, 2)

        assert await told() == expected

    async def test_nobody_listens_unless_they_are_to(
        self, postgresql_dsn: str, session: Session, options: PostgreSQLOptions, store: Store, append_elsewhere: Append
    ) -> None:
        """Whoever follows is not woken by an append of another address, by which others are."""
        sessions, wake = Sessions(postgresql_dsn, await session()), Wake()
        async with (
            Store(sessions.address, options=replace(options, listen=False)) as deaf,
            deaf.following(wake),
            following(store) as hearing,
        ):
            await append_elsewhere(1)
            await hearing.wait(PATIENCE)

            assert (await wake.wait(0), await sessions.pids(LISTENING)) == (False, [])


class TestConnections:
    async def test_it_ends_with_a_cancelled_one(self, sessions: Sessions, store: Store) -> None:
        """As if they had left."""

        async def follow() -> None:
            async with following(store):
                await asyncio.Event().wait()

        task = asyncio.create_task(follow())
        await sessions.become(1, LISTENING)
        task.cancel()
        await asyncio.wait([task])

        assert task.cancelled()
        await sessions.become(0, LISTENING)

    async def test_whoever_leaves_at_once_leaves_nothing(
        self, sessions: Sessions, store: Store, append_elsewhere: Append
    ) -> None:
        """Before it has connected; the next one is woken all the same."""
        for _ in range(8):
            async with store.following(Wake()):
                await asyncio.sleep(0)
        async with following(store) as wake:
            await append_elsewhere(1)

            assert await wake.wait(PATIENCE)
            await sessions.become(1, LISTENING)
        await sessions.become(1)

    async def test_it_does_not_outlive_the_one_who_follows_a_closed_store(
        self, sessions: Sessions, store: Store
    ) -> None:
        """Closing leaves it to them to end it."""
        async with following(store):
            await store.close()

        await sessions.become(0)

    async def test_it_listens_besides_all_that_there_may_be(
        self, sessions: Sessions, options: PostgreSQLOptions, append_elsewhere: Append
    ) -> None:
        """A store with a single connection can be used while it is followed."""
        async with (
            Store(sessions.address, options=replace(options, max_size=1)) as store,
            following(store) as wake,
        ):
            position = await append_elsewhere(1)

            assert await wake.wait(PATIENCE)
            assert await store.get_global_position() == position
            assert len(await sessions.pids()) == 2


class TestLosing:
    async def test_what_was_appended_meanwhile_is_announced(
        self, sessions: Sessions, store: Store, append_silently: Append
    ) -> None:
        """As soon as it listens again."""
        async with following(store) as wake:
            await sessions.terminate(LISTENING)
            position = await append_silently(1)

            assert await wake.wait(PATIENCE)
            assert await store.get_global_position() == position
            await sessions.become(1, LISTENING)

    async def test_a_server_that_is_gone_is_told_of_and_looked_for(
        self,
        start_postgresql: Callable[..., PostgreSQL],
        append: Append,
        caplog: pytest.LogCaptureFixture,
        until: Until,
    ) -> None:
        """Whoever follows waits for it, and hears of what is appended once it is back."""
        server = await asyncio.to_thread(start_postgresql)
        named = f"{server.address}?application_name=other"
        with caplog.at_level(logging.WARNING, "eventsource.databases.postgresql_listening"):
            async with Store(server.address) as store, Store(named) as other, following(store) as wake:
                await asyncio.to_thread(server.kill)
                await until(lambda: caplog.messages)
                await asyncio.to_thread(server.start)
                assert await wake.wait(PATIENCE)
                wake.clear()
                await append(other, 1)

                assert await wake.wait(PATIENCE)
        (message,) = caplog.messages
        place = server.address.rpartition("@")[2]
        assert message.startswith(f"Not listening to PostgreSQL at {place} until it answers: ")


class TestRunners:
    async def test_events_of_another_store_are_handled_at_once(
        self, view: Any, runner: ProjectionRunner, append_elsewhere: Append
    ) -> None:
        """Nobody waits for a poll."""
        for number in range(3):
            await runner.wait_for(await append_elsewhere(number), PATIENCE)

        assert await view.numbers() == [0, 1, 2]

    async def test_nothing_is_missed_while_nobody_listens(
        self, sessions: Sessions, view: Any, runner: ProjectionRunner, append_silently: Append
    ) -> None:
        """A runner looks once the lost connection is there again."""
        await sessions.terminate(LISTENING)
        await runner.wait_for(await append_silently(1), PATIENCE)

        assert await view.numbers() == [1]


class TestPools:
    async def test_a_connection_of_theirs_listens(
        self,
        sessions: Sessions,
        pool: Any,
        options: PostgreSQLOptions,
        recwarn: pytest.WarningsRecorder,
        append_elsewhere: Append,
    ) -> None:
        """It is given back without a warning, and listens no more."""
        async with Store(pool, options=options) as store:
            async with following(store) as wake:
                listening = await sessions.pids(LISTENING)
                await append_elsewhere(1)

                assert await wake.wait(PATIENCE)
                assert (len(listening), pool.get_size() - pool.get_idle_size()) == (1, 1)
            assert pool.get_idle_size() == pool.get_size()
            async with pool.acquire() as first, pool.acquire() as second:
                heard = [await each.fetch("SELECT pg_listening_channels()") for each in (first, second)]
                pids = [each.get_server_pid() for each in (first, second)]

        assert heard == [[], []]
        assert set(listening) <= set(pids)
        assert [str(each.message) for each in recwarn] == []

    async def test_another_one_takes_the_place_of_a_lost_one(
        self, sessions: Sessions, pool: Any, options: PostgreSQLOptions, append_elsewhere: Append
    ) -> None:
        """And hears as before."""
        async with Store(pool, options=options) as store, following(store) as wake:
            ended = await sessions.terminate(LISTENING)
            assert await wake.wait(PATIENCE)
            wake.clear()
            await append_elsewhere(1)

            assert await wake.wait(PATIENCE)
            assert not set(await sessions.pids(LISTENING)) & set(ended)

    async def test_following_again_and_again_leaves_nothing_with_their_connection(
        self, pool: Any, options: PostgreSQLOptions
    ) -> None:
        """It may live as long as the process."""
        async with Store(pool, options=options) as store:
            async with following(store):
                pass
            before = events_of_asyncio()
            for _ in range(8):
                async with following(store):
                    pass

            assert events_of_asyncio() <= before


def events_of_asyncio() -> int:
    """Return how many there are."""
    gc.collect()
    return sum(isinstance(each, asyncio.Event) for each in gc.get_objects())
