# ruff: noqa: S101 - contracts assert, as tests do
"""What reading events of some classes only promises."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from eventsource.events.base import DomainEvent
from eventsource.stores.interface import EventStore
from eventsource.stores.values import ReadDirection, ReadOptions, StoredEvent
from eventsource.testing.event_store_subject import EventStoreSubject, ids_of, stored_of, stream_of
from eventsource.testing.events import DOOR, NOON, Closed, Measured, Opened, OpenedWide

BACKWARD = ReadDirection.BACKWARD
CLASSES: list[type[DomainEvent]] = [Opened, Closed, OpenedWide, Closed, Opened, Closed, Closed, Opened]
SELECTIONS: dict[str, tuple[ReadOptions, list[int]]] = {
    "a class": (ReadOptions(event_types=[Opened]), [1, 5, 8]),
    "a subclass": (ReadOptions(event_types=[OpenedWide]), [3]),
    "two classes": (ReadOptions(event_types=[Opened, OpenedWide]), [1, 3, 5, 8]),
    "all classes": (ReadOptions(event_types=[Opened, Closed, OpenedWide]), [1, 2, 3, 4, 5, 6, 7, 8]),
    "a class without events": (ReadOptions(event_types=[Measured]), []),
    "classes with and without": (ReadOptions(event_types=[Measured, Opened]), [1, 5, 8]),
    "the base of all": (ReadOptions(event_types=[DomainEvent]), []),
    "no classes": (ReadOptions(event_types=[]), []),
    "no classes and a limit": (ReadOptions(event_types=[], limit=1), []),
    "a limit": (ReadOptions(event_types=[Closed], limit=3), [2, 4, 6]),
    "a limit of nothing": (ReadOptions(event_types=[Closed], limit=0), []),
    "two positions": (ReadOptions(event_types=[Closed], from_position=2, to_position=6), [4, 6]),
    "backward": (ReadOptions(BACKWARD, event_types=[Opened]), [8, 5, 1]),
    "backward no classes": (ReadOptions(BACKWARD, event_types=[]), []),
    "backward a limit": (ReadOptions(BACKWARD, event_types=[Closed], to_position=6, limit=2), [6, 4]),
}
PAGE_SIZES = [1, 3, 500]


class SelectingContract(EventStoreSubject):
    """Reading the events of some classes: exactly those, as if there were no others."""

    @pytest.mark.parametrize("page_size", PAGE_SIZES)
    @pytest.mark.parametrize(("options", "expected"), SELECTIONS.values(), ids=SELECTIONS)
    async def test_of_a_stream_the_classes_asked_for_are_read(
        self, store: EventStore, door: UUID, options: ReadOptions, expected: list[int], page_size: int
    ) -> None:
        """A subclass is another class, and pages are not to be seen."""
        store.page_size = page_size
        await append(store, uuid4(), [Opened, Closed, OpenedWide])
        await append(store, door, CLASSES)

        stored = await stored_of(store.read_stream(stream_of(door), options))

        assert [each.stream_position for each in stored] == expected
        assert [type(each.event) for each in stored] == [CLASSES[position - 1] for position in expected]

    @pytest.mark.parametrize("page_size", PAGE_SIZES)
    @pytest.mark.parametrize(("options", "expected"), SELECTIONS.values(), ids=SELECTIONS)
    async def test_of_the_log_the_classes_asked_for_are_read(
        self, store: EventStore, door: UUID, options: ReadOptions, expected: list[int], page_size: int
    ) -> None:
        """Whatever streams the events stand in."""
        store.page_size = page_size
        other = uuid4()
        for number, event_class in enumerate(CLASSES):
            await append(store, other if number % 3 else door, [event_class])

        stored = await stored_of(store.read_all(options))

        assert [each.global_position for each in stored] == expected
        assert [type(each.event) for each in stored] == [CLASSES[position - 1] for position in expected]

    @pytest.mark.parametrize("of_all", [True, False], ids=["the log", "a stream"])
    @pytest.mark.parametrize(
        ("direction", "expected"), [(ReadDirection.FORWARD, [[1, 5], [8], []]), (BACKWARD, [[8, 5], [1], []])], ids=str
    )
    async def test_a_page_is_filled_with_what_was_asked_for(
        self, store: EventStore, door: UUID, direction: ReadDirection, expected: list[list[int]], of_all: bool
    ) -> None:
        """Events that are left out do not make it shorter; the next one goes on behind its last event."""
        store.page_size = 2
        stream_id = None if of_all else stream_of(door)
        options = ReadOptions(direction, event_types=[Opened])
        await append(store, door, CLASSES)

        first = await store.read_page(stream_id, options)
        second = await store.read_page(stream_id, options, after=first[-1])
        third = await store.read_page(stream_id, options, after=second[-1])

        assert [positions(page) for page in (first, second, third)] == expected

    async def test_a_page_may_follow_an_event_that_is_left_out(self, store: EventStore, door: UUID) -> None:
        """It goes on behind that event, whatever its class."""
        await append(store, door, CLASSES)
        after = (await store.read_page())[3]

        forward = await store.read_page(options=ReadOptions(event_types=[Opened]), after=after)
        backward = await store.read_page(options=ReadOptions(BACKWARD, event_types=[Opened]), after=after)

        assert (type(after.event), positions(forward), positions(backward)) == (Closed, [5, 8], [1])

    async def test_a_page_without_classes_is_empty(self, store: EventStore, door: UUID) -> None:
        """No classes are not all classes."""
        await append(store, door, CLASSES)

        assert list(await store.read_page(options=ReadOptions(event_types=[]))) == []
        assert list(await store.read_page(stream_of(door), ReadOptions(event_types=()))) == []

    async def test_all_filters_hold_at_once(self, store: EventStore, door: UUID) -> None:
        """One wrong thing about an event is enough to leave it out."""
        tenant = uuid4()
        minute = timedelta(minutes=1)
        early, wanted, theirs, late = (
            Opened(aggregate_id=door, tenant_id=each, occurred_at=at)
            for each, at in ((tenant, NOON - minute), (tenant, NOON), (uuid4(), NOON), (tenant, NOON + minute))
        )
        other = Closed(aggregate_id=door, tenant_id=tenant, occurred_at=NOON)
        await store.append_events(door, DOOR, [early, other, wanted, theirs, late], 0)
        options = ReadOptions(event_types=[Opened], tenant_id=tenant, from_timestamp=NOON, to_timestamp=NOON)

        assert await ids_of(store.read_all(options)) == [wanted.event_id]
        assert await ids_of(store.read_stream(stream_of(door), options)) == [wanted.event_id]

    async def test_classes_are_found_in_all_streams_of_a_bare_id(self, store: EventStore, door: UUID) -> None:
        """In the order of the log, as without classes."""
        store.page_size = 1
        await append(store, door, [Opened, Closed])
        await append(store, door, [Closed, Opened, Closed], "Gate")
        await append(store, door, [Closed, Opened])

        stored = await stored_of(store.read_stream(str(door), ReadOptions(event_types=[Opened])))

        assert positions(stored) == [1, 4, 7]

    async def test_the_class_counts_whatever_type_the_event_carries(self, store: EventStore, door: UUID) -> None:
        """An event says of what type it is, and its class may be known under another name."""
        strange = Opened(aggregate_id=door, event_type="eventsource.testing.Strange")
        await store.append_events(door, DOOR, [strange, Closed(aggregate_id=door)], 0)

        assert await ids_of(store.read_all(ReadOptions(event_types=[Opened]))) == [strange.event_id]


async def append(
    store: EventStore, aggregate_id: UUID, classes: Sequence[type[DomainEvent]], aggregate_type: str = DOOR
) -> None:
    """Append an event of each of *classes* to one stream."""
    events = [each(aggregate_id=aggregate_id, aggregate_type=aggregate_type) for each in classes]
    await store.append_events(aggregate_id, aggregate_type, events, -1)


def positions(stored: Sequence[StoredEvent]) -> list[int]:
    """Return where in the log the events stand."""
    return [each.global_position for each in stored]
