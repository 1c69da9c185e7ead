"""When runners save the checkpoint, and what they do when somebody else has moved it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from eventsource.events.base import DomainEvent
from eventsource.testing.events import Closed

New = Callable[..., Any]

SELDOM = {"checkpoint_every": 1000, "checkpoint_interval": 3600.0}


async def test_it_is_saved_every_so_many_events(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New
) -> None:
    """And what remains, when the runner stops."""
    await append(store, *range(1, 8))

    async with runner_of(recorder(), checkpoint_every=3, checkpoint_interval=3600.0) as runner:
        await runner.wait_for(timeout=20)
        saved = checkpoints.saves[1:]

    assert saved == [3, 6]
    assert checkpoints.saves[1:] == [3, 6, 7]


@pytest.mark.parametrize("batch_size", [2, 4])
async def test_pages_count_together(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, batch_size: int
) -> None:
    """Events are counted, not pages."""
    await append(store, *range(1, 7))

    async with runner_of(recorder(), batch_size=batch_size, checkpoint_every=5, checkpoint_interval=3600.0) as runner:
        await runner.wait_for(timeout=20)

        assert checkpoints.saves[1:] == [5]


async def test_it_is_saved_after_so_many_seconds(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """Even if nothing more comes, and nothing wakes the runner."""
    await append(store, 1, 2)

    options = {"checkpoint_every": 1000, "checkpoint_interval": 0.05, "poll_interval": 3600.0}
    async with runner_of(recorder(), **options):
        await until(lambda: checkpoints.saves[-1:] == [2])


async def test_where_nothing_is_wanted_it_is_saved_after_so_many_seconds(
    store: Any, checkpoints: Any, door: UUID, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """What was looked through counts for time, and not as events."""
    await append(store, *(Closed(aggregate_id=door) for _ in range(4)))

    async with runner_of(recorder(), batch_size=1, checkpoint_every=1, checkpoint_interval=0.05):
        await until(lambda: checkpoints.saves[-1:] == [4])

        assert checkpoints.saves == [0, 4]


async def test_an_interval_of_nothing_saves_after_each_event(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New
) -> None:
    """For those whose handlers are dearer than a checkpoint."""
    await append(store, 1, 2, 3)

    async with runner_of(recorder(), checkpoint_every=1000, checkpoint_interval=0) as runner:
        await runner.wait_for(timeout=20)

        assert checkpoints.saves == [0, 1, 2, 3]


async def test_it_is_saved_by_a_pause(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """Who rests may rest for long."""
    await append(store, 1, 2)

    async with runner_of(recorder(), **SELDOM) as runner:
        await runner.wait_for(timeout=20)
        before = checkpoints.saves[-1]
        runner.pause()

        await until(lambda: checkpoints.saves[-1] == 2)

    assert before == 0


async def test_it_is_saved_by_a_stop(store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New) -> None:
    """So that nothing is handled twice without need."""
    await append(store, 1, 2)

    async with runner_of(recorder(), **SELDOM) as runner:
        await runner.wait_for(timeout=20)
        before = checkpoints.saves[-1]

    assert (before, await checkpoints.get_position("recorder")) == (0, 2)


async def test_it_is_saved_before_the_runner_begins_again(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """What was handled before the store failed is not handled again."""
    await append(store, 1, 2)
    projection = recorder()

    async with runner_of(projection, **SELDOM) as runner:
        await runner.wait_for(timeout=20)
        store.error = OSError("the disk is gone")
        await until(lambda: runner.failure)
        store.error = None
        await runner.wait_for(await append(store, 3), timeout=20)

    assert projection.begun == [1, 2, 3]


async def test_nothing_is_saved_where_nothing_happens(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """An idle projection writes nothing, its lease apart."""
    await append(store, 1)

    async with runner_of(recorder(), checkpoint_interval=0, poll_interval=0.001, lease_seconds=0.03) as runner:
        await runner.wait_for(timeout=20)
        leasings = checkpoints.leasings
        await until(lambda: checkpoints.leasings > leasings + 3)

    assert checkpoints.saves == [0, 1]


class TestSomebodyElseMovesIt:
    async def test_it_is_read_again(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """The runner goes on from where the other one says, and nothing behind that is left out."""
        await append(store, 1, 2)
        projection = recorder()

        async with runner_of(projection, **SELDOM) as runner:
            await runner.wait_for(timeout=20)
            await checkpoints.save_position("recorder", 1, None, None)
            await append(store, 3)
            runner.pause()
            await until(lambda: runner.failure)
            runner.resume()
            await runner.wait_for(timeout=20)

        assert projection.begun in ([1, 2, 2, 3], [1, 2, 3, 2, 3])

    async def test_what_the_other_has_done_is_not_done_again(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """The checkpoint says what was handled, whoever says so."""
        await append(store, 1, 2, 3, 4)

        async def move(event: DomainEvent) -> None:
            if projection.begun == [1]:
                await checkpoints.save_position("recorder", 3, None, None)

        projection = recorder(move)
        async with runner_of(projection, checkpoint_every=1) as runner:
            await runner.wait_for(timeout=20)

        assert projection.begun == [1, 4]

    async def test_it_is_no_error_in_the_log(
        self,
        store: Any,
        checkpoints: Any,
        append: New,
        recorder: New,
        runner_of: New,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """It is what a hand-over looks like."""
        await append(store, 1, 2, 3)

        async def move(event: DomainEvent) -> None:
            if projection.begun == [1]:
                await checkpoints.save_position("recorder", 2, None, None)

        projection = recorder(move)
        with caplog.at_level("INFO", "eventsource.projections.runner"):
            async with runner_of(projection, checkpoint_every=1) as runner:
                await runner.wait_for(timeout=20)

        (told,) = [each for each in caplog.records if "begins again" in each.getMessage()]
        assert (told.levelname, "is at 2, expected 0" in told.getMessage()) == ("INFO", True)
