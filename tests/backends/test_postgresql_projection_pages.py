"""Pages of PostgreSQL projections: long ones, interrupted ones, and those of two runners; and making all anew."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from eventsource.exceptions import RebuildError
from eventsource.projections import postgresql as projections
from eventsource.projections.postgresql import PostgreSQLProjection
from eventsource.projections.runner import ProjectionRunner
from eventsource.retry import RetryPolicy
from eventsource.stores.interface import EventStore
from eventsource.testing.events import Opened

Append = Callable[..., Awaitable[int]]
Execute = Callable[..., Awaitable[list[tuple[Any, ...]]]]
RunnerOf = Callable[..., ProjectionRunner]
Until = Callable[[Callable[[], object]], Awaitable[None]]

AT_MOST = 20.0


@pytest.fixture
def place(postgresql_place: Any) -> Any:
    """The place of these tests."""
    return postgresql_place


class TestLongPages:
    @pytest.fixture(autouse=True)
    def _every_event_takes_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(projections, "_LONGEST_TRANSACTION", 0.0)

    async def test_one_is_committed_in_parts(
        self, log: EventStore, view_of: Any, elsewhere: Execute, append: Append, runner_of: RunnerOf
    ) -> None:
        """What they lock is free in between; each event is reflected once, and the checkpoint says how many."""
        seen: list[list[tuple[Any, ...]]] = []

        async def look(connection: Any, event: Opened) -> None:
            seen.append(await elsewhere("SELECT number FROM visits"))

        last = await append(log, 1, 2, 3)
        async with view_of(look) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            data = await view.checkpoints.get_checkpoint_data("visits")
            assert (await view.numbers(), data.global_position, data.events_processed) == ([1, 2, 3], last, 3)
        assert seen == [[], [(1,)], [(1,), (2,)]]

    async def test_one_that_fails_in_the_midst_of_it_is_undone_alone(
        self, log: EventStore, view_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """As in a short page."""

        def fail(connection: Any, event: Opened) -> None:
            if event.number == 2:
                raise LookupError("no room")

        last = await append(log, 1, 2, 3)
        async with view_of(fail) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            assert (await view.numbers(), await view.failed()) == ([1, 3], [("no room", 1)])


class TestHalting:
    @pytest.mark.parametrize("halt", ["stop", "pause"])
    async def test_it_takes_effect_in_the_midst_of_a_page(
        self, log: EventStore, view_of: Any, append: Append, runner_of: RunnerOf, halt: str
    ) -> None:
        """What was handled is committed, and the rest of the page is left for later."""
        handled = asyncio.Event()

        def ask(connection: Any, event: Opened) -> None:
            if event.number == 2:
                getattr(runner._halt, halt)()
                handled.set()

        last = await append(log, 1, 2, 3)
        async with view_of(ask) as view:
            async with runner_of(log, view) as runner, asyncio.timeout(AT_MOST):
                await handled.wait()
            before = await view.numbers(), await view.position()
            async with runner_of(log, view) as runner:
                await runner.wait_for(last, AT_MOST)

            assert (before, await view.numbers()) == (([1, 2], 2), [1, 2, 3])

    @pytest.mark.parametrize("number", [1, 2, 3])
    async def test_it_is_no_failure_though_a_page_is_to_be_handled_one_by_one(
        self,
        log: EventStore,
        view_of: Any,
        append: Append,
        runner_of: RunnerOf,
        until: Until,
        caplog: pytest.LogCaptureFixture,
        number: int,
    ) -> None:
        """An event has left the transaction unusable: who it was is found out after the pause."""
        asked: list[int] = []

        async def harm_and_ask(connection: Any, event: Opened) -> None:
            if event.number == number and number not in asked:
                with suppress(asyncpg.UndefinedTableError):
                    await connection.execute("INSERT INTO doors VALUES (1)")
                runner.pause()
                asked.append(number)

        last = await append(log, 1, 2, 3)
        async with view_of(harm_and_ask) as view, runner_of(log, view) as runner:
            await until(lambda: asked)
            runner.resume()
            await runner.wait_for(last, AT_MOST)

            assert (await view.numbers(), await view.failed()) == ([1, 2, 3], [])
        assert [each.getMessage() for each in caplog.records if "begins again" in each.getMessage()] == []

    async def test_an_attempt_that_was_not_made_does_not_count(
        self,
        log: EventStore,
        view_of: Any,
        append: Append,
        runner_of: RunnerOf,
        at_once: Callable[[int], RetryPolicy],
    ) -> None:
        """A halt is wanted while the last attempt waits for a connection: the event is no dead letter."""
        failures = [LookupError("no room")]

        class Halted(view_of):  # type: ignore[misc]
            async def _commit(self, *args: Any) -> Any:
                if not failures:
                    runner.pause()
                return await super()._commit(*args)

        def fail_once(connection: Any, event: Opened) -> None:
            if failures:
                raise failures.pop()

        last = await append(log, 1)
        async with Halted(fail_once, retry_policy=at_once(1)) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            assert (await view.numbers(), await view.failed()) == ([1], [])


class TestTwoRunners:
    async def test_one_is_active_and_the_other_takes_over(
        self,
        place: Any,
        log: EventStore,
        append: Append,
        runner_of: RunnerOf,
        until: Until,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """They have connections of their own, as in two processes; each event is reflected once."""
        caplog.set_level(logging.INFO, "eventsource.projections.runner")
        last = await append(log, 1, 2)

        async with (
            place.view_of() as first,
            place.view_of(**place.apart) as second,
            runner_of(log, first, lease_seconds=600) as leading,
        ):
            await leading.wait_for(last, AT_MOST)
            async with runner_of(log, second) as waiting:
                await until(lambda: "stands by" in caplog.text)
                active = leading.is_active, waiting.is_active
                await leading.stop()
                await waiting.wait_for(await append(log, 3, 4), AT_MOST)

            assert (active, await first.numbers()) == ((True, False), [1, 2, 3, 4])

    async def test_whoever_was_overtaken_in_a_page_writes_nothing(
        self,
        place: Any,
        log: EventStore,
        elsewhere: Execute,
        append: Append,
        runner_of: RunnerOf,
        until: Until,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Another one has led meanwhile, and has moved the checkpoint: what the late one wrote is undone."""
        gate, begun = asyncio.Event(), asyncio.Event()

        async def wait(connection: Any, event: Opened) -> None:
            begun.set()
            await gate.wait()

        last = await append(log, 1, 2)
        async with place.view_of(wait) as late, place.view_of(**place.apart) as view, asyncio.timeout(AT_MOST):
            caplog.set_level(logging.INFO, "eventsource.projections.runner")
            runner = runner_of(log, late, lease_seconds=600)
            await runner.start()
            await begun.wait()
            await elsewhere("UPDATE projection_checkpoints SET lease_owner = NULL, lease_expires_at = 0")
            async with runner_of(log, view) as other:
                await other.wait_for(last)
                gate.set()
                await until(lambda: "begins again from its checkpoint" in caplog.text)
            await runner.stop()

            assert await view.numbers() == [1, 2]


class TestRebuilding:
    async def test_it_begins_at_once_or_not_at_all(
        self, log: EventStore, view_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """A read model that could not be emptied is whole, and is emptied the next time."""
        seen: list[int] = []

        class Held(view_of):  # type: ignore[misc]
            async def _empty_tables(self, connection: Any) -> None:
                seen.append(await connection.fetchval("SELECT count(*) FROM visits"))
                await super()._empty_tables(connection)
                if len(seen) == 1:
                    raise LookupError("held")

        last = await append(log, 1, 2)
        async with Held() as view, runner_of(log, view) as runner, asyncio.timeout(AT_MOST):
            await runner.wait_for(last)
            await runner.rebuild()

            assert await view.numbers() == [1, 2]
        assert seen == [2, 2]

    async def test_what_cannot_be_emptied_is_not_rebuilt(
        self, log: EventStore, view_of: Any, runner_of: RunnerOf
    ) -> None:
        """The message says what to implement."""
        endless = type("Endless", (view_of,), {"_empty_tables": PostgreSQLProjection._empty_tables})

        async with endless() as view, runner_of(log, view) as runner:
            with pytest.raises(RebuildError, match=r"Endless does not say .* _empty_tables\(connection\)"):
                await runner.rebuild()

    @pytest.mark.parametrize("error", [LookupError("held"), asyncpg.UndefinedTableError("no such table")])
    async def test_a_reset_is_all_or_nothing(self, view_of: Any, error: Exception) -> None:
        """If the tables cannot be emptied, the checkpoint stays too; the error is the caller's as it is."""

        class Held(view_of):  # type: ignore[misc]
            async def _empty_tables(self, connection: Any) -> None:
                await super()._empty_tables(connection)
                raise error

        event = Opened(aggregate_id="6f1c9a52-7a0e-4b57-9a52-0a4c7c0f4b11", number=1)
        async with Held() as view:
            await view.handle(event)

            with pytest.raises(type(error)):
                await view.reset()

            assert (await view.numbers(), await view.get_checkpoint()) == ([1], str(event.event_id))
