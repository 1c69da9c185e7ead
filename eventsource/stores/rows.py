"""Rows of a table of events, as the statements of a database give them, made into stored events."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import pydantic_core

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry, EventTypeNotFoundError
from eventsource.exceptions import SerializationError, UnreadableEvent
from eventsource.serialization import EventSerializer
from eventsource.stores.values import StoredEvent, format_stream_id
from eventsource.types import Headers

Row: TypeAlias = tuple[Any, ...]
"""
An event: global position, event id, type, version of the type, version of the stream, payload; what is stored beside
it follows: aggregate id, aggregate type, when it was stored, headers.
"""


class RowReader:
    """
    Makes events of the rows of *place*.

    Args:
        serializer: Events to payloads and back.
        place: What errors call the database.
        moment: Makes a point in time of what the column of it holds.
    """

    def __init__(self, serializer: EventSerializer, place: str, moment: Callable[[Any], datetime]) -> None:
        self._serializer = serializer
        self._place = place
        self._moment = moment

    def event(self, row: Row) -> DomainEvent:
        """
        Return the event in *row*, which has the first six columns.

        Raises:
            EventTypeNotFoundError: If its class is not registered.
            SerializationError: If it cannot be read.
        """
        position, event_id, event_type, event_version, version, payload = row
        try:
            event = self._serializer.decode(event_type, event_version, payload)
        except SerializationError as error:
            message = f"event {event_id} at position {position} cannot be read: {error.message}"
            raise SerializationError(event_type, message) from error
        except EventTypeNotFoundError as error:
            error.add_note(f"It is the type of event {event_id} at position {position} of {self._place!r}.")
            raise
        return event if event.aggregate_version == version else event.with_aggregate_version(version)

    def stored(self, row: Row) -> StoredEvent:
        """
        Return the event in *row*, which has all columns, with what is stored beside it.

        Raises:
            EventTypeNotFoundError: If its class is not registered.
            SerializationError: If it cannot be read. Both have what can be said of it as ``unreadable``.
        """
        position, _, _, _, version, _, aggregate_id, aggregate_type, stored_at, headers = row
        try:
            return StoredEvent(
                event=self.event(row[:6]),
                stream_id=format_stream_id(aggregate_id, aggregate_type),
                stream_position=version,
                global_position=position,
                stored_at=self._moment(stored_at),
                headers=_headers(row) if headers else {},
            )
        except (EventTypeNotFoundError, SerializationError) as error:
            error.unreadable = self._unreadable(row)
            raise

    def _unreadable(self, row: Row) -> UnreadableEvent:
        position, event_id, event_type, _, _, payload, _, _, stored_at, _ = row
        text = payload.decode(errors="backslashreplace") if isinstance(payload, bytes) else payload
        return UnreadableEvent(UUID(str(event_id)), event_type, position, self._moment(stored_at), text)


def writable(event: DomainEvent) -> DomainEvent:
    """Return *event* with a version that its payload may have; what it is counts for nothing in a store."""
    return event if event.aggregate_version >= 1 else event.with_aggregate_version(1)


def headers_text(headers: Headers | None) -> str | None:
    """Return *headers* as JSON, None if there are none."""
    return pydantic_core.to_json(headers).decode() if headers else None


def names_of(event_types: Collection[type[DomainEvent]] | None, registry: EventRegistry) -> set[str] | None:
    """Return the names that events of these classes may be stored under, None for all classes."""
    return None if event_types is None else {name for each in event_types for name in registry.names_of(each)}


def _headers(row: Row) -> Headers:
    position, event_id, event_type, *_, headers = row
    try:
        values: Headers = pydantic_core.from_json(headers)
    except ValueError as error:
        message = f"the headers of event {event_id} at position {position} cannot be read: {error}"
        raise SerializationError(event_type, message) from error
    return values
