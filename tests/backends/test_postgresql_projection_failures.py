"""Sessions and servers that end while a PostgreSQL projection is at work: no event is a dead letter or counts twice."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.exceptions import DatabaseError
from eventsource.projections.runner import ProjectionRunner
from eventsource.retry import RetryPolicy
from eventsource.stores.interface import EventStore
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing.events import Opened
from services.postgresql import PostgreSQL

Append = Callable[..., Awaitable[int]]
Execute = Callable[..., Awaitable[list[tuple[Any, ...]]]]
RunnerOf = Callable[..., ProjectionRunner]
Until = Callable[[Callable[[], object]], Awaitable[None]]

AT_MOST = 30.0


@pytest.fixture
def place(postgresql_place: Any) -> Any:
    """The place of these tests."""
    return postgresql_place


class Ending:
    """Ends the session of the first handler that comes with an event of that number, which may not care."""

    def __init__(self, number: int, elsewhere: Execute, *, then: str) -> None:
        self.number = number
        self.elsewhere = elsewhere
        self.then = then
        self.handled: list[int] = []

    async def __call__(self, connection: Any, event: Opened) -> None:
        self.handled.append(event.number)
        if event.number != self.number or self.handled.count(self.number) > 1:
            return
        await self.elsewhere("SELECT pg_terminate_backend($1, 10000)", connection.get_server_pid())
        if self.then == "goes on":
            await connection.execute("SELECT 1")
        elif self.then == "does not care":
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.execute("SELECT 1")


class TestSessions:
    @pytest.mark.parametrize("then", ["goes on", "does not care", "returns"])
    @pytest.mark.parametrize("number", [1, 2, 3])
    async def test_one_that_is_ended_in_the_midst_of_a_page_is_replaced(
        self,
        log: EventStore,
        view_of: Any,
        elsewhere: Execute,
        append: Append,
        runner_of: RunnerOf,
        number: int,
        then: str,
    ) -> None:
        """The page is undone and handled again: each event is reflected once, and none is a dead letter."""
        last = await append(log, 1, 2, 3)
        end = Ending(number, elsewhere, then=then)

        async with view_of(end) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            assert (await view.numbers(), await view.position(), await view.failed()) == ([1, 2, 3], last, [])
        assert end.handled.count(number) == 2

    @pytest.mark.parametrize("then", ["goes on", "does not care", "returns"])
    async def test_by_hand_the_caller_is_told(self, view_of: Any, elsewhere: Execute, then: str) -> None:
        """Neither read model nor checkpoint is written, and another attempt finds another session."""
        event = Opened(aggregate_id="6f1c9a52-7a0e-4b57-9a52-0a4c7c0f4b11", number=1)

        async with view_of(Ending(1, elsewhere, then=then)) as view:
            with pytest.raises(DatabaseError):
                await view.handle(event)
            before = await view.numbers(), await view.get_checkpoint()
            await view.handle(event)

            assert (before, await view.numbers()) == (([], None), [1])

    async def test_by_hand_another_attempt_is_made_if_the_policy_says_so(
        self, view_of: Any, elsewhere: Execute, at_once: Callable[[int], RetryPolicy]
    ) -> None:
        """On another session."""
        end = Ending(1, elsewhere, then="goes on")

        async with view_of(end, retry_policy=at_once(1)) as view:
            await view.handle(Opened(aggregate_id="6f1c9a52-7a0e-4b57-9a52-0a4c7c0f4b11", number=1))

            assert (await view.numbers(), await view.failed()) == ([1], [])

    async def test_one_of_somebody_elses_is_no_poison_either(
        self, log: EventStore, view_of: Any, elsewhere: Execute, session: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """A handler asks another server, which shuts down: the next event would meet that too."""
        handled: list[int] = []

        async def ask_another(connection: Any, event: Opened) -> None:
            handled.append(event.number)
            if handled == [1]:
                other = await session()
                asleep = asyncio.create_task(other.execute("SELECT pg_sleep(600)"))
                await asyncio.sleep(0)
                await elsewhere("SELECT pg_terminate_backend($1, 10000)", other.get_server_pid())
                await asleep

        last = await append(log, 1, 2)
        async with view_of(ask_another) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            assert (await view.numbers(), await view.failed()) == ([1, 2], [])


class TestDeadLetters:
    async def test_one_that_cannot_be_kept_leaves_the_checkpoint_before_its_event(
        self,
        log: EventStore,
        view_of: Any,
        elsewhere: Execute,
        append: Append,
        runner_of: RunnerOf,
        until: Until,
    ) -> None:
        """Both are one transaction: as soon as it can be kept, it is, once."""

        def fail(connection: Any, event: Opened) -> None:
            if event.number == 2:
                raise LookupError("no room")

        last = await append(log, 1, 2, 3)
        async with view_of(fail) as view:
            await elsewhere("ALTER TABLE dead_letter_queue RENAME TO away")
            async with runner_of(log, view) as runner:
                await until(lambda: "dead_letter_queue" in str(runner.failure))
                before = await view.numbers(), await view.position()
                await elsewhere("ALTER TABLE away RENAME TO dead_letter_queue")
                await runner.wait_for(last, AT_MOST)

            assert (before, await view.numbers()) == (([1], 1), [1, 3])
            assert await view.failed() == [("no room", 1)]


class TestServers:
    @pytest.mark.parametrize("end", ["kill", "terminate_sessions"])
    async def test_one_that_ends_in_the_midst_of_a_page_is_waited_for(
        self,
        place: Any,
        start_postgresql: Callable[..., PostgreSQL],
        append: Append,
        runner_of: RunnerOf,
        end: str,
    ) -> None:
        """Events, read model and checkpoint are on it: each event is reflected once, in its order."""
        server, options = start_postgresql(), PostgreSQLOptions()
        begun, ended = asyncio.Event(), asyncio.Event()

        async def wait(connection: Any, event: Opened) -> None:
            if event.number == 50:
                begun.set()
                await ended.wait()

        async with (
            PostgreSQLEventStore(server.address) as log,
            place.view_of(wait, database=server.address, options=options) as view,
            runner_of(log, view, lease_seconds=2) as runner,
            asyncio.timeout(AT_MOST),
        ):
            last = await append(log, *range(100))
            await begun.wait()
            await asyncio.to_thread(getattr(server, end))
            ended.set()
            if end == "kill":
                await asyncio.to_thread(server.start)
            await runner.wait_for(last)

            assert (await view.numbers(), await view.failed()) == ([*range(100)], [])


class TestPools:
    async def test_one_of_somebody_elses_can_be_used(
        self, postgresql_place: Any, schema: str, log: EventStore, append: Append, runner_of: RunnerOf
    ) -> None:
        """It stays open, and what a handler has set on its connections is set back."""
        address = urlsplit(postgresql_place.view_of.place)._replace(query="").geturl()

        async def set_something(connection: Any, event: Opened) -> None:
            await connection.execute("SET statement_timeout = 12345")

        last = await append(log, 1, 2)
        settings = {"search_path": f'"{schema}"'}
        async with asyncpg.create_pool(address, min_size=1, max_size=2, server_settings=settings) as pool:
            async with (
                postgresql_place.view_of(set_something, database=pool) as view,
                runner_of(log, view) as runner,
            ):
                await runner.wait_for(last, AT_MOST)
                numbers = await view.numbers()

            assert (numbers, await pool.fetchval("SHOW statement_timeout")) == ([1, 2], "0")
