"""The statements that people run themselves to create the tables in PostgreSQL, and whom they let do what."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.databases.postgresql_schema import main, quoted
from eventsource.exceptions import DatabaseError
from eventsource.projections.checkpoints.postgresql import PostgreSQLCheckpointRepository
from eventsource.projections.dead_letters.postgresql import PostgreSQLDLQRepository
from eventsource.snapshots.postgresql import PostgreSQLSnapshotStore
from eventsource.snapshots.values import Snapshot
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing.events import DOOR, NOON, opened
from services.fixtures import do_without

Execute = Callable[..., Awaitable[list[tuple[Any, ...]]]]
Print = Callable[..., str]

KINDS: dict[str, Any] = {
    "events": PostgreSQLEventStore,
    "snapshots": PostgreSQLSnapshotStore,
    "checkpoints": PostgreSQLCheckpointRepository,
    "dead letters": PostgreSQLDLQRepository,
}

COLUMNS = """
SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default, is_identity
FROM information_schema.columns WHERE table_schema = $1 ORDER BY table_name, ordinal_position
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = $1 ORDER BY 1"
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = quote_ident($1)::regnamespace ORDER BY 1, 2
"""
FUNCTIONS = """
SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = quote_ident($1)::regnamespace ORDER BY 1
"""


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Print:
    """What the command prints."""

    def call(*arguments: str) -> str:
        main([*arguments])
        return capsys.readouterr().out

    return call


@pytest.fixture
def address_of_role(postgresql_dsn: str, role: str) -> str:
    """How that one connects."""
    url = urlsplit(postgresql_dsn)
    return url._replace(netloc=f"{role}@{url.hostname}:{url.port}").geturl()


async def test_the_result_is_that_of_opening_all_stores(
    postgresql_dsn: str, schema: str, session: Callable[[], Awaitable[Any]], printed: Print
) -> None:
    """Tables, indexes, constraints and the function: nobody can tell who has created them."""
    connection, options = await session(), PostgreSQLOptions(schema=schema)
    for kind in KINDS.values():
        async with kind(postgresql_dsn, options=options):
            pass
    by_opening = await all_in(schema, connection)
    await connection.execute(f"DROP SCHEMA {quoted(schema)} CASCADE")

    await connection.execute(printed("--schema", schema))

    assert await all_in(schema, connection) == by_opening
    assert {row[0] for row in by_opening[0]} == {kind._table for kind in KINDS.values()}


async def test_the_statements_may_be_run_again(
    postgresql_dsn: str, schema: str, session: Callable[[], Awaitable[Any]], printed: Print, role: str, door: UUID
) -> None:
    """What is there is kept."""
    connection, script = await session(), printed("--schema", schema, "--role", role)
    await connection.execute(script)
    async with PostgreSQLEventStore(postgresql_dsn, options=PostgreSQLOptions(schema=schema)) as store:
        await store.append_events(door, DOOR, opened(door, 2), 0)
        before = await all_in(schema, connection)

        await connection.execute(script)

        assert await store.get_stream_version(door, DOOR) == 2
        assert await all_in(schema, connection) == before


async def test_psql_runs_what_the_command_prints(postgresql_dsn: str, schema: str, role: str, execute: Execute) -> None:
    """Twice, as one transaction that ends with the first error."""
    psql = shutil.which("psql")
    if psql is None:
        do_without("psql is not installed: apt-get install --no-install-recommends postgresql-client")
    printing = (sys.executable, "-W", "error", "-m", "eventsource.databases.postgresql_schema")
    script = await run(*printing, "--schema", schema, "--role", role)

    for _ in range(2):
        await run(psql, "-X", "-q", "--set", "ON_ERROR_STOP=1", "--single-transaction", postgresql_dsn, given=script)

    tables = await execute("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    assert {name for (name,) in tables} == {kind._table for kind in KINDS.values()}


async def test_the_schema_is_public_unless_it_is_named(printed: Print) -> None:
    """Nobody is granted anything unless he is named either."""
    script = printed()

    assert 'CREATE SCHEMA IF NOT EXISTS "public";' in script
    assert "GRANT" not in script


@pytest.mark.parametrize("name", ['Ann\'s "own"', "$function$", "{schema}", "select"])
async def test_any_name_may_be_given(
    postgresql_dsn: str, execute: Execute, printed: Print, schema: str, name: str
) -> None:
    """Names are quoted, be it that of the schema or that of the role."""
    unique = name + schema[-20:]
    await execute(f"CREATE ROLE {quoted(unique)}")
    try:
        connection = await asyncpg.connect(postgresql_dsn)
        async with connection.transaction():
            await connection.execute(printed("--schema", unique, "--role", unique))
            await connection.execute(f"SET LOCAL ROLE {quoted(unique)}")
            count = await connection.fetchval(f"SELECT count(*) FROM {quoted(unique)}.events")
            await connection.execute("RESET ROLE")
            await connection.execute(f"DROP SCHEMA {quoted(unique)} CASCADE")
        await connection.close()
    finally:
        await execute(f"DROP ROLE {quoted(unique)}")

    assert count == 0


class TestRights:
    async def test_the_printed_ones_are_enough_for_everything(
        self,
        schema: str,
        role: str,
        address_of_role: str,
        session: Callable[[], Awaitable[Any]],
        printed: Print,
        door: UUID,
    ) -> None:
        """All that the stores do."""
        await (await session()).execute(printed("--schema", schema, "--role", role))
        options = PostgreSQLOptions(schema=schema)

        async with (
            PostgreSQLEventStore(address_of_role, options=options) as events,
            PostgreSQLSnapshotStore(address_of_role, options=options) as snapshots,
            PostgreSQLCheckpointRepository(address_of_role, options=options, event_store=events) as checkpoints,
            PostgreSQLDLQRepository(address_of_role, options=options) as dead_letters,
        ):
            await use_events(events, door)
            await use_snapshots(snapshots, door)
            await use_checkpoints(checkpoints)
            await use_dead_letters(dead_letters, door)

    @pytest.mark.parametrize("kind", KINDS)
    async def test_without_them_the_error_says_what_to_grant(
        self, schema: str, address_of_role: str, session: Callable[[], Awaitable[Any]], printed: Print, kind: str
    ) -> None:
        """Though the tables are there."""
        await (await session()).execute(printed("--schema", schema))
        store = KINDS[kind](address_of_role, options=PostgreSQLOptions(schema=schema))

        with pytest.raises(DatabaseError, match=r"permission denied .*; see what 'python -m eventsource\.databases"):
            await store.initialize()

        assert not store.is_connected

    @pytest.mark.parametrize("kind", KINDS)
    async def test_they_do_not_allow_to_create(
        self, schema: str, role: str, address_of_role: str, execute: Execute, kind: str
    ) -> None:
        """Whoever may use a schema without tables is told who has to create them."""
        await execute(f"CREATE SCHEMA {quoted(schema)}")
        await execute(f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {quoted(role)}")
        store = KINDS[kind](address_of_role, options=PostgreSQLOptions(schema=schema))

        with pytest.raises(DatabaseError, match=r"permission denied for schema .*or ask the owner"):
            await store.initialize()

        assert not store.is_connected

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM events",
            "UPDATE events SET version = 7",
            "TRUNCATE events",
            "DROP TABLE events",
            "DROP FUNCTION append_events",
            "CREATE TABLE doors (id integer)",
        ],
    )
    async def test_they_do_not_allow_to_take_events_back(
        self,
        schema: str,
        role: str,
        address_of_role: str,
        session: Callable[[], Awaitable[Any]],
        printed: Print,
        statement: str,
    ) -> None:
        """Nor to change what the owner has created."""
        await (await session()).execute(printed("--schema", schema, "--role", role))
        connection = await asyncpg.connect(address_of_role, server_settings={"search_path": quoted(schema)})

        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)

        await connection.close()

    async def test_whoever_may_only_read_reads(
        self, postgresql_dsn: str, schema: str, role: str, address_of_role: str, execute: Execute, door: UUID
    ) -> None:
        """An append of his is refused, and says what it lacks."""
        options = PostgreSQLOptions(schema=schema)
        async with PostgreSQLEventStore(postgresql_dsn, options=options) as owner:
            await owner.append_events(door, DOOR, opened(door, 1), 0)
        await execute(f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {quoted(role)}")
        await execute(f"GRANT SELECT ON events TO {quoted(role)}")

        async with PostgreSQLEventStore(address_of_role, options=options) as reader:
            with pytest.raises(DatabaseError, match="permission denied for table events; nothing was written; see"):
                await reader.append_events(door, DOOR, opened(door, 1), 1)

            assert len(await reader.read_page()) == 1


async def run(*command: str, given: str = "") -> str:
    """Run a program, and return what it prints."""
    options: dict[str, Any] = {"check": True, "capture_output": True, "text": True, "timeout": 60}
    return (await asyncio.to_thread(subprocess.run, command, input=given, **options)).stdout


async def all_in(schema: str, connection: Any) -> list[list[tuple[Any, ...]]]:
    """Return what there is in *schema*."""
    queries = (COLUMNS, INDEXES, CONSTRAINTS, FUNCTIONS)
    return [[tuple(row) for row in await connection.fetch(query, schema)] for query in queries]


async def use_events(store: PostgreSQLEventStore, door: UUID) -> None:
    """Do all that can be done with events."""
    await store.append_events(door, DOOR, opened(door, 2), 0, headers={"tenant": "7"})
    await store.get_events(door)
    await store.event_exists(door)
    await store.get_stream_version(door, DOOR)
    await store.get_global_position()
    assert [stored.stream_position async for stored in store.read_all()] == [1, 2]


async def use_snapshots(store: PostgreSQLSnapshotStore, door: UUID) -> None:
    """Do all that can be done with snapshots."""
    for version in (1, 2):
        await store.save_snapshot(Snapshot(door, DOOR, version, {}, 1, NOON))
    await store.get_snapshot(door, DOOR)
    await store.delete_snapshots_by_type(DOOR)
    assert not await store.delete_snapshot(door, DOOR)


async def use_checkpoints(repository: PostgreSQLCheckpointRepository) -> None:
    """Do all that can be done with checkpoints."""
    await repository.acquire_lease("doors", "ann", 1.0)
    await repository.release_lease("doors", "ann")
    await repository.update_checkpoint("doors", UUID(int=1), "Opened")
    await repository.reset_checkpoint("doors")
    await repository.get_all_checkpoints()
    await repository.get_lag_metrics("doors")


async def use_dead_letters(repository: PostgreSQLDLQRepository, door: UUID) -> None:
    """Do all that can be done with dead letters."""
    failed = {"event_id": door, "projection_name": "doors", "event_type": "Opened", "event_data": {}}
    await repository.add_failed_event(**failed, error=LookupError("no room"))
    (entry,) = await repository.get_failed_events("doors")
    await repository.get_failed_event_by_id(entry.id)
    await repository.mark_retrying(entry.id)
    await repository.mark_resolved(entry.id, "ann")
    await repository.get_failure_stats()
    await repository.get_projection_failure_counts()
    await repository.resolve_failed_events("doors", "ann")
    assert await repository.delete_resolved_events(0) == 1
