"""The port of event stores."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import ClassVar, Protocol, final
from uuid import UUID

from eventsource.component import Component, implemented_by
from eventsource.events.base import DomainEvent
from eventsource.events.checks import check_aggregate, check_events, check_type
from eventsource.exceptions import DuplicateEventError, ForeignEventError
from eventsource.headers import check_headers
from eventsource.stores.announcing import Wake, announce_append, woken_by_appends
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
    parse_stream_id,
)
from eventsource.types import Headers

__all__ = [
    "AppendResult",
    "EventPublisher",
    "EventStore",
    "EventStream",
    "ExpectedVersion",
    "ReadDirection",
    "ReadOptions",
    "StoredEvent",
]


class EventPublisher(Protocol):
    """Whatever a repository hands the events to that it has saved; event buses are publishers."""

    async def publish(self, events: list[DomainEvent], *, headers: Headers | None = None) -> None:
        """Publish *events*; *headers* are only given where there are any."""


class EventStore(Component, ABC):
    """
    An append-only log of events, in streams of one aggregate each.

    Backends implement the underscored hooks, which may trust their operations. ``system`` names the database
    (the value of ``db.system.name``), ``namespace`` the one database of it, and ``page_size`` is how many
    events the reading iterators fetch at a time.
    """

    system: ClassVar[str] = "other"
    page_size: int = 500

    @property
    def namespace(self) -> str | None:
        """The database that this store writes to, where that has a name."""
        return None

    @property
    def log(self) -> Hashable:
        """What tells the log from others of the same process: the same for stores that share one."""
        return self

    @asynccontextmanager
    async def following(self, wake: Wake) -> AsyncIterator[None]:
        """
        Let appends to the log wake *wake* inside the block, those of this process at least.

        Backends that hear of the appends of other processes override it; whoever follows looks every so often, too.
        """
        with woken_by_appends(self.log, wake):
            yield

    @final
    @implemented_by("_append")
    async def append_events(
        self,
        aggregate_id: UUID,
        aggregate_type: str,
        events: Sequence[DomainEvent],
        expected_version: int,
        *,
        headers: Headers | None = None,
    ) -> AppendResult:
        """
        Append *events* atomically and return the stream's new version.

        What is returned is durable. Appending again exactly what stands in the stream, in the same order, succeeds
        whatever *expected_version* says, so that an append with an unknown outcome can be tried again. An event is
        known by its ``event_id``.

        Args:
            aggregate_id: Whose stream.
            aggregate_type: Of which type the aggregate is.
            events: What happened, oldest first; nothing is done if there is none.
            expected_version: The version that the stream must have, or a value of `ExpectedVersion`.
            headers: Kept beside each of the events and handed out as `StoredEvent.headers`.

        Raises:
            OptimisticLockError: If the stream is not at *expected_version*.
            ForeignEventError: If an event belongs to another aggregate.
            DuplicateEventError: If an event is known elsewhere, or only some of the events are known.
            SerializationError: If an event cannot be written.
        """
        check_aggregate(aggregate_id, aggregate_type)
        _check_expected(expected_version)
        events = check_events(events)
        if not events:
            return AppendResult.successful(expected_version)
        _check_belong(events, aggregate_id, aggregate_type)
        append = Append(aggregate_id, aggregate_type, events, expected_version, check_headers(headers))
        result = await self._perform(self._append, append)
        announce_append(self.log)
        return result

    @final
    @implemented_by("_get_events")
    async def get_events(
        self,
        aggregate_id: UUID,
        aggregate_type: str | None = None,
        from_version: int = 0,
        from_timestamp: datetime | None = None,
        to_timestamp: datetime | None = None,
    ) -> EventStream:
        """
        Return the events of one aggregate, oldest first.

        Args:
            aggregate_id: Whose stream.
            aggregate_type: Of which type the aggregate is; all types if not given.
            from_version: Only events above this version.
            from_timestamp: Only events that occurred then or later; UTC if it has no time zone.
            to_timestamp: Only events that occurred then or earlier; UTC if it has no time zone.

        Raises:
            EventTypeNotFoundError: If the class of an event is not registered.
            SerializationError: If a stored event cannot be read.
        """
        check_aggregate(aggregate_id, "any" if aggregate_type is None else aggregate_type)
        check_type("from_version", from_version, int)
        since, until = _utc("from_timestamp", from_timestamp), _utc("to_timestamp", to_timestamp)
        get = GetEvents(aggregate_id, aggregate_type, from_version, since, until)
        return await self._perform(self._get_events, get)

    @final
    @implemented_by("_read_page")
    async def read_page(
        self,
        stream_id: str | None = None,
        options: ReadOptions | None = None,
        *,
        after: StoredEvent | None = None,
    ) -> Sequence[StoredEvent]:
        """
        Return the next events, at most ``page_size`` and ``options.limit`` of them.

        Args:
            stream_id: One stream (``<aggregate id>:<aggregate type>``), or all of an aggregate id; all events if
                not given.
            options: Which events, and from which end.
            after: The last event of the page before; the first page if not given.
        """
        aggregate_id, aggregate_type = (None, None) if stream_id is None else parse_stream_id(stream_id)
        options = _checked(options)
        return await self._read(aggregate_id, aggregate_type, options, self._batch_size(options.limit), after)

    @final
    @implemented_by("_read_page")
    def read_stream(self, stream_id: str, options: ReadOptions | None = None) -> AsyncGenerator[StoredEvent, None]:
        """
        Iterate over one stream (``<aggregate id>:<aggregate type>``), or over all of an aggregate id, page by page.

        Raises:
            ValueError: If *stream_id* does not begin with a UUID.
        """
        return self._iterate(*parse_stream_id(stream_id), _checked(options))

    @final
    @implemented_by("_read_page")
    def read_all(self, options: ReadOptions | None = None) -> AsyncGenerator[StoredEvent, None]:
        """Iterate over the events of the whole store in the order of their global positions, page by page."""
        return self._iterate(None, None, _checked(options))

    @final
    @implemented_by("_read_page")
    async def get_events_by_type(
        self, aggregate_type: str, tenant_id: UUID | None = None, from_timestamp: datetime | None = None
    ) -> list[DomainEvent]:
        """
        Return the events of all aggregates of one type in the order in which they occurred.

        Args:
            aggregate_type: Of which type the aggregates are.
            tenant_id: Only events of this tenant.
            from_timestamp: Only events that occurred later; UTC if it has no time zone.
        """
        check_type("aggregate_type", aggregate_type, str)
        since = _utc("from_timestamp", from_timestamp)
        options = ReadOptions(tenant_id=tenant_id, from_timestamp=since)
        stored = self._iterate(None, aggregate_type, options)
        events = [each.event async for each in stored if since is None or as_utc(each.event.occurred_at) > since]
        return sorted(events, key=lambda event: as_utc(event.occurred_at))

    @final
    @implemented_by("_event_exists")
    async def event_exists(self, event_id: UUID) -> bool:
        """Tell whether an event of this id is stored."""
        check_type("event_id", event_id, UUID)
        return await self._perform(self._event_exists, EventExists(event_id))

    @final
    @implemented_by("_get_stream_version")
    async def get_stream_version(self, aggregate_id: UUID, aggregate_type: str) -> int:
        """Return the version of a stream, 0 if it has no events."""
        check_aggregate(aggregate_id, aggregate_type)
        return await self._perform(self._get_stream_version, GetStreamVersion(aggregate_id, aggregate_type))

    @final
    @implemented_by("_get_global_position")
    async def get_global_position(self) -> int:
        """Return the position of the newest event, 0 if there is none."""
        return await self._perform(self._get_global_position, GetGlobalPosition())

    @abstractmethod
    async def _append(self, append: Append) -> AppendResult: ...

    @abstractmethod
    async def _get_events(self, get: GetEvents) -> EventStream: ...

    @abstractmethod
    async def _read_page(self, read: ReadPage) -> Sequence[StoredEvent]: ...

    @abstractmethod
    async def _event_exists(self, exists: EventExists) -> bool: ...

    @abstractmethod
    async def _get_stream_version(self, get: GetStreamVersion) -> int: ...

    @abstractmethod
    async def _get_global_position(self, get: GetGlobalPosition) -> int: ...

    def _batch_size(self, remaining: int | None) -> int:
        return self.page_size if remaining is None else min(self.page_size, remaining)

    async def _read(
        self,
        aggregate_id: UUID | None,
        aggregate_type: str | None,
        options: ReadOptions,
        batch_size: int,
        after: StoredEvent | None,
    ) -> Sequence[StoredEvent]:
        if batch_size == 0:
            return ()
        read = ReadPage(aggregate_id, aggregate_type, options, batch_size, after)
        return await self._perform(self._read_page, read)

    async def _iterate(
        self, aggregate_id: UUID | None, aggregate_type: str | None, options: ReadOptions
    ) -> AsyncGenerator[StoredEvent, None]:
        remaining, after = options.limit, None
        while size := self._batch_size(remaining):
            page = await self._read(aggregate_id, aggregate_type, options, size, after)
            for stored in page:
                yield stored
            if len(page) < size:
                return
            after = page[-1]
            remaining = None if remaining is None else remaining - size


def _check_expected(version: int) -> None:
    check_type("expected_version", version, int)
    if version < ExpectedVersion.STREAM_EXISTS:
        raise ValueError(f"expected_version must be a version or one of ExpectedVersion, not {version}")


def _check_belong(events: Sequence[DomainEvent], aggregate_id: UUID, aggregate_type: str) -> None:
    seen = set()
    for event in events:
        if event.aggregate_id != aggregate_id or event.aggregate_type != aggregate_type:
            raise ForeignEventError(
                event.event_id, f"{event.aggregate_type} {event.aggregate_id}", f"{aggregate_type} {aggregate_id}"
            )
        if event.event_id in seen:
            raise DuplicateEventError(event.event_id, "stands twice in one append")
        seen.add(event.event_id)


def _checked(options: ReadOptions | None) -> ReadOptions:
    if options is None:
        return ReadOptions()
    check_type("options", options, ReadOptions)
    return options


def _utc(name: str, moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    check_type(name, moment, datetime)
    return as_utc(moment)
