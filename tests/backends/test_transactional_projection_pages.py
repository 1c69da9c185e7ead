"""Transactional projections that a runner leads: a page is one transaction, and each event is reflected once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

from eventsource.exceptions import CheckpointConflictError
from eventsource.headers import current_headers
from eventsource.projections.checkpoints.operations import SaveCheckpoint
from eventsource.projections.cursor import Cursor
from eventsource.projections.dead_letters.operations import AddFailedEvent
from eventsource.projections.operations import CatchUp
from eventsource.projections.outcomes import CaughtUp
from eventsource.projections.runner import ProjectionRunner
from eventsource.retry import RetryPolicy
from eventsource.stores.interface import EventStore
from eventsource.testing.events import DOOR, Closed, Opened, opened

Append = Callable[..., Awaitable[int]]
Execute = Callable[..., Awaitable[list[tuple[Any, ...]]]]
RunnerOf = Callable[..., ProjectionRunner]
Until = Callable[[Callable[[], object]], Awaitable[None]]

AT_MOST = 20.0


def poison(*numbers: int, log: list[int] | None = None) -> Callable[[object, Opened], None]:
    """Return what fails on the events of these numbers."""

    def fail(connection: object, event: Opened) -> None:
        if log is not None:
            log.append(event.number)
        if event.number in numbers:
            raise LookupError(f"no room for {event.number}")

    return fail


class Patient(RetryPolicy):
    """Tells somebody that an attempt has failed, and makes the next one after an hour."""

    def __init__(self, tell: Callable[[], object]) -> None:
        self._tell = tell

    @property
    def max_retries(self) -> int:
        return 1

    def get_backoff(self, attempt: int) -> float:
        self._tell()
        return 3600.0

    def should_retry(self, attempt: int, error: Exception) -> bool:
        return True


class TestOneTransaction:
    async def test_a_page_is_written_with_its_checkpoint(
        self, log: EventStore, view: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """What is in the log is in the read model, in its order, and the checkpoint says so."""
        last = await append(log, 1, 2, 3)

        async with runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            data = await view.checkpoints.get_checkpoint_data("visits")
            assert (await view.numbers(), data.global_position, data.events_processed) == ([1, 2, 3], last, 3)

    async def test_a_page_that_somebody_else_has_handled_is_undone(
        self, log: EventStore, view_of: Any, elsewhere: Execute, append: Append, runner_of: RunnerOf
    ) -> None:
        """The checkpoint was moved under its feet: its writes are gone, and each event is reflected once."""
        attempted: list[int] = []

        class Overtaken(view_of):  # type: ignore[misc]
            async def _project_page(self, page: CatchUp, cursor: Cursor) -> CaughtUp:
                if not attempted:
                    await elsewhere("INSERT INTO visits VALUES ('visits', 1)")
                    await elsewhere("UPDATE projection_checkpoints SET global_position = 1")
                return await super()._project_page(page, cursor)

        last = await append(log, 1, 2, 3)

        async with Overtaken(poison(log=attempted)) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            assert await view.numbers() == [1, 2, 3]
        assert attempted == [1, 2, 3, 2, 3]

    async def test_whoever_lost_the_lease_writes_nothing(
        self,
        log: EventStore,
        view_of: Any,
        elsewhere: Execute,
        append: Append,
        runner_of: RunnerOf,
        until: Until,
    ) -> None:
        """Until the lease is free again; then each event is reflected once."""

        class Deposed(view_of):  # type: ignore[misc]
            deposed = False

            async def _project_page(self, page: CatchUp, cursor: Cursor) -> CaughtUp:
                if not self.deposed:
                    self.deposed = True
                    await elsewhere("UPDATE projection_checkpoints SET lease_owner = 'another', lease_expires_at = 9e9")
                return await super()._project_page(page, cursor)

        last = await append(log, 1, 2)
        async with Deposed() as view, runner_of(log, view) as runner:
            await until(lambda: runner.failure)
            failure, before = runner.failure, await view.numbers()
            await elsewhere("UPDATE projection_checkpoints SET lease_owner = NULL")
            await runner.wait_for(last, AT_MOST)

            assert (type(failure), before, await view.numbers()) == (CheckpointConflictError, [], [1, 2])

    async def test_a_handler_has_the_headers_of_its_event(
        self, log: EventStore, view_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """And not those of its neighbour in the page."""
        headers: list[dict[str, str]] = []
        await append(log, 1, headers={"request": "7"})
        last = await append(log, 2)

        async with (
            view_of(lambda connection, event: headers.append(dict(current_headers()))) as view,
            runner_of(log, view) as runner,
        ):
            await runner.wait_for(last, AT_MOST)

        assert headers == [{"request": "7"}, {}]


class TestFailingEvents:
    async def test_one_is_undone_alone(
        self, log: EventStore, view_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """What it had written is gone, its neighbours stay, and it is a dead letter."""
        last = await append(log, 1, 2, 3, 4, 5)

        async with view_of(poison(1, 3, 5)) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            assert (await view.numbers(), await view.position()) == ([2, 4], last)
            assert await view.failed() == [(f"no room for {number}", 1) for number in (1, 3, 5)]

    async def test_one_is_tried_as_often_as_the_policy_says(
        self,
        log: EventStore,
        view_of: Any,
        append: Append,
        runner_of: RunnerOf,
        at_once: Callable[[int], RetryPolicy],
    ) -> None:
        """Those after it wait meanwhile."""
        attempted: list[int] = []
        last = await append(log, 1, 2, 3)

        async with (
            view_of(poison(2, log=attempted), retry_policy=at_once(2)) as view,
            runner_of(log, view) as runner,
        ):
            await runner.wait_for(last, AT_MOST)

            assert (await view.numbers(), await view.failed()) == ([1, 3], [("no room for 2", 3)])
        assert [number for number in attempted if number > 1] == [2, 2, 2, 3]

    async def test_one_that_succeeds_later_is_no_dead_letter(
        self,
        log: EventStore,
        view_of: Any,
        append: Append,
        runner_of: RunnerOf,
        at_once: Callable[[int], RetryPolicy],
    ) -> None:
        """It comes in its place."""
        failures = [LookupError("no room")]

        def fail_once(connection: object, event: Opened) -> None:
            if event.number == 2 and failures:
                raise failures.pop()

        last = await append(log, 1, 2, 3)
        async with (
            view_of(fail_once, retry_policy=at_once(1)) as view,
            runner_of(log, view) as runner,
        ):
            await runner.wait_for(last, AT_MOST)

            assert (await view.numbers(), await view.failed()) == ([1, 2, 3], [])

    async def test_one_that_waits_to_be_tried_again_holds_up_nobody(
        self, log: EventStore, view_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """Appends go on meanwhile; whoever stops the runner meanwhile leaves the event for the next one."""
        waiting = asyncio.Event()
        await append(log, 1, 2)

        async with view_of(poison(2), retry_policy=Patient(waiting.set)) as view:
            async with runner_of(log, view), asyncio.timeout(AT_MOST):
                await waiting.wait()
                last = await append(log, 3)
            assert (await view.numbers(), await view.position(), await view.failed()) == ([1], 1, [])

            view.do = None
            async with runner_of(log, view) as runner:
                await runner.wait_for(last, AT_MOST)

            assert await view.numbers() == [1, 2, 3]

    async def test_a_dead_letter_is_kept_with_its_checkpoint_or_not_at_all(
        self, log: EventStore, view_of: Any, elsewhere: Execute, append: Append, runner_of: RunnerOf
    ) -> None:
        """Somebody else has handled the event before it was given up."""

        class Overtaken(view_of):  # type: ignore[misc]
            async def _keep_and_move(self, add: AddFailedEvent, save: SaveCheckpoint) -> None:
                await elsewhere("UPDATE projection_checkpoints SET global_position = 2")
                await super()._keep_and_move(add, save)

        last = await append(log, 1, 2, 3)

        async with Overtaken(poison(2)) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            assert (await view.numbers(), await view.failed()) == ([1, 3], [])

    async def test_its_headers_are_kept(
        self, log: EventStore, view_of: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """For whoever tries it again."""
        last = await append(log, 1, headers={"request": "7"})

        async with view_of(poison(1)) as view, runner_of(log, view) as runner:
            await runner.wait_for(last, AT_MOST)

            (entry,) = await view.dead_letters.get_failed_events()
            assert (entry.headers, entry.error_type) == ({"request": "7"}, "LookupError")


class TestRebuilding:
    async def test_the_read_model_is_made_anew(
        self, log: EventStore, view: Any, elsewhere: Execute, append: Append, runner_of: RunnerOf
    ) -> None:
        """Each event is reflected once, in the order of the log."""
        last = await append(log, 1, 2, 3)

        async with runner_of(log, view) as runner, asyncio.timeout(AT_MOST):
            await runner.wait_for(last)
            await elsewhere("DELETE FROM visits WHERE number = 2")
            await runner.rebuild()

            assert (await view.numbers(), await view.position()) == ([1, 2, 3], last)

    async def test_a_reset_is_found_by_the_runner(
        self, log: EventStore, view: Any, append: Append, runner_of: RunnerOf
    ) -> None:
        """It begins again when it finds the checkpoint gone, and what it holds is undone before."""
        await append(log, 1, 2)

        async with runner_of(log, view) as runner, asyncio.timeout(AT_MOST):
            await runner.wait_for(2)
            await view.reset()
            last = await append(log, 3)
            while await view.position() != last:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.001)

            assert await view.numbers() == [1, 2, 3]


class TestSideBySide:
    async def test_appends_and_handlers_do_not_wait_for_each_other(
        self, log: EventStore, view: Any, runner_of: RunnerOf
    ) -> None:
        """Many tasks append to the log that the projection follows; nothing is lost, and nothing counts twice."""

        async def append_some(task: int) -> None:
            door = uuid4()
            for version in range(5):
                await log.append_events(door, DOOR, [Opened(aggregate_id=door, number=10 * task + version)], version)

        async with runner_of(log, view) as runner, asyncio.timeout(AT_MOST):
            await asyncio.gather(*(append_some(task) for task in range(20)))
            await runner.wait_for()

            assert sorted(await view.numbers()) == [10 * task + number for task in range(20) for number in range(5)]

    async def test_two_projections_in_a_database_go_their_own_ways(
        self,
        log: EventStore,
        view: Any,
        view_of: Any,
        append: Append,
        runner_of: RunnerOf,
    ) -> None:
        """One that fails does not hold up the other."""
        last = await append(log, 1, 2, 3)

        async with (
            view_of(poison(1, 2, 3), name="other") as other,
            runner_of(log, view) as runner,
            runner_of(log, other) as other_runner,
        ):
            await runner.wait_for(last, AT_MOST)
            await other_runner.wait_for(last, AT_MOST)

            assert (await view.numbers(), await other.numbers()) == ([1, 2, 3], [])
            assert (len(await view.failed()), len(await other.failed())) == (0, 3)

    async def test_events_that_it_does_not_want_are_passed_over(
        self, log: EventStore, view: Any, door: UUID, runner_of: RunnerOf
    ) -> None:
        """The checkpoint passes them too."""
        first, second = opened(door, 2)
        between = Closed(aggregate_id=door)
        await log.append_events(door, DOOR, [first, between, second, Closed(aggregate_id=door)], 0)

        async with runner_of(log, view, checkpoint_interval=0) as runner:
            await runner.wait_for(4, AT_MOST)

        assert (await view.numbers(), await view.position()) == ([1, 2], 4)
