# ruff: noqa: S101 - contracts assert, as tests do
"""What an event store promises to tasks that use it at once."""

import asyncio
from uuid import UUID, uuid4

from eventsource.exceptions import OptimisticLockError
from eventsource.stores.interface import EventStore
from eventsource.stores.values import AppendResult, ExpectedVersion, ReadOptions
from eventsource.testing.event_store_subject import EventStoreSubject, ids, ids_of, stored_of
from eventsource.testing.events import DOOR, Opened, opened

WRITERS = 64


class ConcurrencyContract(EventStoreSubject):
    """Many tasks at once: what is acknowledged is there, what is refused is not, order is never seen broken."""

    async def test_one_of_several_writers_wins(self, store: EventStore, door: UUID) -> None:
        """Of all who expect the same version one is let in."""
        appends = [opened(door, 2) for _ in range(WRITERS)]

        outcomes = await asyncio.gather(
            *(store.append_events(door, DOOR, events, 0) for events in appends), return_exceptions=True
        )

        winners = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, AppendResult)]
        assert len(winners) == 1
        assert all(isinstance(each, AppendResult | OptimisticLockError) for each in outcomes)
        assert ids((await store.get_events(door, DOOR)).events) == ids(list(appends[winners[0]]))

    async def test_writers_that_expect_nothing_all_get_in(self, store: EventStore, door: UUID) -> None:
        """Each gets versions of its own, without a gap, and its events stay together."""
        appends = [opened(door, 2) for _ in range(WRITERS)]

        outcomes = await asyncio.gather(
            *(store.append_events(door, DOOR, events, ExpectedVersion.ANY) for events in appends)
        )

        stream = ids((await store.get_events(door, DOOR)).events)
        assert sorted(each.new_version for each in outcomes) == list(range(2, 2 * WRITERS + 1, 2))
        for outcome, events in zip(outcomes, appends, strict=True):
            assert stream[outcome.new_version - 2 : outcome.new_version] == ids(list(events))

    async def test_clashes_and_cancellations_harm_nobody_else(self, store: EventStore) -> None:
        """What is acknowledged is there, what is refused is not, and what is cancelled is there whole or not at all."""
        doors = [uuid4() for _ in range(WRITERS // 4)]
        appends = [opened(doors[number % len(doors)], 3) for number in range(WRITERS)]
        tasks = [asyncio.create_task(store.append_events(each[0].aggregate_id, DOOR, each, 0)) for each in appends]
        for number in range(0, WRITERS, 5):
            tasks[number].cancel()
            await asyncio.sleep(0)

        outcomes = await asyncio.gather(*tasks, return_exceptions=True)

        stored = await ids_of(store.read_all())
        for events, outcome in zip(appends, outcomes, strict=True):
            found = [event.event_id in stored for event in events]
            assert isinstance(outcome, AppendResult | OptimisticLockError | asyncio.CancelledError)
            assert all(found) or not any(found)
            assert all(found) or not isinstance(outcome, AppendResult)
            assert not any(found) or not isinstance(outcome, OptimisticLockError)
        assert len(stored) == len(set(stored)) == 3 * len(doors)

    async def test_a_cancelled_append_may_be_tried_again(self, store: EventStore, door: UUID) -> None:
        """Whatever became of it, afterwards its events are stored once."""
        events = opened(door, 3)
        task = asyncio.create_task(store.append_events(door, DOOR, events, 0))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

        result = await store.append_events(door, DOOR, events, 0)

        assert result.new_version == 3
        assert ids((await store.get_events(door, DOOR)).events) == ids(list(events))

    async def test_a_long_append_survives_clashes_beside_it(self, store: EventStore) -> None:
        """A conflict in another task undoes nothing of an append that is acknowledged."""
        long, contested = uuid4(), uuid4()
        events = opened(long, 40)
        clashes = [store.append_events(contested, DOOR, opened(contested, 2), 0) for _ in range(WRITERS)]

        outcome, *_ = await asyncio.gather(store.append_events(long, DOOR, events, 0), *clashes, return_exceptions=True)

        assert isinstance(outcome, AppendResult)
        assert outcome.new_version == 40
        assert ids((await store.get_events(long, DOOR)).events) == ids(list(events))
        assert await store.get_stream_version(contested, DOOR) == 2

    async def test_a_reader_never_sees_a_part_of_an_append(self, store: EventStore, door: UUID) -> None:
        """Whoever reads while others append sees whole appends, in the stream as in its version."""
        appends = [store.append_events(door, DOOR, opened(door, 4), ExpectedVersion.ANY) for _ in range(WRITERS)]
        writing = asyncio.gather(*appends)
        seen = []
        while not writing.done():
            seen.append(await store.get_events(door, DOOR))
            await asyncio.sleep(0)

        await writing

        assert [(len(stream.events) % 4, len(stream.events) - stream.version) for stream in seen] == [(0, 0)] * len(
            seen
        )

    async def test_a_follower_of_the_log_misses_nothing(self, store: EventStore) -> None:
        """Who goes on from the last position it has seen meets every event once, in the order of positions."""
        store.page_size = 7
        doors = [Opened(aggregate_id=uuid4()) for _ in range(WRITERS)]
        writing = asyncio.gather(*(store.append_events(each.aggregate_id, DOOR, [each], 0) for each in doors))
        seen: list[tuple[int, UUID]] = []
        while len(seen) < WRITERS:
            was_done = writing.done()
            options = ReadOptions(from_position=seen[-1][0] if seen else 0)
            page = [(each.global_position, each.event_id) for each in await stored_of(store.read_all(options))]
            seen += page
            assert page or not was_done
            await asyncio.sleep(0)
        await writing

        assert {event_id for _, event_id in seen} == {event.event_id for event in doors}
        assert [position for position, _ in seen] == sorted({position for position, _ in seen})
