"""Events in a list."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from eventsource.stores.in_memory import InMemoryEventStore
from eventsource.testing import EventStoreContract
from eventsource.testing.events import DOOR, NEPAL, NOON, opened, opened_at


class TestContract(EventStoreContract):
    @pytest.fixture
    async def store(self) -> InMemoryEventStore:
        return InMemoryEventStore()


async def test_the_very_events_are_read(door: UUID) -> None:
    """An event that carries its version already is not copied."""
    store = InMemoryEventStore()
    (event,) = opened(door, 1)

    await store.append_events(door, DOOR, [event], 0)

    assert (await store.get_events(door, DOOR)).events[0] is event


async def test_clear_forgets_everything(door: UUID) -> None:
    """Afterwards the same events may be appended as if for the first time."""
    store = InMemoryEventStore()
    events = opened(door, 2)
    await store.append_events(door, DOOR, events, 0)

    await store.clear()

    assert await store.get_events_by_type(DOOR) == []
    assert await store.get_global_position() == 0
    assert not (await store.append_events(door, DOOR, events, 0)).repeated


async def test_all_events_come_as_they_occurred(door: UUID) -> None:
    """They are compared as instants, naive times as UTC."""
    store = InMemoryEventStore()
    minute = timedelta(minutes=1)
    late, middle, early = opened_at(door, (NOON + minute).astimezone(NEPAL), NOON.replace(tzinfo=None), NOON - minute)
    await store.append_events(door, DOOR, [late, middle, early], 0)

    assert [event.event_id for event in await store.get_all_events()] == [
        event.event_id for event in (early, middle, late)
    ]


async def test_events_and_aggregates_are_counted(door: UUID) -> None:
    """An aggregate counts once, however many events and types it has."""
    store = InMemoryEventStore()
    other = uuid4()
    await store.append_events(door, DOOR, opened(door, 2), 0)
    await store.append_events(door, "Gate", opened(door, 1, aggregate_type="Gate"), 0)
    await store.append_events(other, DOOR, opened(other, 1), 0)

    assert await store.get_event_count() == 4
    assert await store.get_aggregate_ids() == {door, other}


def test_it_names_itself() -> None:
    """What an instrumentation reads is public data."""
    assert (InMemoryEventStore.system, InMemoryEventStore().namespace) == ("memory", None)
    assert InMemoryEventStore().enable_tracing is True
    assert InMemoryEventStore(enable_tracing=False).enable_tracing is False
