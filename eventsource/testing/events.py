"""The events that the contracts append and publish."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from eventsource.events.base import DomainEvent
from eventsource.events.registry import register_event

DOOR = "Door"
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
NEPAL = timezone(timedelta(hours=5, minutes=45))
"""Ahead of UTC by no whole number of hours."""


class Material(Enum):
    """What a door is made of."""

    OAK = "oak"
    STEEL = "steel"


class Hinge(BaseModel):
    """A model inside an event."""

    weight: Decimal
    fitted_at: datetime


@register_event
class Opened(DomainEvent):
    """The plain event."""

    event_type: str = "eventsource.testing.Opened"
    aggregate_type: str = DOOR
    number: int = 0


@register_event
class Closed(DomainEvent):
    """Another plain event."""

    event_type: str = "eventsource.testing.Closed"
    aggregate_type: str = DOOR


@register_event
class OpenedWide(Opened):
    """An event whose class inherits from that of another one."""

    event_type: str = "eventsource.testing.OpenedWide"


@register_event
class Measured(DomainEvent):
    """An event with a field of each kind that people use."""

    event_type: str = "eventsource.testing.Measured"
    aggregate_type: str = DOOR
    text: str = ""
    looks_like_uuid: str = "6f1c9a52-7a0e-4b57-9a52-0a4c7c0f4b11"
    looks_like_time: str = "2024-05-01T12:00:00+00:00"
    inspector_id: UUID | None = None
    price: Decimal = Decimal("0")
    width: float = 0.0
    steps: int = 0
    key: bytes = b""
    measured_at: datetime | None = None
    day: date | None = None
    hour: time | None = None
    duration: timedelta | None = None
    material: Material = Material.OAK
    hinges: tuple[Hinge, ...] = ()
    notes: dict[str, list[int | None]] = Field(default_factory=dict)
    tags: frozenset[str] = frozenset()


def opened(aggregate_id: UUID, count: int, **fields: Any) -> list[Opened]:
    """Return *count* events of one aggregate, numbered from 1, each with *fields*."""
    return [Opened(aggregate_id=aggregate_id, number=number, **fields) for number in range(1, count + 1)]


def opened_at(aggregate_id: UUID, *moments: datetime, **fields: Any) -> list[Opened]:
    """Return one event that occurred at each of *moments*."""
    events = opened(aggregate_id, len(moments), **fields)
    return [event.model_copy(update={"occurred_at": at}) for event, at in zip(events, moments, strict=True)]
