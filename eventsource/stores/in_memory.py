"""Events in a list: for tests, examples and tools."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from operator import attrgetter
from typing import ClassVar
from uuid import UUID

from eventsource.events.base import DomainEvent
from eventsource.stores.conflicts import KnownEvent, judge_refused
from eventsource.stores.interface import EventStore
from eventsource.stores.operations import (
    Append,
    EventExists,
    GetEvents,
    GetGlobalPosition,
    GetStreamVersion,
    ReadPage,
)
from eventsource.stores.values import (
    AppendResult,
    EventStream,
    ExpectedVersion,
    ReadDirection,
    ReadOptions,
    StoredEvent,
    as_utc,
    format_stream_id,
)

_position = attrgetter("global_position")
_version = attrgetter("stream_position")


class InMemoryEventStore(EventStore):
    """An event store that lives as long as the object; reads return the very events that were appended."""

    system: ClassVar[str] = "memory"

    def __init__(self, enable_tracing: bool = True) -> None:
        self.enable_tracing = enable_tracing
        self._empty()

    async def clear(self) -> None:
        """Forget all events; positions begin at 1 again."""
        self._empty()

    async def get_all_events(self) -> list[DomainEvent]:
        """Return all events in the order in which they occurred."""
        return sorted((stored.event for stored in self._log), key=lambda event: as_utc(event.occurred_at))

    async def get_event_count(self) -> int:
        """Return how many events there are."""
        return len(self._log)

    async def get_aggregate_ids(self) -> set[UUID]:
        """Return the ids of all aggregates that have events."""
        return set(self._aggregates)

    async def _append(self, append: Append) -> AppendResult:
        version = self._version(append.aggregate_id, append.aggregate_type)
        events = append.events
        known = {each.event_id: _known(self._by_id[each.event_id]) for each in events if each.event_id in self._by_id}
        if known or not _meets(version, append.expected_version):
            return judge_refused(append, known, version)
        stored_at = datetime.now(UTC)
        for offset, event in enumerate(append.events, 1):
            self._store(event, version + offset, append, stored_at)
        return AppendResult.successful(version + len(append.events), len(self._log))

    async def _get_events(self, get: GetEvents) -> EventStream:
        options = ReadOptions(from_timestamp=get.from_timestamp, to_timestamp=get.to_timestamp)
        source = self._source(get.aggregate_id, get.aggregate_type)
        events = [
            stored.event
            for stored in source
            if stored.stream_position > get.from_version and _selected(stored, options)
        ]
        aggregate_type = get.aggregate_type or (source[-1].aggregate_type if source else "Unknown")
        version = max((stored.stream_position for stored in source), default=0)
        return EventStream(get.aggregate_id, aggregate_type, events, version)

    async def _read_page(self, read: ReadPage) -> Sequence[StoredEvent]:
        source = self._source(read.aggregate_id, read.aggregate_type)
        place = _position if read.aggregate_id is None else _version
        selected = (
            stored
            for stored in _following(source, read.options, read.after, place)
            if _is_within(place(stored), read.options) and _selected(stored, read.options)
        )
        return list(islice(selected, read.batch_size))

    async def _event_exists(self, exists: EventExists) -> bool:
        return exists.event_id in self._by_id

    async def _get_stream_version(self, get: GetStreamVersion) -> int:
        return self._version(get.aggregate_id, get.aggregate_type)

    async def _get_global_position(self, get: GetGlobalPosition) -> int:
        return len(self._log)

    def _empty(self) -> None:
        self._log: list[StoredEvent] = []
        self._by_id: dict[UUID, StoredEvent] = {}
        self._aggregates: dict[UUID, dict[str, list[StoredEvent]]] = {}
        self._by_type: dict[str, list[StoredEvent]] = {}

    def _version(self, aggregate_id: UUID, aggregate_type: str) -> int:
        return len(self._aggregates.get(aggregate_id, {}).get(aggregate_type, ()))

    def _store(self, event: DomainEvent, version: int, append: Append, stored_at: datetime) -> None:
        if event.aggregate_version != version:
            event = event.with_aggregate_version(version)
        stored = StoredEvent(
            event=event,
            stream_id=format_stream_id(append.aggregate_id, append.aggregate_type),
            stream_position=version,
            global_position=len(self._log) + 1,
            stored_at=stored_at,
            headers=append.headers or {},
        )
        self._log.append(stored)
        self._by_id[event.event_id] = stored
        self._by_type.setdefault(append.aggregate_type, []).append(stored)
        self._aggregates.setdefault(append.aggregate_id, {}).setdefault(append.aggregate_type, []).append(stored)

    def _source(self, aggregate_id: UUID | None, aggregate_type: str | None) -> Sequence[StoredEvent]:
        """Return the events of a stream, of all streams of an id, of a type or of the store, by position."""
        if aggregate_id is not None:
            streams = self._aggregates.get(aggregate_id, {})
            if aggregate_type is not None:
                return streams.get(aggregate_type, ())
            return sorted(chain.from_iterable(streams.values()), key=_position)
        if aggregate_type is not None:
            return self._by_type.get(aggregate_type, ())
        return self._log


def _meets(version: int, expected: int) -> bool:
    if expected == ExpectedVersion.STREAM_EXISTS:
        return version > 0
    return expected in (ExpectedVersion.ANY, version)


def _known(stored: StoredEvent) -> KnownEvent:
    return KnownEvent(stored.aggregate_id, stored.aggregate_type, stored.stream_position, stored.global_position)


def _following(
    source: Sequence[StoredEvent], options: ReadOptions, after: StoredEvent | None, place: Callable[[StoredEvent], int]
) -> Iterator[StoredEvent]:
    if options.direction is ReadDirection.BACKWARD:
        end = bisect_left(source, after.global_position, key=_position) if after else len(source)
        return (source[index] for index in range(end - 1, -1, -1))
    start = bisect_right(source, after.global_position, key=_position) if after else 0
    if place is _position:  # by which every source is sorted
        start = max(start, bisect_right(source, options.from_position, key=_position))
    return (source[index] for index in range(start, len(source)))


def _is_within(place: int, options: ReadOptions) -> bool:
    return place > options.from_position and (options.to_position is None or place <= options.to_position)


def _selected(stored: StoredEvent, options: ReadOptions) -> bool:
    if options.tenant_id is not None and stored.event.tenant_id != options.tenant_id:
        return False
    if options.event_types is not None and type(stored.event) not in options.event_types:
        return False
    if options.from_timestamp is None and options.to_timestamp is None:
        return True
    occurred_at = as_utc(stored.event.occurred_at)
    return (options.from_timestamp is None or occurred_at >= as_utc(options.from_timestamp)) and (
        options.to_timestamp is None or occurred_at <= as_utc(options.to_timestamp)
    )
