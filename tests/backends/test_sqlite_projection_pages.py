"""Pages of SQLite projections: what they promise beyond other transactional projections, or do in their own way."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from eventsource.exceptions import RebuildError
from eventsource.projections.runner import ProjectionRunner
from eventsource.projections.sqlite import SQLiteProjection
from eventsource.retry import RetryPolicy
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import Opened

Append = Callable[..., Awaitable[int]]
RunnerOf = Callable[..., ProjectionRunner]

AT_MOST = 20.0


def poison(*numbers: int, log: list[int] | None = None) -> Callable[[sqlite3.Connection, Opened], None]:
    """Return what fails on the events of these numbers."""

    def fail(connection: sqlite3.Connection, event: Opened) -> None:
        if log is not None:
            log.append(event.number)
        if event.number in numbers:
            raise LookupError(f"no room for {event.number}")

    return fail


async def test_a_handler_may_read_what_the_page_has_written(
    path: Path, store: SQLiteEventStore, visits_of: Any, append: Append, runner_of: RunnerOf
) -> None:
    """Though nobody else can see it yet."""
    counts: list[int] = []

    def count(connection: sqlite3.Connection, event: Opened) -> None:
        counts.extend(connection.execute("SELECT count(*) FROM visits").fetchone())

    last = await append(store, 1, 2, 3)
    async with visits_of(path, count) as visits, runner_of(store, visits) as runner:
        await runner.wait_for(last, AT_MOST)

    assert counts == [1, 2, 3]


async def test_events_before_one_that_fails_are_not_handled_again(
    path: Path,
    store: SQLiteEventStore,
    visits_of: Any,
    append: Append,
    runner_of: RunnerOf,
    at_once: Callable[[int], RetryPolicy],
) -> None:
    """Each attempt is undone to where it began."""
    attempted: list[int] = []
    last = await append(store, 1, 2, 3)

    async with (
        visits_of(path, poison(2, log=attempted), retry_policy=at_once(2)) as visits,
        runner_of(store, visits) as runner,
    ):
        await runner.wait_for(last, AT_MOST)

        assert (await visits.numbers(), await visits.failed()) == ([1, 3], [("no room for 2", 3)])
    assert attempted == [1, 2, 2, 2, 3]


async def test_it_begins_at_once_or_not_at_all(
    path: Path, store: SQLiteEventStore, visits_of: Any, append: Append, runner_of: RunnerOf
) -> None:
    """A read model that could not be emptied is whole, and is emptied the next time."""
    seen: list[list[int]] = []

    class Held(visits_of):  # type: ignore[misc]
        def _empty_tables(self, connection: sqlite3.Connection) -> None:
            seen.append([number for (number,) in connection.execute("SELECT number FROM visits")])
            super()._empty_tables(connection)
            if len(seen) == 1:
                raise LookupError("held")

    last = await append(store, 1, 2)
    async with Held(path) as visits, runner_of(store, visits) as runner, asyncio.timeout(AT_MOST):
        await runner.wait_for(last)
        await runner.rebuild()

        assert await visits.numbers() == [1, 2]
    assert seen == [[1, 2], [1, 2]]


async def test_what_cannot_be_emptied_is_not_rebuilt(
    path: Path, store: SQLiteEventStore, visits_of: Any, runner_of: RunnerOf
) -> None:
    """The message says what to implement."""
    endless = type("Endless", (visits_of,), {"_empty_tables": SQLiteProjection._empty_tables})

    async with endless(path) as visits, runner_of(store, visits) as runner:
        with pytest.raises(RebuildError, match=r"Endless does not say .* _empty_tables\(connection\)"):
            await runner.rebuild()


async def test_store_and_projection_may_have_files_of_their_own(
    tmp_path: Path, store: SQLiteEventStore, visits_of: Any, append: Append, runner_of: RunnerOf
) -> None:
    """Read model, checkpoint and dead letters are in that of the projection."""
    last = await append(store, 1, 2, 3)

    async with visits_of(tmp_path / "visits.db", poison(2)) as visits, runner_of(store, visits) as runner:
        await runner.wait_for(last, AT_MOST)

        tables = {name for (name,) in await visits.fetch("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        assert tables - {"sqlite_sequence"} == {"visits", "projection_checkpoints", "dead_letter_queue"}
        assert (await visits.numbers(), len(await visits.failed())) == ([1, 3], 1)
