"""
The table: what each operation of the library emits.

Attribute names are those of `eventsource.observability` and of the OpenTelemetry semantic conventions, version 1.44.0.
"""

from collections.abc import Iterable, Mapping

from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes import db_attributes as db
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import SpanKind

from eventsource import observability as es
from eventsource.aggregates.operations import CreateSnapshot, Exists, Load, Save
from eventsource.aggregates.repository import AggregateRepository
from eventsource.bus.interface import EventBus
from eventsource.bus.operations import Dispatch, Handle, Publish
from eventsource.component import Component
from eventsource.events.base import DomainEvent
from eventsource.exceptions import OptimisticLockError
from eventsource.projections.base import DeclarativeProjection
from eventsource.projections.operations import Call, Project
from eventsource.snapshots.interface import SnapshotStore
from eventsource.snapshots.operations import (
    DeleteSnapshot,
    DeleteSnapshots,
    GetSnapshot,
    SaveSnapshot,
    SnapshotExists,
)
from eventsource.stores.interface import EventStore
from eventsource.stores.operations import (
    Append,
    EventExists,
    GetEvents,
    GetGlobalPosition,
    GetStreamVersion,
    ReadPage,
)
from eventsource.stores.values import format_stream_id
from eventsource_instrumentation.errors import error_type
from eventsource_instrumentation.observation import Getter, Observation
from eventsource_instrumentation.rows import Measurement, Metric, Row

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"

COMPONENTS: Mapping[str, type[Component]] = {
    "event_store": EventStore,
    "snapshot_store": SnapshotStore,
    "repository": AggregateRepository,
    "event_bus": EventBus,
    "projection": DeclarativeProjection,
}
"""The kinds of components, by the name under which they can be left out."""

UNOBSERVED: frozenset[type] = frozenset({EventExists, GetStreamVersion, GetGlobalPosition})
"""Operations that emit nothing: a look-up of one number, often repeated."""

# Attributes ------------------------------------------------------------------------------------------------------


def _types(events: Iterable[DomainEvent]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(event.event_type for event in events))


def _only(getter: str) -> Getter:
    """Return the getter of a field of the one event of an operation, None where there are several."""

    def get(observed: Observation) -> str | None:
        events = observed.operation.events
        value = getattr(events[0], getter) if len(events) == 1 else None
        return None if value is None else str(value)

    return get


def _of_event(name: str) -> Getter:
    """Return the getter of a field of an operation's event."""

    def get(observed: Observation) -> str | None:
        value = getattr(observed.operation.event, name)
        return None if value is None else str(value)

    return get


_STREAM: Mapping[str, Getter] = {
    es.ATTR_AGGREGATE_ID: lambda o: str(o.operation.aggregate_id),
    es.ATTR_AGGREGATE_TYPE: lambda o: o.operation.aggregate_type,
}
_SNAPSHOT: Mapping[str, Getter] = {
    es.ATTR_AGGREGATE_ID: lambda o: str(o.operation.snapshot.aggregate_id),
    es.ATTR_AGGREGATE_TYPE: lambda o: o.operation.snapshot.aggregate_type,
    es.ATTR_VERSION: lambda o: o.operation.snapshot.version,
}
_AGGREGATE: Mapping[str, Getter] = {
    es.ATTR_AGGREGATE_ID: lambda o: str(o.operation.aggregate.aggregate_id),
    es.ATTR_AGGREGATE_TYPE: lambda o: o.component.aggregate_type,
    es.ATTR_VERSION: lambda o: o.operation.aggregate.version,
}
_AGGREGATE_ID: Mapping[str, Getter] = {
    es.ATTR_AGGREGATE_ID: lambda o: str(o.operation.aggregate_id),
    es.ATTR_AGGREGATE_TYPE: lambda o: o.component.aggregate_type,
}
_DATABASE: Mapping[str, Getter] = {
    db.DB_SYSTEM_NAME: lambda o: o.component.system,
    es.ATTR_DB_SYSTEM: lambda o: o.component.system,
    db.DB_NAMESPACE: lambda o: o.component.namespace,
}
_CONVERSATION: Mapping[str, Getter] = {
    es.ATTR_CORRELATION_ID: _of_event("correlation_id"),
    es.ATTR_CAUSATION_ID: _of_event("causation_id"),
}
_EVENT: Mapping[str, Getter] = {
    es.ATTR_EVENT_TYPE: _of_event("event_type"),
    es.ATTR_EVENT_ID: _of_event("event_id"),
    **_CONVERSATION,
}
_EVENTS: Mapping[str, Getter] = {
    es.ATTR_EVENT_COUNT: lambda o: len(o.operation.events),
    es.ATTR_EVENT_TYPES: lambda o: _types(o.operation.events),
    es.ATTR_CORRELATION_ID: _only("correlation_id"),
    es.ATTR_CAUSATION_ID: _only("causation_id"),
}
_PROJECTION: Mapping[str, Getter] = {es.ATTR_PROJECTION_NAME: lambda o: o.component.projection_name, **_EVENT}
_SENDING: Mapping[str, Getter] = {
    messaging.MESSAGING_SYSTEM: lambda o: o.component.system,
    messaging.MESSAGING_OPERATION_NAME: lambda o: "publish",
    messaging.MESSAGING_OPERATION_TYPE: lambda o: "send",
}


def _stream_of_page(observed: Observation) -> str | None:
    read = observed.operation
    if read.aggregate_id is None:
        return None
    return format_stream_id(read.aggregate_id, read.aggregate_type)


def _start_of_page(observed: Observation) -> int:
    read = observed.operation
    if read.after is None:
        return int(read.options.from_position)
    return int(read.after.global_position if read.aggregate_id is None else read.after.stream_position)


# Measurements ----------------------------------------------------------------------------------------------------

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

_ERROR: Mapping[str, Getter] = {ERROR_TYPE: lambda o: error_type(o.error)}
_SYSTEM: Mapping[str, Getter] = {db.DB_SYSTEM_NAME: lambda o: o.component.system}
_TYPE: Mapping[str, Getter] = {es.ATTR_AGGREGATE_TYPE: lambda o: o.operation.aggregate_type}
_TYPE_OF_REPOSITORY: Mapping[str, Getter] = {es.ATTR_AGGREGATE_TYPE: lambda o: o.component.aggregate_type}
_MESSAGING: Mapping[str, Getter] = {
    messaging.MESSAGING_SYSTEM: lambda o: o.component.system,
    messaging.MESSAGING_OPERATION_NAME: lambda o: "publish",
    **_ERROR,
}


def _duration_of(name: str, description: str, attributes: Mapping[str, Getter]) -> Measurement:
    metric = Metric(name, "histogram", "s", description, _SECONDS)
    return Measurement(metric, lambda o: o.duration, {**attributes, **_ERROR})


def _appended(observed: Observation) -> dict[str, int]:
    counts: dict[str, int] = {}
    for event in observed.operation.events:
        counts[event.event_type] = counts.get(event.event_type, 0) + 1
    return counts


def _conflicts(observed: Observation) -> int | None:
    conflicted = isinstance(observed.error, OptimisticLockError) or (observed.result and observed.result.conflict)
    return 1 if conflicted else None


def _read_duration(operation: Getter) -> Measurement:
    return _duration_of(
        "eventsource.event_store.read.duration",
        "How long reading from an event store took.",
        {**_SYSTEM, db.DB_OPERATION_NAME: operation},
    )


_EVENTS_APPENDED = Measurement(
    Metric("eventsource.event_store.events.appended", "counter", "{event}", "Events that were appended."),
    lambda o: 1 if o.error is None and o.result.success and not o.result.repeated else None,
    {**_SYSTEM, **_TYPE},
    split=(es.ATTR_EVENT_TYPE, _appended),
)
_CONFLICTS = Measurement(
    Metric("eventsource.event_store.conflicts", "counter", "{conflict}", "Appends that found another version."),
    _conflicts,
    {**_SYSTEM, **_TYPE},
)
_EVENTS_LOADED = Measurement(
    Metric("eventsource.repository.load.events", "histogram", "{event}", "Events replayed to load an aggregate."),
    lambda o: None if o.error is not None else o.result.replayed,
    {**_TYPE_OF_REPOSITORY, "source": lambda o: "snapshot" if o.result.snapshot_outcome == "hit" else "stream"},
)
_SNAPSHOT_REQUESTS = Measurement(
    Metric("eventsource.snapshot.requests", "counter", "{request}", "Loads that asked for a snapshot."),
    lambda o: None if o.error is not None or o.result.snapshot_outcome is None else 1,
    {**_TYPE_OF_REPOSITORY, "outcome": lambda o: o.result.snapshot_outcome},
)
_SENT_MESSAGES = Measurement(
    Metric("messaging.client.sent.messages", "counter", "{message}", "Messages that were published."),
    lambda o: len(o.operation.events),
    _MESSAGING,
)

# The rows --------------------------------------------------------------------------------------------------------

_ROWS = (
    Row(
        Append,
        EventStore,
        ("eventsource.event_store.append_events",),
        SpanKind.INTERNAL,
        {**_STREAM, **_EVENTS, es.ATTR_EXPECTED_VERSION: lambda o: o.operation.expected_version, **_DATABASE},
        {es.ATTR_VERSION: lambda o: o.result.new_version, es.ATTR_APPEND_SHARED: lambda o: o.result.shared},
        (
            _duration_of("eventsource.event_store.append.duration", "How long appending took.", {**_SYSTEM, **_TYPE}),
            _EVENTS_APPENDED,
            _CONFLICTS,
        ),
        headers="stored",
    ),
    Row(
        GetEvents,
        EventStore,
        ("eventsource.event_store.get_events",),
        SpanKind.INTERNAL,
        {**_STREAM, es.ATTR_FROM_VERSION: lambda o: o.operation.from_version, **_DATABASE},
        {es.ATTR_EVENT_COUNT: lambda o: len(o.result.events), es.ATTR_VERSION: lambda o: o.result.version},
        (_read_duration(lambda o: "get_events"),),
    ),
    Row(
        ReadPage,
        EventStore,
        ("eventsource.event_store.read_stream", "eventsource.event_store.read_all"),
        SpanKind.INTERNAL,
        {
            es.ATTR_STREAM_ID: _stream_of_page,
            es.ATTR_FROM_POSITION: _start_of_page,
            es.ATTR_BATCH_SIZE: lambda o: o.operation.batch_size,
            **_DATABASE,
        },
        {es.ATTR_EVENT_COUNT: lambda o: len(o.result)},
        (_read_duration(lambda o: "read_all" if o.operation.aggregate_id is None else "read_stream"),),
        inner=True,
        name_index=lambda read: int(read.aggregate_id is None),
    ),
    Row(
        Load,
        AggregateRepository,
        ("eventsource.repository.load",),
        SpanKind.INTERNAL,
        _AGGREGATE_ID,
        {
            es.ATTR_SNAPSHOT_USED: lambda o: o.result.snapshot_outcome == "hit",
            es.ATTR_EVENTS_REPLAYED: lambda o: o.result.replayed,
            es.ATTR_VERSION: lambda o: o.result.aggregate.version,
        },
        (
            _duration_of(
                "eventsource.repository.load.duration", "How long loading an aggregate took.", _TYPE_OF_REPOSITORY
            ),
            _EVENTS_LOADED,
            _SNAPSHOT_REQUESTS,
        ),
    ),
    Row(
        Save,
        AggregateRepository,
        ("eventsource.repository.save",),
        SpanKind.INTERNAL,
        {**_AGGREGATE, es.ATTR_EVENT_COUNT: lambda o: len(o.operation.aggregate.uncommitted_events)},
        measurements=(
            _duration_of(
                "eventsource.repository.save.duration", "How long saving an aggregate took.", _TYPE_OF_REPOSITORY
            ),
        ),
        headers="onward",
    ),
    Row(Exists, AggregateRepository, ("eventsource.repository.exists",), SpanKind.INTERNAL, _AGGREGATE_ID),
    Row(
        CreateSnapshot,
        AggregateRepository,
        ("eventsource.repository.create_snapshot",),
        SpanKind.INTERNAL,
        _AGGREGATE,
    ),
    Row(SaveSnapshot, SnapshotStore, ("eventsource.snapshot.save",), SpanKind.INTERNAL, {**_SNAPSHOT, **_DATABASE}),
    Row(
        GetSnapshot,
        SnapshotStore,
        ("eventsource.snapshot.get",),
        SpanKind.INTERNAL,
        {**_STREAM, **_DATABASE},
        {es.ATTR_SNAPSHOT_FOUND: lambda o: o.result is not None},
    ),
    Row(DeleteSnapshot, SnapshotStore, ("eventsource.snapshot.delete",), SpanKind.INTERNAL, {**_STREAM, **_DATABASE}),
    Row(
        DeleteSnapshots,
        SnapshotStore,
        ("eventsource.snapshot.delete",),
        SpanKind.INTERNAL,
        {es.ATTR_AGGREGATE_TYPE: lambda o: o.operation.aggregate_type, **_DATABASE},
    ),
    Row(SnapshotExists, SnapshotStore, ("eventsource.snapshot.exists",), SpanKind.INTERNAL, {**_STREAM, **_DATABASE}),
    Row(
        Publish,
        EventBus,
        ("eventsource.event_bus.publish",),
        SpanKind.PRODUCER,
        {
            **_SENDING,
            messaging.MESSAGING_BATCH_MESSAGE_COUNT: lambda o: (
                len(o.operation.events) if len(o.operation.events) > 1 else None
            ),
            messaging.MESSAGING_MESSAGE_ID: _only("event_id"),
            **_EVENTS,
            es.ATTR_EVENT_ID: _only("event_id"),
            es.ATTR_AGGREGATE_ID: _only("aggregate_id"),
            es.ATTR_AGGREGATE_TYPE: _only("aggregate_type"),
        },
        measurements=(
            _SENT_MESSAGES,
            _duration_of("messaging.client.operation.duration", "How long publishing took.", _MESSAGING),
        ),
        headers="message",
    ),
    Row(
        Dispatch,
        EventBus,
        ("eventsource.event_bus.dispatch",),
        SpanKind.INTERNAL,
        {**_EVENT, es.ATTR_HANDLER_COUNT: lambda o: len(o.operation.handlers)},
    ),
    Row(
        Handle,
        EventBus,
        ("eventsource.event_bus.handle",),
        SpanKind.INTERNAL,
        {**_EVENT, es.ATTR_HANDLER_NAME: lambda o: o.operation.handler.name},
    ),
    Row(
        Project,
        DeclarativeProjection,
        ("eventsource.projection.handle",),
        SpanKind.INTERNAL,
        _PROJECTION,
        measurements=(
            _duration_of(
                "eventsource.projection.handle.duration",
                "How long a projection took to handle an event.",
                {
                    es.ATTR_PROJECTION_NAME: lambda o: o.component.projection_name,
                    es.ATTR_EVENT_TYPE: _of_event("event_type"),
                },
            ),
        ),
    ),
    Row(
        Call,
        DeclarativeProjection,
        ("eventsource.projection.handler",),
        SpanKind.INTERNAL,
        {
            **_PROJECTION,
            es.ATTR_HANDLER_NAME: lambda o: f"{type(o.component).__name__}.{o.operation.handler.handler_name}",
        },
    ),
)

TABLE: Mapping[type, Row] = {row.operation: row for row in _ROWS}
"""What each operation emits, by its type."""
