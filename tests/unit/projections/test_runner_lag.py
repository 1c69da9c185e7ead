"""How far a runner says that its projection is behind."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventsource.testing.events import Closed

New = Callable[..., Any]

OFTEN = {"lag_interval": 0.005, "checkpoint_every": 1}


async def test_there_is_none_while_it_does_not_run(
    store: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """Neither before nor after: nobody keeps it fresh."""
    runner = runner_of(recorder(), **OFTEN)
    before = runner.lag
    async with runner:
        await until(lambda: runner.lag)

    assert (before, runner.lag) == (None, None)


async def test_it_falls_to_nothing(store: Any, append: New, recorder: New, runner_of: New, until: New) -> None:
    """When everything was handled and that is saved."""
    await append(store, 1, 2, 3)

    async with runner_of(recorder(), **OFTEN) as runner:
        await until(lambda: runner.lag and runner.lag.checkpoint == 3)

        assert (runner.lag.head, runner.lag.events, runner.lag.seconds) == (3, 0, 0.0)


async def test_it_falls_as_soon_as_everything_was_handled(
    store: Any, append: New, recorder: New, runner_of: New, gate: Any, until: New
) -> None:
    """Nobody has to look again, and the checkpoint need not be saved."""
    await append(store, 1, 2)

    async with runner_of(recorder(gate), lag_interval=3600.0, checkpoint_interval=3600.0) as runner:
        await until(lambda: runner.lag and gate.reached.is_set())
        before = runner.lag.events
        gate.opened.set()
        await runner.wait_for(2, timeout=20)

        assert (before, runner.lag.events, runner.lag.seconds) == (2, 0, 0.0)


async def test_it_rises_while_the_projection_is_paused(
    store: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """And falls again afterwards."""
    async with runner_of(recorder(), **OFTEN) as runner:
        await runner.wait_for(await append(store, 1), timeout=20)
        runner.pause()
        await append(store, 2, 3)
        await until(lambda: runner.lag and runner.lag.events == 2)
        paused = runner.lag
        runner.resume()
        await until(lambda: runner.lag.events == 0)

    assert (paused.head, paused.checkpoint) == (3, 1)


async def test_it_rises_while_a_handler_blocks(
    store: Any, append: New, recorder: New, runner_of: New, gate: Any, until: New
) -> None:
    """Whoever looks at it sees that from the same event loop."""
    async with runner_of(recorder(gate), **OFTEN) as runner:
        await append(store, 1)
        await gate.reached.wait()
        await append(store, 2, 3)
        await until(lambda: runner.lag and runner.lag.events == 3)
        gate.opened.set()
        await until(lambda: runner.lag.events == 0)


async def test_it_is_known_while_another_runner_is_active(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """By the checkpoint that the other one moves."""
    await append(store, 1, 2, 3)
    await checkpoints.acquire_lease("recorder", "somebody", 3600.0)
    await checkpoints.save_position("recorder", 1, None, None)

    async with runner_of(recorder(), **OFTEN) as runner:
        await until(lambda: runner.lag and (runner.lag.head, runner.lag.checkpoint, runner.lag.events) == (3, 1, 2))


async def test_what_is_not_wanted_is_no_lag(
    store: Any, door: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """However far behind the checkpoint is."""
    async with runner_of(recorder(), **OFTEN) as runner:
        await runner.wait_for(await append(store, 1), timeout=20)
        runner.pause()
        await append(store, *(Closed(aggregate_id=door) for _ in range(5)))
        await until(lambda: runner.lag and runner.lag.head == 6)

        assert (runner.lag.checkpoint, runner.lag.events, runner.lag.seconds) == (1, 0, 0.0)


async def test_it_is_as_old_as_the_oldest_event_that_waits(
    store: Any, append: New, stored: New, recorder: New, runner_of: New, until: New
) -> None:
    """By when that was stored."""
    first, second = await stored(1), await stored(2)

    async with runner_of(recorder(), **OFTEN) as runner:
        runner.pause()
        await until(lambda: runner.lag)

        assert runner.lag.oldest_at == first.stored_at <= second.stored_at
        assert 0 < runner.lag.seconds < (datetime.now(UTC) - first.stored_at + timedelta(seconds=1)).total_seconds()


async def test_an_unreadable_event_counts(
    on_file: Any, sql: New, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """It waits to be settled like the others."""
    await append(on_file, 1, 2)
    sql("UPDATE events SET payload = '{' WHERE version = 1")

    async with runner_of(recorder(), on_file, **OFTEN) as runner:
        runner.pause()
        await until(lambda: runner.lag)

        assert (runner.lag.events, runner.lag.oldest_at is None) == (2, False)


@pytest.mark.parametrize("error", [OSError("gone"), asyncio.CancelledError()], ids=["failed", "cancelled by itself"])
async def test_a_store_that_fails_leaves_it_as_it_was(
    store: Any, append: New, recorder: New, runner_of: New, until: New, error: BaseException
) -> None:
    """It is looked up again later."""
    async with runner_of(recorder(), **OFTEN) as runner:
        await runner.wait_for(await append(store, 1), timeout=20)
        await until(lambda: runner.lag and runner.lag.checkpoint == 1)
        runner.pause()
        for _ in range(3):
            await asyncio.sleep(0)
        store.error = error
        await until(lambda: store.failures > 2)
        stale = runner.lag
        store.error = None
        await append(store, 2)
        await until(lambda: runner.lag.head == 2)

    assert (stale.head, stale.checkpoint) == (1, 1)


async def test_a_projection_that_fails_is_seen_to_be_behind(
    store: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """Its dead letters are gone, so it stands still."""

    class Stuck(type(recorder())):  # type: ignore[misc]
        async def _keep_dead_letter(self, *args: Any, **kwargs: Any) -> None:
            raise OSError("gone")

    async def fail(event: Any) -> None:
        if event.number == 2:
            raise ValueError("never")

    plain = recorder()
    stuck = Stuck(fail, plain.subscribed_to(), name="stuck", retry_policy=plain.retry_policy)
    await append(store, 1, 2, 3)

    async with runner_of(stuck, **OFTEN) as runner:
        await until(lambda: runner.lag and (runner.lag.checkpoint, runner.lag.events) == (1, 2))
