"""Of all runners of one projection one is active; the others take over when it leaves or dies."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository
from eventsource.retry import ExponentialBackoffRetryPolicy, RetryConfig
from eventsource.stores.sqlite import SQLiteEventStore

New = Callable[..., Any]

SOON = {"lease_seconds": 1.0, "checkpoint_every": 1}


@pytest.fixture
async def processes(path: Any) -> AsyncIterator[list[tuple[Any, Any]]]:
    """Store and checkpoints as two processes have them: on one file, through connections of their own."""
    async with AsyncExitStack() as stack:
        pairs = []
        for busy_timeout in (5000, 5001):  # stores that are opened differently share no connections
            store = SQLiteEventStore(path, busy_timeout=busy_timeout)
            checkpoints = SQLiteCheckpointRepository(path, busy_timeout=busy_timeout)
            pairs.append((await stack.enter_async_context(store), await stack.enter_async_context(checkpoints)))
        yield pairs


async def test_exactly_one_is_active(store: Any, append: New, recorder: New, runner_of: New) -> None:
    """Each event is handled by one of them, in order."""
    projections = [recorder() for _ in range(4)]
    await append(store, *range(1, 6))
    async with AsyncExitStack() as stack:
        runners = [await stack.enter_async_context(runner_of(each, **SOON)) for each in projections]
        for runner in runners:
            await runner.wait_for(timeout=20)

        assert [runner.is_active for runner in runners].count(True) == 1
        assert [runner.position for runner in runners].count(None) == 3

    assert sorted(each.begun for each in projections) == [[], [], [], [1, 2, 3, 4, 5]]


async def test_exactly_one_is_active_on_a_file(
    processes: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """Whichever process it is in."""
    (here, checkpoints_here), (there, checkpoints_there) = processes
    first, second = recorder(checkpoint_repo=checkpoints_here), recorder(checkpoint_repo=checkpoints_there)
    async with runner_of(first, here, **SOON) as one, runner_of(second, there, **SOON) as other:
        position = await append(here, 1, 2, 3)
        await one.wait_for(position, timeout=20)
        await other.wait_for(position, timeout=20)

        assert sorted([one.is_active, other.is_active]) == [False, True]

    assert sorted([first.begun, second.begun]) == [[], [1, 2, 3]]


async def test_one_that_stops_hands_over(store: Any, append: New, recorder: New, runner_of: New, until: New) -> None:
    """The next one need not wait for the lease to expire, and goes on where the first one was."""
    first, second = recorder(), recorder()
    active, waiting = runner_of(first, lease_seconds=3600.0), runner_of(second, lease_seconds=0.1)
    await active.start()
    await active.wait_for(await append(store, 1, 2), timeout=20)
    async with waiting:
        await active.stop()
        await append(store, 3)
        await waiting.wait_for(timeout=20)

    assert (first.begun, second.begun) == ([1, 2], [3])


async def test_one_that_died_is_replaced(
    processes: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """After its lease has expired, from the checkpoint that it has left."""
    (here, _), (_, checkpoints) = processes
    await append(here, 1, 2, 3)
    await checkpoints.acquire_lease("recorder", "died", 0.2)
    await checkpoints.save_position("recorder", 1, None, None, owner="died")
    projection = recorder(checkpoint_repo=checkpoints)

    async with runner_of(projection, here, **SOON) as runner:
        await runner.wait_for(timeout=20)

    assert projection.begun == [2, 3]


async def test_nobody_is_replaced_while_its_lease_lasts(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """However often the others ask."""
    await append(store, 1)
    await checkpoints.acquire_lease("recorder", "somebody", 3600.0)
    projection, leasings = recorder(), checkpoints.leasings

    async with runner_of(projection, lease_seconds=0.02) as runner:
        await until(lambda: checkpoints.leasings > leasings + 5)

        assert (runner.is_active, projection.begun) == (False, [])


async def test_a_lease_is_renewed_while_an_event_takes_long(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, gate: Any, until: New
) -> None:
    """A slow handler is no dead process."""
    await append(store, 1)
    slow, other = recorder(gate), recorder()
    async with runner_of(slow, lease_seconds=1.0) as active:
        await gate.reached.wait()
        async with runner_of(other, lease_seconds=1.0) as waiting:
            leasings = checkpoints.leasings
            await until(lambda: checkpoints.leasings > leasings + 15)

            assert (active.is_active, waiting.is_active) == (True, False)
        gate.opened.set()

    assert (slow.begun, other.begun) == ([1], [])


async def lose_lease(checkpoints: Any) -> None:
    """Let somebody else have it, as if it had expired."""
    await checkpoints.release_lease("recorder", checkpoints.leader)
    await checkpoints.acquire_lease("recorder", "somebody", 3600.0)


class TestALostLease:
    """Somebody else has it, because this process was stopped for a while."""

    async def test_an_idle_runner_stands_by(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """As soon as it tries to renew it."""
        projection = recorder()
        async with runner_of(projection, lease_seconds=0.1) as runner:
            await runner.wait_for(await append(store, 1), timeout=20)
            await lose_lease(checkpoints)
            await until(lambda: not runner.is_active)
            await append(store, 2)

            assert (projection.begun, runner.position, runner.is_running) == ([1], None, True)

    async def test_the_event_in_hand_is_the_last(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, gate: Any, until: New
    ) -> None:
        """The checkpoint stays where the other one has it."""
        await append(store, 1, 2, 3)
        projection = recorder(gate)
        async with runner_of(projection, lease_seconds=0.1) as runner:
            await gate.reached.wait()
            await lose_lease(checkpoints)
            leasings = checkpoints.leasings
            await until(lambda: checkpoints.leasings > leasings)
            gate.opened.set()
            await until(lambda: not runner.is_active)

        assert (projection.begun, await checkpoints.get_position("recorder")) == ([1], 0)

    async def test_a_back_off_ends(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """The event is the other one's; it is no dead letter."""

        async def fail(event: Any) -> None:
            raise ValueError("not yet")

        await append(store, 1)
        policy = ExponentialBackoffRetryPolicy(RetryConfig(initial_delay=3600.0, max_delay=3600.0))
        projection = recorder(fail, retry_policy=policy)
        async with runner_of(projection, lease_seconds=0.1) as runner:
            await until(lambda: projection.begun)
            await lose_lease(checkpoints)
            await until(lambda: not runner.is_active)

        assert await projection.dead_letters.get_failed_events() == []

    async def test_nothing_is_saved_without_it(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """Not even before it is noticed."""
        async with runner_of(recorder(), lease_seconds=3600.0, checkpoint_every=1) as runner:
            await runner.wait_for(await append(store, 1), timeout=20)
            await lose_lease(checkpoints)
            await append(store, 2)
            await until(lambda: not runner.is_active)

            assert await checkpoints.get_position("recorder") == 1

    async def test_it_is_no_failure_for_long(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """All is well with a runner that stands by."""
        async with runner_of(recorder(), lease_seconds=0.1, checkpoint_every=1) as runner:
            await runner.wait_for(await append(store, 1), timeout=20)
            await lose_lease(checkpoints)
            await append(store, 2)
            await until(lambda: not runner.is_active)
            leasings = checkpoints.leasings
            await until(lambda: checkpoints.leasings > leasings + 2)

            assert runner.failure is None

    async def test_it_is_active_again_when_the_other_one_leaves(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """And goes on from where that one has come."""
        projection = recorder()
        async with runner_of(projection, lease_seconds=0.1) as runner:
            await runner.wait_for(await append(store, 1), timeout=20)
            await lose_lease(checkpoints)
            await until(lambda: not runner.is_active)
            await append(store, 2, 3)
            await checkpoints.save_position("recorder", 2, None, None, owner="somebody")
            await checkpoints.release_lease("recorder", "somebody")
            await runner.wait_for(3, timeout=20)

        assert projection.begun == [1, 3]


async def test_different_projections_run_side_by_side(store: Any, append: New, recorder: New, runner_of: New) -> None:
    """Each has a lease and a checkpoint of its own."""
    projections = [recorder(name=name) for name in ("a", "b", "c")]
    await append(store, 1, 2, 3)

    async with AsyncExitStack() as stack:
        runners = [await stack.enter_async_context(runner_of(each)) for each in projections]
        await asyncio.gather(*(runner.wait_for(timeout=20) for runner in runners))

        assert all(runner.is_active for runner in runners)

    assert [each.numbers for each in projections] == [[1, 2, 3]] * 3


async def test_a_stop_while_standing_by_leaves_the_lease_alone(
    store: Any, checkpoints: Any, recorder: New, runner_of: New, until: New
) -> None:
    """It is another one's."""
    await checkpoints.acquire_lease("recorder", "somebody", 3600.0)
    leasings = checkpoints.leasings

    async with runner_of(recorder(), lease_seconds=0.1):
        await until(lambda: checkpoints.leasings > leasings)

    assert await checkpoints.acquire_lease("recorder", "third", 1.0) is None
