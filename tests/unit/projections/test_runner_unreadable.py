"""Events that cannot be read: kept raw as dead letters, and those around them handled in order."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry, EventTypeNotFoundError
from eventsource.projections.dead_letters.in_memory import InMemoryDLQRepository
from eventsource.projections.dead_letters.operations import AddFailedEvent
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import Closed, Opened

New = Callable[..., Any]


def damage(sql: New, *numbers: int, payload: str = "{") -> None:
    """Let events be what nobody can read."""
    for number in numbers:
        sql("UPDATE events SET payload = ? WHERE global_position = ?", payload, number)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 500])
@pytest.mark.parametrize("bad", [[1], [3], [6], [1, 2], [3, 4], [5, 6], [1, 3, 5], [2, 4, 6], [1, 2, 3, 4, 5, 6]])
async def test_the_others_are_handled_in_order(
    on_file: Any,
    sql: New,
    append: New,
    recorder: New,
    runner_of: New,
    bad: Sequence[int],
    batch_size: int,
) -> None:
    """Wherever the bad ones stand, each of them is kept once."""
    await append(on_file, *range(1, 7))
    damage(sql, *bad)
    projection = recorder()

    async with runner_of(projection, on_file, batch_size=batch_size) as runner:
        await runner.wait_for(timeout=20)
        failure = runner.failure

    kept = await projection.dead_letters.get_failed_events(oldest_first=True)
    assert projection.begun == projection.numbers == [each for each in range(1, 7) if each not in bad]
    assert [str(each.event_id) for each in kept] == [
        event_id for position, event_id in sql("SELECT global_position, event_id FROM events") if position in bad
    ]
    assert failure is None


async def test_what_is_stored_is_kept_as_it_is(
    on_file: Any, sql: New, append: New, recorder: New, runner_of: New, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody may be able to mend it; and it is on record."""
    await append(on_file, 1)
    damage(sql, 1, payload='{"half of')
    projection = recorder()

    async with runner_of(projection, on_file) as runner:
        await runner.wait_for(timeout=20)

    (kept,) = await projection.dead_letters.get_failed_events()
    assert (kept.event_data, kept.error_type, kept.retry_count) == ('{"half of', "SerializationError", 0)
    assert (kept.event_type, kept.projection_name) == (Opened(aggregate_id=kept.event_id).event_type, "recorder")
    assert "cannot be read" in kept.error_message
    assert [each.levelname for each in caplog.records if "sent to DLQ" in each.getMessage()] == ["CRITICAL"]


async def test_the_checkpoint_moves_behind_it(
    on_file: Any, sql: New, checkpoints: Any, append: New, recorder: New, runner_of: New
) -> None:
    """The next runner does not meet it again."""
    await append(on_file, 1, 2)
    damage(sql, 2)

    async with runner_of(recorder(), on_file) as runner:
        await runner.wait_for(timeout=20)

    assert await checkpoints.get_position("recorder") == 2


async def test_one_that_is_appended_later_does_not_stop_it(
    on_file: Any, sql: New, append: New, recorder: New, runner_of: New
) -> None:
    """The runner follows the log behind it."""
    projection = recorder()

    async with runner_of(projection, on_file) as runner:
        await runner.wait_for(await append(on_file, 1), timeout=20)
        runner.pause()
        await append(on_file, 2, 3)
        damage(sql, 2)
        runner.resume()
        await runner.wait_for(timeout=20)

    assert projection.numbers == [1, 3]


async def test_an_unreadable_one_that_nobody_wants_is_nothing(
    on_file: Any, sql: New, door: Any, append: New, recorder: New, runner_of: New
) -> None:
    """Only what is wanted is read."""
    await append(on_file, 1, Closed(aggregate_id=door), 3)
    damage(sql, 2)
    projection = recorder()

    async with runner_of(projection, on_file) as runner:
        await runner.wait_for(timeout=20)

    assert projection.numbers == [1, 3]
    assert await projection.dead_letters.get_failed_events() == []


async def test_one_that_cannot_be_kept_is_not_left_out(
    on_file: Any, sql: New, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """The runner waits in front of it, and says why."""

    class Full(InMemoryDLQRepository):
        is_full = True

        async def _add_failed_event(self, add: AddFailedEvent) -> int:
            if self.is_full:
                raise OSError("no space left")
            return await super()._add_failed_event(add)

    await append(on_file, 1, 2, 3)
    damage(sql, 2)
    dead_letters = Full()
    projection = recorder(dlq_repo=dead_letters)

    async with runner_of(projection, on_file) as runner:
        await until(lambda: runner.failure)
        failure, before = runner.failure, list(projection.numbers)
        dead_letters.is_full = False
        await runner.wait_for(timeout=20)

    assert (str(failure), before, projection.numbers) == ("no space left", [1], [1, 3])
    assert len(await dead_letters.get_failed_events()) == 1


async def test_an_event_whose_class_was_forgotten_is_no_dead_letter(
    path: Any, append: New, recorder: New, runner_of: New, until: New, caplog: pytest.LogCaptureFixture
) -> None:
    """The event is well, and the program is not: it says so, and goes on as soon as the class is known."""

    class Painted(DomainEvent):
        event_type: str = "tests.runner.Painted"
        aggregate_type: str = "Door"
        number: int = 0

    theirs, ours = EventRegistry(), EventRegistry()
    theirs.register(Opened)
    theirs.register(Painted)
    ours.register(Opened)
    projection = recorder(wanted=[Opened, Painted])
    async with SQLiteEventStore(path, theirs) as writing, SQLiteEventStore(path, ours) as reading:
        await append(writing, 1)
        door = (await writing.read_page())[0].aggregate_id
        await append(writing, Painted(aggregate_id=door, number=2), 3)

        async with runner_of(projection, reading) as runner:
            await until(lambda: runner.failure)
            failure = runner.failure
            ours.register(Painted)
            await runner.wait_for(timeout=20)

    assert isinstance(failure, EventTypeNotFoundError)
    assert projection.numbers == [1, 2, 3]
    assert await projection.dead_letters.get_failed_events() == []
    assert any(each.levelname == "ERROR" and "tests.runner.Painted" in each.getMessage() for each in caplog.records)
