"""Dead letters of transactional projections: each is handled once, whoever tries it again, and however often."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry, EventTypeNotFoundError
from eventsource.headers import current_headers
from eventsource.projections.dead_letters.values import DLQEntry, RetryResult
from eventsource.testing.events import Closed, Opened, opened


def refuse(connection: object, event: Opened) -> None:
    raise LookupError("no room")


async def keep(view: Any, *events: DomainEvent) -> list[int]:
    """Keep *events* as dead letters and return the ids of their entries."""
    return [
        await view.dead_letters.add_failed_event(
            event.event_id,
            "visits",
            event.event_type,
            event.model_dump_json(),
            LookupError("no room"),
            1,
            headers={"request": str(getattr(event, "number", 0))},
        )
        for event in events
    ]


async def status(view: Any, dlq_id: int) -> str:
    entry = await view.dead_letters.get_failed_event_by_id(dlq_id)
    return str(entry.status)


@pytest.fixture
async def rivals(place: Any) -> AsyncIterator[list[Any]]:
    """The same projection twice, on connections of their own, as in two processes."""
    async with place.view_of() as first, place.view_of(**place.apart) as second:
        yield [first, second]


async def test_one_that_was_mended_is_written_and_resolved(view: Any, door: UUID) -> None:
    """The checkpoint stays where it is."""
    (dlq_id,) = await keep(view, *opened(door, 1))

    result = await view.retry_dead_letter(dlq_id)

    assert (result.outcome, await view.numbers(), await status(view, dlq_id)) == ("resolved", [1], "resolved")
    assert await view.get_checkpoint() is None


async def test_one_that_fails_again_leaves_its_reason_only(view: Any, door: UUID) -> None:
    """What its handler had written is undone, and the attempt is counted."""
    (dlq_id,) = await keep(view, *opened(door, 1))
    view.do = refuse

    result = await view.retry_dead_letter(dlq_id)

    assert (result.outcome, type(result.error), await view.numbers()) == ("failed", LookupError, [])
    assert (await status(view, dlq_id), await view.failed()) == ("failed", [("no room", 2)])


async def test_an_entry_that_was_deleted_meanwhile_is_kept_again_as_it_was(view_of: Any, door: UUID) -> None:
    """Data and headers are those of the entry that was tried."""

    class Overtaken(view_of):  # type: ignore[misc]
        async def _failed_again(self, entry: DLQEntry, error: Exception) -> RetryResult:
            await self.dead_letters.mark_resolved(entry.id, "ann")
            await self.dead_letters.delete_resolved_events(0)
            return await super()._failed_again(entry, error)

    async with Overtaken(refuse) as view:
        (dlq_id,) = await keep(view, *opened(door, 1))

        await view.retry_dead_letter(dlq_id)

        (entry,) = await view.dead_letters.get_failed_events()
    assert (entry.id > dlq_id, entry.headers, entry.retry_count) == (True, {"request": "1"}, 2)


async def test_all_are_tried_in_the_order_in_which_they_failed(view: Any, door: UUID) -> None:
    """With their headers in hand; one that fails again does not hold up the others."""
    headers: list[str] = []
    await keep(view, *opened(door, 3))

    def note(connection: object, event: Opened) -> None:
        headers.append(current_headers()["request"])
        if event.number == 2:
            raise LookupError("still no room")

    view.do = note

    results = await view.retry_dead_letters()

    assert [result.outcome for result in results] == ["resolved", "failed", "resolved"]
    assert (await view.numbers(), headers) == ([1, 3], ["1", "2", "3"])


async def test_one_that_is_tried_by_many_at_once_is_handled_once(rivals: list[Any], door: UUID) -> None:
    """One of them handles it, and the others are told so."""
    (dlq_id,) = await keep(rivals[0], *opened(door, 1))

    results = await asyncio.gather(*(view.retry_dead_letter(dlq_id) for view in rivals * 4))

    assert sorted(result.outcome for result in results) == ["resolved"] + ["resolved before"] * 7
    assert await rivals[0].numbers() == [1]


async def test_a_failure_does_not_take_back_what_another_attempt_has_resolved(view_of: Any, door: UUID) -> None:
    """Or the event would be handled a second time by whoever comes next."""

    class Overtaken(view_of):  # type: ignore[misc]
        async def _failed_again(self, entry: DLQEntry, error: Exception) -> RetryResult:
            self.do = None
            self.other = await self.retry_dead_letter(entry.id)
            return await super()._failed_again(entry, error)

    async with Overtaken(refuse) as view:
        (dlq_id,) = await keep(view, *opened(door, 1))

        first, later = await view.retry_dead_letter(dlq_id), await view.retry_dead_letter(dlq_id)

        assert (view.other.outcome, first.outcome, later.outcome) == ("resolved", *["resolved before"] * 2)
        assert (await view.numbers(), await view.failed()) == ([1], [])


async def test_one_that_was_resolved_by_hand_is_left_alone(view: Any, door: UUID) -> None:
    """Nothing is tried."""
    (dlq_id,) = await keep(view, *opened(door, 1))
    await view.dead_letters.mark_resolved(dlq_id, "ann")

    result = await view.retry_dead_letter(dlq_id)

    assert (result.outcome, await view.numbers()) == ("resolved before", [])


async def test_one_of_another_projection_is_unknown(view: Any, view_of: Any, door: UUID) -> None:
    """Though it is in the same place."""
    (dlq_id,) = await keep(view, *opened(door, 1))

    async with view_of(name="other") as other:
        result = await other.retry_dead_letter(dlq_id)

    assert (result.outcome, await status(view, dlq_id)) == ("unknown", "failed")


async def test_one_that_nobody_can_read_waits(view: Any, door: UUID) -> None:
    """Neither the projection nor the registry that was given knows its type."""
    (dlq_id,) = await keep(view, Closed(aggregate_id=door))

    (result,) = await view.retry_dead_letters(event_registry=EventRegistry())

    assert (result.outcome, type(result.error)) == ("unreadable", EventTypeNotFoundError)
    assert await status(view, dlq_id) == "failed"
