"""What the tests of the backends share."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventsource.stores.sqlite import SQLiteEventStore


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
