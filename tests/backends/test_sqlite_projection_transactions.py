"""Handlers of a SQLite projection that harm the transaction of their page, and pages that take long."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from eventsource.exceptions import DatabaseError
from eventsource.projections import sqlite as projections
from eventsource.projections.runner import ProjectionRunner
from eventsource.retry import RetryPolicy
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, Closed, Opened

Append = Callable[..., Awaitable[int]]
Handler = Callable[[sqlite3.Connection, Opened], object]
RunnerOf = Callable[..., ProjectionRunner]
Until = Callable[[Callable[[], object]], Awaitable[None]]

AT_MOST = 20.0
TAKEN = "INSERT OR ROLLBACK INTO rooms VALUES (1)"


class Outcome(BaseException):
    """No `Exception`, like that with which a test framework fails a test."""


def end(connection: sqlite3.Connection) -> None:
    connection.execute(TAKEN)


def end_unseen(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.IntegrityError):
        connection.execute(TAKEN)


def end_and_go_on(connection: sqlite3.Connection) -> None:
    end_unseen(connection)
    connection.execute("INSERT INTO visits VALUES ('visits', 99)")


def end_and_go_on_with_many(connection: sqlite3.Connection) -> None:
    end_unseen(connection)
    connection.executemany("INSERT INTO visits VALUES ('visits', ?)", [(99,)])


ENDINGS: dict[str, Callable[[sqlite3.Connection], None]] = {
    "uncaught": end,
    "caught": end_unseen,
    "caught, and more to write": end_and_go_on,
    "caught, and many more to write": end_and_go_on_with_many,
}


@pytest.fixture
def guests_of(visits_of: Any) -> Any:
    """The class of projections that have a room besides, which is taken."""

    class Guests(visits_of):  # type: ignore[misc]
        def _create_tables(self, connection: sqlite3.Connection) -> None:
            super()._create_tables(connection)
            connection.execute("CREATE TABLE IF NOT EXISTS rooms (room INTEGER UNIQUE)")
            connection.execute("INSERT OR IGNORE INTO rooms VALUES (1)")

    return Guests


def at(number: int, do: Callable[[sqlite3.Connection], object]) -> Handler:
    """Do it when the event of that number comes."""
    return lambda connection, event: do(connection) if event.number == number else None


async def append_others(store: SQLiteEventStore, times: int) -> list[object]:
    """Append events that nobody wants, several at a time, and return what came of it."""

    async def append_some() -> None:
        for _ in range(times):
            await store.append_events(door := uuid4(), DOOR, [Closed(aggregate_id=door)], 0)

    return await asyncio.gather(*(append_some() for _ in range(5)), return_exceptions=True)


class TestEndedTransactions:
    @pytest.mark.parametrize("culprit", [1, 3, 5])
    @pytest.mark.parametrize("deed", ENDINGS.values(), ids=ENDINGS)
    async def test_whoever_ended_it_is_the_only_dead_letter(
        self,
        path: Path,
        store: SQLiteEventStore,
        guests_of: Any,
        append: Append,
        runner_of: RunnerOf,
        deed: Callable[[sqlite3.Connection], None],
        culprit: int,
    ) -> None:
        """Those before it, which were undone with it, are reflected once, and so are those behind it."""
        last = await append(store, 1, 2, 3, 4, 5)

        async with guests_of(path, at(culprit, deed)) as guests, runner_of(store, guests) as runner:
            await runner.wait_for(last, AT_MOST)

            assert await guests.numbers() == [number for number in range(1, 6) if number != culprit]
            assert ([attempts for _, attempts in await guests.failed()], await guests.position()) == ([1], last)
            assert runner.failure is None

    async def test_the_reason_says_what_to_do_instead(
        self, path: Path, store: SQLiteEventStore, guests_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """If the handler has not let the error of SQLite through."""
        last = await append(store, 1)

        async with guests_of(path, at(1, end_unseen)) as guests, runner_of(store, guests) as runner:
            await runner.wait_for(last, AT_MOST)

            ((message, _),) = await guests.failed()
        assert message == "the transaction has been ended by OR ROLLBACK or RAISE(ROLLBACK): use ABORT instead"

    async def test_it_is_tried_as_often_as_the_policy_says(
        self,
        path: Path,
        store: SQLiteEventStore,
        guests_of: Any,
        append: Append,
        runner_of: RunnerOf,
        at_once: Callable[[int], RetryPolicy],
    ) -> None:
        """Each time it is undone alone."""
        last = await append(store, 1, 2, 3)

        async with (
            guests_of(path, at(2, end), retry_policy=at_once(2)) as guests,
            runner_of(store, guests) as runner,
        ):
            await runner.wait_for(last, AT_MOST)

            assert await guests.numbers() == [1, 3]
            assert [attempts for _, attempts in await guests.failed()] == [3]

    async def test_those_before_it_are_not_blamed_if_they_take_longer_the_second_time(
        self,
        path: Path,
        store: SQLiteEventStore,
        guests_of: Any,
        append: Append,
        runner_of: RunnerOf,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """They are committed in parts then, and the one that ended the transaction is the dead letter still."""

        def end_slowly(connection: sqlite3.Connection) -> None:
            monkeypatch.setattr(projections, "_LONGEST_TRANSACTION", 0.0)
            end(connection)

        monkeypatch.setattr(projections, "_LONGEST_TRANSACTION", AT_MOST)
        last = await append(store, 1, 2, 3, 4)

        async with guests_of(path, at(3, end_slowly)) as guests, runner_of(store, guests) as runner:
            await runner.wait_for(last, AT_MOST)

            (entry,) = await guests.dead_letters.get_failed_events()
            assert (await guests.numbers(), Opened.model_validate_json(entry.event_data).number) == ([1, 2, 4], 3)

    @pytest.mark.parametrize("deed", ENDINGS.values(), ids=ENDINGS)
    async def test_by_hand_the_caller_is_told(
        self, path: Path, guests_of: Any, deed: Callable[[sqlite3.Connection], None]
    ) -> None:
        """Neither read model nor checkpoint is written, and the next event finds all well."""
        async with guests_of(path, at(1, deed)) as guests:
            with pytest.raises((sqlite3.IntegrityError, DatabaseError)):
                await guests.handle(Opened(aggregate_id=uuid4(), number=1))
            checkpoint = await guests.get_checkpoint()
            await guests.handle(Opened(aggregate_id=uuid4(), number=2))

            assert (checkpoint, await guests.numbers()) == (None, [2])


class TestNeighbours:
    @pytest.mark.parametrize("deed", ENDINGS.values(), ids=ENDINGS)
    async def test_appends_do_not_fail_for_a_handler(
        self,
        path: Path,
        store: SQLiteEventStore,
        guests_of: Any,
        append: Append,
        runner_of: RunnerOf,
        deed: Callable[[sqlite3.Connection], None],
    ) -> None:
        """Though they wait for the same thread."""
        last = await append(store, *[1] * 20)

        async with guests_of(path, at(1, deed)) as guests, runner_of(store, guests) as runner:
            outcomes = await append_others(store, 20)
            await runner.wait_for(last, AT_MOST)

        assert outcomes == [None] * 5

    @pytest.mark.parametrize("fails", [True, False], ids=["and fails", "and goes on"])
    async def test_a_cursor_that_a_handler_leaves_open_harms_nobody(
        self,
        path: Path,
        store: SQLiteEventStore,
        visits_of: Any,
        append: Append,
        runner_of: RunnerOf,
        fails: bool,
    ) -> None:
        """What was written is committed, and what failed is undone."""
        kept: list[sqlite3.Cursor] = []

        def leave_open(connection: sqlite3.Connection) -> None:
            kept.append(connection.execute("INSERT INTO visits VALUES ('other', 1), ('other', 2) RETURNING number"))
            if fails:
                raise LookupError("no room")

        last = await append(store, 1, 2, 3)
        async with visits_of(path, at(2, leave_open)) as visits, runner_of(store, visits) as runner:
            outcomes = await append_others(store, 5)
            await runner.wait_for(last, AT_MOST)

            assert await visits.numbers() == ([1, 3] if fails else [1, 2, 3])
            assert await visits.failed() == ([("no room", 1)] if fails else [])
        assert outcomes == [None] * 5

    async def test_what_is_no_exception_ends_the_runner_only(
        self,
        path: Path,
        store: SQLiteEventStore,
        visits_of: Any,
        append: Append,
        runner_of: RunnerOf,
        until: Until,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Appends get their answers; whoever stops the runner is told what it was, and so is the log."""

        def fail(connection: sqlite3.Connection) -> None:
            raise Outcome("failed")

        await append(store, 1, 2)
        async with visits_of(path, at(2, fail)) as visits:
            runner = runner_of(store, visits)
            await runner.start()
            outcomes = await append_others(store, 20)
            await until(lambda: not runner.is_running)
            (raised,) = await asyncio.gather(runner.stop(), return_exceptions=True)

            assert (outcomes, await visits.numbers()) == ([None] * 5, [])
        (told,) = [each.getMessage() for each in caplog.records if each.levelno == logging.CRITICAL]
        assert "Outcome('failed')" in repr(raised)
        assert told == f"The runner of projection visits has ended: {raised!r}"


class TestLongPages:
    @pytest.fixture(autouse=True)
    def _every_event_takes_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(projections, "_LONGEST_TRANSACTION", 0.0)
        monkeypatch.setattr(projections.SQLiteProjection, "_gap", 0.0)

    async def test_one_is_committed_in_parts(
        self, path: Path, store: SQLiteEventStore, visits_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """So that others can write in between; each event is reflected once, and the checkpoint says how many."""
        seen: list[list[tuple[int]]] = []

        def look(connection: sqlite3.Connection, event: Opened) -> None:
            with closing(sqlite3.connect(path)) as elsewhere:
                seen.append(elsewhere.execute("SELECT number FROM visits").fetchall())

        last = await append(store, 1, 2, 3)
        async with visits_of(path, look) as visits, runner_of(store, visits) as runner:
            await runner.wait_for(last, AT_MOST)

            data = await visits.checkpoints.get_checkpoint_data("visits")
            assert (await visits.numbers(), data.global_position, data.events_processed) == ([1, 2, 3], last, 3)
        assert seen == [[], [(1,)], [(1,), (2,)]]

    async def test_a_stop_takes_effect_between_the_parts(
        self, path: Path, store: SQLiteEventStore, visits_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """The rest of the page is left for the next runner."""
        loop, begun = asyncio.get_running_loop(), asyncio.Event()
        last = await append(store, 1, 2, 3)

        async def begin_to_stop() -> None:
            runner._halt.stop()
            begun.set()

        def stop(connection: sqlite3.Connection) -> None:
            asyncio.run_coroutine_threadsafe(begin_to_stop(), loop).result(AT_MOST)

        async with visits_of(path, at(2, stop)) as visits:
            async with runner_of(store, visits) as runner, asyncio.timeout(AT_MOST):
                await begun.wait()
            before = await visits.numbers(), await visits.position()
            async with runner_of(store, visits) as runner:
                await runner.wait_for(last, AT_MOST)

            assert (before, await visits.numbers()) == (([1, 2], 2), [1, 2, 3])

    async def test_one_that_fails_in_the_midst_of_it_is_undone_alone(
        self, path: Path, store: SQLiteEventStore, visits_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """As in a short page."""

        def fail(connection: sqlite3.Connection) -> None:
            raise LookupError("no room")

        last = await append(store, 1, 2, 3)
        async with visits_of(path, at(2, fail)) as visits, runner_of(store, visits) as runner:
            await runner.wait_for(last, AT_MOST)

            assert (await visits.numbers(), await visits.failed()) == ([1, 3], [("no room", 1)])
