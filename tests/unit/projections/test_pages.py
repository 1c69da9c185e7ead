"""Reading the log for one projection, page by page."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from eventsource.events.base import DomainEvent
from eventsource.exceptions import CheckpointError, SerializationError
from eventsource.projections.operations import CatchUp
from eventsource.projections.pages import Pages, UnreadableEventFound
from eventsource.stores.in_memory import InMemoryEventStore
from eventsource.testing.events import Closed, Opened

New = Callable[..., Any]


def shown(page: CatchUp | None) -> Any:
    """The positions of the events, from where to where, and whether it is a replay."""
    if page is None:
        return None
    return [each.global_position for each in page.events], page.from_position, page.to_position, page.replay


async def test_at_the_end_there_is_none(store: Any, append: New) -> None:
    """Of an empty log that is the beginning."""
    pages = Pages(store, [Opened], 10)
    before = await pages.after(0, None)
    position = await append(store, 1)

    assert (before, await pages.after(position, None)) == (None, None)


async def test_a_log_that_ends_before_is_an_error(store: Any, append: New) -> None:
    """It is another one than it was, and what the projection holds is not made of it."""
    await append(store, 1, 2)

    with pytest.raises(CheckpointError, match=r"the checkpoint is at 3, but the log ends at 2: .*; rebuild the proj"):
        await Pages(store, [Opened], 10).after(3, None)


async def test_a_store_may_give_less_than_was_asked_for(store: Any, append: New) -> None:
    """As soon as it says so: what it did not give is in the next page."""
    await append(store, 1, 2, 3)
    pages = Pages(store, [Opened], 10)
    store.page_size = 2

    assert shown(await pages.after(0, None)) == ([1, 2], 0, 2, False)


async def test_a_full_page_ends_with_its_last_event(store: Any, append: New) -> None:
    """What is behind that was not looked at."""
    await append(store, 1, 2, 3)

    assert shown(await Pages(store, [Opened], 2).after(0, None)) == ([1, 2], 0, 2, False)


async def test_a_page_that_is_not_full_reaches_to_the_end(store: Any, door: Any, append: New) -> None:
    """There is nothing to handle up to there."""
    await append(store, 1, Closed(aggregate_id=door), Closed(aggregate_id=door))

    assert shown(await Pages(store, [Opened], 2).after(0, None)) == ([1], 0, 3, False)


async def test_there_may_be_nothing_to_handle(store: Any, door: Any, append: New) -> None:
    """The position moves all the same."""
    await append(store, Closed(aggregate_id=door))

    assert shown(await Pages(store, [Opened], 2).after(0, None)) == ([], 0, 1, False)


async def test_who_wants_nothing_gets_nothing(store: Any, append: New) -> None:
    """Which is not the same as everything."""
    await append(store, 1, 2)

    assert shown(await Pages(store, [], 1).after(0, None)) == ([], 0, 2, False)


async def test_the_base_class_is_everything(store: Any, door: Any, append: New) -> None:
    """Whatever else is in the list."""
    await append(store, 1, Closed(aggregate_id=door))

    assert shown(await Pages(store, [Opened, DomainEvent], 5).after(0, None)) == ([1, 2], 0, 2, False)


async def test_what_is_appended_meanwhile_is_not_left_out(store: Any, append: New) -> None:
    """The next page begins before it, at the latest."""
    await append(store, 1)
    pages = Pages(store, [Opened], 5)
    store.afterwards = partial(append, store, 2)

    first = await pages.after(0, None)
    assert first is not None
    second = await pages.after(first.to_position, None)

    assert (shown(first), shown(second)) == (([1], 0, 1, False), ([2], 1, 2, False))


@pytest.mark.parametrize(
    ("position", "expected"),
    [(0, ([1, 2], 0, 2, True)), (2, ([3], 2, 3, True)), (1, ([2, 3], 1, 3, True))],
)
async def test_a_page_of_a_replay_ends_with_it(store: Any, append: New, position: int, expected: Any) -> None:
    """New events are in another page."""
    await append(store, 1, 2, 3, 4)

    assert shown(await Pages(store, [Opened], 2).after(position, 3)) == expected


async def test_a_replay_that_reaches_beyond_the_log_ends_with_the_log(store: Any, append: New) -> None:
    """The log may have been cut off."""
    await append(store, 1)

    assert shown(await Pages(store, [Opened], 5).after(0, 9)) == ([1], 0, 1, True)


class TestUnreadable:
    async def test_those_before_it_are_a_page(self, on_file: Any, sql: New, append: New) -> None:
        """That ends in front of it, wherever the one before it stands."""
        await append(on_file, 1, 2, 3)
        sql("UPDATE events SET payload = '{' WHERE global_position = 3")

        assert shown(await Pages(on_file, [Opened], 5).after(0, None)) == ([1, 2], 0, 2, False)

    async def test_one_that_comes_first_is_told(self, on_file: Any, sql: New, append: New) -> None:
        """With all that is known of it."""
        await append(on_file, 1, 2, 3)
        sql("UPDATE events SET payload = '{' WHERE global_position = 2")

        with pytest.raises(UnreadableEventFound) as found:
            await Pages(on_file, [Opened], 5).after(1, None)

        assert (found.value.event.global_position, found.value.event.payload) == (2, "{")
        assert isinstance(found.value.error, SerializationError)

    async def test_one_behind_what_nobody_wants_is_told(self, on_file: Any, sql: New, door: Any, append: New) -> None:
        """There is nothing to handle before it."""
        await append(on_file, Closed(aggregate_id=door), 2)
        sql("UPDATE events SET payload = '{' WHERE global_position = 2")

        with pytest.raises(UnreadableEventFound) as found:
            await Pages(on_file, [Opened], 5).after(0, None)

        assert found.value.event.global_position == 2

    async def test_an_error_that_names_no_event_stays_what_it_is(self) -> None:
        """Nobody can step over what has no place."""

        class Broken(InMemoryEventStore):
            async def _read_page(self, read: Any) -> Any:
                raise SerializationError("Opened", "cannot be read at all")

            async def _get_global_position(self, get: Any) -> int:
                return 1

        pages = Pages(Broken(), [Opened], 5)

        with pytest.raises(SerializationError, match="cannot be read at all"):
            await pages.after(0, None)
        with pytest.raises(SerializationError, match="cannot be read at all"):
            await pages.oldest_after(0)


class TestOldest:
    async def test_it_is_the_first_that_is_wanted(self, store: Any, door: Any, append: New) -> None:
        """By when it was stored."""
        await append(store, Closed(aggregate_id=door), 2, 3)
        events = await store.read_page()
        pages = Pages(store, [Opened], 5)

        assert [await pages.oldest_after(0), await pages.oldest_after(2), await pages.oldest_after(3)] == [
            events[1].stored_at,
            events[2].stored_at,
            None,
        ]

    async def test_an_unreadable_one_counts(self, on_file: Any, sql: New, append: New) -> None:
        """When it was stored can be read."""
        await append(on_file, 1)
        (event,) = await on_file.read_page()
        sql("UPDATE events SET payload = '{'")

        assert await Pages(on_file, [Opened], 5).oldest_after(0) == event.stored_at
