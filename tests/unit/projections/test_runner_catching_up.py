"""Runners catch up: in order, page by page, from the checkpoint, with what the projection wants."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from uuid import UUID

import pytest

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry
from eventsource.headers import current_headers
from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import Closed, Opened, OpenedWide

New = Callable[..., Any]

request_id: ContextVar[str] = ContextVar("request_id", default="none")


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 8, 500])
async def test_everything_is_handled_once_and_in_order(
    store: Any, append: New, recorder: New, runner_of: New, batch_size: int
) -> None:
    """However many pages the log has."""
    await append(store, *range(1, 8))
    projection = recorder()

    async with runner_of(projection, batch_size=batch_size) as runner:
        await runner.wait_for(timeout=20)

    assert projection.begun == projection.numbers == [1, 2, 3, 4, 5, 6, 7]


async def test_no_page_is_larger_than_those_of_the_store(
    store: Any, append: New, recorder: New, runner_of: New
) -> None:
    """A store knows how much it can read at a time."""
    store.page_size = 2
    await append(store, *range(1, 6))
    projection = recorder()

    async with runner_of(projection, batch_size=500) as runner:
        await runner.wait_for(timeout=20)

    assert projection.numbers == [1, 2, 3, 4, 5]


async def test_only_what_is_wanted_is_handled(
    store: Any, door: UUID, append: New, recorder: New, runner_of: New
) -> None:
    """By the very class: a subclass is another one."""
    await append(store, 1, Closed(aggregate_id=door), OpenedWide(aggregate_id=door, number=2), 3)
    projection = recorder()

    async with runner_of(projection, batch_size=2) as runner:
        await runner.wait_for(timeout=20)

    assert projection.numbers == [1, 3]


async def test_whoever_wants_the_base_class_gets_everything(
    store: Any, door: UUID, append: New, recorder: New, runner_of: New
) -> None:
    """`DomainEvent` stands for all classes."""
    events = [Opened(aggregate_id=door), Closed(aggregate_id=door), OpenedWide(aggregate_id=door)]
    await append(store, *events)
    projection = recorder(wanted=[Closed, DomainEvent])

    async with runner_of(projection) as runner:
        await runner.wait_for(timeout=20)

    assert [each.event_id for each in projection.events] == [each.event_id for each in events]


async def test_it_goes_on_from_the_checkpoint(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New
) -> None:
    """What was handled before is not handled again."""
    await append(store, 1, 2, 3, 4)
    await checkpoints.save_position("recorder", 2, None, None)
    projection = recorder()

    async with runner_of(projection) as runner:
        await runner.wait_for(timeout=20)

    assert projection.begun == [3, 4]


@pytest.mark.parametrize("batch_size", [1, 3, 500])
async def test_the_checkpoint_follows_where_nothing_is_wanted(
    store: Any, checkpoints: Any, door: UUID, append: New, recorder: New, runner_of: New, batch_size: int
) -> None:
    """What nobody wants is not looked through again after each start."""
    await append(store, 1, *(Closed(aggregate_id=door) for _ in range(5)))
    projection = recorder()

    async with runner_of(projection, batch_size=batch_size) as runner:
        await runner.wait_for(6, timeout=20)
        position = runner.position

    data = await checkpoints.get_checkpoint_data("recorder")
    assert (position, data.global_position, data.events_processed) == (6, 6, 1)
    assert data.last_event_id == projection.events[0].event_id


async def test_the_checkpoint_tells_the_last_event_and_how_many(
    store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New
) -> None:
    """For people who look at the table."""
    await append(store, 1, 2, 3)
    projection = recorder()

    async with runner_of(projection, checkpoint_every=2) as runner:
        await runner.wait_for(timeout=20)

    data = await checkpoints.get_checkpoint_data("recorder")
    assert (data.last_event_id, data.last_event_type) == (
        projection.events[-1].event_id,
        Opened(aggregate_id=data.last_event_id).event_type,
    )
    assert (data.events_processed, data.global_position, data.replay_until) == (3, 3, None)


async def test_events_of_unknown_types_disturb_nobody(path: Any, append: New, recorder: New, runner_of: New) -> None:
    """Other programs write to the same log, and their classes are not here."""

    class Painted(DomainEvent):
        event_type: str = "somebody.else.Painted"
        aggregate_type: str = "Door"

    theirs, ours = EventRegistry(), EventRegistry()
    theirs.register(Painted)
    theirs.register(Opened)
    ours.register(Opened)
    projection = recorder()
    async with SQLiteEventStore(path, theirs) as writing, SQLiteEventStore(path, ours) as reading:
        door = (await append(writing, 1)) and (await writing.read_page())[0].aggregate_id
        await append(writing, Painted(aggregate_id=door), 2, Painted(aggregate_id=door))

        async with runner_of(projection, reading) as runner:
            await runner.wait_for(timeout=20)
            position, failure = runner.position, runner.failure

    assert (projection.numbers, position, failure) == ([1, 2], 4, None)
    assert await projection.dead_letters.get_failed_events() == []


async def test_catching_up_from_a_file(path: Any, on_file: Any, append: New, recorder: New, runner_of: New) -> None:
    """Log and checkpoint may be in one file, and the next process goes on where this one ended."""
    await append(on_file, 1, 2, 3)
    async with SQLiteCheckpointRepository(path) as checkpoints:
        first, second = recorder(checkpoint_repo=checkpoints), recorder(checkpoint_repo=checkpoints)
        async with runner_of(first, on_file, batch_size=2) as runner:
            await runner.wait_for(timeout=20)
        await append(on_file, 4)

        async with runner_of(second, on_file) as runner:
            await runner.wait_for(timeout=20)

    assert (first.numbers, second.numbers) == ([1, 2, 3], [4])


class TestWhatAHandlerSees:
    async def test_the_headers_of_the_event_are_the_current_ones(
        self, store: Any, append: New, recorder: New, runner_of: New
    ) -> None:
        """Those that the append was given."""
        seen = []

        async def note(event: DomainEvent) -> None:
            seen.append(dict(current_headers()))

        await append(store, 1, headers={"request": "7"})
        await append(store, 2)
        await append(store, 3, headers={"request": "8"})

        async with runner_of(recorder(note)) as runner:
            await runner.wait_for(timeout=20)

        assert seen == [{"request": "7"}, {}, {"request": "8"}]

    async def test_the_context_of_whoever_starts_it_is_not_there(
        self, store: Any, append: New, recorder: New, runner_of: New
    ) -> None:
        """A request that starts a runner is over before its events are."""
        seen = []

        async def note(event: DomainEvent) -> None:
            seen.append(request_id.get())

        token = request_id.set("7")
        await append(store, 1)

        async with runner_of(recorder(note)) as runner:
            await runner.wait_for(timeout=20)

        request_id.reset(token)
        assert seen == ["none"]
