"""Projections in a SQLite file that a runner leads: a page is one transaction, and each event is reflected once."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventsource.exceptions import CheckpointConflictError, RebuildError
from eventsource.headers import current_headers
from eventsource.projections.cursor import Cursor
from eventsource.projections.operations import CatchUp
from eventsource.projections.outcomes import CaughtUp
from eventsource.projections.runner import ProjectionRunner
from eventsource.projections.sqlite import SQLiteProjection
from eventsource.retry import RetryPolicy
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, Closed, Opened, opened

Append = Callable[..., Awaitable[int]]
RunnerOf = Callable[..., ProjectionRunner]
Sql = Callable[..., list[tuple[Any, ...]]]
Until = Callable[[Callable[[], object]], Awaitable[None]]

AT_MOST = 20.0


def poison(*numbers: int, log: list[int] | None = None) -> Callable[[sqlite3.Connection, Opened], None]:
    """Return what fails on the events of these numbers."""

    def fail(connection: sqlite3.Connection, event: Opened) -> None:
        if log is not None:
            log.append(event.number)
        if event.number in numbers:
            raise LookupError(f"no room for {event.number}")

    return fail


class Interrupted(RetryPolicy):
    """Asks somebody before it says to try again, after an hour."""

    def __init__(self, asked: Callable[[], object], *, again: bool) -> None:
        self._asked = asked
        self._again = again

    @property
    def max_retries(self) -> int:
        return 1

    def get_backoff(self, attempt: int) -> float:
        return 3600.0

    def should_retry(self, attempt: int, error: Exception) -> bool:
        self._asked()
        return self._again


class TestOneTransaction:
    async def test_a_page_is_written_with_its_checkpoint(
        self, store: SQLiteEventStore, visits: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """What is in the log is in the read model, in its order, and the checkpoint says so."""
        last = await append(store, 1, 2, 3)

        async with runner_of(store, visits) as runner:
            await runner.wait_for(last, AT_MOST)

            data = await visits.checkpoints.get_checkpoint_data("visits")
            assert (await visits.numbers(), data.global_position, data.events_processed) == ([1, 2, 3], last, 3)

    async def test_a_page_that_somebody_else_has_handled_is_undone(
        self, path: Path, store: SQLiteEventStore, visits_of: Any, sql: Sql, append: Append, runner_of: RunnerOf
    ) -> None:
        """The checkpoint was moved under its feet: its writes are gone, and each event is reflected once."""
        attempted: list[int] = []

        class Overtaken(visits_of):  # type: ignore[misc]
            async def _project_page(self, page: CatchUp, cursor: Cursor) -> CaughtUp:
                if not attempted:
                    sql("INSERT INTO visits VALUES ('visits', 1)")
                    sql("UPDATE projection_checkpoints SET global_position = 1")
                return await super()._project_page(page, cursor)

        last = await append(store, 1, 2, 3)

        async with Overtaken(path, poison(log=attempted)) as visits, runner_of(store, visits) as runner:
            await runner.wait_for(last, AT_MOST)

            assert await visits.numbers() == [1, 2, 3]
        assert attempted == [1, 2, 3, 2, 3]

    async def test_whoever_lost_the_lease_writes_nothing(
        self,
        path: Path,
        store: SQLiteEventStore,
        visits_of: Any,
        sql: Sql,
        append: Append,
        runner_of: RunnerOf,
        until: Until,
    ) -> None:
        """Until the lease is free again; then each event is reflected once."""

        class Deposed(visits_of):  # type: ignore[misc]
            deposed = False

            async def _project_page(self, page: CatchUp, cursor: Cursor) -> CaughtUp:
                if not self.deposed:
                    self.deposed = True
                    sql("UPDATE projection_checkpoints SET lease_owner = 'another', lease_expires_at = 9e9")
                return await super()._project_page(page, cursor)

        last = await append(store, 1, 2)
        async with Deposed(path) as visits, runner_of(store, visits) as runner:
            await until(lambda: runner.failure)
            failure, before = runner.failure, await visits.numbers()
            sql("UPDATE projection_checkpoints SET lease_owner = NULL")
            await runner.wait_for(last, AT_MOST)

            assert (type(failure), before, await visits.numbers()) == (CheckpointConflictError, [], [1, 2])

    async def test_a_handler_may_read_what_the_page_has_written(
        self, path: Path, store: SQLiteEventStore, visits_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """Though nobody else can see it yet."""
        counts: list[int] = []

        def count(connection: sqlite3.Connection, event: Opened) -> None:
            counts.extend(connection.execute("SELECT count(*) FROM visits").fetchone())

        last = await append(store, 1, 2, 3)
        async with visits_of(path, count) as visits, runner_of(store, visits) as runner:
            await runner.wait_for(last, AT_MOST)

        assert counts == [1, 2, 3]

    async def test_a_handler_has_the_headers_of_its_event(
        self, path: Path, store: SQLiteEventStore, visits_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """And not those of its neighbour in the page."""
        headers: list[dict[str, str]] = []
        await append(store, 1, headers={"request": "7"})
        last = await append(store, 2)

        async with (
            visits_of(path, lambda connection, event: headers.append(dict(current_headers()))) as visits,
            runner_of(store, visits) as runner,
        ):
            await runner.wait_for(last, AT_MOST)

        assert headers == [{"request": "7"}, {}]


class TestFailingEvents:
    async def test_one_is_undone_alone(
        self, path: Path, store: SQLiteEventStore, visits_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """What it had written is gone, its neighbours stay, and it is a dead letter."""
        last = await append(store, 1, 2, 3, 4, 5)

        async with visits_of(path, poison(1, 3, 5)) as visits, runner_of(store, visits) as runner:
            await runner.wait_for(last, AT_MOST)

            assert (await visits.numbers(), await visits.position()) == ([2, 4], last)
            assert await visits.failed() == [(f"no room for {number}", 1) for number in (1, 3, 5)]

    async def test_one_is_tried_as_often_as_the_policy_says(
        self,
        path: Path,
        store: SQLiteEventStore,
        visits_of: Any,
        append: Append,
        runner_of: RunnerOf,
        at_once: Callable[[int], RetryPolicy],
    ) -> None:
        """Those before it are not handled again, and those after it wait."""
        attempted: list[int] = []
        last = await append(store, 1, 2, 3)

        async with (
            visits_of(path, poison(2, log=attempted), retry_policy=at_once(2)) as visits,
            runner_of(store, visits) as runner,
        ):
            await runner.wait_for(last, AT_MOST)

            assert (await visits.numbers(), await visits.failed()) == ([1, 3], [("no room for 2", 3)])
        assert attempted == [1, 2, 2, 2, 3]

    async def test_one_that_succeeds_later_is_no_dead_letter(
        self,
        path: Path,
        store: SQLiteEventStore,
        visits_of: Any,
        append: Append,
        runner_of: RunnerOf,
        at_once: Callable[[int], RetryPolicy],
    ) -> None:
        """It comes in its place."""
        failures = [LookupError("no room")]

        def fail_once(connection: sqlite3.Connection, event: Opened) -> None:
            if event.number == 2 and failures:
                raise failures.pop()

        last = await append(store, 1, 2, 3)
        async with (
            visits_of(path, fail_once, retry_policy=at_once(1)) as visits,
            runner_of(store, visits) as runner,
        ):
            await runner.wait_for(last, AT_MOST)

            assert (await visits.numbers(), await visits.failed()) == ([1, 2, 3], [])

    async def test_one_that_waits_to_be_tried_again_holds_up_nobody(
        self, path: Path, store: SQLiteEventStore, visits_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """Appends go on meanwhile; whoever stops the runner meanwhile leaves the event for the next one."""
        waiting = asyncio.Event()
        await append(store, 1, 2)

        async with visits_of(path, poison(2), retry_policy=Interrupted(waiting.set, again=True)) as visits:
            async with runner_of(store, visits), asyncio.timeout(AT_MOST):
                await waiting.wait()
                last = await append(store, 3)
            assert (await visits.numbers(), await visits.position(), await visits.failed()) == ([1], 1, [])

            visits.do = None
            async with runner_of(store, visits) as runner:
                await runner.wait_for(last, AT_MOST)

            assert await visits.numbers() == [1, 2, 3]

    async def test_a_dead_letter_is_kept_with_its_checkpoint_or_not_at_all(
        self, path: Path, store: SQLiteEventStore, visits_of: Any, sql: Sql, append: Append, runner_of: RunnerOf
    ) -> None:
        """Somebody else has handled the event before it was given up."""
        policy = Interrupted(lambda: sql("UPDATE projection_checkpoints SET global_position = 2"), again=False)
        last = await append(store, 1, 2, 3)

        async with visits_of(path, poison(2), retry_policy=policy) as visits, runner_of(store, visits) as runner:
            await runner.wait_for(last, AT_MOST)

            assert (await visits.numbers(), await visits.failed()) == ([1, 3], [])

    async def test_its_headers_are_kept(
        self, path: Path, store: SQLiteEventStore, visits_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """For whoever tries it again."""
        last = await append(store, 1, headers={"request": "7"})

        async with visits_of(path, poison(1)) as visits, runner_of(store, visits) as runner:
            await runner.wait_for(last, AT_MOST)

            (entry,) = await visits.dead_letters.get_failed_events()
            assert (entry.headers, entry.error_type) == ({"request": "7"}, "LookupError")


class TestRebuilding:
    async def test_the_read_model_is_made_anew(
        self, store: SQLiteEventStore, visits: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """Each event is reflected once, in the order of the log."""
        last = await append(store, 1, 2, 3)

        async with runner_of(store, visits) as runner, asyncio.timeout(AT_MOST):
            await runner.wait_for(last)
            await visits._connected.write(lambda connection: connection.execute("DELETE FROM visits WHERE number = 2"))
            await runner.rebuild()

            assert (await visits.numbers(), await visits.position()) == ([1, 2, 3], last)

    async def test_it_begins_at_once_or_not_at_all(
        self, path: Path, store: SQLiteEventStore, visits_of: Any, append: Append, runner_of: RunnerOf
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
        self, path: Path, store: SQLiteEventStore, visits_of: Any, runner_of: RunnerOf
    ) -> None:
        """The message says what to implement."""
        endless = type("Endless", (visits_of,), {"_empty_tables": SQLiteProjection._empty_tables})

        async with endless(path) as visits, runner_of(store, visits) as runner:
            with pytest.raises(RebuildError, match=r"Endless does not say .* _empty_tables\(connection\)"):
                await runner.rebuild()

    async def test_a_reset_is_found_by_the_runner(
        self, store: SQLiteEventStore, visits: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """It begins again when it finds the checkpoint gone, and what it holds is undone before."""
        await append(store, 1, 2)

        async with runner_of(store, visits) as runner, asyncio.timeout(AT_MOST):
            await runner.wait_for(2)
            await visits.reset()
            last = await append(store, 3)
            while await visits.position() != last:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.001)

            assert await visits.numbers() == [1, 2, 3]


class TestSideBySide:
    async def test_appends_and_handlers_do_not_wait_for_each_other(
        self, store: SQLiteEventStore, visits: Any, runner_of: RunnerOf
    ) -> None:
        """Many tasks append to the file that the projection follows; nothing is lost, and nothing counts twice."""

        async def append_some(task: int) -> None:
            door = uuid4()
            for version in range(5):
                await store.append_events(door, DOOR, [Opened(aggregate_id=door, number=10 * task + version)], version)

        async with runner_of(store, visits) as runner, asyncio.timeout(AT_MOST):
            await asyncio.gather(*(append_some(task) for task in range(20)))
            await runner.wait_for()

            assert sorted(await visits.numbers()) == [10 * task + number for task in range(20) for number in range(5)]

    async def test_store_and_projection_may_have_files_of_their_own(
        self, tmp_path: Path, store: SQLiteEventStore, visits_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """Read model, checkpoint and dead letters are in that of the projection."""
        last = await append(store, 1, 2, 3)

        async with visits_of(tmp_path / "visits.db", poison(2)) as visits, runner_of(store, visits) as runner:
            await runner.wait_for(last, AT_MOST)

            tables = {name for (name,) in await visits.fetch("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            assert tables - {"sqlite_sequence"} == {"visits", "projection_checkpoints", "dead_letter_queue"}
            assert (await visits.numbers(), len(await visits.failed())) == ([1, 3], 1)

    async def test_two_projections_in_a_file_go_their_own_ways(
        self,
        path: Path,
        store: SQLiteEventStore,
        visits: Any,
        visits_of: Any,
        append: Append,
        runner_of: RunnerOf,
    ) -> None:
        """One that fails does not hold up the other."""
        last = await append(store, 1, 2, 3)

        async with (
            visits_of(path, poison(1, 2, 3), name="other") as other,
            runner_of(store, visits) as runner,
            runner_of(store, other) as other_runner,
        ):
            await runner.wait_for(last, AT_MOST)
            await other_runner.wait_for(last, AT_MOST)

            assert (await visits.numbers(), await other.numbers()) == ([1, 2, 3], [])
            assert (len(await visits.failed()), len(await other.failed())) == (0, 3)

    async def test_events_that_it_does_not_want_are_passed_over(
        self, store: SQLiteEventStore, visits: Any, door: UUID, runner_of: RunnerOf
    ) -> None:
        """The checkpoint passes them too."""
        first, second = opened(door, 2)
        between = Closed(aggregate_id=door)
        await store.append_events(door, DOOR, [first, between, second, Closed(aggregate_id=door)], 0)

        async with runner_of(store, visits, checkpoint_interval=0) as runner:
            await runner.wait_for(4, AT_MOST)

        assert (await visits.numbers(), await visits.position()) == ([1, 2], 4)
