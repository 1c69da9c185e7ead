"""The statements that read the table of events in PostgreSQL, and the values that are written to it."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Self, TypeAlias
from uuid import UUID

import pydantic_core

from eventsource.databases.postgresql_schema import quoted
from eventsource.events.base import DomainEvent
from eventsource.stores.conflicts import KnownEvent
from eventsource.stores.operations import Append, GetEvents, ReadPage
from eventsource.stores.values import ReadDirection, as_utc

EventValues: TypeAlias = tuple[object, ...]

# JSON comes and goes as text: a pool of somebody else's may have a codec for it.
_EVENT = "global_position, event_id, event_type, event_version, version, payload::text AS payload"
_STORED = f"{_EVENT}, aggregate_id, aggregate_type, stored_at, headers::text AS headers"
COLUMNS = f"{_STORED}, tenant_id, occurred_at"
_NEWEST_TYPE = "(array_agg(aggregate_type ORDER BY global_position DESC))[1]"
_QUOTE = "'"

_APPENDS = "$1, $2, $3::uuid[], $4::text[], $5::bigint[], $6::text[]::json[]"
_EVENTS = (
    "$7::integer[], $8::integer[], $9::uuid[], $10::text[], $11::bigint[], $12::uuid[], $13::timestamptz[], "
    "$14::text[]::json[]"
)


class _Query:
    """A statement that is put together of conditions with their values; a condition without a value is left out."""

    def __init__(self) -> None:
        self.values: list[object] = []
        self._conditions: list[str] = []

    def where(self, condition: str, value: object) -> Self:
        """Add a *condition*, in which ``?`` stands for *value*."""
        if value is not None:
            self._conditions.append(condition.replace("?", self.value(value)))
        return self

    def occurred(self, since: datetime | None, until: datetime | None) -> Self:
        """Add conditions for when an event occurred, both inclusive."""
        return self.where("occurred_at >= ?", _utc(since)).where("occurred_at <= ?", _utc(until))

    def value(self, value: object) -> str:
        """Add a value, and return what stands for it."""
        self.values.append(value)
        return f"${len(self.values)}"

    @property
    def conditions(self) -> str:
        """All conditions."""
        return " AND ".join(self._conditions) or "true"


class Queries:
    """The statements for the table of events in *schema*."""

    def __init__(self, schema: str) -> None:
        self._table = f"{quoted(schema)}.events"
        function = f"{quoted(schema)}.append_events"
        self.append = f"SELECT actual_version, last_position, known::text FROM {function}({_APPENDS}, {_EVENTS})"
        self.head = f"SELECT coalesce(max(global_position), 0) FROM {self._table}"
        self.exists = f"SELECT EXISTS (SELECT FROM {self._table} WHERE event_id = $1)"
        self.version = (
            f"SELECT coalesce(max(version), 0) FROM {self._table} WHERE aggregate_id = $1 AND aggregate_type = $2"
        )
        self.channel = f"SELECT 'eventsource_' || '{quoted(schema).replace(_QUOTE, _QUOTE * 2)}.events'::regclass::oid"

    def stream(self, get: GetEvents) -> tuple[str, list[object]]:
        """Return what selects the events of a stream, each with version and newest type of the whole, or only these."""
        query = _Query().where("aggregate_id = ?", get.aggregate_id).where("aggregate_type = ?", get.aggregate_type)
        whole = query.conditions
        query.where("version > ?", get.from_version).occurred(get.from_timestamp, get.to_timestamp)
        # The newest type is not asked for by ORDER BY and LIMIT: the whole log may be searched for it from its end.
        newest = _NEWEST_TYPE if get.aggregate_type is None else "NULL"
        statement = f"""
            SELECT whole.*, event.*
            FROM (SELECT coalesce(max(version), 0) AS newest, {newest} FROM {self._table} WHERE {whole}) AS whole
            LEFT JOIN LATERAL (SELECT {_EVENT} FROM {self._table} WHERE {query.conditions}) event ON true
            ORDER BY event.{"global_position" if get.aggregate_type is None else "version"}
        """
        return statement, query.values

    def page(self, read: ReadPage, names: Collection[str] | None) -> tuple[str, list[object]]:
        """Return what selects the events of one page, those with these *names*, with what is stored beside them."""
        options, after = read.options, read.after
        is_stream = read.aggregate_id is not None and read.aggregate_type is not None
        order = "version" if is_stream else "global_position"
        place = "global_position" if read.aggregate_id is None else "version"
        forward = options.direction is ReadDirection.FORWARD
        last = after and (after.stream_position if is_stream else after.global_position)
        query = _Query().where("aggregate_id = ?", read.aggregate_id).where("aggregate_type = ?", read.aggregate_type)
        query.where(f"{place} > ?", max(options.from_position, 0)).where(f"{place} <= ?", options.to_position)
        query.where(f"{order} {'>' if forward else '<'} ?", last)
        query.where("event_type = ANY(?::text[])", None if names is None else sorted(names))
        query.where("tenant_id = ?", options.tenant_id).occurred(options.from_timestamp, options.to_timestamp)
        # The few events of one id are not searched for in the whole log: an expression has no index.
        by = order if read.aggregate_id is None or is_stream else f"({order} + 0)"
        statement = f"""
            SELECT {_STORED} FROM {self._table} WHERE {query.conditions}
            ORDER BY {by} {"ASC" if forward else "DESC"} LIMIT {query.value(read.batch_size)}
        """
        return statement, query.values


class Columns:
    """The values of several appends, as the function takes them: an array for each column."""

    def __init__(self) -> None:
        self._appends: list[tuple[UUID, str, int, str | None]] = []
        self._events: list[tuple[object, ...]] = []

    def add(self, append: Append, events: Sequence[EventValues], headers: str | None) -> None:
        """Add an append."""
        self._appends.append((append.aggregate_id, append.aggregate_type, append.expected_version, headers))
        number = len(self._appends)
        self._events += [(number, place, *values) for place, values in enumerate(events, 1)]

    @property
    def arrays(self) -> list[tuple[object, ...]]:
        """The arrays."""
        return [*zip(*self._appends, strict=True), *zip(*self._events, strict=True)]


def values_of(event: DomainEvent, event_type: str, payload: str) -> EventValues:
    """Return what is written of *event*."""
    occurred_at = _utc(event.occurred_at)
    return event.event_id, event_type, event.event_version, event.tenant_id, occurred_at, payload


def known_events(found: str | None) -> dict[UUID, KnownEvent]:
    """Return where the events stand that the function has found."""
    rows = pydantic_core.from_json(found) if found else ()
    return {
        UUID(event_id): KnownEvent(UUID(aggregate_id), aggregate_type, version, position)
        for event_id, aggregate_id, aggregate_type, version, position in rows
    }


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    try:
        return as_utc(moment).astimezone(UTC)
    except OverflowError:  # its offset takes it out of the years that there are
        return datetime(9999, 12, 31, tzinfo=UTC) if moment.year > 1 else datetime(1, 1, 1, tzinfo=UTC)
