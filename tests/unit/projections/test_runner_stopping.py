"""Starting and stopping runners: what is finished, what is not begun, and who is told."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from eventsource.events.base import DomainEvent
from eventsource.exceptions import NotConnectedError
from eventsource.retry import ExponentialBackoffRetryPolicy, RetryConfig

New = Callable[..., Any]

AFTER_LONG = ExponentialBackoffRetryPolicy(RetryConfig(max_retries=5, initial_delay=3600.0, max_delay=3600.0))


async def stopping(runner: Any, **options: Any) -> "asyncio.Task[None]":
    """Let somebody stop *runner*, and return when that has begun."""
    stop = asyncio.create_task(runner.stop(**options))
    await asyncio.sleep(0)
    return stop


async def test_the_event_in_hand_is_finished(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, gate: Any
) -> None:
    """The next one is not begun, and the checkpoint is saved."""
    await append(store, 1, 2, 3)
    projection = recorder(gate)
    runner = runner_of(projection)
    await runner.start()
    await gate.reached.wait()

    stop = await stopping(runner)
    gate.opened.set()
    await stop

    assert (projection.begun, projection.numbers) == ([1], [1])
    assert await checkpoints.get_position("recorder") == 1


async def test_what_was_not_begun_is_handled_by_the_next_start(
    store: Any, append: New, recorder: New, runner_of: New, gate: Any
) -> None:
    """A runner may be used again."""
    await append(store, 1, 2, 3)
    projection = recorder(gate)
    runner = runner_of(projection)
    await runner.start()
    await gate.reached.wait()
    stop = await stopping(runner)
    gate.opened.set()
    await stop

    async with runner:
        await runner.wait_for(timeout=20)

    assert projection.begun == [1, 2, 3]


async def test_an_idle_runner_stops_at_once(store: Any, recorder: New, runner_of: New) -> None:
    """Whatever it waits for."""
    runner = runner_of(recorder(), poll_interval=3600.0)
    await runner.start()
    await runner.wait_for(timeout=20)

    async with asyncio.timeout(20):
        await runner.stop()

    assert (runner.is_running, runner.is_active) == (False, False)


async def test_a_back_off_between_attempts_ends_at_once(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """The event is neither done nor a dead letter: the next start tries it again."""

    async def fail(event: DomainEvent) -> None:
        if len(projection.begun) == 2:
            raise ValueError("not yet")

    await append(store, 1, 2)
    projection = recorder(fail, retry_policy=AFTER_LONG)
    runner = runner_of(projection)
    await runner.start()
    await until(lambda: len(projection.begun) == 2)

    async with asyncio.timeout(20):
        await runner.stop()

    assert await checkpoints.get_position("recorder") == 1
    assert await projection.dead_letters.get_failed_events() == []
    async with runner:
        await runner.wait_for(timeout=20)
    assert projection.numbers == [1, 2]


async def test_a_back_off_after_a_failure_ends_at_once(
    store: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """A store that is gone keeps nobody from leaving."""
    store.error = OSError("the disk is gone")
    backoff = RetryConfig(initial_delay=3600.0, max_delay=3600.0)
    runner = runner_of(recorder(), restart_backoff=backoff)
    await runner.start()
    await until(lambda: runner.failure)

    async with asyncio.timeout(20):
        await runner.stop()

    assert not runner.is_running


class TestAHandlerThatDoesNotEnd:
    async def test_it_is_cancelled(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """After the time-out, and what was handled before is saved."""
        cancelled = []

        async def hang(event: DomainEvent) -> None:
            if len(projection.begun) == 2:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    cancelled.append(projection.begun[-1])
                    raise

        await append(store, 1, 2)
        projection = recorder(hang)
        runner = runner_of(projection)
        await runner.start()
        await until(lambda: len(projection.begun) == 2)

        await runner.stop(timeout=0.01)

        assert (cancelled, runner.is_running) == ([2], False)
        assert await checkpoints.get_position("recorder") == 1
        assert await projection.dead_letters.get_failed_events() == []

    async def test_there_is_a_warning(
        self,
        store: Any,
        append: New,
        recorder: New,
        runner_of: New,
        gate: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """It will be handled again by the next runner."""
        await append(store, 1)
        runner = runner_of(recorder(gate))
        await runner.start()
        await gate.reached.wait()

        await runner.stop(timeout=0.01)

        (told,) = [each for each in caplog.records if each.name == "eventsource.projections.runner"]
        assert (told.levelname, "recorder is cancelled" in told.getMessage()) == ("WARNING", True)

    async def test_the_lease_is_given_back(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, gate: Any
    ) -> None:
        """The next runner need not wait for it to expire."""
        await append(store, 1)
        runner = runner_of(recorder(gate), lease_seconds=3600.0)
        await runner.start()
        await gate.reached.wait()

        await runner.stop(timeout=0.01)

        assert await checkpoints.acquire_lease("recorder", "somebody", 1.0) is not None

    async def test_one_that_goes_on_all_the_same_is_left_behind(
        self, store: Any, append: New, recorder: New, runner_of: New, gate: Any
    ) -> None:
        """Stopping ends within its time-out and a little more, without an error."""

        async def stubborn(event: DomainEvent) -> None:
            gate.reached.set()
            with suppress(asyncio.CancelledError):
                await gate.opened.wait()
            await gate.opened.wait()

        await append(store, 1)
        runner = runner_of(recorder(stubborn))
        await runner.start()
        await gate.reached.wait()

        await runner.stop(timeout=0.01)
        still_running = runner.is_running

        gate.opened.set()
        await asyncio.wait([each for each in asyncio.all_tasks() if each.get_name() == "run recorder"])
        assert (still_running, runner.is_running) == (True, False)


class TestTwice:
    async def test_stopping_twice_does_no_harm(self, store: Any, recorder: New, runner_of: New) -> None:
        """Neither does stopping what was never started."""
        runner = runner_of(recorder())

        await runner.stop()
        await runner.start()
        await runner.stop()
        await runner.stop()

        assert not runner.is_running

    async def test_starting_twice_is_refused(self, store: Any, recorder: New, runner_of: New) -> None:
        """The message says what to do instead."""
        async with runner_of(recorder()) as runner:
            with pytest.raises(RuntimeError, match="recorder runs already: make another one, or stop it first"):
                await runner.start()

    async def test_running_what_runs_is_refused(self, store: Any, recorder: New, runner_of: New) -> None:
        """And the one that runs goes on."""
        async with runner_of(recorder()) as runner:
            with pytest.raises(RuntimeError, match="runs already"):
                await runner.run()

            assert runner.is_running

    async def test_who_stops_second_waits_for_the_end_too(
        self, store: Any, append: New, recorder: New, runner_of: New, gate: Any
    ) -> None:
        """Nothing is handled any more once anybody has stopped it."""
        await append(store, 1)
        runner = runner_of(recorder(gate))
        await runner.start()
        await gate.reached.wait()

        first, second = await stopping(runner), await stopping(runner)
        await asyncio.sleep(0)
        ended = second.done()
        gate.opened.set()
        await asyncio.gather(first, second)

        assert not ended

    async def test_who_stops_second_leaves_the_next_start_alone(
        self, store: Any, recorder: New, runner_of: New
    ) -> None:
        """Each stop is of what runs when it is called."""
        runner = runner_of(recorder())

        async def restart() -> None:
            await runner.stop()
            await runner.start()

        await runner.start()
        await asyncio.gather(restart(), runner.stop())

        assert runner.is_running
        await runner.stop()

    async def test_what_is_still_stopping_cannot_be_started(
        self, store: Any, append: New, recorder: New, runner_of: New, gate: Any
    ) -> None:
        """The same runner is never in the same place twice."""
        await append(store, 1)
        projection = recorder(gate)
        runner = runner_of(projection)
        await runner.start()
        await gate.reached.wait()
        stop = await stopping(runner, timeout=0.05)

        with pytest.raises(RuntimeError, match="runs already"):
            await runner.start()

        gate.opened.set()
        await stop
        await runner.stop()
        assert projection.begun == [1]


class TestRun:
    async def test_it_returns_when_the_runner_is_stopped(
        self, store: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """For programs that do nothing else."""
        await append(store, 1)
        projection = recorder()
        runner = runner_of(projection)
        running = asyncio.create_task(runner.run())
        await until(lambda: projection.numbers)

        await runner.stop()

        async with asyncio.timeout(20):
            await running

    async def test_cancelling_it_finishes_the_event_in_hand(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, gate: Any
    ) -> None:
        """As a program does that is told to end."""
        await append(store, 1, 2)
        projection = recorder(gate)
        running = asyncio.create_task(runner_of(projection).run())
        await gate.reached.wait()

        running.cancel()
        await asyncio.sleep(0)
        gate.opened.set()

        with pytest.raises(asyncio.CancelledError):
            await running
        assert (projection.begun, await checkpoints.get_position("recorder")) == ([1], 1)

    async def test_cancelling_it_twice_cancels_the_handler(
        self, store: Any, append: New, recorder: New, runner_of: New, gate: Any
    ) -> None:
        """Whoever is in a hurry does not wait for the event in hand."""
        await append(store, 1)
        projection = recorder(gate)
        runner = runner_of(projection)
        running = asyncio.create_task(runner.run())
        await gate.reached.wait()

        for _ in range(2):
            running.cancel()
            await asyncio.sleep(0)

        with pytest.raises(asyncio.CancelledError):
            await running
        assert (projection.numbers, runner.is_running) == ([], False)


async def test_leaving_with_an_error_stops_it_too(store: Any, append: New, recorder: New, runner_of: New) -> None:
    """And the error arrives."""
    runner = runner_of(recorder())

    with pytest.raises(KeyError, match="mine"):
        async with runner:
            raise KeyError("mine")

    assert not runner.is_running


async def test_a_task_that_was_ended_from_outside_is_no_error(
    store: Any, append: New, recorder: New, runner_of: New
) -> None:
    """As `asyncio.run` does with what is left; the runner can be started again."""
    projection = recorder()
    runner = runner_of(projection)
    await runner.start()
    (task,) = [each for each in asyncio.all_tasks() if each.get_name() == "run recorder"]

    task.cancel()
    await asyncio.wait([task])
    await runner.stop()

    async with runner:
        await runner.wait_for(await append(store, 1), timeout=20)
    assert projection.numbers == [1]


@pytest.mark.parametrize("method", ["pause", "resume"])
async def test_what_does_not_run_cannot_be_told_anything(recorder: New, runner_of: New, method: str) -> None:
    """The message says how to let it run."""
    runner = runner_of(recorder())

    with pytest.raises(NotConnectedError, match="recorder does not run"):
        getattr(runner, method)()


async def test_a_failure_is_forgotten_by_the_next_start(store: Any, recorder: New, runner_of: New, until: New) -> None:
    """It was why another one waited."""
    store.error = OSError("the disk is gone")
    runner = runner_of(recorder(), restart_backoff=RetryConfig(initial_delay=3600.0, max_delay=3600.0))
    await runner.start()
    await until(lambda: runner.failure)
    await runner.stop()

    await runner.start()

    assert runner.failure is None
    await runner.stop()
