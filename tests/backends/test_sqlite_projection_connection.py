"""What a handler may do with the connection that it shares, and what is its failure and what the database's."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from eventsource.databases.sqlite import is_outage
from eventsource.exceptions import DatabaseError, ProjectionError
from eventsource.projections.runner import ProjectionRunner
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import Opened

Append = Callable[..., Awaitable[int]]
RunnerOf = Callable[..., ProjectionRunner]
Until = Callable[[Callable[[], object]], Awaitable[None]]

AT_MOST = 20.0


def enter(connection: sqlite3.Connection) -> None:
    with connection:
        connection.execute("DELETE FROM visits")


ENDINGS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "commit": lambda connection: connection.commit(),
    "rollback": lambda connection: connection.rollback(),
    "executescript": lambda connection: connection.executescript("DELETE FROM visits"),
    "with": enter,
    "close": lambda connection: connection.close(),
    "execute": lambda connection: connection.execute("COMMIT"),
    "execute a pragma": lambda connection: connection.execute("PRAGMA query_only = ON"),
}
RAISED: dict[str, Callable[[], BaseException]] = {
    "StopIteration": lambda: StopIteration("no row"),
    "CancelledError": asyncio.CancelledError,
}


def limit(connection: sqlite3.Connection, pages: int) -> None:
    """Let the disk be as large as that."""
    connection.execute(f"PRAGMA max_page_count = {pages}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep the file locked inside the block, as another process may do."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize(("name", "end"), ENDINGS.items(), ids=ENDINGS)
class TestEndingTheTransaction:
    async def test_it_is_the_handlers_failure(
        self,
        path: Path,
        store: SQLiteEventStore,
        visits_of: Any,
        append: Append,
        runner_of: RunnerOf,
        name: str,
        end: Callable[[sqlite3.Connection], object],
    ) -> None:
        """The others' writes are not committed before their time: the event is undone, its neighbours stay."""
        last = await append(store, 1, 2, 3)

        def end_second(connection: sqlite3.Connection, event: Opened) -> None:
            if event.number == 2:
                end(connection)

        async with visits_of(path, end_second) as visits, runner_of(store, visits) as runner:
            await runner.wait_for(last, AT_MOST)

            ((message, _),) = await visits.failed()
            assert await visits.numbers() == [1, 3]
        assert message.startswith(f"connection.{name.split()[0]}: the transaction is shared with others")

    async def test_a_handler_that_is_called_by_hand_is_told_what_to_do(
        self,
        visits: Any,
        name: str,
        end: Callable[[sqlite3.Connection], object],
    ) -> None:
        """The error is a clear one."""
        visits.do = lambda connection, event: end(connection)

        with pytest.raises(DatabaseError, match="use execute and executemany, and raise an exception to undo"):
            await visits.handle(Opened(aggregate_id=uuid4()))

        assert await visits.numbers() == []


@pytest.mark.parametrize("raised", RAISED.values(), ids=RAISED)
class TestUnusualFailures:
    async def test_in_a_page_they_are_failures_like_others(
        self,
        path: Path,
        store: SQLiteEventStore,
        visits_of: Any,
        append: Append,
        runner_of: RunnerOf,
        raised: Callable[[], BaseException],
    ) -> None:
        """The event is undone and kept, and its neighbours stay."""

        def fail(connection: sqlite3.Connection, event: Opened) -> None:
            if event.number == 2:
                raise raised()

        last = await append(store, 1, 2, 3)
        async with visits_of(path, fail) as visits, runner_of(store, visits) as runner:
            await runner.wait_for(last, AT_MOST)

            assert (await visits.numbers(), len(await visits.failed())) == ([1, 3], 1)

    async def test_by_hand_they_reach_the_caller_and_nobody_else(
        self, store: SQLiteEventStore, visits: Any, append: Append, raised: Callable[[], BaseException]
    ) -> None:
        """Appends that share the transaction succeed, and so do those that come later."""

        def fail(connection: sqlite3.Connection, event: Opened) -> None:
            raise raised()

        visits.do = fail
        async with asyncio.timeout(AT_MOST):
            failed, *positions = await asyncio.gather(
                visits.handle(Opened(aggregate_id=uuid4())),
                append(store, 1),
                append(store, 2),
                return_exceptions=True,
            )
            positions.append(await append(store, 3))

        assert isinstance(failed, (RuntimeError, ProjectionError))
        assert sorted(positions) == [1, 2, 3]

    async def test_of_a_dead_letter_they_are_the_answer(self, visits: Any, raised: Callable[[], BaseException]) -> None:
        """It has failed again."""

        def fail(connection: sqlite3.Connection, event: Opened) -> None:
            raise raised()

        event = Opened(aggregate_id=uuid4())
        dlq_id = await visits.dead_letters.add_failed_event(
            event.event_id, "visits", event.event_type, event.model_dump_json(), LookupError()
        )
        visits.do = fail

        async with asyncio.timeout(AT_MOST):
            result = await visits.retry_dead_letter(dlq_id)

        assert (result.outcome, await visits.numbers()) == ("failed", [])


async def test_of_a_dead_letter_what_sqlite_has_refused_is_the_answer_as_it_is(visits: Any) -> None:
    """It is the handler's failure, and no failure of the database."""
    event = Opened(aggregate_id=uuid4())
    dlq_id = await visits.dead_letters.add_failed_event(
        event.event_id, "visits", event.event_type, event.model_dump_json(), LookupError(), 1
    )
    visits.do = lambda connection, event: connection.execute("INSERT INTO doors VALUES (1)")

    result = await visits.retry_dead_letter(dlq_id)

    assert (type(result.error), await visits.failed()) == (sqlite3.OperationalError, [("no such table: doors", 2)])


class TestOutages:
    async def test_a_locked_database_is_no_poison(
        self,
        tmp_path: Path,
        store: SQLiteEventStore,
        visits_of: Any,
        append: Append,
        runner_of: RunnerOf,
        until: Until,
    ) -> None:
        """The events wait until it is free again; none of them is a dead letter."""
        views = tmp_path / "views.db"

        async with visits_of(views, busy_timeout=1) as visits, runner_of(store, visits, lease_seconds=600) as runner:
            await runner.wait_for(0, AT_MOST)
            with locked(views):
                last = await append(store, 1, 2)
                await until(lambda: runner.failure)
                failure = runner.failure
            await runner.wait_for(last, AT_MOST)

            assert (await visits.numbers(), await visits.failed()) == ([1, 2], [])
        assert "another connection kept it locked" in str(failure)

    async def test_a_full_disk_is_no_poison_in_the_midst_of_a_handler(
        self,
        tmp_path: Path,
        store: SQLiteEventStore,
        visits_of: Any,
        append: Append,
        runner_of: RunnerOf,
        until: Until,
    ) -> None:
        """The whole page is undone; when there is room again each event is reflected once."""

        def write_much(connection: sqlite3.Connection, event: Opened) -> None:
            if event.number == 2:
                connection.execute("INSERT INTO visits VALUES (zeroblob(1000000), 0)")

        last = await append(store, 1, 2, 3)
        async with visits_of(tmp_path / "views.db", write_much) as visits:
            await visits._connected.write(partial(limit, pages=64))
            async with runner_of(store, visits) as runner:
                await until(lambda: runner.failure)
                failure, before = runner.failure, await visits.numbers()
                await visits._connected.write(partial(limit, pages=100_000))
                await runner.wait_for(last, AT_MOST)

            assert (before, await visits.numbers(), await visits.failed()) == ([], [1, 2, 3], [])
        assert "the disk is full" in str(failure)

    async def test_a_table_that_a_handler_has_locked_itself_is_its_failure(
        self, path: Path, store: SQLiteEventStore, visits_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """Another attempt would lock it again: the event is a dead letter, and the others go on."""

        def drop_what_is_read(connection: sqlite3.Connection, event: Opened) -> None:
            if event.number == 2:
                for _ in connection.execute("SELECT number FROM visits"):
                    connection.execute("DROP TABLE visits")

        last = await append(store, 1, 2, 3)
        async with visits_of(path, drop_what_is_read) as visits, runner_of(store, visits) as runner:
            await runner.wait_for(last, AT_MOST)

            ((message, attempts),) = await visits.failed()
            assert (await visits.numbers(), attempts) == ([1, 3], 1)
        assert "locked" in message

    async def test_a_lock_that_a_handler_meets_is_no_poison(
        self,
        tmp_path: Path,
        store: SQLiteEventStore,
        visits_of: Any,
        append: Append,
        runner_of: RunnerOf,
        until: Until,
    ) -> None:
        """Whichever database it is of: the next event would meet it too."""
        other = tmp_path / "other.db"

        def use_other(connection: sqlite3.Connection, event: Opened) -> None:
            with closing(sqlite3.connect(other, timeout=0)) as elsewhere:
                elsewhere.execute("BEGIN IMMEDIATE")

        last = await append(store, 1, 2)
        async with visits_of(tmp_path / "views.db", use_other) as visits, runner_of(store, visits) as runner:
            with locked(other):
                await until(lambda: runner.failure)
            await runner.wait_for(last, AT_MOST)

            assert (await visits.numbers(), await visits.failed()) == ([1, 2], [])

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            (sqlite3.SQLITE_BUSY, True),
            (sqlite3.SQLITE_BUSY_SNAPSHOT, True),
            (sqlite3.SQLITE_IOERR_FSYNC, True),
            (sqlite3.SQLITE_FULL, True),
            (sqlite3.SQLITE_READONLY_DBMOVED, True),
            (sqlite3.SQLITE_CORRUPT, True),
            (sqlite3.SQLITE_NOMEM, True),
            (sqlite3.SQLITE_LOCKED, False),
            (sqlite3.SQLITE_LOCKED_SHAREDCACHE, False),
            (sqlite3.SQLITE_ERROR, False),
            (sqlite3.SQLITE_CONSTRAINT_UNIQUE, False),
            (sqlite3.SQLITE_TOOBIG, False),
            (sqlite3.SQLITE_MISMATCH, False),
            (sqlite3.SQLITE_MISUSE, False),
        ],
    )
    def test_an_outage_is_what_another_statement_would_have_met_too(self, code: int, expected: bool) -> None:
        """Told by the primary code, whatever the extended one is."""
        error = sqlite3.OperationalError("it did not work")
        error.sqlite_errorcode = code

        assert is_outage(error) is expected

    @pytest.mark.parametrize("error", [ValueError("a value"), sqlite3.ProgrammingError("a binding is missing")])
    def test_what_the_database_has_not_said_is_none(self, error: Exception) -> None:
        """Nor what the driver has found before it asked."""
        assert not is_outage(error)
