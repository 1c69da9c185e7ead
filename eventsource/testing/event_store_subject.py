# ruff: noqa: S101 - contracts assert, as tests do
"""The store that a contract is about."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from eventsource.events.base import DomainEvent
from eventsource.stores.interface import EventStore
from eventsource.stores.values import StoredEvent, format_stream_id
from eventsource.testing.events import DOOR


@pytest.mark.asyncio
class EventStoreSubject:
    """The fixtures of the contracts of event stores; they run in both modes of pytest-asyncio."""

    @pytest.fixture
    def store(self) -> EventStore:
        """Return an open store without events; a backend's test class says which."""
        raise NotImplementedError("override the fixture 'store' with one that yields an open, empty event store")

    @pytest.fixture
    def door(self) -> UUID:
        """Return the id of an aggregate to which nothing has happened."""
        return uuid4()


async def stored_of(events: AsyncIterator[StoredEvent]) -> list[StoredEvent]:
    """Return all that an iterator of a store has to give."""
    return [stored async for stored in events]


async def ids_of(events: AsyncIterator[StoredEvent]) -> list[UUID]:
    """Return the ids of all events that an iterator of a store has to give."""
    return [stored.event_id async for stored in events]


def ids(events: list[DomainEvent]) -> list[UUID]:
    """Return the ids of *events*."""
    return [event.event_id for event in events]


def stream_of(aggregate_id: UUID) -> str:
    """Return the id of the stream of a door."""
    return format_stream_id(aggregate_id, DOOR)


async def assert_empty(store: EventStore, aggregate_id: UUID) -> None:
    """Check that nothing was ever written to a door's stream."""
    assert await store.get_stream_version(aggregate_id, DOOR) == 0
    assert (await store.get_events(aggregate_id)).events == []
