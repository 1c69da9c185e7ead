"""Finding the values of span attributes in an operation, its component and its result."""

from collections.abc import Iterable, Mapping

from opentelemetry.semconv.attributes import db_attributes as db

from eventsource import observability as es
from eventsource.events.base import DomainEvent
from eventsource.stores.values import format_stream_id
from eventsource_instrumentation.errors import error_type
from eventsource_instrumentation.observation import Getter, Observation


def types_of(events: Iterable[DomainEvent]) -> tuple[str, ...]:
    """Return the types of *events*, each once."""
    return tuple(dict.fromkeys(event.event_type for event in events))


def only(getter: str) -> Getter:
    """Return the getter of a field of the one event of an operation, None where there are several."""

    def get(observed: Observation) -> str | None:
        events = observed.operation.events
        value = getattr(events[0], getter) if len(events) == 1 else None
        return None if value is None else str(value)

    return get


def of_event(name: str) -> Getter:
    """Return the getter of a field of an operation's event."""

    def get(observed: Observation) -> str | None:
        value = getattr(observed.operation.event, name)
        return None if value is None else str(value)

    return get


STREAM: Mapping[str, Getter] = {
    es.ATTR_AGGREGATE_ID: lambda o: str(o.operation.aggregate_id),
    es.ATTR_AGGREGATE_TYPE: lambda o: o.operation.aggregate_type,
}
SNAPSHOT: Mapping[str, Getter] = {
    es.ATTR_AGGREGATE_ID: lambda o: str(o.operation.snapshot.aggregate_id),
    es.ATTR_AGGREGATE_TYPE: lambda o: o.operation.snapshot.aggregate_type,
    es.ATTR_VERSION: lambda o: o.operation.snapshot.version,
}
AGGREGATE: Mapping[str, Getter] = {
    es.ATTR_AGGREGATE_ID: lambda o: str(o.operation.aggregate.aggregate_id),
    es.ATTR_AGGREGATE_TYPE: lambda o: o.component.aggregate_type,
    es.ATTR_VERSION: lambda o: o.operation.aggregate.version,
}
AGGREGATE_ID: Mapping[str, Getter] = {
    es.ATTR_AGGREGATE_ID: lambda o: str(o.operation.aggregate_id),
    es.ATTR_AGGREGATE_TYPE: lambda o: o.component.aggregate_type,
}
DATABASE: Mapping[str, Getter] = {
    db.DB_SYSTEM_NAME: lambda o: o.component.system,
    es.ATTR_DB_SYSTEM: lambda o: o.component.system,
    db.DB_NAMESPACE: lambda o: o.component.namespace,
}
CONVERSATION: Mapping[str, Getter] = {
    es.ATTR_CORRELATION_ID: of_event("correlation_id"),
    es.ATTR_CAUSATION_ID: of_event("causation_id"),
}
EVENT: Mapping[str, Getter] = {
    es.ATTR_EVENT_TYPE: of_event("event_type"),
    es.ATTR_EVENT_ID: of_event("event_id"),
    **CONVERSATION,
}
EVENTS: Mapping[str, Getter] = {
    es.ATTR_EVENT_COUNT: lambda o: len(o.operation.events),
    es.ATTR_EVENT_TYPES: lambda o: types_of(o.operation.events),
    es.ATTR_CORRELATION_ID: only("correlation_id"),
    es.ATTR_CAUSATION_ID: only("causation_id"),
}
NAME_OF_PROJECTION: Mapping[str, Getter] = {es.ATTR_PROJECTION_NAME: lambda o: o.component.projection_name}
PROJECTION: Mapping[str, Getter] = {**NAME_OF_PROJECTION, **EVENT}
PAGE: Mapping[str, Getter] = {
    **NAME_OF_PROJECTION,
    es.ATTR_EVENT_COUNT: lambda o: len(o.operation.events),
    es.ATTR_FROM_POSITION: lambda o: o.operation.from_position,
    es.ATTR_PROJECTION_REPLAY: lambda o: o.operation.replay,
}
CHECKPOINT: Mapping[str, Getter] = {es.ATTR_PROJECTION_NAME: lambda o: o.operation.projection_name, **DATABASE}
DEAD_LETTER: Mapping[str, Getter] = {
    es.ATTR_PROJECTION_NAME: lambda o: o.operation.projection_name,
    es.ATTR_EVENT_TYPE: lambda o: o.operation.event_type,
    es.ATTR_EVENT_ID: lambda o: str(o.operation.event_id),
    es.ATTR_RETRY_COUNT: lambda o: o.operation.retry_count,
    es.ATTR_ERROR_TYPE: lambda o: error_type(o.operation.error),
    **DATABASE,
}


def stream_of_page(observed: Observation) -> str | None:
    """Return which stream a page is of, None for that of the whole store."""
    read = observed.operation
    if read.aggregate_id is None:
        return None
    return format_stream_id(read.aggregate_id, read.aggregate_type)


def start_of_page(observed: Observation) -> int:
    """Return the position that a page begins after."""
    read = observed.operation
    if read.after is None:
        return int(read.options.from_position)
    return int(read.after.global_position if read.aggregate_id is None else read.after.stream_position)
