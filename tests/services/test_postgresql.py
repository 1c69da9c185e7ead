"""The PostgreSQL that tests use, and the pooler before it, by the driver that the stores use."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from threading import Thread

import asyncpg
import pytest

from services import unprivileged
from services.availability import NotAvailableError
from services.finding import find
from services.fixtures import drop_schema
from services.pgbouncer import PgBouncer
from services.postgresql import PostgreSQL
from services.processes import free_ports

PATIENCE = 30.0

ENDLESS = "SELECT count(*) FROM generate_series(1, 1000000000000)"
"""A query that does not look whether the server is still there."""

LOST = (asyncpg.PostgresConnectionError, ConnectionError)

STARTING_UP = b"E\x00\x00\x00\x38SFATAL\x00VFATAL\x00C57P03\x00Mthe database system is starting up\x00\x00"


async def test_the_shared_postgresql_works(postgresql_dsn: str) -> None:
    """A query is answered."""
    assert await _value(postgresql_dsn, "SELECT 'hello'") == "hello"


async def test_the_environment_names_another_postgresql(postgresql_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used if it answers, and nothing is used in its place."""
    monkeypatch.setenv("EVENTSOURCE_TEST_POSTGRESQL_DSN", postgresql_dsn)
    found = find(PostgreSQL)

    monkeypatch.setenv("EVENTSOURCE_TEST_POSTGRESQL_DSN", _address_of_nobody())

    assert found == postgresql_dsn
    with pytest.raises(NotAvailableError, match="EVENTSOURCE_TEST_POSTGRESQL_DSN is set"):
        find(PostgreSQL)


async def test_a_schema_of_the_test_s_own_is_not_there_yet(postgresql_dsn: str, schema: str) -> None:
    """Whoever needs it creates it."""
    assert await _value(postgresql_dsn, "SELECT to_regnamespace($1)", f'"{schema}"') is None


async def test_a_schema_is_dropped_with_all_that_is_in_it(postgresql_dsn: str, schema: str) -> None:
    """The next test does not meet what this one has left."""
    await _execute(postgresql_dsn, f'CREATE SCHEMA "{schema}" CREATE TABLE kept (value text)')

    await drop_schema(postgresql_dsn, schema)

    assert await _value(postgresql_dsn, "SELECT to_regnamespace($1)", f'"{schema}"') is None


async def test_nobody_who_listens_is_no_postgresql() -> None:
    """The address has to be of one that runs."""
    assert not await asyncio.to_thread(PostgreSQL.answers, _address_of_nobody())


@pytest.mark.parametrize("answer", [STARTING_UP, b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_what_answers_something_else_is_no_postgresql_that_works(answer: bytes) -> None:
    """One that is starting up is not ready, and others listen on ports, too."""
    with _one_who_answers(answer) as address:
        assert not PostgreSQL.answers(address)


async def test_a_killed_postgresql_keeps_its_address_and_its_data(start_postgresql: Callable[..., PostgreSQL]) -> None:
    """Both connections, plain and encrypted, lead to it again."""
    server = await asyncio.to_thread(start_postgresql, tls=True)
    trusted = ssl.create_default_context(cafile=server.certificate)
    await _execute(server.address, "CREATE TABLE kept AS SELECT 'hello' AS value")

    await asyncio.to_thread(server.kill)
    away = not server.answers(server.address)
    await asyncio.to_thread(server.start)

    encrypted = "SELECT value FROM kept, pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl = $1"
    assert away
    assert await _value(server.address, encrypted, False, ssl=False) == "hello"
    assert await _value(server.address, encrypted, True, ssl=trusted) == "hello"


async def test_a_killed_postgresql_is_gone_while_its_sessions_are_busy(
    start_postgresql: Callable[..., PostgreSQL],
) -> None:
    """Nothing holds up its return."""
    server = await asyncio.to_thread(start_postgresql)
    connection = await asyncpg.connect(server.address)
    session = await connection.fetchval("SELECT pg_backend_pid()")
    busy = asyncio.create_task(connection.execute(ENDLESS))
    await _query_runs(server.address, session)

    await asyncio.to_thread(server.kill)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(LOST):
            await busy
    await asyncio.to_thread(server.start)

    assert server.answers(server.address)


async def test_a_frozen_postgresql_can_be_killed(start_postgresql: Callable[..., PostgreSQL]) -> None:
    """What it was asked meanwhile is not done."""
    server = await asyncio.to_thread(start_postgresql)
    await _execute(server.address, "CREATE TABLE kept (value text)")
    connection = await asyncpg.connect(server.address)

    server.freeze()
    late = asyncio.create_task(connection.execute("INSERT INTO kept VALUES ('late')"))
    await asyncio.sleep(0)
    await asyncio.to_thread(server.kill)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(LOST):
            await late
    await asyncio.to_thread(server.start)

    assert await _value(server.address, "SELECT count(*) FROM kept") == 0


async def test_a_frozen_postgresql_is_silent_until_it_is_thawed(start_postgresql: Callable[..., PostgreSQL]) -> None:
    """Sessions stand still with it, their connections stay open."""
    server = await asyncio.to_thread(start_postgresql)
    connection = await asyncpg.connect(server.address)
    server.freeze()
    query = asyncio.create_task(connection.fetchval("SELECT 'hello'"))
    early, _ = await asyncio.wait({query}, timeout=0.3)

    server.thaw()

    async with asyncio.timeout(PATIENCE):
        assert not early
        assert await query == "hello"
        await connection.close()


async def test_a_postgresql_is_stopped_in_good_order_while_it_has_clients(
    start_postgresql: Callable[..., PostgreSQL],
) -> None:
    """It does not wait for them, and has nothing to recover."""
    server = await asyncio.to_thread(start_postgresql)
    connection = await _connect(server.address)
    ended = asyncio.Event()
    connection.add_termination_listener(lambda _: ended.set())

    await asyncio.to_thread(server.stop)

    async with asyncio.timeout(PATIENCE):
        await ended.wait()
    assert server.log.read_text().rstrip().endswith("database system is shut down")


async def test_a_postgresql_leaves_no_shared_memory_behind(tmp_path: Path) -> None:
    """There is little of it, and it outlives everybody."""
    server = PostgreSQL(tmp_path / "postgresql")
    with server:
        identity = _identity(str(await _value(server.address, "SHOW data_directory")))
        was_there = identity in _shared_memory()
        is_in_files_of_its_own = await _value(server.address, "SHOW dynamic_shared_memory_type") == "mmap"

    assert was_there
    assert identity not in _shared_memory()
    assert is_in_files_of_its_own


async def test_sessions_are_ended_as_an_administrator_would(start_postgresql: Callable[..., PostgreSQL]) -> None:
    """The server itself goes on."""
    server = await asyncio.to_thread(start_postgresql)
    connection = await _connect(server.address)
    ended = asyncio.Event()
    connection.add_termination_listener(lambda _: ended.set())

    await asyncio.to_thread(server.terminate_sessions)

    async with asyncio.timeout(PATIENCE):
        await ended.wait()
    assert server.answers(server.address)


async def test_a_postgresql_has_the_settings_that_it_is_given(start_postgresql: Callable[..., PostgreSQL]) -> None:
    """They win over those that all have."""
    server = await asyncio.to_thread(start_postgresql, settings={"max_connections": "7"})

    assert await _value(server.address, "SHOW max_connections") == "7"


def test_no_two_servers_share_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one has left that was never ended is not the data of the next."""
    monkeypatch.setattr(unprivileged, "is_needed", lambda: True)

    assert unprivileged.directory_beside(tmp_path) != unprivileged.directory_beside(tmp_path)


async def test_pgbouncer_gives_a_connection_to_each_transaction(
    postgresql_dsn: str, start_pgbouncer: Callable[..., PgBouncer]
) -> None:
    """More clients than it has connections take turns, and none has to leave."""
    pooler = await asyncio.to_thread(start_pgbouncer, upstream=postgresql_dsn)
    clients = [await _connect(pooler.address, statement_cache_size=0) for _ in range(12)]

    sessions = [await client.fetchval("SELECT pg_backend_pid()") for client in clients]
    for client in clients:
        await client.close()

    assert len(set(sessions)) < len(clients)


async def test_a_killed_pgbouncer_comes_back_at_its_address(
    postgresql_dsn: str, start_pgbouncer: Callable[..., PgBouncer]
) -> None:
    """Clients that reconnect find it."""
    pooler = await asyncio.to_thread(start_pgbouncer, upstream=postgresql_dsn)

    await asyncio.to_thread(pooler.kill)
    away = not pooler.answers(pooler.address)
    await asyncio.to_thread(pooler.start)

    assert away
    assert await _value(pooler.address, "SELECT 'hello'", statement_cache_size=0) == "hello"


async def _connect(dsn: str, **options: object) -> asyncpg.Connection:
    return await asyncpg.connect(dsn, timeout=PATIENCE, command_timeout=PATIENCE, **options)


async def _execute(dsn: str, query: str) -> None:
    connection = await _connect(dsn)
    await connection.execute(query)
    await connection.close()


async def _value(dsn: str, query: str, *values: object, **options: object) -> object:
    connection = await _connect(dsn, **options)
    value = await connection.fetchval(query, *values)
    await connection.close()
    return value


async def _query_runs(dsn: str, session: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while await _value(dsn, "SELECT query FROM pg_stat_activity WHERE pid = $1", session) != ENDLESS:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)


def _address_of_nobody() -> str:
    [port] = free_ports(1)
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"


def _identity(data: str) -> str:
    return Path(data, "postmaster.pid").read_text().splitlines()[6].split()[1]


def _shared_memory() -> set[str]:
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()}


@contextmanager
def _one_who_answers(answer: bytes) -> Iterator[str]:
    with create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer)

        thread = Thread(target=serve)
        thread.start()
        yield f"postgresql://postgres@127.0.0.1:{listener.getsockname()[1]}/postgres"
        thread.join(PATIENCE)
