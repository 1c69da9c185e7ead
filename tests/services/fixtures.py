"""What a test asks for that needs a server."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from uuid import uuid4

import asyncpg
import pytest

from services.availability import NotAvailableError, required
from services.finding import find
from services.kafka import Kafka
from services.pgbouncer import PgBouncer
from services.postgresql import PostgreSQL
from services.rabbitmq import RabbitMQ
from services.server import Server

PATIENCE = 30.0
"""How many seconds a schema that is to be dropped may still be in use."""

S = TypeVar("S", bound=Server)
OF_ITS_OWN = {"start_rabbitmq", "start_kafka", "start_postgresql", "start_pgbouncer"}
"""The fixtures that give a test what nobody else has."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts servers of its own."""
    for item in items:
        if OF_ITS_OWN.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("servers")


@pytest.fixture(scope="session")
def rabbitmq_url() -> str:
    """Where the RabbitMQ is that all tests share."""
    return _shared(RabbitMQ)


@pytest.fixture(scope="session")
def kafka_address() -> str:
    """Where the Kafka is that all tests share."""
    return _shared(Kafka)


@pytest.fixture(scope="session")
def postgresql_dsn() -> str:
    """Where the PostgreSQL is that all tests share."""
    return _shared(PostgreSQL)


@pytest.fixture
def schema(postgresql_dsn: str) -> Iterator[str]:
    """The name of a schema that is the test's own; it is not there yet, and not any more afterwards."""
    name = f"test-{uuid4()}"
    yield name
    asyncio.run(drop_schema(postgresql_dsn, name))


@pytest.fixture
def start_rabbitmq(tmp_path: Path) -> Iterator[Callable[..., RabbitMQ]]:
    """Start a RabbitMQ of the test's own, which does not outlive it."""
    yield from _private(RabbitMQ, tmp_path)


@pytest.fixture
def start_kafka(tmp_path: Path) -> Iterator[Callable[..., Kafka]]:
    """Start a Kafka of the test's own, which does not outlive it."""
    yield from _private(Kafka, tmp_path)


@pytest.fixture
def start_postgresql(tmp_path: Path) -> Iterator[Callable[..., PostgreSQL]]:
    """Start a PostgreSQL of the test's own, which does not outlive it."""
    yield from _private(PostgreSQL, tmp_path)


@pytest.fixture
def start_pgbouncer(tmp_path: Path) -> Iterator[Callable[..., PgBouncer]]:
    """Start a pooler of the test's own, which does not outlive it."""
    yield from _private(PgBouncer, tmp_path)


async def drop_schema(dsn: str, name: str) -> None:
    """Drop a schema and all that is in it."""
    connection = await asyncpg.connect(dsn, command_timeout=PATIENCE)
    try:
        await connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
    finally:
        await connection.close()


def do_without(reason: str) -> NoReturn:
    """Skip a test for want of what it needs; where everything has to be there, fail."""
    if required():
        pytest.fail(reason)
    pytest.skip(reason)


def _shared(server: type[Server]) -> str:
    try:
        return find(server)
    except NotAvailableError as error:
        do_without(str(error))


def _private(server: type[S], directory: Path) -> Iterator[Callable[..., S]]:
    numbers = count(1)

    with ExitStack() as stack:

        def start(**options: Any) -> S:
            started = server(directory / f"{server.__name__.lower()}{next(numbers)}", **options)
            try:
                stack.enter_context(started)
            except NotAvailableError as error:
                do_without(str(error))
            return started

        yield start
