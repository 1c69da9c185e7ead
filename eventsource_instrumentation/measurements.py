"""What operations add to metrics."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from opentelemetry.semconv.attributes import db_attributes as db
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE

from eventsource import observability as es
from eventsource.exceptions import OptimisticLockError
from eventsource.projections.operations import Project
from eventsource_instrumentation.errors import error_type
from eventsource_instrumentation.getters import of_event
from eventsource_instrumentation.observation import Getter, Observation
from eventsource_instrumentation.rows import Gauge, Measurement, Metric

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

ERROR: Mapping[str, Getter] = {ERROR_TYPE: lambda o: error_type(o.error)}
SYSTEM: Mapping[str, Getter] = {db.DB_SYSTEM_NAME: lambda o: o.component.system}
TYPE: Mapping[str, Getter] = {es.ATTR_AGGREGATE_TYPE: lambda o: o.operation.aggregate_type}
TYPE_OF_REPOSITORY: Mapping[str, Getter] = {es.ATTR_AGGREGATE_TYPE: lambda o: o.component.aggregate_type}


def duration_of(
    name: str, description: str, attributes: Mapping[str, Getter], *, system: str | None = None
) -> Measurement:
    """Return the measurement of how long an operation took, failed or not; with *system*, only in components of it."""
    metric = Metric(name, "histogram", "s", description, SECONDS)
    return Measurement(metric, lambda o: o.duration, {**attributes, **ERROR}, system=system)


def events_by_type(observed: Observation) -> dict[str, int]:
    """Return how many events of each type an operation has."""
    counts: dict[str, int] = {}
    for event in observed.operation.events:
        counts[event.event_type] = counts.get(event.event_type, 0) + 1
    return counts


def _conflicts(observed: Observation) -> int | None:
    conflicted = isinstance(observed.error, OptimisticLockError) or (observed.result and observed.result.conflict)
    return 1 if conflicted else None


def read_duration(operation: Getter) -> Measurement:
    """Return the measurement of how long a reading *operation* took."""
    return duration_of(
        "eventsource.event_store.read.duration",
        "How long reading from an event store took.",
        {**SYSTEM, db.DB_OPERATION_NAME: operation},
    )


EVENTS_APPENDED = Measurement(
    Metric("eventsource.event_store.events.appended", "counter", "{event}", "Events that were appended."),
    lambda o: 1 if o.error is None and o.result.success and not o.result.repeated else None,
    {**SYSTEM, **TYPE},
    split=(es.ATTR_EVENT_TYPE, events_by_type),
)
CONFLICTS = Measurement(
    Metric("eventsource.event_store.conflicts", "counter", "{conflict}", "Appends that found another version."),
    _conflicts,
    {**SYSTEM, **TYPE},
)
EVENTS_LOADED = Measurement(
    Metric("eventsource.repository.load.events", "histogram", "{event}", "Events replayed to load an aggregate."),
    lambda o: None if o.error is not None else o.result.replayed,
    {**TYPE_OF_REPOSITORY, "source": lambda o: "snapshot" if o.result.snapshot_outcome == "hit" else "stream"},
)
SNAPSHOT_REQUESTS = Measurement(
    Metric("eventsource.snapshot.requests", "counter", "{request}", "Loads that asked for a snapshot."),
    lambda o: None if o.error is not None or o.result.snapshot_outcome is None else 1,
    {**TYPE_OF_REPOSITORY, "outcome": lambda o: o.result.snapshot_outcome},
)
DLQ_EVENTS = Metric("eventsource.dlq.events", "counter", "{event}", "Events that became dead letters.")
DEAD_LETTERS = Measurement(
    DLQ_EVENTS,
    lambda o: 1 if o.error is None and not o.operation.again else None,
    {
        es.ATTR_PROJECTION_NAME: lambda o: o.operation.projection_name,
        ERROR_TYPE: lambda o: error_type(o.operation.error),
    },
)
_HANDLE_DURATION = Metric(
    "eventsource.projection.handle.duration",
    "histogram",
    "s",
    "How long a projection took to handle an event, replays apart.",
    SECONDS,
)


def _attempts_of_page(observed: Observation) -> Iterator[Observation]:
    """Yield the attempts that were made together, each as if it had passed the projection's door by itself."""
    projection = observed.component.projection
    attempts = observed.result.attempts if observed.result else ()
    for attempt in attempts if attempts and projection.enable_metrics else ():
        each = Observation(projection, Project(attempt.event, observed.operation.replay))
        each.duration, each.error = attempt.seconds, attempt.error
        yield each


def _handled(each: Callable[[Observation], Iterator[Observation]] | None = None) -> Measurement:
    return Measurement(
        _HANDLE_DURATION,
        lambda o: None if o.operation.replay else o.duration,
        {
            es.ATTR_PROJECTION_NAME: lambda o: o.component.projection_name,
            es.ATTR_EVENT_TYPE: of_event("event_type"),
            **ERROR,
        },
        each=each,
    )


HANDLED = _handled()
HANDLED_IN_PAGE = _handled(_attempts_of_page)


def _behind(name: str, unit: str, description: str, reading: Callable[[Any], float]) -> Gauge:
    return Gauge(
        Metric(name, "observable gauge", unit, description),
        lambda runner: None if (lag := runner.lag) is None else reading(lag),
        {es.ATTR_PROJECTION_NAME: lambda runner: runner.projection_name},
    )


LAG = _behind(
    "eventsource.projection.lag",
    "{event}",
    "How many events there are at most that a projection has not handled.",
    lambda lag: lag.events,
)
DELAY = _behind(
    "eventsource.projection.delay",
    "s",
    "How long the oldest event has been stored that a projection has not handled.",
    lambda lag: lag.seconds,
)
