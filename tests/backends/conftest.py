"""What the tests of the backends share."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventsource.handlers import handles
from eventsource.projections.runner import ProjectionRunner
from eventsource.projections.sqlite import SQLiteProjection
from eventsource.retry import ExponentialBackoffRetryPolicy, NoRetryPolicy, RetryConfig, RetryPolicy
from eventsource.stores.interface import EventStore
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import ExpectedVersion
from eventsource.testing.events import DOOR, Opened

Do = Callable[[sqlite3.Connection, Opened], object]

AT_MOST = 20.0
"""Seconds after which a test has failed; none takes so long."""


class Visits(SQLiteProjection):
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

    async def position(self) -> int | None:
        """Return where the checkpoint is."""
        return await self.checkpoints.get_position(self.projection_name)

    async def failed(self) -> list[tuple[str, int]]:
        """Return message and number of attempts of each dead letter, the oldest first."""
        entries = await self.dead_letters.get_failed_events(self.projection_name, oldest_first=True)
        return [(entry.error_message, entry.retry_count) for entry in entries]

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS visits (name TEXT NOT NULL, number INTEGER NOT NULL)")

    def _empty_tables(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM visits WHERE name = ?", (self.projection_name,))


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
def sql(path: Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Do with the file what somebody else might do to it."""

    def execute(statement: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    return execute


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

    def make(store: EventStore, projection: SQLiteProjection, **options: Any) -> ProjectionRunner:
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
