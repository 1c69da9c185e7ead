# ruff: noqa: S101 - contracts assert, as tests do
"""What reading the events of an aggregate, or of a type, promises."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventsource.stores.interface import EventStore
from eventsource.stores.values import EventStream
from eventsource.testing.event_store_subject import EventStoreSubject, ids
from eventsource.testing.events import DOOR, NEPAL, NOON, Opened, opened, opened_at

MINUTE = timedelta(minutes=1)
NAIVE_NOON = NOON.replace(tzinfo=None)
INSTANTS: list[datetime] = [NOON, NOON.astimezone(NEPAL), NAIVE_NOON]


class ReadingContract(EventStoreSubject):
    """Reading one aggregate's events at once, and those of a type."""

    async def test_an_aggregate_without_events_has_an_empty_stream(self, store: EventStore, door: UUID) -> None:
        """Nothing has happened, so the version is 0."""
        assert await store.get_events(door, DOOR) == EventStream.empty(door, DOOR)
        assert await store.get_events(door) == EventStream.empty(door, "Unknown")
        assert await store.get_stream_version(door, DOOR) == 0

    async def test_a_stream_has_the_events_of_its_aggregate_alone(self, store: EventStore, door: UUID) -> None:
        """Other ids and other types have streams of their own."""
        other, gate = Opened(aggregate_id=uuid4()), Opened(aggregate_id=door, aggregate_type="Gate")
        events = opened(door, 2)
        await store.append_events(other.aggregate_id, DOOR, [other], 0)
        await store.append_events(door, "Gate", [gate], 0)
        await store.append_events(door, DOOR, events, 0)

        stream = await store.get_events(door, DOOR)

        assert (stream.aggregate_id, stream.aggregate_type, stream.version) == (door, DOOR, 2)
        assert ids(stream.events) == ids(list(events))

    async def test_without_a_type_all_streams_of_an_id_are_read(self, store: EventStore, door: UUID) -> None:
        """They come in the order in which they were appended, under the type of the newest."""
        first, second = opened(door, 2)
        gate = Opened(aggregate_id=door, aggregate_type="Gate")
        await store.append_events(door, DOOR, [first], 0)
        await store.append_events(door, "Gate", [gate], 0)
        await store.append_events(door, DOOR, [second], 1)

        stream = await store.get_events(door)

        assert ids(stream.events) == ids([first, gate, second])
        assert (stream.aggregate_type, stream.version) == (DOOR, 2)

    @pytest.mark.parametrize(("from_version", "versions"), [(0, [1, 2, 3]), (1, [2, 3]), (3, []), (99, [])])
    async def test_from_version_is_exclusive(
        self, store: EventStore, door: UUID, from_version: int, versions: list[int]
    ) -> None:
        """Who has read up to a version goes on above it; the stream's version is the whole stream's."""
        await store.append_events(door, DOOR, opened(door, 3), 0)

        stream = await store.get_events(door, DOOR, from_version)

        assert [event.aggregate_version for event in stream.events] == versions
        assert stream.version == 3

    @pytest.mark.parametrize("noon", INSTANTS, ids=str)
    async def test_time_filters_are_inclusive(self, store: EventStore, door: UUID, noon: datetime) -> None:
        """An event of the very moment is in, whatever time zone names it; without one UTC is meant."""
        before, at, after = opened_at(door, NOON - MINUTE, NOON, NOON + MINUTE)
        await store.append_events(door, DOOR, [before, at, after], 0)

        since = await store.get_events(door, DOOR, from_timestamp=noon)
        until = await store.get_events(door, DOOR, to_timestamp=noon)
        exactly = await store.get_events(door, DOOR, from_timestamp=noon, to_timestamp=noon)

        assert ids(since.events) == ids([at, after])
        assert ids(until.events) == ids([before, at])
        assert ids(exactly.events) == ids([at])
        assert (since.version, until.version, exactly.version) == (3, 3, 3)

    async def test_times_of_events_are_compared_as_instants(self, store: EventStore, door: UUID) -> None:
        """Neither the offset nor the lack of one in an event decides, nor what their texts look like."""
        west = timezone(timedelta(hours=-11))
        early = opened_at(door, (NOON - MINUTE).astimezone(NEPAL), NAIVE_NOON - MINUTE)
        late = opened_at(door, (NOON + MINUTE).astimezone(west), NAIVE_NOON + MINUTE)
        await store.append_events(door, DOOR, [*early, *late], 0)

        assert ids((await store.get_events(door, DOOR, from_timestamp=NOON)).events) == ids(list(late))
        assert ids((await store.get_events(door, DOOR, to_timestamp=NOON)).events) == ids(list(early))

    async def test_time_filters_see_microseconds(self, store: EventStore, door: UUID) -> None:
        """The next microsecond is another moment."""
        moments = NOON, NOON + timedelta(microseconds=1)
        first, second = opened_at(door, *moments)
        await store.append_events(door, DOOR, [first, second], 0)

        assert ids((await store.get_events(door, DOOR, to_timestamp=moments[0])).events) == ids([first])
        assert ids((await store.get_events(door, DOOR, from_timestamp=moments[1])).events) == ids([second])

    async def test_time_filters_reach_before_1970(self, store: EventStore, door: UUID) -> None:
        """Moments before the epoch have their order too."""
        hastings = datetime(1066, 10, 14, 9, 0, 0, 1, tzinfo=UTC)
        early, late = opened_at(door, hastings, hastings + MINUTE)
        await store.append_events(door, DOOR, [early, late], 0)

        assert ids((await store.get_events(door, DOOR, to_timestamp=hastings)).events) == ids([early])

    async def test_filters_that_hide_everything_leave_the_version(self, store: EventStore, door: UUID) -> None:
        """However few events are asked for, the version is that of the stream."""
        await store.append_events(door, DOOR, opened_at(door, NOON, NOON), 0)

        stream = await store.get_events(door, DOOR, from_timestamp=NOON + MINUTE)
        untyped = await store.get_events(door, to_timestamp=NOON - MINUTE)

        assert (stream.events, stream.version) == ([], 2)
        assert (untyped.events, untyped.version, untyped.aggregate_type) == ([], 2, DOOR)

    async def test_events_by_type_come_as_they_occurred(self, store: EventStore, door: UUID) -> None:
        """Not in the order of their versions, nor of their texts; those of one moment as they were appended."""
        other = uuid4()
        late, early = opened_at(door, (NOON + MINUTE).astimezone(NEPAL), NOON - MINUTE)
        (middle,) = opened_at(other, NAIVE_NOON)
        (same,) = opened_at(other, NOON.astimezone(NEPAL))
        await store.append_events(door, DOOR, [late, early], 0)
        await store.append_events(other, DOOR, [middle, same], 0)

        events = await store.get_events_by_type(DOOR)

        assert ids(events) == ids([early, middle, same, late])

    async def test_events_by_type_are_of_that_type_alone(self, store: EventStore, door: UUID) -> None:
        """Types are compared whole and exactly."""
        gate = Opened(aggregate_id=door, aggregate_type="Gate")
        small = Opened(aggregate_id=door, aggregate_type="gate")
        await store.append_events(door, "Gate", [gate], 0)
        await store.append_events(door, "gate", [small], 0)

        assert ids(await store.get_events_by_type("Gate")) == ids([gate])
        assert await store.get_events_by_type("Ga") == []

    @pytest.mark.parametrize("noon", INSTANTS, ids=str)
    async def test_events_by_type_begin_after_a_moment(self, store: EventStore, door: UUID, noon: datetime) -> None:
        """Here the moment itself is out."""
        _, _, after = events = opened_at(door, NOON - MINUTE, NOON, NOON + timedelta(microseconds=1))
        await store.append_events(door, DOOR, events, 0)

        assert ids(await store.get_events_by_type(DOOR, from_timestamp=noon)) == ids([after])

    async def test_events_by_type_may_be_one_tenants(self, store: EventStore, door: UUID) -> None:
        """Events of other tenants, and of none, are left out."""
        tenant = uuid4()
        mine, theirs, nobodys = (Opened(aggregate_id=door, tenant_id=each) for each in (tenant, uuid4(), None))
        await store.append_events(door, DOOR, [mine, theirs, nobodys], 0)

        assert ids(await store.get_events_by_type(DOOR, tenant)) == ids([mine])

    async def test_events_by_type_are_read_across_pages(self, store: EventStore, door: UUID) -> None:
        """How many events a store fetches at a time is not to be seen."""
        store.page_size = 2
        events = opened_at(door, *(NOON + number * MINUTE for number in range(5)))
        await store.append_events(door, DOOR, events, 0)

        assert ids(await store.get_events_by_type(DOOR)) == ids(list(events))

    async def test_a_moment_that_is_a_number_is_refused(self, store: EventStore) -> None:
        """Seconds since some epoch are no datetime."""
        seconds: Any = 1714564800.0

        with pytest.raises(TypeError, match="from_timestamp"):
            await store.get_events_by_type(DOOR, from_timestamp=seconds)
