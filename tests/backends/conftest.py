"""What the tests of the backends share."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, replace
from inspect import isawaitable
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.handlers import handles
from eventsource.projections.base import CheckpointTrackingProjection
from eventsource.projections.postgresql import PostgreSQLProjection
from eventsource.projections.runner import ProjectionRunner
from eventsource.projections.sqlite import SQLiteProjection
from eventsource.retry import ExponentialBackoffRetryPolicy, NoRetryPolicy, RetryConfig, RetryPolicy
from eventsource.stores.interface import EventStore
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import ExpectedVersion
from eventsource.testing.events import DOOR, Opened
from services.postgresql_sessions import Sessions

Do = Callable[[Any, Opened], object]
Sql = Callable[..., list[tuple[Any, ...]]]
Execute = Callable[..., Awaitable[list[tuple[Any, ...]]]]

AT_MOST = 20.0
"""Seconds after which a test has failed; none takes so long."""


class Noted(CheckpointTrackingProjection):
    """What can be asked of a projection, wherever it notes its events."""

    async def position(self) -> int | None:
        """Return where the checkpoint is."""
        return await self.checkpoints.get_position(self.projection_name)

    async def failed(self) -> list[tuple[str, int]]:
        """Return message and number of attempts of each dead letter, the oldest first."""
        entries = await self.dead_letters.get_failed_events(self.projection_name, oldest_first=True)
        return [(entry.error_message, entry.retry_count) for entry in entries]


class Visits(SQLiteProjection, Noted):
    """Notes the number of each event in a table, and then does with the event what it is told."""

    def __init__(self, database: Path, do: Do | None = None, **options: Any) -> None:
        super().__init__(database, **{"retry_policy": NoRetryPolicy(), "name": "visits", **options})
        self.do = do

    @handles(Opened)
    def on_opened(self, connection: sqlite3.Connection, event: Opened) -> None:
        connection.execute("INSERT INTO visits VALUES (?, ?)", (self.projection_name, event.number))
        if self.do is not None:
            self.do(connection, event)

    async def numbers(self) -> list[int]:
        """Return which events are in the read model, in the order in which they came there."""
        rows = await self.fetch("SELECT number FROM visits WHERE name = ? ORDER BY rowid", (self.projection_name,))
        return [number for (number,) in rows]

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS visits (name TEXT NOT NULL, number INTEGER NOT NULL)")

    def _empty_tables(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM visits WHERE name = ?", (self.projection_name,))


class PostgreSQLVisits(PostgreSQLProjection, Noted):
    """Notes the number of each event in a table of PostgreSQL, and then does with the event what it is told."""

    place: ClassVar[str]
    options_there: ClassVar[PostgreSQLOptions]

    def __init__(self, do: Do | None = None, *, database: Any = None, **options: Any) -> None:
        defaults = {"retry_policy": NoRetryPolicy(), "name": "visits", "options": self.options_there}
        super().__init__(database or self.place, **{**defaults, **options})
        self.do = do

    @handles(Opened)
    async def on_opened(self, connection: Any, event: Opened) -> None:
        await connection.execute("INSERT INTO visits VALUES ($1, $2)", self.projection_name, event.number)
        done = self.do and self.do(connection, event)
        if isawaitable(done):
            await done

    async def numbers(self) -> list[int]:
        """Return which events are in the read model, in the order in which they came there."""
        rows = await self.fetch("SELECT number FROM visits WHERE name = $1 ORDER BY place", self.projection_name)
        return [number for (number,) in rows]

    async def _create_tables(self, connection: Any) -> None:
        await connection.execute(
            """
            CREATE TABLE IF NOT EXISTS visits (
                name text NOT NULL, number bigint NOT NULL, place bigint GENERATED ALWAYS AS IDENTITY
            )
            """
        )

    async def _empty_tables(self, connection: Any) -> None:
        await connection.execute("DELETE FROM visits WHERE name = $1", self.projection_name)


@dataclass(frozen=True)
class Place:
    """Where a test has its events, and a read model with them; *apart* are options for connections of one's own."""

    log_of: Callable[[], Any]
    view_of: Callable[..., Any]
    apart: dict[str, Any]
    execute: Execute


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist yet."""
    return tmp_path / "events.db"


@pytest.fixture
def door() -> UUID:
    """The id of an aggregate to which nothing has happened."""
    return uuid4()


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteEventStore]:
    """An open store without events."""
    async with SQLiteEventStore(path) as store:
        yield store


@pytest.fixture
def sql(path: Path) -> Sql:
    """Do with the file what somebody else might do to it."""

    def execute(statement: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    return execute


@pytest.fixture
async def session(postgresql_dsn: str, schema: str) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """Open connections of asyncpg's for which the test's schema is that of all names; they end with the test."""
    opened: list[Any] = []

    async def connect() -> Any:
        opened.append(await asyncpg.connect(postgresql_dsn, server_settings={"search_path": f'"{schema}"'}))
        return opened[-1]

    yield connect
    for each in opened:
        each.terminate()


@pytest.fixture
def execute(session: Callable[[], Awaitable[Any]]) -> Execute:
    """Do with the tables of the test's schema in PostgreSQL what somebody else might do to them."""
    connections: list[Any] = []

    async def fetch(statement: str, *values: object) -> list[tuple[Any, ...]]:
        if not connections:
            connections.append(await session())
        return [tuple(row) for row in await connections[0].fetch(statement, *values)]

    return fetch


@pytest.fixture
async def sessions(postgresql_dsn: str, session: Callable[[], Awaitable[Any]]) -> Sessions:
    """What the shared PostgreSQL sees of whoever connects to their address."""
    return Sessions(postgresql_dsn, await session())


@pytest.fixture
async def role(schema: str, execute: Execute) -> AsyncIterator[str]:
    """Somebody at the shared PostgreSQL who may do nothing but connect."""
    name = f"{schema}-ann"
    await execute(f'CREATE ROLE "{name}" LOGIN')
    yield name
    await execute(f'DROP OWNED BY "{name}"')
    await execute(f'DROP ROLE "{name}"')


@pytest.fixture
def sqlite_place(path: Path, sql: Sql) -> Place:
    """A file."""

    class Here(Visits):
        def __init__(self, do: Do | None = None, **options: Any) -> None:
            super().__init__(path, do, **options)

    async def execute(statement: str, *values: object) -> list[tuple[Any, ...]]:
        return sql(statement, *values)

    return Place(lambda: SQLiteEventStore(path), Here, {"busy_timeout": 20_000}, execute)


@pytest.fixture
def postgresql_place(postgresql_dsn: str, schema: str, execute: Execute) -> Place:
    """A schema of the server's, in which all names are looked for."""
    path = quote(f'"{schema}"')
    address, options = f"{postgresql_dsn}?search_path={path}", PostgreSQLOptions(schema=schema)
    here = type("Here", (PostgreSQLVisits,), {"place": address, "options_there": options})
    apart = {"options": replace(options, max_size=9)}
    return Place(lambda: PostgreSQLEventStore(address, options=options), here, apart, execute)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each place in which read model and checkpoint are one transaction."""
    there: Place = request.getfixturevalue(f"{request.param}_place")
    return there


@pytest.fixture
async def log(place: Place) -> AsyncIterator[EventStore]:
    """An open store without events in that place."""
    async with place.log_of() as log:
        yield log


@pytest.fixture
def elsewhere(place: Place) -> Execute:
    """Do with the tables in that place what somebody else might do to them."""
    return place.execute


@pytest.fixture
def view_of(place: Place) -> Callable[..., Any]:
    """The class of projections in that place; they try once, unless told otherwise."""
    return place.view_of


@pytest.fixture
async def view(view_of: Callable[..., Any]) -> AsyncIterator[Any]:
    """An open projection in that place."""
    async with view_of() as view:
        yield view


@pytest.fixture
def visits_of() -> type[Visits]:
    """The class of projections whose read model is a table of numbers; they try once, unless told otherwise."""
    return Visits


@pytest.fixture
async def visits(path: Path) -> AsyncIterator[Visits]:
    """An open projection in the file of the store."""
    async with Visits(path) as visits:
        yield visits


@pytest.fixture
def append(door: UUID) -> Callable[..., Awaitable[int]]:
    """Append an event of each number, and return the position of the last."""

    async def append_to(store: EventStore, *numbers: int, headers: dict[str, str] | None = None) -> int:
        events = [Opened(aggregate_id=door, number=number) for number in numbers]
        result = await store.append_events(door, DOOR, events, ExpectedVersion.ANY, headers=headers)
        return result.global_position

    return append_to


@pytest.fixture
def runner_of() -> Callable[..., ProjectionRunner]:
    """Make a runner that looks often and begins again soon."""

    def make(store: EventStore, projection: CheckpointTrackingProjection, **options: Any) -> ProjectionRunner:
        defaults = {
            "poll_interval": 0.02,
            "lease_seconds": 0.3,
            "restart_backoff": RetryConfig(initial_delay=0.001, max_delay=0.001, jitter=0.0),
        }
        return ProjectionRunner(store, projection, **{**defaults, **options})

    return make


@pytest.fixture
def at_once() -> Callable[[int], RetryPolicy]:
    """Make a policy that tries again so many times, without waiting noticeably."""

    def make(retries: int) -> RetryPolicy:
        config = RetryConfig(max_retries=retries, initial_delay=0.001, max_delay=0.001, jitter=0.0)
        return ExponentialBackoffRetryPolicy(config)

    return make


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Wait until something is so."""

    async def wait(is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(AT_MOST):
            while not is_so():  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.001)

    return wait
