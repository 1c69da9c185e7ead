# ruff: noqa: S101 - contracts assert, as tests do
"""What appending events that are known already amounts to."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from eventsource.exceptions import DuplicateEventError
from eventsource.stores.interface import EventStore
from eventsource.stores.values import AppendResult, ExpectedVersion
from eventsource.testing.event_store_subject import EventStoreSubject, assert_empty, ids
from eventsource.testing.events import DOOR, NOON, Opened, opened

EXPECTATIONS = [0, 1, 2, 3, 4, 99, ExpectedVersion.ANY, ExpectedVersion.STREAM_EXISTS]


class RepeatingContract(EventStoreSubject):
    """Appending again: what repeats the stream succeeds, all else is refused."""

    @pytest.mark.parametrize("expected", EXPECTATIONS)
    async def test_a_repeated_append_succeeds(self, store: EventStore, door: UUID, expected: int) -> None:
        """Whatever is expected, the answer is that of the first time and nothing is written twice."""
        events = opened(door, 3)
        first = await store.append_events(door, DOOR, events, 0)

        again = await store.append_events(door, DOOR, events, expected)

        assert again == first
        assert again.repeated
        assert ids((await store.get_events(door, DOOR)).events) == ids(list(events))
        assert await store.get_global_position() == first.global_position

    @pytest.mark.parametrize("expected", EXPECTATIONS)
    async def test_a_late_repeat_succeeds(self, store: EventStore, door: UUID, expected: int) -> None:
        """What stands in the middle of the stream by now may be repeated, and is told where it stands."""
        before, repeated, after = opened(door, 1), opened(door, 2), opened(door, 1)
        await store.append_events(door, DOOR, before, 0)
        first = await store.append_events(door, DOOR, repeated, 1)
        await store.append_events(door, DOOR, after, 3)

        again = await store.append_events(door, DOOR, repeated, expected)

        assert again == first == AppendResult(success=True, new_version=3, global_position=3)
        assert await store.get_stream_version(door, DOOR) == 4

    async def test_a_part_of_an_append_may_be_repeated(self, store: EventStore, door: UUID) -> None:
        """Events that follow one another in the stream repeat it, however they were appended."""
        events = opened(door, 4)
        await store.append_events(door, DOOR, events[:2], 0)
        await store.append_events(door, DOOR, events[2:], 2)

        again = await store.append_events(door, DOOR, events[1:3], 0)

        assert again == AppendResult(success=True, new_version=3, global_position=3)
        assert again.repeated

    async def test_a_repeat_may_carry_other_versions(self, store: EventStore, door: UUID) -> None:
        """The store counts the versions, so what an event says of its own does not make it another one."""
        events = opened(door, 2)
        first = await store.append_events(door, DOOR, events, 0)

        again = await store.append_events(door, DOOR, [event.with_aggregate_version(7) for event in events], 0)

        assert again == first
        assert again.repeated

    @pytest.mark.parametrize(
        "change", [{"number": 9}, {"metadata": {"by": "me"}}, {"occurred_at": NOON}, {"actor_id": "me"}], ids=str
    )
    async def test_an_event_is_known_by_its_id(self, store: EventStore, door: UUID, change: dict[str, Any]) -> None:
        """Whatever else it says, it is a repeat; what is stored stays as it was."""
        first, second = opened(door, 2)
        await store.append_events(door, DOOR, [first, second], 0)

        again = await store.append_events(door, DOOR, [first, second.model_copy(update=change)], 0)

        assert again.repeated
        assert (await store.get_events(door, DOOR)).events == [first, second.with_aggregate_version(2)]

    @pytest.mark.parametrize("expected", [0, 2, 3, ExpectedVersion.ANY])
    async def test_events_known_in_part_are_refused(self, store: EventStore, door: UUID, expected: int) -> None:
        """New events behind known ones are not written, whatever is expected."""
        *known, new = opened(door, 3)
        await store.append_events(door, DOOR, known, 0)

        with pytest.raises(DuplicateEventError):
            await store.append_events(door, DOOR, [*known, new], expected)

        assert not await store.event_exists(new.event_id)
        assert await store.get_stream_version(door, DOOR) == 2

    async def test_a_known_event_behind_a_new_one_is_refused(self, store: EventStore, door: UUID) -> None:
        """A new event in front of a known one is not written."""
        known, new = opened(door, 2)
        await store.append_events(door, DOOR, [known], 0)

        with pytest.raises(DuplicateEventError):
            await store.append_events(door, DOOR, [new, known], 1)

        assert not await store.event_exists(new.event_id)
        assert await store.get_stream_version(door, DOOR) == 1

    @pytest.mark.parametrize("chosen", [(1, 0), (0, 2), (2, 1, 0)])
    async def test_events_in_another_order_are_refused(
        self, store: EventStore, door: UUID, chosen: tuple[int, ...]
    ) -> None:
        """Known events that do not follow one another as in the stream are no repeat."""
        events = opened(door, 3)
        await store.append_events(door, DOOR, events, 0)

        with pytest.raises(DuplicateEventError):
            await store.append_events(door, DOOR, [events[index] for index in chosen], 3)

        assert ids((await store.get_events(door, DOOR)).events) == ids(list(events))

    @pytest.mark.parametrize("expected", [0, ExpectedVersion.ANY])
    async def test_an_event_known_elsewhere_is_refused(self, store: EventStore, door: UUID, expected: int) -> None:
        """An event id belongs to one stream; nothing of the other append is written."""
        known = Opened(aggregate_id=uuid4())
        await store.append_events(known.aggregate_id, DOOR, [known], 0)
        copied = Opened(aggregate_id=door, event_id=known.event_id)

        with pytest.raises(DuplicateEventError) as refused:
            await store.append_events(door, DOOR, [copied, *opened(door, 1)], expected)

        assert refused.value.event_id == known.event_id
        await assert_empty(store, door)

    async def test_an_event_known_under_another_type_is_refused(self, store: EventStore, door: UUID) -> None:
        """The streams of one id with two types are two streams here too."""
        gate = Opened(aggregate_id=door, aggregate_type="Gate")
        await store.append_events(door, "Gate", [gate], 0)

        with pytest.raises(DuplicateEventError):
            await store.append_events(door, DOOR, [Opened(aggregate_id=door, event_id=gate.event_id)], 0)

        assert await store.get_stream_version(door, DOOR) == 0

    async def test_an_event_twice_in_one_append_is_refused(self, store: EventStore, door: UUID) -> None:
        """One event happens once."""
        (event,) = opened(door, 1)

        with pytest.raises(DuplicateEventError) as refused:
            await store.append_events(door, DOOR, [event, event], 0)

        assert refused.value.event_id == event.event_id
        await assert_empty(store, door)

    async def test_a_repeat_keeps_the_first_headers(self, store: EventStore, door: UUID) -> None:
        """What is stored is never changed."""
        events = opened(door, 1)
        await store.append_events(door, DOOR, events, 0, headers={"request-id": "r-1"})

        await store.append_events(door, DOOR, events, 0, headers={"request-id": "r-2"})

        (stored,) = await store.read_page()
        assert dict(stored.headers) == {"request-id": "r-1"}
