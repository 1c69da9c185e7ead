"""Projections in PostgreSQL: making, opening and asking them, and what the server refuses."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.databases.postgresql_schema import grants
from eventsource.events.base import DomainEvent
from eventsource.exceptions import DatabaseError
from eventsource.handlers import handles
from eventsource.projections.postgresql import PostgreSQLProjection
from eventsource.projections.runner import ProjectionRunner
from eventsource.stores.interface import EventStore
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import Opened, opened

Append = Callable[..., Awaitable[int]]
Execute = Callable[..., Awaitable[list[tuple[Any, ...]]]]
RunnerOf = Callable[..., ProjectionRunner]

AT_MOST = 20.0
ADDRESS = "postgresql://ann:secret@db:5432/shop"


@pytest.fixture
def place(postgresql_place: Any) -> Any:
    """The place of these tests."""
    return postgresql_place


@pytest.fixture
def event(door: UUID) -> Opened:
    """An event."""
    (event,) = opened(door, 1)
    return event


@pytest.fixture
def address_of_role(place: Any, role: str) -> str:
    """How somebody who may do nothing but connect does so."""
    url = urlsplit(place.view_of.place)
    return url._replace(netloc=f"{role}@{url.hostname}:{url.port}").geturl()


class TestMaking:
    def test_a_handler_that_is_not_asynchronous_is_refused(self) -> None:
        """It could not ask the connection anything."""

        class Hasty(PostgreSQLProjection):
            @handles(Opened)
            def on_opened(self, connection: Any, event: Opened) -> None: ...

        with pytest.raises(ValueError, match=r"Hasty\.on_opened must be async"):
            Hasty(ADDRESS)

    def test_a_handler_of_the_base_class_is_refused(self) -> None:
        """It would never be called."""

        class Everything(PostgreSQLProjection):
            @handles(DomainEvent)
            async def on_event(self, connection: Any, event: DomainEvent) -> None: ...

        with pytest.raises(ValueError, match=r"Everything handles DomainEvent, but events are matched by their very"):
            Everything(ADDRESS)

    def test_a_handler_with_too_many_arguments_is_refused(self) -> None:
        """It is told which ones it is given."""

        class Greedy(PostgreSQLProjection):
            @handles(Opened)
            async def on_opened(self, connection: Any, event: Opened, more: Any) -> None: ...

        with pytest.raises(ValueError, match=r"Greedy\.on_opened"):
            Greedy(ADDRESS)

    async def test_a_handler_may_do_without_the_connection(
        self, place: Any, log: EventStore, append: Append, runner_of: RunnerOf
    ) -> None:
        """It is given the event alone then, and the checkpoint is moved as for any other."""
        numbers: list[int] = []

        class Counting(PostgreSQLProjection):
            @handles(Opened)
            async def on_opened(self, event: Opened) -> None:
                numbers.append(event.number)

        last = await append(log, 1, 2)
        async with (
            Counting(place.view_of.place, options=place.view_of.options_there) as counting,
            runner_of(log, counting) as runner,
        ):
            await runner.wait_for(last, AT_MOST)

        assert numbers == [1, 2]

    def test_an_unknown_mode_is_refused(self, view_of: Any) -> None:
        """A slip of the pen would otherwise be taken for ignore."""
        mistyped = type("Mistyped", (view_of,), {"unregistered_event_handling": "warning"})

        with pytest.raises(ValueError, match=r"Mistyped\.unregistered_event_handling is 'warning'"):
            mistyped()

    def test_it_tells_how_it_was_made(self) -> None:
        """What users and instrumentations read is public data, before it is opened too."""
        options = PostgreSQLOptions(schema="doors")
        plain, named = (
            PostgreSQLProjection(ADDRESS),
            PostgreSQLProjection(ADDRESS, enable_tracing=True, name="visits", options=options),
        )

        assert (plain.namespace, named.namespace, plain.is_connected) == ("shop|public", "shop|doors", False)
        assert (plain.projection_name, named.projection_name) == ("PostgreSQLProjection", "visits")
        assert (plain.enable_tracing, named.enable_tracing, named.checkpoints.enable_tracing) == (False, True, True)
        assert (plain.subscribed_to(), plain.options, named.options) == ([], PostgreSQLOptions(), options)

    async def test_of_a_pool_it_knows_the_database_once_it_is_open(self, place: Any) -> None:
        """As the other stores do."""
        async with (
            asyncpg.create_pool(place.view_of.place, min_size=1, max_size=1) as pool,
            place.view_of(database=pool) as view,
        ):
            assert view.namespace == view.checkpoints.namespace == f"postgres|{view.options.schema}"


class TestOpening:
    @pytest.mark.parametrize("cancelled", [0, 1])
    async def test_a_cancelled_opening_harms_no_other_of_the_same_projection(
        self, view_of: Any, event: Opened, cancelled: int
    ) -> None:
        """Two tasks open it; the one that is not cancelled has it open, with its checkpoints and dead letters."""
        begun, gate = asyncio.Event(), asyncio.Event()

        class Held(view_of):  # type: ignore[misc]
            async def _create_tables(self, connection: Any) -> None:
                begun.set()
                await gate.wait()
                await super()._create_tables(connection)

        held = Held()
        openings = [asyncio.create_task(held.initialize()) for _ in range(2)]
        await begun.wait()
        openings[cancelled].cancel()
        await asyncio.wait([openings[cancelled]])
        gate.set()
        await openings[1 - cancelled]

        await held.handle(event)

        assert (openings[cancelled].cancelled(), await held.get_checkpoint()) == (True, str(event.event_id))
        await held.close()

    async def test_many_create_the_tables_one_after_the_other(self, view_of: Any) -> None:
        """They have connections of their own, as in as many processes, and begin with an empty database."""
        at_work: list[object] = []
        together: list[int] = []

        class Looking(view_of):  # type: ignore[misc]
            async def _create_tables(self, connection: Any) -> None:
                at_work.append(self)
                if await connection.fetchval("SELECT to_regclass('visits')") is None:
                    await connection.execute("SELECT pg_sleep(0.05)")
                    await connection.execute("CREATE TABLE visits (name text, number bigint)")
                together.append(len(at_work))
                at_work.remove(self)

        projections = [Looking(options=replace(view_of.options_there, max_size=size)) for size in range(1, 9)]
        async with asyncio.timeout(AT_MOST):
            outcomes = await asyncio.gather(*(each.initialize() for each in projections), return_exceptions=True)
            await asyncio.gather(*(each.close() for each in projections))

        assert (outcomes, together) == ([None] * 8, [1] * 8)

    async def test_tables_that_cannot_be_created_leave_nothing_open(self, view_of: Any, elsewhere: Execute) -> None:
        """Nor any table of the projection's own, of which one was created before."""

        class Broken(view_of):  # type: ignore[misc]
            async def _create_tables(self, connection: Any) -> None:
                await super()._create_tables(connection)
                await connection.execute("CREATE TABLE broken (door doors)")

        broken = Broken()

        with pytest.raises(DatabaseError, match='type "doors" does not exist; nothing was written'):
            await broken.initialize()

        assert not any(part.is_connected for part in (broken, broken.checkpoints, broken.dead_letters))
        assert await elsewhere("SELECT to_regclass('visits')") == [(None,)]

    async def test_an_error_that_is_swallowed_is_told_of(self, view_of: Any) -> None:
        """It has undone all of the tables: whoever goes on would find none."""

        class Careless(view_of):  # type: ignore[misc]
            async def _create_tables(self, connection: Any) -> None:
                await super()._create_tables(connection)
                with pytest.raises(asyncpg.UndefinedTableError):
                    await connection.execute("ALTER TABLE doors ADD COLUMN number bigint")

        with pytest.raises(DatabaseError, match=r"gone on after an error of the database"):
            await Careless().initialize()

    async def test_a_checkpoint_table_of_another_layout_is_refused(self, view_of: Any, elsewhere: Execute) -> None:
        """Before the projection's own tables are created; the message names the schema."""
        schema = view_of.options_there.schema
        await elsewhere(f'CREATE SCHEMA "{schema}"')
        await elsewhere("CREATE TABLE projection_checkpoints (projection_name text)")

        with pytest.raises(DatabaseError, match=f'"{schema}".projection_checkpoints of another layout'):
            await view_of().initialize()

        assert await elsewhere("SELECT to_regclass('visits')") == [(None,)]


class TestRights:
    async def test_whoever_may_create_nothing_is_told_so(self, view_of: Any, address_of_role: str) -> None:
        """Nothing is left open."""
        view = view_of(database=address_of_role)

        with pytest.raises(DatabaseError, match=r"permission denied .*see what 'python -m eventsource"):
            await view.initialize()

        assert not any(part.is_connected for part in (view, view.checkpoints, view.dead_letters))

    async def test_tables_that_others_have_created_will_do(
        self,
        view_of: Any,
        role: str,
        address_of_role: str,
        elsewhere: Execute,
        log: EventStore,
        append: Append,
        runner_of: RunnerOf,
    ) -> None:
        """With the rights of the command that prints the statements, and those on the read model."""

        class Asking(view_of):  # type: ignore[misc]
            async def _create_tables(self, connection: Any) -> None:
                if await connection.fetchval("SELECT to_regclass('visits')") is None:
                    await super()._create_tables(connection)

        last = await append(log, 1, 2)
        async with view_of():
            pass
        for grant in grants(view_of.options_there.schema, role):
            if ".snapshots " not in grant:  # of which there is no table
                await elsewhere(grant)
        await elsewhere(f'GRANT SELECT, INSERT, DELETE ON visits TO "{role}"')

        async with Asking(database=address_of_role) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            assert await view.numbers() == [1, 2]


class TestFetching:
    async def test_rows_are_those_that_the_query_asks_for(self, view: Any, door: UUID) -> None:
        """With values or without."""
        for event in opened(door, 3):
            await view.handle(event)

        rows = await view.fetch("SELECT number FROM visits WHERE number > $1 ORDER BY number", 1)

        assert [tuple(row) for row in rows] == [(2,), (3,)]
        assert (await view.fetch("SELECT count(*) FROM visits"))[0]["count"] == 3

    async def test_a_wrong_query_is_a_database_error(self, view: Any) -> None:
        """It says what PostgreSQL said."""
        with pytest.raises(DatabaseError, match='relation "doors" does not exist; nothing was read'):
            await view.fetch("SELECT 1 FROM doors")

    async def test_another_session_is_asked_if_one_was_lost(self, view: Any, elsewhere: Execute) -> None:
        """Whoever reads need not know."""
        ((pid,),) = await view.fetch("SELECT pg_backend_pid()")
        await elsewhere("SELECT pg_terminate_backend($1, 10000)", pid)

        assert await view.fetch("SELECT pg_backend_pid()") != [(pid,)]


class TestHandling:
    async def test_what_the_server_raises_says_what_was_refused(self, view: Any, event: Opened) -> None:
        """It is the handler's failure, and reaches the caller as it is."""
        view.do = lambda connection, event: connection.execute("INSERT INTO doors VALUES (1)")

        with pytest.raises(asyncpg.UndefinedTableError, match='relation "doors" does not exist'):
            await view.handle(event)

        assert await view.numbers() == []

    async def test_a_store_of_another_kind_can_be_followed(
        self, place: Any, tmp_path: Any, view: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """Read model, checkpoint and dead letters are where the projection is."""
        async with SQLiteEventStore(tmp_path / "events.db") as log:
            last = await append(log, 1, 2)
            async with runner_of(log, view) as runner:
                await runner.wait_for(last, AT_MOST)

        assert (await view.numbers(), await view.position()) == ([1, 2], last)
