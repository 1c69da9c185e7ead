"""Making a read model anew: it is emptied, everything is replayed, and whoever asked is told."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from eventsource.exceptions import NotConnectedError
from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository
from eventsource.projections.progress import ReplayProgress
from eventsource.stores.sqlite import SQLiteEventStore

New = Callable[..., Any]


async def test_the_read_model_is_emptied_and_filled_again(
    store: Any, append: New, recorder: New, runner_of: New
) -> None:
    """With all events in order, once it has returned."""
    await append(store, 1, 2, 3, 4, 5)
    projection = recorder()

    async with runner_of(projection, batch_size=2) as runner:
        await runner.wait_for(timeout=20)
        await runner.rebuild()

        assert (projection.truncations, projection.numbers) == (1, [1, 2, 3, 4, 5])

    assert projection.begun == [1, 2, 3, 4, 5] * 2


@pytest.mark.parametrize("batch_size", [1, 2, 3, 500])
async def test_what_is_handled_again_is_marked(
    store: Any, append: New, recorder: New, runner_of: New, gate: Any, batch_size: int
) -> None:
    """Up to where the log ended when it was asked for; what comes later is new."""

    async def hold_the_replay(event: Any) -> None:
        if projection.truncations:
            await gate(event)

    projection = recorder(hold_the_replay)
    async with runner_of(projection, batch_size=batch_size) as runner:
        await runner.wait_for(await append(store, 1, 2, 3), timeout=20)
        rebuilding = asyncio.create_task(runner.rebuild())
        await gate.reached.wait()
        position = await append(store, 4, 5)
        gate.opened.set()
        await rebuilding
        await runner.wait_for(position, timeout=20)

    assert projection.begun == [1, 2, 3, 1, 2, 3, 4, 5]
    assert projection.replays == [False] * 3 + [True] * 3 + [False] * 2


async def test_progress_is_told_to_the_end(store: Any, append: New, recorder: New, runner_of: New) -> None:
    """From the beginning to the target, and never back."""
    told: list[ReplayProgress] = []
    projection = recorder()

    async with runner_of(projection) as runner:
        await runner.wait_for(await append(store, *range(1, 11)), timeout=20)
        await runner.rebuild(told.append)

    positions = [each.position for each in told]
    assert (positions, positions[0], positions[-1]) == (sorted(positions), 0, 10)
    assert {(each.projection_name, each.target) for each in told} == {("recorder", 10)}
    assert told[-1].fraction == 1.0


async def test_progress_is_told_on_the_way(
    store: Any, append: New, recorder: New, runner_of: New, gate: Any, until: New
) -> None:
    """As far as the checkpoint has come."""
    told: list[int] = []

    async def hold_the_fourth(event: Any) -> None:
        if projection.truncations and event.number == 4:
            await gate(event)

    projection = recorder(hold_the_fourth)
    async with runner_of(projection, checkpoint_every=1) as runner:
        await runner.wait_for(await append(store, *range(1, 7)), timeout=20)
        rebuilding = asyncio.create_task(runner.rebuild(lambda progress: told.append(progress.position)))
        await until(lambda: 3 in told)
        gate.opened.set()
        await rebuilding

    assert told[-1] == 6


async def test_an_empty_log_is_replayed_at_once(store: Any, recorder: New, runner_of: New) -> None:
    """There is something to empty all the same, and nobody waits for a poll."""
    told: list[ReplayProgress] = []
    projection = recorder()

    async with runner_of(projection, poll_interval=3600.0) as runner:
        await runner.wait_for(0, timeout=20)
        async with asyncio.timeout(20):
            await runner.rebuild(told.append)

    assert (projection.truncations, told[-1].fraction) == (1, 1.0)


async def test_who_asks_does_not_wait_for_a_poll(
    path: Any, on_file: Any, append: New, recorder: New, runner_of: New
) -> None:
    """It is told when the last event is handled and that is saved, in a file too."""
    async with SQLiteCheckpointRepository(path) as checkpoints:
        projection = recorder(checkpoint_repo=checkpoints)
        async with runner_of(projection, on_file, poll_interval=3600.0) as runner:
            await runner.wait_for(await append(on_file, 1, 2, 3), timeout=20)

            async with asyncio.timeout(20):
                await runner.rebuild()

    assert projection.numbers == [1, 2, 3]


async def test_who_asks_waits_no_longer_than_it_is_told(
    store: Any, append: New, recorder: New, runner_of: New, gate: Any
) -> None:
    """The rebuild goes on, and the error says where it is."""

    async def hold_the_replay(event: Any) -> None:
        if projection.truncations and event.number == 2:
            await gate(event)

    projection = recorder(hold_the_replay)
    async with runner_of(projection) as runner:
        await runner.wait_for(await append(store, 1, 2), timeout=20)
        rebuilding = asyncio.create_task(runner.rebuild(timeout=0.01))
        with pytest.raises(TimeoutError, match=r"after 0\.01 seconds projection recorder is "):
            await rebuilding
        await gate.reached.wait()
        gate.opened.set()
        await runner.wait_for(2, timeout=20)

    assert projection.numbers == [1, 2]


async def test_what_does_not_run_is_not_reset(store: Any, checkpoints: Any, recorder: New, runner_of: New) -> None:
    """A rebuild that nobody would do is not asked for."""
    await checkpoints.save_position("recorder", 5, None, None)

    with pytest.raises(NotConnectedError):
        await runner_of(recorder()).rebuild()

    assert await checkpoints.get_position("recorder") == 5


async def test_who_waits_is_told_of_a_stop(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, gate: Any
) -> None:
    """The next runner goes on with the replay, and empties nothing again."""

    async def hold_the_replay(event: Any) -> None:
        if projection.truncations and event.number == 2:
            await gate(event)

    projection = recorder(hold_the_replay)
    runner = runner_of(projection)
    await runner.start()
    await runner.wait_for(await append(store, 1, 2, 3), timeout=20)
    rebuilding = asyncio.create_task(runner.rebuild())
    await gate.reached.wait()
    stop = asyncio.create_task(runner.stop())
    await asyncio.sleep(0)
    gate.opened.set()
    await stop
    with pytest.raises(NotConnectedError):
        await rebuilding

    async with runner:
        await runner.wait_for(timeout=20)

    assert (projection.truncations, projection.numbers) == (1, [1, 2, 3])
    assert projection.replays == [False] * 3 + [True] * 3
    assert (await checkpoints.get_checkpoint_data("recorder")).replay_until is None


async def test_the_event_in_hand_does_not_survive_it(
    store: Any, append: New, recorder: New, runner_of: New, gate: Any
) -> None:
    """It is finished before the read model is emptied."""
    await append(store, 1, 2)
    projection = recorder(gate)
    async with runner_of(projection) as runner:
        await gate.reached.wait()
        rebuilding = asyncio.create_task(runner.rebuild())
        await asyncio.sleep(0)
        gate.opened.set()
        await rebuilding

        assert projection.numbers == [1, 2]

    assert projection.begun == [1, 1, 2]


async def test_a_paused_runner_does_it_when_it_goes_on(
    store: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """Pausing comes first."""
    projection = recorder()
    async with runner_of(projection) as runner:
        await runner.wait_for(await append(store, 1, 2), timeout=20)
        runner.pause()
        rebuilding = asyncio.create_task(runner.rebuild())
        for _ in range(30):
            await asyncio.sleep(0.001)
        before = projection.truncations
        runner.resume()
        await rebuilding

    assert (before, projection.truncations, projection.numbers) == (0, 1, [1, 2])


async def test_two_who_ask_at_once_are_both_answered(store: Any, append: New, recorder: New, runner_of: New) -> None:
    """Whether it is done once or twice."""
    projection = recorder()
    async with runner_of(projection) as runner:
        await runner.wait_for(await append(store, 1, 2), timeout=20)

        await asyncio.gather(runner.rebuild(), runner.rebuild())

        assert projection.numbers == [1, 2]


async def test_a_poison_event_is_one_dead_letter_still(store: Any, append: New, recorder: New, runner_of: New) -> None:
    """The one that is kept tells of the last failure."""

    async def fail(event: Any) -> None:
        if event.number == 2:
            raise ValueError(f"after {projection.truncations} truncations")

    projection = recorder(fail)
    async with runner_of(projection) as runner:
        await runner.wait_for(await append(store, 1, 2, 3), timeout=20)
        await runner.rebuild()

    (kept,) = await projection.dead_letters.get_failed_events()
    assert (kept.error_message, projection.numbers) == ("after 1 truncations", [1, 3])


class TestStandingBy:
    async def test_the_active_runner_does_it(
        self, store: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """Whoever asks for it."""
        first, second = recorder(), recorder()
        async with runner_of(first, lease_seconds=1.0) as active:
            await active.wait_for(await append(store, 1, 2), timeout=20)
            async with runner_of(second, lease_seconds=1.0) as waiting:
                await waiting.rebuild()

                assert (first.truncations, first.numbers) == (1, [1, 2])
                assert (second.truncations, second.begun) == (0, [])

    async def test_another_process_does_it(
        self, path: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """It finds the request beside its lease."""
        async with (
            SQLiteEventStore(path) as here,
            SQLiteEventStore(path, busy_timeout=4999) as there,
            SQLiteCheckpointRepository(path) as checkpoints_here,
            SQLiteCheckpointRepository(path, busy_timeout=4999) as checkpoints_there,
        ):
            first, second = recorder(checkpoint_repo=checkpoints_here), recorder(checkpoint_repo=checkpoints_there)
            async with runner_of(first, here, lease_seconds=1.5) as active:
                await active.wait_for(await append(here, 1, 2, 3), timeout=20)
                async with runner_of(second, there, lease_seconds=1.5) as waiting:
                    await waiting.rebuild()

        assert (first.truncations, first.numbers, second.begun) == (1, [1, 2, 3], [])


async def test_a_plain_reset_empties_nothing_by_itself(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New
) -> None:
    """Only a rebuild asks the runner to; `reset` has done it before."""
    await append(store, 1)
    projection = recorder()
    await projection.reset()

    async with runner_of(projection) as runner:
        await runner.wait_for(timeout=20)

    assert (projection.truncations, projection.replays) == (1, [False])


async def test_a_checkpoint_that_was_reset_under_an_idle_runner_is_noticed(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New
) -> None:
    """When it renews its lease."""
    projection = recorder()
    async with runner_of(projection, lease_seconds=0.05, checkpoint_every=1) as runner:
        await runner.wait_for(await append(store, 1), timeout=20)
        await checkpoints.reset_checkpoint("recorder", replay_until=1)
        async with asyncio.timeout(20):
            while projection.truncations == 0:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.001)
        await runner.wait_for(1, timeout=20)

    assert projection.numbers == [1]
