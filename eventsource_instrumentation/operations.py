"""
The table: what each operation of the library emits.

Attribute names are those of `eventsource.observability` and of the OpenTelemetry semantic conventions, version 1.44.0.
"""

from collections.abc import Mapping

from opentelemetry.trace import SpanKind

from eventsource import observability as es
from eventsource.aggregates.operations import CreateSnapshot, Exists, Load, Save
from eventsource.aggregates.repository import AggregateRepository
from eventsource.bus.interface import EventBus
from eventsource.component import Component
from eventsource.projections.base import CheckpointTrackingProjection
from eventsource.projections.checkpoints import operations as checkpoints
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.dead_letters import operations as dead_letters
from eventsource.projections.dead_letters.interface import DLQRepository
from eventsource.projections.operations import Call, CatchUp, Project, RefreshLag
from eventsource.projections.runner import ProjectionRunner
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
from eventsource_instrumentation import getters as get
from eventsource_instrumentation import measurements as measure
from eventsource_instrumentation.buses import BUS_ROWS
from eventsource_instrumentation.rows import Row

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"

COMPONENTS: Mapping[str, type[Component]] = {
    "event_store": EventStore,
    "snapshot_store": SnapshotStore,
    "repository": AggregateRepository,
    "event_bus": EventBus,
    "projection": CheckpointTrackingProjection,
    "projection_runner": ProjectionRunner,
    "checkpoint_repository": CheckpointRepository,
    "dlq_repository": DLQRepository,
}
"""The kinds of components, by the name under which they can be left out."""

UNOBSERVED: frozenset[type] = frozenset(
    {EventExists, GetStreamVersion, GetGlobalPosition, checkpoints.AcquireLease, checkpoints.ReleaseLease}
)
"""Operations that emit nothing: a look-up of one number or a lease, often repeated."""

_ROWS = (
    Row(
        Append,
        EventStore,
        ("eventsource.event_store.append_events",),
        SpanKind.INTERNAL,
        {**get.STREAM, **get.EVENTS, es.ATTR_EXPECTED_VERSION: lambda o: o.operation.expected_version, **get.DATABASE},
        {es.ATTR_VERSION: lambda o: o.result.new_version, es.ATTR_APPEND_SHARED: lambda o: o.result.shared},
        (
            measure.duration_of(
                "eventsource.event_store.append.duration",
                "How long appending took.",
                {**measure.SYSTEM, **measure.TYPE},
            ),
            measure.EVENTS_APPENDED,
            measure.CONFLICTS,
        ),
        headers="stored",
    ),
    Row(
        GetEvents,
        EventStore,
        ("eventsource.event_store.get_events",),
        SpanKind.INTERNAL,
        {**get.STREAM, es.ATTR_FROM_VERSION: lambda o: o.operation.from_version, **get.DATABASE},
        {es.ATTR_EVENT_COUNT: lambda o: len(o.result.events), es.ATTR_VERSION: lambda o: o.result.version},
        (measure.read_duration(lambda o: "get_events"),),
    ),
    Row(
        ReadPage,
        EventStore,
        ("eventsource.event_store.read_stream", "eventsource.event_store.read_all"),
        SpanKind.INTERNAL,
        {
            es.ATTR_STREAM_ID: get.stream_of_page,
            es.ATTR_FROM_POSITION: get.start_of_page,
            es.ATTR_BATCH_SIZE: lambda o: o.operation.batch_size,
            **get.DATABASE,
        },
        {es.ATTR_EVENT_COUNT: lambda o: len(o.result)},
        (measure.read_duration(lambda o: "read_all" if o.operation.aggregate_id is None else "read_stream"),),
        inner=True,
        name_index=lambda read: int(read.aggregate_id is None),
    ),
    Row(
        Load,
        AggregateRepository,
        ("eventsource.repository.load",),
        SpanKind.INTERNAL,
        get.AGGREGATE_ID,
        {
            es.ATTR_SNAPSHOT_USED: lambda o: o.result.snapshot_outcome == "hit",
            es.ATTR_EVENTS_REPLAYED: lambda o: o.result.replayed,
            es.ATTR_VERSION: lambda o: o.result.aggregate.version,
        },
        (
            measure.duration_of(
                "eventsource.repository.load.duration",
                "How long loading an aggregate took.",
                measure.TYPE_OF_REPOSITORY,
            ),
            measure.EVENTS_LOADED,
            measure.SNAPSHOT_REQUESTS,
        ),
    ),
    Row(
        Save,
        AggregateRepository,
        ("eventsource.repository.save",),
        SpanKind.INTERNAL,
        {**get.AGGREGATE, es.ATTR_EVENT_COUNT: lambda o: len(o.operation.aggregate.uncommitted_events)},
        measurements=(
            measure.duration_of(
                "eventsource.repository.save.duration", "How long saving an aggregate took.", measure.TYPE_OF_REPOSITORY
            ),
        ),
        headers="onward",
    ),
    Row(Exists, AggregateRepository, ("eventsource.repository.exists",), SpanKind.INTERNAL, get.AGGREGATE_ID),
    Row(
        CreateSnapshot,
        AggregateRepository,
        ("eventsource.repository.create_snapshot",),
        SpanKind.INTERNAL,
        get.AGGREGATE,
    ),
    Row(
        SaveSnapshot, SnapshotStore, ("eventsource.snapshot.save",), SpanKind.INTERNAL, {**get.SNAPSHOT, **get.DATABASE}
    ),
    Row(
        GetSnapshot,
        SnapshotStore,
        ("eventsource.snapshot.get",),
        SpanKind.INTERNAL,
        {**get.STREAM, **get.DATABASE},
        {es.ATTR_SNAPSHOT_FOUND: lambda o: o.result is not None},
    ),
    Row(
        DeleteSnapshot,
        SnapshotStore,
        ("eventsource.snapshot.delete",),
        SpanKind.INTERNAL,
        {**get.STREAM, **get.DATABASE},
    ),
    Row(
        DeleteSnapshots,
        SnapshotStore,
        ("eventsource.snapshot.delete",),
        SpanKind.INTERNAL,
        {es.ATTR_AGGREGATE_TYPE: lambda o: o.operation.aggregate_type, **get.DATABASE},
    ),
    Row(
        SnapshotExists,
        SnapshotStore,
        ("eventsource.snapshot.exists",),
        SpanKind.INTERNAL,
        {**get.STREAM, **get.DATABASE},
    ),
    *BUS_ROWS,
    Row(
        Project,
        CheckpointTrackingProjection,
        ("eventsource.projection.handle",),
        SpanKind.INTERNAL,
        {**get.PROJECTION, es.ATTR_PROJECTION_REPLAY: lambda o: o.operation.replay or None},
        measurements=(measure.HANDLED,),
    ),
    Row(
        Call,
        CheckpointTrackingProjection,
        ("eventsource.projection.handler",),
        SpanKind.INTERNAL,
        {
            **get.PROJECTION,
            es.ATTR_HANDLER_NAME: lambda o: f"{type(o.component).__name__}.{o.operation.handler.handler_name}",
        },
    ),
    Row(
        CatchUp,
        ProjectionRunner,
        ("eventsource.projection.catch_up",),
        SpanKind.CONSUMER,
        get.PAGE,
        {es.ATTR_TO_POSITION: lambda o: o.result.position},
        (measure.HANDLED_IN_PAGE,),
        root=True,
        links=lambda page: (stored.headers for stored in page.events),
    ),
    Row(RefreshLag, ProjectionRunner, (), SpanKind.INTERNAL, {}, gauges=(measure.LAG, measure.DELAY)),
    Row(
        checkpoints.GetCheckpoint,
        CheckpointRepository,
        ("eventsource.checkpoint.get_checkpoint",),
        SpanKind.INTERNAL,
        get.CHECKPOINT,
        inner=True,
    ),
    Row(
        checkpoints.GetAllCheckpoints,
        CheckpointRepository,
        ("eventsource.checkpoint.get_all_checkpoints",),
        SpanKind.INTERNAL,
        get.DATABASE,
        inner=True,
    ),
    Row(
        checkpoints.SaveCheckpoint,
        CheckpointRepository,
        (
            "eventsource.checkpoint.update_checkpoint",
            "eventsource.checkpoint.save_position",
        ),
        SpanKind.INTERNAL,
        {**get.CHECKPOINT, es.ATTR_POSITION: lambda o: o.operation.position},
        inner=True,
        name_index=lambda save: int(save.position is not None),
    ),
    Row(
        checkpoints.ResetCheckpoint,
        CheckpointRepository,
        ("eventsource.checkpoint.reset_checkpoint",),
        SpanKind.INTERNAL,
        get.CHECKPOINT,
        inner=True,
    ),
    Row(
        dead_letters.AddFailedEvent,
        DLQRepository,
        ("eventsource.dlq.add",),
        SpanKind.INTERNAL,
        get.DEAD_LETTER,
        measurements=(measure.DEAD_LETTERS,),
    ),
    Row(
        dead_letters.GetFailedEvents,
        DLQRepository,
        ("eventsource.dlq.get",),
        SpanKind.INTERNAL,
        get.CHECKPOINT,
        {es.ATTR_EVENT_COUNT: lambda o: len(o.result)},
    ),
    Row(
        dead_letters.GetFailedEvent,
        DLQRepository,
        ("eventsource.dlq.get_by_id",),
        SpanKind.INTERNAL,
        get.DATABASE,
    ),
    Row(
        dead_letters.MarkResolved,
        DLQRepository,
        ("eventsource.dlq.resolve",),
        SpanKind.INTERNAL,
        get.DATABASE,
    ),
    Row(
        dead_letters.ResolveFailedEvents,
        DLQRepository,
        ("eventsource.dlq.resolve",),
        SpanKind.INTERNAL,
        get.CHECKPOINT,
        {es.ATTR_EVENT_COUNT: lambda o: o.result},
    ),
    Row(
        dead_letters.MarkRetrying,
        DLQRepository,
        ("eventsource.dlq.retry",),
        SpanKind.INTERNAL,
        get.DATABASE,
    ),
    Row(
        dead_letters.GetFailureStats,
        DLQRepository,
        ("eventsource.dlq.get_stats",),
        SpanKind.INTERNAL,
        get.DATABASE,
    ),
    Row(
        dead_letters.GetFailureCounts,
        DLQRepository,
        ("eventsource.dlq.get_projection_counts",),
        SpanKind.INTERNAL,
        get.DATABASE,
    ),
    Row(
        dead_letters.DeleteResolvedEvents,
        DLQRepository,
        ("eventsource.dlq.delete_resolved",),
        SpanKind.INTERNAL,
        get.DATABASE,
        {es.ATTR_EVENT_COUNT: lambda o: o.result},
    ),
)

TABLE: Mapping[type, Row] = {row.operation: row for row in _ROWS}
"""What each operation emits, by its type."""
