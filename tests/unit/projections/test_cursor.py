"""The position of a running projection, and when it becomes the checkpoint."""

from collections.abc import Callable
from typing import Any

import pytest

from eventsource.exceptions import CheckpointConflictError
from eventsource.projections.cursor import Cursor
from eventsource.projections.halt import Halt
from eventsource.stores.announcing import Wake

New = Callable[..., Any]


@pytest.fixture
async def cursor_at(checkpoints: Any) -> New:
    """Make a cursor where the checkpoint is, for whoever has the lease."""
    await checkpoints.acquire_lease("recorder", "me", 3600.0)

    async def make(position: int, *, replay_until: int | None = None, on_move: Any = None, **pace: Any) -> Cursor:
        await checkpoints.save_position("recorder", position, None, None, events=0)
        options = {"every": 1000, "interval": 3600.0, **pace}
        halt, told = Halt(Wake()), on_move or (lambda position: None)
        return Cursor(checkpoints, "recorder", "me", position, replay_until, halt, on_move=told, **options)

    return make


async def test_what_was_handled_is_counted_and_named(checkpoints: Any, cursor_at: New, stored: New) -> None:
    """The checkpoint tells where, what was last, and how many."""
    cursor = await cursor_at(0)
    for number in (1, 2):
        await cursor.handled(last := await stored(number))

    await cursor.save()

    data = await checkpoints.get_checkpoint_data("recorder")
    assert (data.global_position, data.last_event_id, data.events_processed) == (2, last.event_id, 2)


async def test_it_is_saved_after_so_many_events(checkpoints: Any, cursor_at: New, stored: New) -> None:
    """Those that were saved are not counted again."""
    cursor = await cursor_at(0, every=2)

    for number in range(1, 6):
        await cursor.handled(await stored(number))

    assert checkpoints.saves[1:] == [2, 4]
    assert (cursor.position, cursor.saved) == (5, 4)


async def test_it_is_due_after_so_many_seconds(checkpoints: Any, cursor_at: New) -> None:
    """From the first move that is not saved."""
    cursor = await cursor_at(0, interval=0)

    cursor.skip_to(3)
    before = cursor.seconds_until_due
    await cursor.save_if_due()

    assert (before, checkpoints.saves[1:], cursor.seconds_until_due) == (0.0, [3], None)


async def test_nothing_is_due_where_nothing_has_moved(cursor_at: New) -> None:
    """However much time has passed."""
    assert (await cursor_at(7, interval=0)).seconds_until_due is None


async def test_moves_do_not_put_it_off(cursor_at: New) -> None:
    """Or it would never be saved while the log grows."""
    cursor = await cursor_at(0)
    cursor.skip_to(1)
    first = cursor._moved_at

    cursor.skip_to(2)

    assert cursor._moved_at == first


@pytest.mark.parametrize("position", [0, 4, 5])
async def test_skipping_never_leads_back(cursor_at: New, position: int) -> None:
    """A page may end before its last event."""
    cursor = await cursor_at(5)

    cursor.skip_to(position)

    assert cursor.position == 5


async def test_what_is_saved_is_not_saved_again(checkpoints: Any, cursor_at: New) -> None:
    """Without a move there is nothing to write."""
    cursor = await cursor_at(0)
    cursor.skip_to(1)
    await cursor.save()

    await cursor.save()

    assert checkpoints.saves[1:] == [1]


async def test_what_somebody_else_has_saved_is_taken_over(checkpoints: Any, cursor_at: New) -> None:
    """As a projection does that commits its checkpoint with what it writes."""
    told: list[int] = []
    cursor = await cursor_at(0, on_move=told.append)

    cursor.committed(4)
    await cursor.save()

    assert (cursor.position, cursor.saved, checkpoints.saves[1:], told) == (4, 4, [], [4])


async def test_each_move_is_told_and_each_save(cursor_at: New, stored: New) -> None:
    """To those who wait for a position, or for the checkpoint."""
    told: list[int] = []
    cursor = await cursor_at(0, on_move=told.append)

    await cursor.handled(await stored(1))
    cursor.skip_to(5)
    await cursor.save()

    assert told == [1, 5, 5]


async def test_a_save_that_fails_can_be_tried_again(checkpoints: Any, cursor_at: New, stored: New) -> None:
    """It still knows what to save."""
    cursor = await cursor_at(0)
    await cursor.handled(await stored(1))
    checkpoints.error = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        await cursor.save()
    checkpoints.error = None

    await cursor.save()

    data = await checkpoints.get_checkpoint_data("recorder")
    assert (data.global_position, data.events_processed) == (1, 1)


class TestConflicts:
    async def test_one_without_the_lease_saves_nothing(self, checkpoints: Any, cursor_at: New) -> None:
        """Somebody else has come further, or will."""
        cursor = await cursor_at(0)
        cursor.skip_to(1)
        await checkpoints.release_lease("recorder", "me")
        await checkpoints.acquire_lease("recorder", "somebody", 3600.0)

        with pytest.raises(CheckpointConflictError, match="may be moved by 'somebody'"):
            await cursor.save()

        assert (cursor.saved, await checkpoints.get_position("recorder")) == (0, 0)

    async def test_one_that_was_overtaken_saves_nothing(self, checkpoints: Any, cursor_at: New) -> None:
        """Though it has the lease."""
        cursor = await cursor_at(0)
        cursor.skip_to(5)
        await checkpoints.save_position("recorder", 3, None, None)

        with pytest.raises(CheckpointConflictError, match="is at 3, expected 0"):
            await cursor.save()

        assert await checkpoints.get_position("recorder") == 3


class TestReplay:
    @pytest.mark.parametrize(("position", "replay_until"), [(0, 3), (2, 3), (3, None), (4, None)])
    async def test_it_lasts_until_the_position_is_reached(
        self, cursor_at: New, position: int, replay_until: int | None
    ) -> None:
        """What comes after that is new."""
        cursor = await cursor_at(0, replay_until=3)

        cursor.skip_to(position)

        assert cursor.replay_until == replay_until

    async def test_there_may_be_none(self, cursor_at: New) -> None:
        """Everything is new."""
        assert (await cursor_at(0)).replay_until is None
