"""Opening and closing stores on PostgreSQL: what they create and share, and what cannot be opened."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.databases.postgresql_schema import LOCK, quoted
from eventsource.exceptions import DatabaseError, NotConnectedError
from eventsource.projections.checkpoints.postgresql import PostgreSQLCheckpointRepository
from eventsource.projections.dead_letters.postgresql import PostgreSQLDLQRepository
from eventsource.snapshots.postgresql import PostgreSQLSnapshotStore
from eventsource.snapshots.values import Snapshot
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing.events import DOOR, NOON, opened
from services.postgresql_sessions import Sessions
from services.postgresql_writers import PATIENCE

Execute = Callable[..., Awaitable[list[tuple[Any, ...]]]]

PROCESSES = 32

INITIALIZE = """
import asyncio, sys
from eventsource import (
    PostgreSQLCheckpointRepository, PostgreSQLDLQRepository, PostgreSQLEventStore, PostgreSQLSnapshotStore
)

async def main(address):
    for kind in (
        PostgreSQLEventStore, PostgreSQLSnapshotStore, PostgreSQLCheckpointRepository, PostgreSQLDLQRepository
    ):
        async with kind(address):
            pass

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main(sys.argv[1]))
"""

KINDS: dict[str, Any] = {
    "events": PostgreSQLEventStore,
    "snapshots": PostgreSQLSnapshotStore,
    "checkpoints": PostgreSQLCheckpointRepository,
    "dead letters": PostgreSQLDLQRepository,
}
every_kind = pytest.mark.parametrize("kind", KINDS)

USES: dict[str, Callable[[Any, UUID], Any]] = {
    "events": lambda store, door: store.append_events(door, DOOR, opened(door, 1), -1),
    "snapshots": lambda store, door: store.save_snapshot(Snapshot(door, DOOR, 1, {}, 1, NOON)),
    "checkpoints": lambda store, door: store.update_checkpoint("doors", door, DOOR),
    "dead letters": lambda store, door: store.get_failure_stats(),
}
"""One for each kind."""

NAMES = [
    "Shop",
    "Türen",
    'the "shop"',
    "it's",
    "a.b",
    "select",
    "a%s $1 \\",
    "{lock}",
    "{schema_in_literal}",
    "$function$",
    "ü" * 31,
]


@pytest.fixture
def options(schema: str) -> PostgreSQLOptions:
    return PostgreSQLOptions(schema=schema)


@pytest.fixture
async def store(postgresql_dsn: str, options: PostgreSQLOptions) -> AsyncIterator[PostgreSQLEventStore]:
    async with PostgreSQLEventStore(postgresql_dsn, options=options) as store:
        yield store


@pytest.fixture
async def empty_database(postgresql_dsn: str) -> AsyncIterator[str]:
    """The address of a database in which nothing is."""
    name = f"test-{uuid4()}"
    owner = await asyncpg.connect(postgresql_dsn)
    await owner.execute(f'CREATE DATABASE "{name}"')
    yield postgresql_dsn.rpartition("/")[0] + f"/{name}"
    await owner.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await owner.close()


class TestUsing:
    @every_kind
    async def test_it_cannot_be_used_before_it_is_opened(
        self, postgresql_dsn: str, options: PostgreSQLOptions, door: UUID, kind: str
    ) -> None:
        """The error says how to open it, and is a RuntimeError too."""
        store = KINDS[kind](postgresql_dsn, options=options)

        with pytest.raises(NotConnectedError, match=f"{type(store).__name__} on .* is not open.*async with") as refused:
            await USES[kind](store, door)

        assert isinstance(refused.value, RuntimeError)
        assert not store.is_connected

    @every_kind
    async def test_it_cannot_be_used_after_it_was_closed(
        self, postgresql_dsn: str, options: PostgreSQLOptions, door: UUID, kind: str
    ) -> None:
        """As before it was opened."""
        async with KINDS[kind](postgresql_dsn, options=options) as store:
            pass

        with pytest.raises(NotConnectedError):
            await USES[kind](store, door)

        assert not store.is_connected

    async def test_it_cannot_be_read_unless_it_is_open(self, postgresql_dsn: str, options: PostgreSQLOptions) -> None:
        """Reading page by page is told so with the first one."""
        store = PostgreSQLEventStore(postgresql_dsn, options=options)

        for reading in (store.read_page(), anext(store.read_all()), store.get_global_position()):
            with pytest.raises(NotConnectedError):
                await reading

    async def test_it_may_be_opened_again(self, postgresql_dsn: str, options: PostgreSQLOptions, door: UUID) -> None:
        """The same object goes on where it was closed."""
        store = PostgreSQLEventStore(postgresql_dsn, options=options)
        for version in range(3):
            async with store:
                await store.append_events(door, DOOR, opened(door, 1), version)

        async with store:
            assert await store.get_stream_version(door, DOOR) == 3

    async def test_opening_and_closing_may_be_repeated(
        self, sessions: Sessions, options: PostgreSQLOptions, door: UUID
    ) -> None:
        """Twice is once."""
        store = PostgreSQLEventStore(sessions.address, options=options)
        await store.initialize()
        await store.initialize()
        await store.append_events(door, DOOR, opened(door, 1), 0)

        await store.close()
        await store.close()

        assert not store.is_connected
        await sessions.become(0)

    async def test_opening_an_open_store_asks_the_server_nothing(
        self, store: PostgreSQLEventStore, execute: Execute, door: UUID
    ) -> None:
        """It is open already, so nothing can fail or be undone, whatever has become of the tables."""
        await execute("ALTER TABLE events RENAME COLUMN payload TO something")
        await store.initialize()
        await execute("ALTER TABLE events RENAME COLUMN something TO payload")

        assert await store.get_stream_version(door, DOOR) == 0


class TestCreating:
    @every_kind
    async def test_what_is_there_is_kept(
        self, postgresql_dsn: str, options: PostgreSQLOptions, execute: Execute, door: UUID, kind: str
    ) -> None:
        """Another store that is opened finds it."""
        for _ in range(2):
            async with KINDS[kind](postgresql_dsn, options=options) as store:
                await USES[kind](store, door)

        (table,) = await execute("SELECT tablename FROM pg_tables WHERE schemaname = $1", options.schema)
        assert table == (KINDS[kind]._table,)

    @pytest.mark.parametrize("name", NAMES)
    async def test_a_schema_may_have_any_name(self, empty_database: str, door: UUID, name: str) -> None:
        """All stores work in it, and nothing is created elsewhere."""
        options = PostgreSQLOptions(schema=name)

        for kind in KINDS:
            async with KINDS[kind](empty_database, options=options) as store:
                await USES[kind](store, door)
        async with PostgreSQLEventStore(empty_database, options=options) as events:
            head = await anext(events.read_all())

        assert head.event.aggregate_id == door
        assert await tables_at(empty_database) == {(name, kind._table) for kind in KINDS.values()}

    async def test_schemas_that_differ_in_case_are_two(self, empty_database: str, door: UUID) -> None:
        """What is in one is not in the other."""
        upper, lower = (PostgreSQLEventStore(empty_database, options=PostgreSQLOptions(schema=each)) for each in "Aa")
        async with upper, lower:
            await upper.append_events(door, DOOR, opened(door, 1), 0)

            assert (await upper.get_global_position(), await lower.get_global_position()) == (1, 0)

    async def test_the_schema_is_public_by_default(self, empty_database: str) -> None:
        """It is there already."""
        async with PostgreSQLEventStore(empty_database) as store:
            assert store.namespace == f"{empty_database.rpartition('/')[2]}|public"

        assert await tables_at(empty_database) == {("public", "events")}

    def test_many_processes_may_create_the_tables_at_once(self, empty_database: str) -> None:
        """Each of them finds or makes what it needs; none fails because another was quicker."""
        command = [sys.executable, "-W", "error", "-c", INITIALIZE, empty_database]
        pipe = subprocess.PIPE
        processes = [
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdout
            process.stdout.readline()

        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()

        ends = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
        assert ends == [("", 0)] * PROCESSES


class TestFailing:
    @every_kind
    async def test_a_table_of_another_layout_is_refused(
        self, postgresql_dsn: str, options: PostgreSQLOptions, execute: Execute, kind: str
    ) -> None:
        """It is left as it is, and the error says what will do."""
        await execute(f"CREATE SCHEMA {quoted(options.schema)}")
        await execute(f"CREATE TABLE {KINDS[kind]._table} (id integer)")
        store = KINDS[kind](postgresql_dsn, options=options)

        with pytest.raises(DatabaseError, match=rf"of another layout than {type(store).__name__}'s .*another schema"):
            await store.initialize()

        query = "SELECT column_name FROM information_schema.columns WHERE table_schema = $1"
        columns = await execute(query, options.schema)
        assert (columns, store.is_connected) == ([("id",)], False)

    @every_kind
    @pytest.mark.parametrize("statement", ["DROP SCHEMA {} CASCADE", "DROP TABLE {}.{}"])
    async def test_what_was_dropped_behind_its_back_is_missed(
        self, postgresql_dsn: str, options: PostgreSQLOptions, execute: Execute, door: UUID, kind: str, statement: str
    ) -> None:
        """The error says how to create it, and opening it once more does."""
        store = KINDS[kind](postgresql_dsn, options=options)
        async with store:
            await USES[kind](store, door)
            await execute(statement.format(quoted(options.schema), store._table))

            with pytest.raises(DatabaseError, match=r"does not exist; .*; close it and call initialize\(\)"):
                await USES[kind](store, door)

        async with store:
            await USES[kind](store, door)

    async def test_a_function_that_is_missing_is_created(
        self, postgresql_dsn: str, options: PostgreSQLOptions, store: PostgreSQLEventStore, execute: Execute, door: UUID
    ) -> None:
        """The events stay where they are."""
        await store.append_events(door, DOOR, opened(door, 1), 0)
        await execute("DROP FUNCTION append_events")
        with pytest.raises(DatabaseError, match="run what 'python -m eventsource"):
            await store.append_events(door, DOOR, opened(door, 1), 1)

        async with PostgreSQLEventStore(postgresql_dsn, options=options):
            result = await store.append_events(door, DOOR, opened(door, 1), 1)

        assert result.new_version == 2

    async def test_all_tasks_that_open_it_in_vain_are_told(
        self, postgresql_dsn: str, options: PostgreSQLOptions, execute: Execute
    ) -> None:
        """None of them takes the store for open."""
        await execute(f"CREATE SCHEMA {quoted(options.schema)}")
        await execute("CREATE TABLE events (id integer)")
        store = PostgreSQLEventStore(postgresql_dsn, options=options)

        outcomes = await asyncio.gather(*(store.initialize() for _ in range(3)), return_exceptions=True)

        assert [type(each) for each in outcomes] == [DatabaseError] * 3
        assert not store.is_connected

    async def test_a_cancelled_opening_leaves_nothing_open(
        self, sessions: Sessions, options: PostgreSQLOptions, session: Callable[[], Awaitable[Any]]
    ) -> None:
        """Wherever it waits: the connections are closed, nothing is created, and it can be opened again."""
        store = PostgreSQLEventStore(sessions.address, options=options)
        other = await session()
        async with other.transaction():
            await other.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", LOCK, options.schema)
            opening = asyncio.create_task(store.initialize())
            await sessions.become(1, latest="%pg_advisory_xact_lock%")
            opening.cancel()
            await asyncio.wait([opening], timeout=PATIENCE)
            was_connected = store.is_connected
            await sessions.become(0)

        assert (opening.cancelled(), was_connected) == (True, False)
        async with store:
            assert await store.get_global_position() == 0

    async def test_a_cancelled_opening_harms_no_other_of_the_same_store(
        self, postgresql_dsn: str, options: PostgreSQLOptions
    ) -> None:
        """Two tasks open it; the one that is not cancelled has it open."""
        store = PostgreSQLEventStore(postgresql_dsn, options=options)
        first, second = (asyncio.create_task(store.initialize()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await second

        assert first.cancelled()
        assert await store.get_global_position() == 0
        await store.close()


async def tables_at(address: str) -> set[tuple[str, str]]:
    """Return schema and name of all tables that somebody has created."""
    connection = await asyncpg.connect(address)
    query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    rows = await connection.fetch(query)
    await connection.close()
    return {tuple(row) for row in rows}
