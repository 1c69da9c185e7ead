"""Read models that are emptied, whatever happens between asking for it and the first event."""

from collections.abc import Callable
from typing import Any

import pytest

from eventsource.testing.events import Opened

New = Callable[..., Any]


class TestACrash:
    @pytest.mark.parametrize("replay_until", [0, 2, 3])
    async def test_one_between_asking_and_emptying_is_made_good(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, replay_until: int
    ) -> None:
        """The next runner empties the read model before it begins."""
        await append(store, 1, 2, 3)
        projection = recorder()
        projection.events.append(object())
        await checkpoints.save_position("recorder", 3, None, None)
        await checkpoints.reset_checkpoint("recorder", replay_until=replay_until)

        async with runner_of(projection) as runner:
            await runner.wait_for(timeout=20)

        assert (projection.truncations, projection.numbers) == (1, [1, 2, 3])
        assert projection.replays == [number <= replay_until for number in (1, 2, 3)]

    async def test_emptying_that_fails_is_tried_again(
        self, store: Any, append: New, recorder: New, runner_of: New
    ) -> None:
        """Nothing is handled before it has succeeded."""
        failures = [OSError("locked"), OSError("locked")]

        class Locked(type(recorder())):  # type: ignore[misc]
            async def _truncate_read_models(self) -> None:
                if failures:
                    raise failures.pop()
                await super()._truncate_read_models()

        plain = recorder()
        projection = Locked(None, plain.subscribed_to(), name="recorder")
        async with runner_of(projection) as runner:
            await runner.wait_for(await append(store, 1, 2), timeout=20)
            await runner.rebuild()

        assert (projection.numbers, projection.begun, failures) == ([1, 2], [1, 2, 1, 2], [])


class TestACheckpointThatWasMovedMeanwhile:
    async def test_a_new_leader_replays_what_an_old_one_has_emptied(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, gate: Any, until: New
    ) -> None:
        """An old one that was so long at it that it lost the lease, and did not notice."""
        model: list[int] = []

        class Sharing(type(recorder())):  # type: ignore[misc]
            held: Any = None

            async def _process_event(self, event: Any) -> None:
                model.append(event.number)

            async def _truncate_read_models(self) -> None:
                if self.held is not None:
                    await self.held(None)
                model.clear()
                self.truncations += 1

        old, new = (Sharing(None, [Opened], name="recorder", checkpoint_repo=checkpoints) for _ in range(2))
        old.held = gate
        await append(store, 1, 2, 3)
        await checkpoints.reset_checkpoint("recorder", replay_until=3)
        async with runner_of(old, lease_seconds=3600.0):
            await gate.reached.wait()
            await checkpoints.release_lease("recorder", checkpoints.leader)
            async with runner_of(new, lease_seconds=0.05) as runner:
                await runner.wait_for(3, timeout=20)
                gate.opened.set()
                await until(lambda: old.truncations == 1)
                await until(lambda: (new.truncations, model) == (2, [1, 2, 3]))

    async def test_a_reset_that_failed_half_way_is_finished_by_the_next_runner(
        self, store: Any, append: New, recorder: New, runner_of: New
    ) -> None:
        """The checkpoint is gone, and the read model is not yet."""
        failures = [OSError("locked")]

        class Locked(type(recorder())):  # type: ignore[misc]
            async def _truncate_read_models(self) -> None:
                if failures:
                    raise failures.pop()
                await super()._truncate_read_models()

        projection = Locked(None, [Opened], name="recorder")
        async with runner_of(projection) as runner:
            await runner.wait_for(await append(store, 1, 2), timeout=20)
        with pytest.raises(OSError, match="locked"):
            await projection.reset()

        async with runner_of(projection) as runner:
            await runner.wait_for(timeout=20)

        assert (projection.truncations, projection.numbers) == (1, [1, 2])
