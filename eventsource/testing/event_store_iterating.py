# ruff: noqa: S101 - contracts assert, as tests do
"""What iterating over a stream, or over the whole log, promises."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from eventsource.stores.interface import EventStore
from eventsource.stores.values import ReadDirection, ReadOptions
from eventsource.testing.event_store_subject import EventStoreSubject, ids_of, stored_of, stream_of
from eventsource.testing.events import DOOR, NEPAL, NOON, Opened, opened, opened_at

FORWARD, BACKWARD = ReadDirection.FORWARD, ReadDirection.BACKWARD
MINUTE = timedelta(minutes=1)
SELECTIONS = [
    (ReadOptions(), [1, 2, 3, 4, 5]),
    (ReadOptions(from_position=-1), [1, 2, 3, 4, 5]),
    (ReadOptions(from_position=2), [3, 4, 5]),
    (ReadOptions(from_position=5), []),
    (ReadOptions(from_position=99), []),
    (ReadOptions(limit=0), []),
    (ReadOptions(limit=2), [1, 2]),
    (ReadOptions(limit=4), [1, 2, 3, 4]),
    (ReadOptions(limit=99), [1, 2, 3, 4, 5]),
    (ReadOptions(from_position=1, limit=3), [2, 3, 4]),
    (ReadOptions(to_position=0), []),
    (ReadOptions(to_position=3), [1, 2, 3]),
    (ReadOptions(to_position=99), [1, 2, 3, 4, 5]),
    (ReadOptions(to_position=4, limit=3), [1, 2, 3]),
    (ReadOptions(from_position=1, to_position=4), [2, 3, 4]),
    (ReadOptions(from_position=3, to_position=3), []),
    (ReadOptions(from_position=4, to_position=2), []),
    (ReadOptions(BACKWARD), [5, 4, 3, 2, 1]),
    (ReadOptions(BACKWARD, limit=3), [5, 4, 3]),
    (ReadOptions(BACKWARD, from_position=2), [5, 4, 3]),
    (ReadOptions(BACKWARD, from_position=2, limit=1), [5]),
    (ReadOptions(BACKWARD, from_position=-1, limit=0), []),
    (ReadOptions(BACKWARD, to_position=3), [3, 2, 1]),
    (ReadOptions(BACKWARD, from_position=1, to_position=4, limit=2), [4, 3]),
]
PAGE_SIZES = [1, 2, 4, 5, 500]


class IteratingContract(EventStoreSubject):
    """Iterating: pages, directions, limits and filters, over one stream, several, or all."""

    @pytest.mark.parametrize("page_size", PAGE_SIZES)
    @pytest.mark.parametrize(("options", "expected"), SELECTIONS, ids=str)
    async def test_a_stream_is_read_as_the_options_say(
        self, store: EventStore, door: UUID, options: ReadOptions, expected: list[int], page_size: int
    ) -> None:
        """Positions are the stream's versions, and pages are not to be seen."""
        store.page_size = page_size
        other = uuid4()
        await store.append_events(other, DOOR, opened(other, 3), 0)
        await store.append_events(door, DOOR, opened(door, 5), 0)

        stored = await stored_of(store.read_stream(stream_of(door), options))

        assert [each.stream_position for each in stored] == expected

    @pytest.mark.parametrize("page_size", PAGE_SIZES)
    @pytest.mark.parametrize(("options", "expected"), SELECTIONS, ids=str)
    async def test_the_log_is_read_as_the_options_say(
        self, store: EventStore, door: UUID, options: ReadOptions, expected: list[int], page_size: int
    ) -> None:
        """Positions are those of the whole store, and pages are not to be seen."""
        store.page_size = page_size
        other = uuid4()
        await store.append_events(door, DOOR, opened(door, 2), 0)
        await store.append_events(other, DOOR, opened(other, 2), 0)
        await store.append_events(door, DOOR, opened(door, 1), 2)

        stored = await stored_of(store.read_all(options))

        assert [each.global_position for each in stored] == expected

    async def test_the_log_is_in_the_order_of_the_appends(self, store: EventStore, door: UUID) -> None:
        """Whenever the events occurred, positions grow with each append."""
        (late,), (early,) = opened_at(door, NOON), opened_at(uuid4(), NOON - MINUTE)
        await store.append_events(door, DOOR, [late], 0)
        await store.append_events(early.aggregate_id, DOOR, [early], 0)

        assert await ids_of(store.read_all()) == [late.event_id, early.event_id]

    async def test_an_empty_store_has_nothing_to_read(self, store: EventStore, door: UUID) -> None:
        """Its position is 0 and its pages are empty."""
        assert await store.get_global_position() == 0
        assert await ids_of(store.read_all()) == []
        assert await ids_of(store.read_all(ReadOptions(BACKWARD))) == []
        assert await ids_of(store.read_stream(stream_of(door))) == []

    async def test_the_global_position_is_that_of_the_newest_event(self, store: EventStore, door: UUID) -> None:
        """A reader that has come so far has read everything."""
        result = await store.append_events(door, DOOR, opened(door, 3), 0)

        assert await store.get_global_position() == result.global_position
        assert await ids_of(store.read_all(ReadOptions(from_position=result.global_position))) == []

    @pytest.mark.parametrize("direction", ReadDirection)
    async def test_filters_come_before_the_limit(self, store: EventStore, door: UUID, direction: ReadDirection) -> None:
        """A limit counts the events that are wanted, from the end that is wanted."""
        store.page_size = 2
        tenant = uuid4()
        events = [Opened(aggregate_id=door, tenant_id=tenant if number % 2 else None) for number in range(9)]
        await store.append_events(door, DOOR, events, 0)
        wanted = events[1::2] if direction is FORWARD else events[-2::-2]

        found = await ids_of(store.read_all(ReadOptions(direction, tenant_id=tenant, limit=3)))

        assert found == [event.event_id for event in wanted[:3]]

    async def test_a_tenants_events_are_found_in_a_stream(self, store: EventStore, door: UUID) -> None:
        """The filter is the same for one stream as for all."""
        tenant = uuid4()
        mine, theirs, nobodys = (Opened(aggregate_id=door, tenant_id=each) for each in (tenant, uuid4(), None))
        await store.append_events(door, DOOR, [mine, theirs, nobodys], 0)

        assert await ids_of(store.read_stream(stream_of(door), ReadOptions(tenant_id=tenant))) == [mine.event_id]

    @pytest.mark.parametrize("noon", [NOON, NOON.astimezone(NEPAL), NOON.replace(tzinfo=None)], ids=str)
    async def test_time_filters_are_inclusive_instants(self, store: EventStore, door: UUID, noon: object) -> None:
        """The very moment is in at both ends, whatever time zone names it."""
        before, at, after = opened_at(door, (NOON - MINUTE).astimezone(NEPAL), NOON, NOON + MINUTE)
        await store.append_events(door, DOOR, [before, at, after], 0)
        since, until = (ReadOptions(**{name: noon}) for name in ("from_timestamp", "to_timestamp"))  # type: ignore[arg-type]

        assert await ids_of(store.read_all(since)) == [at.event_id, after.event_id]
        assert await ids_of(store.read_all(until)) == [before.event_id, at.event_id]
        assert await ids_of(store.read_stream(stream_of(door), since)) == [at.event_id, after.event_id]

    @pytest.mark.parametrize("page_size", PAGE_SIZES)
    async def test_a_bare_id_names_all_its_streams(self, store: EventStore, door: UUID, page_size: int) -> None:
        """They are read in the order of the log, in both directions, each event with its own stream's id."""
        store.page_size = page_size
        gates = opened(door, 2, aggregate_type="Gate")
        first, second = opened(door, 2)
        await store.append_events(door, DOOR, [first], 0)
        await store.append_events(door, "Gate", gates, 0)
        await store.append_events(door, DOOR, [second], 1)

        stored = await stored_of(store.read_stream(str(door)))
        backward = await stored_of(store.read_stream(str(door), ReadOptions(BACKWARD)))

        assert [each.event_id for each in stored] == [each.event_id for each in (first, *gates, second)]
        assert [each.stream_id for each in stored] == [f"{door}:{each}" for each in (DOOR, "Gate", "Gate", DOOR)]
        assert backward == stored[::-1]

    @pytest.mark.parametrize("direction", ReadDirection)
    async def test_positions_of_a_bare_id_are_versions(
        self, store: EventStore, door: UUID, direction: ReadDirection
    ) -> None:
        """Each of its streams is read from the one version to the other."""
        store.page_size = 1
        await store.append_events(door, DOOR, opened(door, 4), 0)
        await store.append_events(door, "Gate", opened(door, 3, aggregate_type="Gate"), 0)
        await store.append_events(door, DOOR, opened(door, 1), 4)
        expected = [(DOOR, 2), (DOOR, 3), ("Gate", 2), ("Gate", 3)]

        stored = await stored_of(store.read_stream(str(door), ReadOptions(direction, 1, to_position=3)))

        found = [(each.aggregate_type, each.stream_position) for each in stored]
        assert found == (expected if direction is FORWARD else expected[::-1])

    async def test_a_type_may_contain_colons(self, store: EventStore, door: UUID) -> None:
        """Only the first colon of a stream id ends the aggregate's id."""
        kind = "house:front:Door"
        event = Opened(aggregate_id=door, aggregate_type=kind)
        await store.append_events(door, kind, [event], 0)

        (stored,) = await stored_of(store.read_stream(f"{door}:{kind}"))

        assert (stored.stream_id, stored.event_id) == (f"{door}:{kind}", event.event_id)
        assert await ids_of(store.read_stream(f"{door}:Door")) == []

    @pytest.mark.parametrize("stream_id", ["", "Door", ":Door", "Door:6f1c9a52-7a0e-4b57-9a52-0a4c7c0f4b11"])
    async def test_an_id_of_no_stream_is_refused(self, store: EventStore, stream_id: str) -> None:
        """A stream id begins with a UUID; iterating says so before it begins."""
        with pytest.raises(ValueError, match="stream id"):
            store.read_stream(stream_id)
        with pytest.raises(ValueError, match="stream id"):
            await store.read_page(stream_id)

    async def test_a_page_has_no_more_than_the_page_size(self, store: EventStore, door: UUID) -> None:
        """The next one begins after the last event of the one before; behind the end it is empty."""
        store.page_size = 2
        await store.append_events(door, DOOR, opened(door, 3), 0)

        first = await store.read_page()
        second = await store.read_page(after=first[-1])
        third = await store.read_page(after=second[-1])

        assert [[each.global_position for each in page] for page in (first, second, third)] == [[1, 2], [3], []]

    async def test_a_page_of_a_stream_goes_on_backward(self, store: EventStore, door: UUID) -> None:
        """The options hold for each page anew."""
        store.page_size = 2
        options = ReadOptions(BACKWARD, from_position=1)
        await store.append_events(door, DOOR, opened(door, 5), 0)

        first = await store.read_page(stream_of(door), options)
        second = await store.read_page(stream_of(door), options, after=first[-1])

        assert [[each.stream_position for each in page] for page in (first, second)] == [[5, 4], [3, 2]]

    async def test_the_last_page_ends_at_the_position_asked_for(self, store: EventStore, door: UUID) -> None:
        """What stands behind it is on no page, though it would fill one."""
        store.page_size = 2
        options = ReadOptions(to_position=3)
        await store.append_events(door, DOOR, opened(door, 5), 0)

        first = await store.read_page(options=options)
        second = await store.read_page(options=options, after=first[-1])
        third = await store.read_page(options=options, after=second[-1])

        assert [[each.global_position for each in page] for page in (first, second, third)] == [[1, 2], [3], []]

    async def test_a_page_has_no_more_than_the_limit(self, store: EventStore, door: UUID) -> None:
        """Who wants fewer events than a page holds gets fewer."""
        await store.append_events(door, DOOR, opened(door, 3), 0)

        assert len(await store.read_page(options=ReadOptions(limit=1))) == 1
        assert len(await store.read_page(options=ReadOptions(limit=0))) == 0

    async def test_a_reader_may_stop_and_the_store_goes_on(self, store: EventStore, door: UUID) -> None:
        """An iterator left in the middle holds nothing: what it reads from may be written to meanwhile."""
        store.page_size = 1
        await store.append_events(door, DOOR, opened(door, 2), 0)
        reading = store.read_all()
        first = await anext(reading)

        await store.append_events(door, DOOR, opened(door, 1), 2)

        assert [first.global_position, *[each.global_position async for each in reading]] == [1, 2, 3]
