"""Handlers of a PostgreSQL projection that harm the transaction of their page, or set something on its connection."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from eventsource.databases.postgresql_errors import ENDED, GONE_ON, LEFT_RUNNING
from eventsource.exceptions import DatabaseError, ProjectionError
from eventsource.projections.runner import ProjectionRunner
from eventsource.retry import RetryPolicy
from eventsource.stores.interface import EventStore
from eventsource.testing.events import Opened, opened

Append = Callable[..., Awaitable[int]]
Deed = Callable[[Any], Awaitable[object]]
Handler = Callable[[Any, Opened], object]
RunnerOf = Callable[..., ProjectionRunner]

AT_MOST = 20.0
WRONG = "INSERT INTO doors VALUES (1)"


async def fail_unseen(connection: Any) -> None:
    with suppress(asyncpg.UndefinedTableError):
        await connection.execute(WRONG)


async def fail_and_go_on(connection: Any) -> None:
    await fail_unseen(connection)
    await connection.execute("INSERT INTO visits VALUES ('visits', 99)")


async def fail_and_go_on_unseen(connection: Any) -> None:
    await fail_unseen(connection)
    with suppress(asyncpg.InFailedSQLTransactionError):
        await connection.execute("INSERT INTO visits VALUES ('visits', 99)")


async def undo_all(connection: Any) -> None:
    await connection.execute("ROLLBACK")


async def undo_all_and_go_on(connection: Any) -> None:
    await connection.execute("ROLLBACK; INSERT INTO visits VALUES ('other', 99)")


async def begin_another(connection: Any) -> None:
    await connection.execute("ROLLBACK; BEGIN; INSERT INTO visits VALUES ('other', 99)")


running: set[asyncio.Future[Any]] = set()


async def leave_a_statement_running(connection: Any) -> None:
    statement = asyncio.ensure_future(connection.execute("SELECT pg_sleep(0.3)"))
    running.add(statement)
    statement.add_done_callback(lambda done: done.cancelled() or done.exception())
    statement.add_done_callback(running.discard)
    await asyncio.sleep(0.01)


async def write_what_is_refused_at_the_end(connection: Any) -> None:
    await connection.execute("CREATE TABLE IF NOT EXISTS keys (key int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    await connection.execute("INSERT INTO keys VALUES (1), (1)")


async def cancel_itself(connection: Any) -> None:
    raise asyncio.CancelledError


async def cancel_a_statement(connection: Any) -> None:
    statement = asyncio.ensure_future(connection.execute("SELECT pg_sleep(600)"))
    await asyncio.sleep(0.01)
    statement.cancel()
    await statement


async def ask_for_too_few_values(connection: Any) -> None:
    await connection.execute("INSERT INTO visits VALUES ($1, $2)", "visits")


async def do_two_things_at_once(connection: Any) -> None:
    await asyncio.gather(connection.execute("SELECT pg_sleep(0.01)"), connection.execute("SELECT 2"))


async def ask_for_another_isolation(connection: Any) -> None:
    async with connection.transaction(isolation="serializable"):
        pass


async def open_what_is_not_there(connection: Any) -> None:
    raise FileNotFoundError("no such file")


async def wait_too_long_for_something_else(connection: Any) -> None:
    raise TimeoutError("no answer")


HARMS: dict[str, tuple[Deed, str]] = {
    "an error, caught": (fail_unseen, GONE_ON),
    "an error, caught, and more to write": (fail_and_go_on, GONE_ON),
    "errors, all of them caught": (fail_and_go_on_unseen, GONE_ON),
    "ROLLBACK": (undo_all, ENDED),
    "ROLLBACK, and more to write": (undo_all_and_go_on, ENDED),
    "ROLLBACK, and another BEGIN": (begin_another, ENDED),
    "a statement is left running": (leave_a_statement_running, LEFT_RUNNING),
    "a deferred constraint": (write_what_is_refused_at_the_end, "duplicate key value"),
    "cancelled by itself": (cancel_itself, "the handler was cancelled, but not its projection"),
    "a statement is cancelled": (cancel_a_statement, "the handler was cancelled, but not its projection"),
    "too few values": (ask_for_too_few_values, "the server expects 2 arguments"),
    "two statements at once": (do_two_things_at_once, "another operation is in progress"),
    "another isolation": (ask_for_another_isolation, "isolation"),
    "a file": (open_what_is_not_there, "no such file"),
    "a time-out of its own": (wait_too_long_for_something_else, "no answer"),
}
UNSEEN: dict[str, Deed] = {"caught": fail_unseen, "all of them caught": fail_and_go_on_unseen}


@pytest.fixture
def place(postgresql_place: Any) -> Any:
    """The place of these tests."""
    return postgresql_place


def at(number: int, do: Deed) -> Handler:
    """Do it when the event of that number comes."""
    return lambda connection, event: do(connection) if event.number == number else None


async def keep(view: Any, event: Opened) -> int:
    """Keep *event* as a dead letter and return the id of its entry."""
    dlq_id: int = await view.dead_letters.add_failed_event(
        event.event_id, "visits", event.event_type, event.model_dump_json(), LookupError(), 1
    )
    return dlq_id


class TestHarms:
    @pytest.mark.parametrize("culprit", [1, 3, 5])
    @pytest.mark.parametrize(("deed", "reason"), HARMS.values(), ids=HARMS)
    async def test_whoever_does_it_is_the_only_dead_letter(
        self,
        log: EventStore,
        view_of: Any,
        append: Append,
        runner_of: RunnerOf,
        deed: Deed,
        reason: str,
        culprit: int,
    ) -> None:
        """Those before it, which were undone with it, are reflected once, and so are those behind it."""
        last = await append(log, 1, 2, 3, 4, 5)

        async with view_of(at(culprit, deed)) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            ((message, attempts),) = await view.failed()
            assert await view.numbers() == [number for number in range(1, 6) if number != culprit]
            assert (reason in message, attempts, await view.position()) == (True, 1, last)

    @pytest.mark.parametrize("deed", [fail_unseen, undo_all])
    async def test_it_is_tried_as_often_as_the_policy_says(
        self,
        log: EventStore,
        view_of: Any,
        append: Append,
        runner_of: RunnerOf,
        at_once: Callable[[int], RetryPolicy],
        deed: Deed,
    ) -> None:
        """Each time it is undone alone."""
        last = await append(log, 1, 2, 3)

        async with view_of(at(2, deed), retry_policy=at_once(2)) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            assert (await view.numbers(), [attempts for _, attempts in await view.failed()]) == ([1, 3], [3])

    async def test_several_that_do_it_are_found_each(
        self, log: EventStore, view_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """And nobody else is blamed, though an error of one is met by the next."""

        def fail_sometimes(connection: Any, event: Opened) -> Awaitable[object] | None:
            return fail_unseen(connection) if event.number in (2, 3, 6) else None

        last = await append(log, 1, 2, 3, 4, 5, 6)

        async with view_of(fail_sometimes) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            assert (await view.numbers(), await view.failed()) == ([1, 4, 5], [(GONE_ON, 1)] * 3)

    @pytest.mark.parametrize(("deed", "reason"), HARMS.values(), ids=HARMS)
    async def test_by_hand_the_caller_is_told(self, view_of: Any, door: UUID, deed: Deed, reason: str) -> None:
        """Neither read model nor checkpoint is written, and the next event finds all well."""
        first, second = opened(door, 2)

        async with view_of(at(1, deed)) as view:
            with pytest.raises(
                (DatabaseError, ProjectionError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
            ):
                await view.handle(first)
            checkpoint = await view.get_checkpoint()
            ((message, _),) = await view.failed()
            await view.handle(second)

            assert (checkpoint, reason in message, await view.numbers()) == (None, True, [2])

    @pytest.mark.parametrize(("deed", "reason"), HARMS.values(), ids=HARMS)
    async def test_of_a_dead_letter_it_is_the_answer(self, view: Any, door: UUID, deed: Deed, reason: str) -> None:
        """Nothing is written, and the entry waits as before."""
        (event,) = opened(door, 1)
        dlq_id = await keep(view, event)
        view.do = at(1, deed)

        result = await view.retry_dead_letter(dlq_id)

        ((message, attempts),) = await view.failed()
        assert (result.outcome, await view.numbers(), reason in message, attempts) == ("failed", [], True, 2)


class TestSavepoints:
    async def test_what_fails_in_one_harms_nobody(
        self, log: EventStore, view_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """The handler goes on without it, and what it has written around it is committed."""

        async def try_it(connection: Any, event: Opened) -> None:
            with suppress(asyncpg.UndefinedTableError):
                async with connection.transaction():
                    await connection.execute("INSERT INTO visits VALUES ('visits', 98)")
                    await connection.execute(WRONG)
            async with connection.transaction():
                await connection.execute("INSERT INTO visits VALUES ('visits', $1)", 10 * event.number)

        last = await append(log, 1, 2)
        async with view_of(try_it) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            assert (await view.numbers(), await view.failed()) == ([1, 10, 2, 20], [])

    async def test_what_was_released_is_undone_with_its_event(
        self, log: EventStore, view_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """A savepoint is no commit."""

        async def write_and_fail(connection: Any) -> None:
            async with connection.transaction():
                await connection.execute("INSERT INTO visits VALUES ('visits', 99)")
            raise LookupError("no room")

        last = await append(log, 1, 2, 3)
        async with view_of(at(2, write_and_fail)) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            assert (await view.numbers(), await view.failed()) == ([1, 3], [("no room", 1)])

    async def test_a_handler_may_read_what_the_page_has_written(
        self, log: EventStore, view_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """Though nobody else can see it yet."""
        counts: list[tuple[int, int]] = []

        async def count(connection: Any, event: Opened) -> None:
            query = "SELECT count(*) FROM visits"
            counts.append((await connection.fetchval(query), (await view.fetch(query))[0][0]))

        last = await append(log, 1, 2, 3)
        async with view_of(count) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

        assert counts == [(1, 0), (2, 0), (3, 0)]


async def set_something(connection: Any) -> None:
    await connection.execute("SET statement_timeout = 12345; LISTEN doors; SELECT pg_advisory_lock(7)")


async def set_something_and_fail(connection: Any) -> None:
    await set_something(connection)
    raise LookupError("no room")


async def set_something_alone(connection: Any) -> None:
    await undo_all(connection)
    await set_something(connection)


class TestSettings:
    @pytest.mark.parametrize("deed", [set_something, set_something_and_fail, set_something_alone])
    async def test_they_are_nobody_elses(
        self, postgresql_place: Any, append: Append, runner_of: RunnerOf, deed: Deed
    ) -> None:
        """Whatever a handler sets ends with its transaction: the connection is anybody's next."""
        options = replace(postgresql_place.view_of.options_there, max_size=1)

        async with postgresql_place.log_of() as log, postgresql_place.view_of(at(1, deed), options=options) as view:
            last = await append(log, 1)
            async with runner_of(log, view) as runner:
                await runner.wait_for(last, AT_MOST)
            ((timeout,),) = await view.fetch("SHOW statement_timeout")
            (*channels,) = await view.fetch("SELECT pg_listening_channels()")
            (*locks,) = await view.fetch("SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'")

        assert (timeout, channels, locks) == ("0", [], [])
