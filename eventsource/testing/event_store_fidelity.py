# ruff: noqa: S101 - contracts assert, as tests do
"""What is read from an event store equals what was written."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventsource.events.base import DomainEvent
from eventsource.stores.interface import EventStore
from eventsource.testing.event_store_subject import EventStoreSubject, stored_of, stream_of
from eventsource.testing.events import DOOR, NEPAL, NOON, Closed, Hinge, Material, Measured, Opened, OpenedWide

HINGE = Hinge(weight=Decimal("1.50"), fitted_at=NOON.astimezone(NEPAL))
NAIVE = NOON.replace(tzinfo=None)

FIELDS: dict[str, dict[str, Any]] = {
    "a naive time": {"measured_at": NAIVE},
    "a time in UTC": {"measured_at": NOON},
    "a time with an offset": {"measured_at": NOON.astimezone(NEPAL)},
    "microseconds": {"measured_at": NOON + timedelta(microseconds=1)},
    "the first year": {"measured_at": datetime(1, 1, 1, tzinfo=UTC)},
    "the last moment": {"measured_at": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
    "date and time of day": {"day": date(2024, 2, 29), "hour": time(23, 59, 59, 999999)},
    "a duration": {"duration": timedelta(days=3, hours=4, microseconds=5)},
    "a decimal": {"price": Decimal("12345678901234567890.12345678901234567890")},
    "bytes": {"key": bytes(range(256))},
    "a model": {"hinges": (HINGE, HINGE)},
    "an enum": {"material": Material.STEEL},
    "a UUID": {"inspector_id": uuid4()},
    "text": {"text": "Tür \u0000 \u2028 \U0001f6aa \"quoted\" \\ 'single'\r\n"},
    "the empty text": {"text": ""},
    "text that looks like something else": {"text": "1e400", "looks_like_time": "2024-05-01", "looks_like_uuid": "x"},
    "a float": {"width": 0.1 + 0.2},
    "infinity": {"width": float("inf")},
    "minus infinity": {"width": float("-inf")},
    "a great integer": {"steps": 2**80},
    "containers": {"notes": {"a": [1, None], "": []}, "tags": frozenset({"x", "y"})},
    "metadata": {"metadata": {"": [1, 2.5, None, True, {"nested": ["ü", -(2**60)]}], "id": str(uuid4())}},
    "ids of the envelope": {"tenant_id": uuid4(), "causation_id": uuid4(), "actor_id": "someone@example.org"},
    "an occurrence with an offset": {"occurred_at": NOON.astimezone(NEPAL)},
    "a naive occurrence": {"occurred_at": NAIVE},
    "an occurrence long ago": {"occurred_at": datetime(1066, 10, 14, 9, tzinfo=UTC)},
    "a later schema": {"event_version": 3},
}


class FidelityContract(EventStoreSubject):
    """Reading back: every field is as it was, the version is that of the stream."""

    @pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
    async def test_what_is_read_equals_what_was_written(
        self, store: EventStore, door: UUID, fields: dict[str, Any]
    ) -> None:
        """Each kind of field survives, in a stream, in the log and by type."""
        event = Measured(aggregate_id=door, **fields)

        await store.append_events(door, DOOR, [event], 0)

        (stored,) = await store.read_page()
        assert (await store.get_events(door, DOOR)).events == [event]
        assert stored.event == event
        assert await store.get_events_by_type(DOOR) == [event]

    async def test_a_time_keeps_its_offset(self, store: EventStore, door: UUID) -> None:
        """Times are not only equal: they tell the same hour of the same place, or of none."""
        events = [Measured(aggregate_id=door, measured_at=at) for at in (NOON.astimezone(NEPAL), NAIVE)]

        await store.append_events(door, DOOR, events, 0)

        read = (await store.get_events(door, DOOR)).events
        assert [isinstance(each, Measured) and each.measured_at and each.measured_at.isoformat() for each in read] == [
            "2024-05-01T17:45:00+05:45",
            "2024-05-01T12:00:00",
        ]

    async def test_each_event_is_of_its_own_class(self, store: EventStore, door: UUID) -> None:
        """The type of an event says its class, whatever that inherits from."""
        events: list[DomainEvent] = [
            Opened(aggregate_id=door),
            OpenedWide(aggregate_id=door, number=2),
            Closed(aggregate_id=door),
        ]

        await store.append_events(door, DOOR, events, 0)

        assert [type(event) for event in (await store.get_events(door, DOOR)).events] == [Opened, OpenedWide, Closed]

    async def test_a_stored_event_says_where_it_stands(self, store: EventStore, door: UUID) -> None:
        """Stream, version, position and time of storing come with the event."""
        event = Opened(aggregate_id=door)

        await store.append_events(door, DOOR, [event], 0)

        (stored,) = await stored_of(store.read_stream(stream_of(door)))
        assert (stored.stream_id, stored.stream_position, stored.global_position) == (f"{door}:{DOOR}", 1, 1)
        assert (stored.event_id, stored.event_type) == (event.event_id, event.event_type)
        assert (stored.aggregate_id, stored.aggregate_type) == (door, DOOR)
        assert stored.stored_at.tzinfo is not None
