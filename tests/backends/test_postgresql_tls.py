"""Encrypted connections to PostgreSQL, and to whom they lead."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.exceptions import DatabaseError
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing.events import DOOR, opened
from services.availability import NotAvailableError
from services.certificates import certify
from services.fixtures import do_without
from services.postgresql import PostgreSQL
from services.postgresql_writers import PATIENCE

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """One that encrypts, for all of these tests: none does anything to it."""
    try:
        settings = {"ssl_ca_file": "certificate.pem"}  # that of the server, which vouches for itself
        with PostgreSQL(tmp_path_factory.mktemp("postgresql"), tls=True, settings=settings) as server:
            yield server
    except NotAvailableError as error:
        do_without(str(error))


@pytest.fixture
def trusting(server: PostgreSQL) -> ssl.SSLContext:
    """What trusts its certificate."""
    return ssl.create_default_context(cafile=server.certificate)


async def is_encrypted(store: PostgreSQLEventStore) -> bool:
    """Tell whether the server says so of a connection of *store*."""
    ((answer,),) = await store._connected.fetch("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    return bool(answer)


async def test_a_server_that_is_trusted_is_used(server: PostgreSQL, trusting: ssl.SSLContext, door: UUID) -> None:
    """By a context that says which authority vouches for it; the listening connection is no exception."""
    async with PostgreSQLEventStore(server.address, options=PostgreSQLOptions(ssl=trusting)) as store:
        await store.append_events(door, DOOR, opened(door, 1), 0)
        async with asyncio.timeout(PATIENCE):
            await anext(store.read_all())

        assert await is_encrypted(store)


async def test_a_file_may_say_whom_to_trust(
    server: PostgreSQL, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The one that libpq looks at, too; without it nobody is trusted."""
    options = PostgreSQLOptions(ssl="verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(server.certificate))
    async with PostgreSQLEventStore(server.address, options=options) as store:
        trusted = await is_encrypted(store)

    (other := tmp_path / "other").mkdir()
    certificate, _ = await asyncio.to_thread(certify, other)
    monkeypatch.setenv("PGSSLROOTCERT", str(certificate))

    with pytest.raises(DatabaseError, match=r"(?i)certificate.*verify failed.*nothing was done"):
        await PostgreSQLEventStore(server.address, options=options).initialize()
    assert trusted


async def test_a_server_that_is_not_trusted_is_not_talked_to(server: PostgreSQL) -> None:
    """Nobody has said that its certificate is good."""
    store = PostgreSQLEventStore(server.address, options=PostgreSQLOptions(ssl=ssl.create_default_context()))

    with pytest.raises(DatabaseError, match=r"(?i)certificate.*verify failed.*nothing was done"):
        await store.initialize()

    assert not store.is_connected


@pytest.mark.parametrize(("mode", "encrypted"), [("require", True), ("prefer", True), ("disable", False)])
async def test_a_mode_says_whether_to_encrypt(server: PostgreSQL, mode: Any, encrypted: bool) -> None:
    """In the options or in the address; that of the options counts."""
    async with PostgreSQLEventStore(f"{server.address}?sslmode={mode}") as store:
        by_address = await is_encrypted(store)
    other = "disable" if encrypted else "require"
    options = PostgreSQLOptions(ssl=mode)
    async with PostgreSQLEventStore(f"{server.address}?sslmode={other}", options=options) as store:
        by_options = await is_encrypted(store)

    assert (by_address, by_options) == (encrypted, encrypted)


async def test_who_insists_on_encryption_gets_nothing_else(postgresql_dsn: str, schema: str) -> None:
    """A server that cannot encrypt is not used in clear."""
    store = PostgreSQLEventStore(postgresql_dsn, options=PostgreSQLOptions(schema=schema, ssl="require"))

    with pytest.raises(DatabaseError, match=r"(?i)ssl.*nothing was done"):
        await store.initialize()


async def test_a_mode_that_nobody_knows_is_told(postgresql_dsn: str) -> None:
    """The error names those that there are."""
    mode: Any = "verify-everything"

    with pytest.raises(DatabaseError, match="verify-full"):
        await PostgreSQLEventStore(postgresql_dsn, options=PostgreSQLOptions(ssl=mode)).initialize()


async def test_a_program_shows_its_certificate(server: PostgreSQL, trusting: ssl.SSLContext) -> None:
    """Of a context it is sent to a server that wants to know who connects."""
    trusting.load_cert_chain(*await asyncio.to_thread(certify, server.directory))

    async with PostgreSQLEventStore(server.address, options=PostgreSQLOptions(ssl=trusting)) as store:
        query = "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert [tuple(row) for row in await store._connected.fetch(query)] == [("/CN=localhost",)]
