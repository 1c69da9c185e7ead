"""Waiting for a projection, so that a caller reads what it has written."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from eventsource.events.base import DomainEvent
from eventsource.exceptions import NotConnectedError
from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository
from eventsource.retry import RetryConfig
from eventsource.stores.sqlite import SQLiteEventStore

New = Callable[..., Any]


async def test_a_caller_reads_its_own_writes(store: Any, append: New, recorder: New, runner_of: New) -> None:
    """Whoever knows the position of an append knows what to wait for."""
    projection = recorder()

    async with runner_of(projection) as runner:
        for number in (1, 2, 3):
            position = await append(store, number)
            await runner.wait_for(position, timeout=20)

            assert projection.numbers[-1] == number


async def test_without_a_position_it_waits_for_the_end_of_the_log(
    store: Any, append: New, recorder: New, runner_of: New
) -> None:
    """As that is when the waiting begins."""
    await append(store, 1, 2, 3)
    projection = recorder()

    async with runner_of(projection) as runner:
        await runner.wait_for()

        assert projection.numbers == [1, 2, 3]


async def test_it_does_not_wait_for_what_comes_later(
    store: Any, append: New, recorder: New, runner_of: New, gate: Any
) -> None:
    """Nor for the checkpoint, nor for the rest of the page."""

    async def hold_the_third(event: Any) -> None:
        if event.number == 3:
            await gate(event)

    await append(store, 1, 2, 3)
    projection = recorder(hold_the_third)

    async with runner_of(projection) as runner:
        await runner.wait_for(2, timeout=20)
        seen = list(projection.numbers)
        gate.opened.set()

    assert seen == [1, 2]


@pytest.mark.parametrize("checkpoint", [0, 2])
async def test_what_was_there_from_the_start_is_not_waited_for(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, checkpoint: int
) -> None:
    """Nothing has to move: the runner begins there."""
    if checkpoint:
        await append(store, *range(1, checkpoint + 1))
        await checkpoints.save_position("recorder", checkpoint, None, None)

    async with runner_of(recorder(), poll_interval=3600.0) as runner:
        await runner.wait_for(checkpoint, timeout=20)


async def test_who_waits_before_it_is_active_is_told_too(
    path: Any, on_file: Any, append: New, recorder: New, runner_of: New
) -> None:
    """What is handled while the checkpoint is looked up is not missed."""
    position = await append(on_file, 1)
    async with SQLiteCheckpointRepository(path) as checkpoints:
        runner = runner_of(recorder(checkpoint_repo=checkpoints), on_file, poll_interval=3600.0)
        for _ in range(20):
            await checkpoints.reset_checkpoint("recorder")
            async with runner:
                await runner.wait_for(position, timeout=20)


async def test_all_who_wait_are_told(store: Any, append: New, recorder: New, runner_of: New) -> None:
    """Each when its own event is handled."""
    async with runner_of(recorder()) as runner:
        waiting = [asyncio.create_task(runner.wait_for(position, 20)) for position in (3, 1, 2, 3)]
        await append(store, 1, 2)
        await asyncio.gather(*waiting[1:3])
        early = [each.done() for each in waiting]
        await append(store, 3)
        await asyncio.gather(*waiting)

    assert early == [False, True, True, False]


async def test_it_waits_no_longer_than_it_is_told(store: Any, append: New, recorder: New, runner_of: New) -> None:
    """The runner goes on."""
    async with runner_of(recorder()) as runner:
        with pytest.raises(TimeoutError):
            await runner.wait_for(1, timeout=0.01)

        assert runner.is_running


async def test_a_store_that_hangs_keeps_nobody_for_longer(
    store: Any, checkpoints: Any, recorder: New, runner_of: New, gate: Any
) -> None:
    """Where the log ends has to be asked for too."""
    async with runner_of(recorder()) as runner:
        await runner.wait_for(0, timeout=20)
        store.afterwards = gate.opened.wait

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(runner.wait_for(timeout=0.01), 20)
        gate.opened.set()


async def test_who_waited_too_long_is_told_where_the_projection_is(
    store: Any, append: New, recorder: New, runner_of: New
) -> None:
    """To see whether it moves at all."""
    async with runner_of(recorder()) as runner:
        await runner.wait_for(await append(store, 1), timeout=20)
        runner.pause()

        with pytest.raises(TimeoutError, match=r"^after 0\.01 seconds projection recorder is at 1 and paused$"):
            await runner.wait_for(2, timeout=0.01)


async def test_who_waited_too_long_is_told_what_fails(store: Any, recorder: New, runner_of: New, until: New) -> None:
    """Which is the cause, and may be why nobody is active."""
    store.error = OSError("the disk is gone")
    async with runner_of(recorder(), restart_backoff=RetryConfig(initial_delay=3600.0, max_delay=3600.0)) as runner:
        await until(lambda: runner.failure)

        with pytest.raises(TimeoutError, match=r"by another runner, or by none yet and failing \(the disk") as late:
            await runner.wait_for(1, timeout=0.01)

    assert late.value.__cause__ is store.error


async def test_an_event_that_became_a_dead_letter_is_done_with(
    store: Any, append: New, recorder: New, runner_of: New
) -> None:
    """Nobody waits for what will never be."""

    async def fail(event: DomainEvent) -> None:
        raise ValueError("never")

    async with runner_of(recorder(fail)) as runner:
        await runner.wait_for(await append(store, 1), timeout=20)


class TestWithoutARunner:
    async def test_what_was_never_started_is_not_waited_for(self, store: Any, recorder: New, runner_of: New) -> None:
        """It would be for ever."""
        with pytest.raises(NotConnectedError, match="recorder does not run: use it inside 'async with', or call start"):
            await runner_of(recorder()).wait_for(1)

    async def test_what_was_stopped_is_not_waited_for(
        self, store: Any, append: New, recorder: New, runner_of: New
    ) -> None:
        """Not even for what it has done."""
        async with runner_of(recorder()) as runner:
            await runner.wait_for(await append(store, 1), timeout=20)

        with pytest.raises(NotConnectedError):
            await runner.wait_for(1)

    @pytest.mark.parametrize("is_active", [True, False], ids=["active", "standing by"])
    async def test_who_waits_is_told_when_it_is_stopped(
        self, store: Any, checkpoints: Any, recorder: New, runner_of: New, until: New, is_active: bool
    ) -> None:
        """At once."""
        if not is_active:
            await checkpoints.acquire_lease("recorder", "somebody", 3600.0)
        runner = runner_of(recorder(), poll_interval=3600.0)
        await runner.start()
        await until(lambda: runner.is_active == is_active)
        waiting = asyncio.create_task(runner.wait_for(1))
        await asyncio.sleep(0)

        await runner.stop()

        async with asyncio.timeout(20):
            with pytest.raises(NotConnectedError):
                await waiting


class TestStandingBy:
    async def test_one_that_stands_by_waits_for_the_checkpoint(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """Whichever runner is active, the answer is the same."""
        first, second = recorder(), recorder()
        async with runner_of(first, checkpoint_every=1) as active, runner_of(second) as waiting:
            await until(lambda: active.is_active)
            await waiting.wait_for(await append(store, 1), timeout=20)

            assert (first.numbers, second.numbers) == ([1], [])
            assert (waiting.is_active, waiting.position) == (False, None)

    async def test_across_processes_it_is_the_file_that_tells(
        self, path: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """Two of everything on one file."""
        async with (
            SQLiteEventStore(path) as here,
            SQLiteEventStore(path, busy_timeout=4999) as there,
            SQLiteCheckpointRepository(path) as checkpoints_here,
            SQLiteCheckpointRepository(path, busy_timeout=4999) as checkpoints_there,
        ):
            first, second = recorder(checkpoint_repo=checkpoints_here), recorder(checkpoint_repo=checkpoints_there)
            async with runner_of(first, here, checkpoint_every=1) as active:
                await until(lambda: active.is_active)
                async with runner_of(second, there) as waiting:
                    await waiting.wait_for(await append(there, 1, 2), timeout=20)

                    assert (first.numbers, second.numbers) == ([1, 2], [])

    async def test_one_that_becomes_active_meanwhile_goes_on_by_itself(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New
    ) -> None:
        """Who waits does not notice."""
        await checkpoints.acquire_lease("recorder", "somebody", 3600.0)
        projection = recorder()

        async with runner_of(projection, lease_seconds=0.05) as runner:
            waiting = asyncio.create_task(runner.wait_for(await append(store, 1), timeout=20))
            await asyncio.sleep(0)
            await checkpoints.release_lease("recorder", "somebody")
            await waiting

        assert projection.numbers == [1]
