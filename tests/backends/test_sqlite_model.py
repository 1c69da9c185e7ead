"""The SQLite store against the memory store: whatever is done to both, they answer alike."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from eventsource.exceptions import EventSourceError
from eventsource.stores.in_memory import InMemoryEventStore
from eventsource.stores.interface import EventStore
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import ExpectedVersion, ReadDirection, ReadOptions, StoredEvent, format_stream_id
from eventsource.testing.events import NEPAL, NOON, Opened

HOUSE = UUID(int=1)
IDS = [UUID(int=number) for number in (2, 3)]
TYPES = ["Door", "Gate:red"]
TENANTS = [UUID(int=number) for number in (8, 9)]
MOMENTS = [
    zoned
    for minutes in range(3)
    for at in [NOON + timedelta(minutes=minutes)]
    for zoned in (at, at.astimezone(NEPAL), at.replace(tzinfo=None))
]

ids, types, moments = st.sampled_from(IDS), st.sampled_from(TYPES), st.sampled_from(MOMENTS)
maybe_moments = st.none() | moments
versions = st.sampled_from([ExpectedVersion.ANY, ExpectedVersion.STREAM_EXISTS]) | st.integers(0, 8)
options = st.builds(
    ReadOptions,
    direction=st.sampled_from(ReadDirection),
    from_position=st.integers(-1, 12),
    limit=st.none() | st.integers(0, 6),
    from_timestamp=maybe_moments,
    to_timestamp=maybe_moments,
    tenant_id=st.none() | st.sampled_from(TENANTS),
)
new_events = st.lists(st.tuples(moments, st.none() | st.sampled_from(TENANTS), st.integers(1, 9)), max_size=3)
headers = st.none() | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)

Use = Callable[[EventStore], Awaitable[Any]]


class Stores(RuleBasedStateMachine):
    """Both stores, the events that were offered to them, and one event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.offered: list[Opened] = []
        self.model = InMemoryEventStore()
        self.store = SQLiteEventStore(":memory:")

    @initialize(page_size=st.integers(1, 4))
    def begin(self, page_size: int) -> None:
        self.model.page_size = self.store.page_size = page_size
        self.loop.run_until_complete(self.store.initialize())

    def teardown(self) -> None:
        self.loop.run_until_complete(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    @rule(aggregate_id=ids, aggregate_type=types, facts=new_events, expected=versions, headers=headers)
    def append_new_events(
        self,
        aggregate_id: UUID,
        aggregate_type: str,
        facts: list[tuple[datetime, UUID | None, int]],
        expected: int,
        headers: dict[str, str] | None,
    ) -> None:
        events = [self.offer(aggregate_id, aggregate_type, *each) for each in facts]
        self.agree(lambda store: store.append_events(aggregate_id, aggregate_type, events, expected, headers=headers))

    @rule(data=st.data(), aggregate_id=ids, aggregate_type=types)
    def append_at_the_right_version(self, data: st.DataObject, aggregate_id: UUID, aggregate_type: str) -> None:
        version = self.loop.run_until_complete(self.model.get_stream_version(aggregate_id, aggregate_type))
        facts = data.draw(new_events)
        events = [self.offer(aggregate_id, aggregate_type, *each) for each in facts]
        self.agree(lambda store: store.append_events(aggregate_id, aggregate_type, events, version))

    @rule(data=st.data(), aggregate_id=ids, aggregate_type=types, new=st.integers(0, 1), expected=versions)
    def append_known_events(
        self, data: st.DataObject, aggregate_id: UUID, aggregate_type: str, new: int, expected: int
    ) -> None:
        """A repeat, a part of one, another order, another stream's events, new ones among them: all may come."""
        stream = [event for event in self.offered if event.aggregate_id == aggregate_id]
        start, end = data.draw(st.integers(0, len(stream))), data.draw(st.integers(0, len(stream)))
        events = stream[start:end] if start <= end else stream[end:start][::-1]
        for _ in range(new):
            place = data.draw(st.integers(0, len(events)))
            events.insert(place, self.offer(aggregate_id, aggregate_type, NOON, None, 1))
        self.agree(lambda store: store.append_events(aggregate_id, aggregate_type, events, expected))

    @rule(data=st.data(), aggregate_id=ids, aggregate_type=types, new=st.integers(0, 1), expected=versions)
    def repeat_a_part_of_a_stream(
        self, data: st.DataObject, aggregate_id: UUID, aggregate_type: str, new: int, expected: int
    ) -> None:
        stream = self.loop.run_until_complete(self.model.get_events(aggregate_id, aggregate_type)).events
        start = data.draw(st.integers(0, len(stream)))
        events = stream[start : data.draw(st.integers(start, len(stream)))]
        events[:0] = [self.offer(aggregate_id, aggregate_type, NOON, None, 1) for _ in range(new)]
        self.agree(lambda store: store.append_events(aggregate_id, aggregate_type, events, expected))

    @rule(
        aggregate_id=ids,
        aggregate_type=st.none() | types,
        from_version=st.integers(-1, 8),
        from_timestamp=maybe_moments,
        to_timestamp=maybe_moments,
    )
    def get_events(self, **arguments: Any) -> None:
        self.agree(lambda store: store.get_events(**arguments))

    @rule(aggregate_id=ids, aggregate_type=st.none() | types, options=options)
    def read_stream(self, aggregate_id: UUID, aggregate_type: str | None, options: ReadOptions) -> None:
        stream_id = format_stream_id(aggregate_id, aggregate_type) if aggregate_type else str(aggregate_id)
        self.agree(lambda store: told(store.read_stream(stream_id, options)))

    @rule(options=options)
    def read_all(self, options: ReadOptions) -> None:
        self.agree(lambda store: told(store.read_all(options)))

    @rule(aggregate_type=types, tenant_id=st.none() | st.sampled_from(TENANTS), from_timestamp=maybe_moments)
    def get_events_by_type(self, **arguments: Any) -> None:
        self.agree(lambda store: store.get_events_by_type(**arguments))

    @rule(data=st.data())
    def ask_for_an_event(self, data: st.DataObject) -> None:
        known = [event.event_id for event in self.offered]
        event_id = data.draw(st.sampled_from([HOUSE, *known]))
        self.agree(lambda store: store.event_exists(event_id))

    @invariant()
    def they_stand_at_the_same_place(self) -> None:
        if not self.store.is_connected:
            return
        self.agree(lambda store: store.get_global_position())
        for aggregate_id in IDS:
            for aggregate_type in TYPES:
                self.agree(lambda store, i=aggregate_id, t=aggregate_type: store.get_stream_version(i, t))

    def offer(
        self, aggregate_id: UUID, aggregate_type: str, at: datetime, tenant_id: UUID | None, version: int
    ) -> Opened:
        event = Opened(
            event_id=uuid5(HOUSE, str(len(self.offered))),
            aggregate_id=aggregate_id,
            aggregate_type=aggregate_type,
            aggregate_version=version,
            occurred_at=at,
            tenant_id=tenant_id,
        )
        self.offered.append(event)
        return event

    def agree(self, use: Use) -> None:
        expected, actual = (self.loop.run_until_complete(outcome(use, store)) for store in (self.model, self.store))
        assert actual == expected


async def outcome(use: Use, store: EventStore) -> object:
    """Return what *store* answers; of an error its class and its text."""
    try:
        return await use(store)
    except EventSourceError as error:
        return type(error), str(error)


async def told(events: Any) -> list[tuple[object, ...]]:
    """Return all that stored events tell, but for the time when they were stored."""
    return [facts_of(stored) async for stored in events]


def facts_of(stored: StoredEvent) -> tuple[object, ...]:
    position = stored.stream_id, stored.stream_position, stored.global_position
    return (*position, stored.event, dict(stored.headers))


TestSQLiteAgainstMemory = Stores.TestCase
TestSQLiteAgainstMemory.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
