"""Pausing runners and letting them go on, whatever they are at."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from eventsource.retry import ExponentialBackoffRetryPolicy, RetryConfig

New = Callable[..., Any]

AFTER_LONG = ExponentialBackoffRetryPolicy(RetryConfig(max_retries=5, initial_delay=3600.0, max_delay=3600.0))


async def idle() -> None:
    """Give everybody who could do something the time to."""
    for _ in range(30):
        await asyncio.sleep(0.001)


async def turns(count: int) -> None:
    """Let the others have so many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_event_in_hand_is_finished_and_no_other_begun(
    store: Any, append: New, recorder: New, runner_of: New, gate: Any
) -> None:
    """What follows is handled when it goes on, nothing twice and nothing left out."""
    await append(store, 1, 2, 3)
    projection = recorder(gate)
    async with runner_of(projection) as runner:
        await gate.reached.wait()
        runner.pause()
        gate.opened.set()
        await append(store, 4)
        await idle()
        paused = list(projection.numbers)
        runner.resume()
        await runner.wait_for(timeout=20)

    assert (paused, projection.begun) == ([1], [1, 2, 3, 4])


async def test_a_pause_that_ends_before_it_is_noticed_changes_nothing(
    store: Any, append: New, recorder: New, runner_of: New, gate: Any
) -> None:
    """The rest of the page is handled."""
    await append(store, 1, 2, 3)
    projection = recorder(gate)
    async with runner_of(projection) as runner:
        await gate.reached.wait()
        runner.pause()
        runner.resume()
        gate.opened.set()
        await runner.wait_for(timeout=20)

    assert projection.begun == [1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
async def test_pausing_and_going_on_all_the_time_leaves_nothing_out(
    store: Any, append: New, recorder: New, runner_of: New, seed: int
) -> None:
    """At whatever moment."""
    random = Random(seed)

    async def breathe(event: Any) -> None:
        await turns(random.randrange(2))

    async def toggle(runner: Any) -> None:
        while runner.position != 200:
            runner.pause()
            await turns(random.randrange(1, 5))
            runner.resume()
            await turns(random.randrange(1, 5))

    await append(store, *range(1, 201))
    projection = recorder(breathe)
    async with runner_of(projection, batch_size=7) as runner, asyncio.timeout(20):
        await toggle(runner)

    assert projection.begun == list(range(1, 201))


async def test_the_lease_is_kept(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """A pause is for the projection, not for this runner: no other one takes over."""
    first, second = recorder(), recorder()
    async with (
        runner_of(first, lease_seconds=3600.0) as runner,
        runner_of(second, lease_seconds=0.1) as waiting,
    ):
        await until(lambda: runner.is_active)
        runner.pause()
        leasings = checkpoints.leasings
        await append(store, 1)
        await until(lambda: checkpoints.leasings > leasings + 10)

        assert (runner.is_active, waiting.is_active, second.begun) == (True, False, [])


async def test_one_that_stands_by_does_not_become_active(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """Until it goes on."""
    await checkpoints.acquire_lease("recorder", "somebody", 3600.0)
    await append(store, 1)
    projection = recorder()
    async with runner_of(projection, lease_seconds=0.02) as runner:
        runner.pause()
        await checkpoints.release_lease("recorder", "somebody")
        await idle()
        was_active = runner.is_active
        runner.resume()
        await runner.wait_for(timeout=20)

    assert (was_active, projection.begun) == (False, [1])


async def test_one_that_has_just_been_started_does_nothing(
    store: Any, append: New, recorder: New, runner_of: New
) -> None:
    """A pause may come before anything else."""
    await append(store, 1)
    projection = recorder()
    async with runner_of(projection) as runner:
        runner.pause()
        await idle()
        before = list(projection.begun)
        runner.resume()
        await runner.wait_for(timeout=20)

    assert (before, projection.begun) == ([], [1])


async def test_a_back_off_ends(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """The event is tried again when the runner goes on, and is no dead letter meanwhile."""

    async def fail_once(event: Any) -> None:
        if projection.begun == [1]:
            raise ValueError("not yet")

    await append(store, 1, 2)
    projection = recorder(fail_once, retry_policy=AFTER_LONG)
    async with runner_of(projection) as runner:
        await until(lambda: projection.begun)
        runner.pause()
        await idle()
        paused = list(projection.begun)
        runner.resume()
        await runner.wait_for(timeout=20)

    assert (paused, projection.begun, projection.numbers) == ([1], [1, 1, 2], [1, 2])
    assert await projection.dead_letters.get_failed_events() == []


async def test_a_paused_runner_can_be_stopped(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """And begins unpaused the next time."""
    projection = recorder()
    runner = runner_of(projection)
    await runner.start()
    await runner.wait_for(await append(store, 1), timeout=20)
    runner.pause()
    await idle()

    async with asyncio.timeout(20):
        await runner.stop()

    assert await checkpoints.get_position("recorder") == 1
    async with runner:
        await runner.wait_for(await append(store, 2), timeout=20)
    assert projection.begun == [1, 2]


async def test_who_waits_goes_on_waiting(store: Any, append: New, recorder: New, runner_of: New) -> None:
    """A pause is no end."""
    async with runner_of(recorder()) as runner:
        await runner.wait_for(0, timeout=20)
        runner.pause()
        position = await append(store, 1)
        with pytest.raises(TimeoutError):
            await runner.wait_for(position, timeout=0.03)
        waiting = asyncio.create_task(runner.wait_for(position, timeout=20))
        runner.resume()

        await waiting


async def test_a_handler_may_pause_its_runner(store: Any, append: New, recorder: New, runner_of: New) -> None:
    """Its event is the last one before the rest."""

    async def pause(event: Any) -> None:
        if event.number == 2:
            runner.pause()

    await append(store, 1, 2, 3)
    projection = recorder(pause)
    runner = runner_of(projection)
    async with runner:
        await runner.wait_for(2, timeout=20)
        await idle()

        assert projection.begun == [1, 2]


async def test_a_lease_that_is_lost_while_paused_is_not_taken_back(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """The other one goes on alone."""
    projection = recorder()
    async with runner_of(projection, lease_seconds=0.05) as runner:
        await until(lambda: runner.is_active)
        runner.pause()
        await checkpoints.release_lease("recorder", checkpoints.leader)
        await checkpoints.acquire_lease("recorder", "somebody", 3600.0)
        await until(lambda: not runner.is_active)
        runner.resume()
        await append(store, 1)
        await idle()

        assert (runner.is_active, projection.begun) == (False, [])
