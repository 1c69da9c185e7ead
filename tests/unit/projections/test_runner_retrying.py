"""What becomes of events that a handler fails on: other attempts, then a dead letter, and the others go on."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from eventsource.events.base import DomainEvent
from eventsource.projections.base import DeclarativeProjection
from eventsource.projections.dead_letters.in_memory import InMemoryDLQRepository
from eventsource.projections.dead_letters.operations import AddFailedEvent
from eventsource.retry import ExponentialBackoffRetryPolicy, FilteredRetryPolicy, RetryConfig
from eventsource.testing.events import Opened

New = Callable[..., Any]


def policy(retries: int) -> ExponentialBackoffRetryPolicy:
    """So many retries, each at once."""
    return ExponentialBackoffRetryPolicy(
        RetryConfig(max_retries=retries, initial_delay=0.0001, max_delay=0.0001, jitter=0.0)
    )


def failing_on(*poison: int, times: int = 1_000_000, error: BaseException | None = None) -> Any:
    """Return a handler that fails on the events of these numbers, so many times each."""
    failures: Counter[int] = Counter()

    async def handle(event: Any) -> None:
        await asyncio.sleep(0)
        if event.number in poison and failures[event.number] < times:
            failures[event.number] += 1
            raise error or ValueError(f"cannot handle {event.number}")

    return handle


class ShakyDeadLetters(InMemoryDLQRepository):
    """Dead letters that cannot be kept the first few times."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.left = failures
        self.asked = 0

    async def _add_failed_event(self, add: AddFailedEvent) -> int:
        self.asked += 1
        if self.left:
            self.left -= 1
            raise OSError("the dead letters are gone")
        return await super()._add_failed_event(add)


async def test_an_event_is_tried_again_in_its_place(store: Any, append: New, recorder: New, runner_of: New) -> None:
    """Those behind it wait, for it may concern them."""
    await append(store, 1, 2, 3)
    projection = recorder(failing_on(2, times=2), retry_policy=policy(2))

    async with runner_of(projection) as runner:
        await runner.wait_for(timeout=20)

    assert projection.begun == [1, 2, 2, 2, 3]
    assert projection.numbers == [1, 2, 3]
    assert await projection.dead_letters.get_failed_events() == []


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_there_are_as_many_attempts_as_the_policy_says(
    store: Any, append: New, recorder: New, runner_of: New, retries: int
) -> None:
    """The first one, and so many more."""
    await append(store, 1, 2)
    projection = recorder(failing_on(1), retry_policy=policy(retries))

    async with runner_of(projection) as runner:
        await runner.wait_for(timeout=20)

    assert projection.begun == [1] * (retries + 1) + [2]
    assert [each.retry_count for each in await projection.dead_letters.get_failed_events()] == [retries + 1]


async def test_the_policy_may_decide_by_the_error(store: Any, append: New, recorder: New, runner_of: New) -> None:
    """What will never succeed is tried once."""
    await append(store, 1)
    projection = recorder(failing_on(1), retry_policy=FilteredRetryPolicy(policy(5), [OSError]))

    async with runner_of(projection) as runner:
        await runner.wait_for(timeout=20)

    assert projection.begun == [1]


class TestPoison:
    @pytest.mark.parametrize("batch_size", [1, 2, 500])
    async def test_the_others_go_on_in_order(
        self, store: Any, append: New, recorder: New, runner_of: New, batch_size: int
    ) -> None:
        """Each poison event is kept once, wherever it stands, and the runner is well."""
        await append(store, *range(1, 9))
        projection = recorder(failing_on(1, 4, 5, 8))

        async with runner_of(projection, batch_size=batch_size) as runner:
            await runner.wait_for(timeout=20)
            failure = runner.failure

        kept = await projection.dead_letters.get_failed_events(oldest_first=True)
        assert (projection.begun, projection.numbers) == ([1, 2, 3, 4, 5, 6, 7, 8], [2, 3, 6, 7])
        assert [json.loads(each.event_data)["number"] for each in kept] == [1, 4, 5, 8]
        assert failure is None

    async def test_the_dead_letter_tells_everything(
        self, store: Any, append: New, recorder: New, runner_of: New
    ) -> None:
        """Which event, what was beside it, what was raised, where, and how often it was tried."""
        await append(store, 7, headers={"request": "7"})
        (event,) = await store.get_all_events()
        projection = recorder(failing_on(7), retry_policy=policy(1))

        async with runner_of(projection) as runner:
            await runner.wait_for(timeout=20)

        (kept,) = await projection.dead_letters.get_failed_events()
        assert (kept.event_id, kept.projection_name, kept.event_type) == (event.event_id, "recorder", event.event_type)
        assert (kept.error_type, kept.error_message, kept.retry_count) == ("ValueError", "cannot handle 7", 2)
        assert (dict(kept.headers), kept.status) == ({"request": "7"}, "failed")
        assert 'raise error or ValueError(f"cannot handle' in kept.error_stacktrace
        assert Opened.model_validate_json(kept.event_data) == event

    async def test_it_is_on_record(
        self, store: Any, append: New, recorder: New, runner_of: New, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Each attempt as an error, the dead letter as something worse."""
        await append(store, 1)
        projection = recorder(failing_on(1), retry_policy=policy(1))

        async with runner_of(projection) as runner:
            await runner.wait_for(timeout=20)

        told = [(each.levelname, each.getMessage()) for each in caplog.records if each.levelname != "INFO"]
        assert [level for level, _ in told] == ["ERROR", "ERROR", "CRITICAL"]
        assert "(attempt 2/2): cannot handle 1" in told[1][1]
        assert "sent to DLQ after 2 attempts: projection recorder failed" in told[2][1]

    async def test_an_error_that_cannot_be_shown_is_kept_like_others(
        self, store: Any, append: New, recorder: New, runner_of: New
    ) -> None:
        """Or the event would be tried for ever."""

        class Speechless(Exception):  # noqa: N818 - it is called what it is
            def __str__(self) -> str:
                raise LookupError("no words")

        await append(store, 1, 2, 3)
        projection = recorder(failing_on(2, error=Speechless()))

        async with runner_of(projection) as runner:
            await runner.wait_for(timeout=20)

        (kept,) = await projection.dead_letters.get_failed_events()
        assert (projection.begun, kept.error_type) == ([1, 2, 3], "Speechless")

    async def test_the_checkpoint_moves_behind_it(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New
    ) -> None:
        """It is settled, so the next runner does not meet it again."""
        await append(store, 1, 2)
        projection = recorder(failing_on(2))

        async with runner_of(projection) as runner:
            await runner.wait_for(timeout=20)

        assert await checkpoints.get_position("recorder") == 2

    async def test_it_can_be_replayed_after_the_fix(
        self, store: Any, append: New, recorder: New, runner_of: New
    ) -> None:
        """While the runner runs."""
        await append(store, 1, 2, 3)
        projection = recorder(failing_on(2, times=1))

        async with runner_of(projection) as runner:
            await runner.wait_for(timeout=20)
            results = await projection.retry_dead_letters()

        assert [each.outcome for each in results] == ["resolved"]
        assert projection.numbers == [1, 3, 2]
        assert await projection.dead_letters.get_failed_events() == []


async def test_a_handler_that_was_cancelled_by_something_else_has_failed(
    store: Any, append: New, recorder: New, runner_of: New
) -> None:
    """A driver may raise that; it ends the attempt and not the runner."""
    await append(store, 1, 2)
    projection = recorder(failing_on(1, error=asyncio.CancelledError()), retry_policy=policy(1))

    async with runner_of(projection) as runner:
        await runner.wait_for(timeout=20)
        still_running = runner.is_running

    (kept,) = await projection.dead_letters.get_failed_events()
    assert (projection.begun, projection.numbers, still_running) == ([1, 1, 2], [2], True)
    assert (kept.error_type, kept.retry_count) == ("ProjectionError", 2)
    assert "the handler was cancelled, but not its projection" in kept.error_message


async def test_a_handler_that_ends_a_task_of_its_own_goes_on(
    store: Any, append: New, recorder: New, runner_of: New
) -> None:
    """Its time-outs are its own business."""

    async def give_up(event: DomainEvent) -> None:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()

    await append(store, 1, 2)
    projection = recorder(give_up)

    async with runner_of(projection) as runner:
        await runner.wait_for(timeout=20)

    kept = await projection.dead_letters.get_failed_events()
    assert [each.error_type for each in kept] == ["TimeoutError", "TimeoutError"]


class TestDeadLettersThatCannotBeKept:
    async def test_the_event_is_not_left_out(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New
    ) -> None:
        """It is tried again until it is handled or kept, and those behind it wait."""
        await append(store, 1, 2, 3)
        dead_letters = ShakyDeadLetters(failures=3)
        projection = recorder(failing_on(2), dlq_repo=dead_letters)

        async with runner_of(projection) as runner:
            await runner.wait_for(timeout=20)

        assert projection.begun == [1, 2, 2, 2, 2, 3]
        assert (dead_letters.asked, len(await dead_letters.get_failed_events())) == (4, 1)

    async def test_the_failure_says_so(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """As long as it lasts; the checkpoint stays in front of the event."""
        await append(store, 1, 2)
        dead_letters = ShakyDeadLetters(failures=1_000_000)
        projection = recorder(failing_on(2), dlq_repo=dead_letters)

        async with runner_of(projection) as runner:
            await until(lambda: dead_letters.asked > 2 and runner.failure)
            failure, position = runner.failure, await checkpoints.get_position("recorder")
            dead_letters.left = 0
            await runner.wait_for(timeout=20)
            await until(lambda: runner.failure is None)

        assert (str(failure), position) == ("the dead letters are gone", 1)

    async def test_an_event_without_json_form_is_kept_all_the_same(
        self, store: Any, door: Any, append: New, runner_of: New
    ) -> None:
        """As Python shows it: a store in memory takes whatever there is."""

        class Odd(Opened):
            event_type: str = "tests.Odd"
            thing: Any = None

        class Strict(DeclarativeProjection):
            unregistered_event_handling = "error"

            def subscribed_to(self) -> list[type[DomainEvent]]:
                return [DomainEvent]

        await append(store, Odd(aggregate_id=door, thing=object()))
        projection = Strict(retry_policy=policy(0))

        async with runner_of(projection) as runner:
            await runner.wait_for(timeout=20)

        (kept,) = await projection.dead_letters.get_failed_events()
        assert (kept.error_type, "object object" in kept.event_data) == ("UnhandledEventError", True)
