"""
Event sourcing for asyncio, observable by design.

PYTEST_DONT_REWRITE: there is nothing to rewrite here, and pytest would warn where it is imported before pytest is.
"""

from importlib import metadata
from typing import TYPE_CHECKING

from eventsource.aggregates import AggregateRepository, AggregateRoot, DeclarativeAggregate
from eventsource.bus import AsyncEventHandler, EventBus, EventHandlerFunc, InMemoryEventBus
from eventsource.events import (
    DomainEvent,
    DuplicateEventTypeError,
    EventRegistry,
    EventTypeNotFoundError,
    default_registry,
    get_event_class,
    get_event_class_or_none,
    is_event_registered,
    list_registered_events,
    register_event,
)
from eventsource.exceptions import (
    AggregateNotFoundError,
    CheckpointConflictError,
    CheckpointError,
    DatabaseError,
    DuplicateEventError,
    EventNotFoundError,
    EventSourceError,
    EventVersionError,
    ForeignEventError,
    NotConnectedError,
    OptimisticLockError,
    ProjectionError,
    RebuildError,
)
from eventsource.handlers import handles
from eventsource.headers import current_headers
from eventsource.lazy import is_installed, lazy_names
from eventsource.projections import (
    CheckpointTrackingProjection,
    DeclarativeProjection,
    EventForwarder,
    Projection,
    ProjectionRunner,
)
from eventsource.protocols import (
    EventHandler,
    EventSubscriber,
    FlexibleEventHandler,
    FlexibleEventSubscriber,
    SyncEventHandler,
)
from eventsource.repositories import (
    CheckpointData,
    CheckpointRepository,
    DLQEntry,
    DLQRepository,
    DLQStats,
    EventSourceJSONEncoder,
    InMemoryCheckpointRepository,
    InMemoryDLQRepository,
    LagMetrics,
    ProjectionFailureCount,
)
from eventsource.snapshots import (
    InMemorySnapshotStore,
    Snapshot,
    SnapshotDeserializationError,
    SnapshotError,
    SnapshotNotFoundError,
    SnapshotSchemaVersionError,
    SnapshotStore,
)
from eventsource.stores import (
    SQLITE_AVAILABLE,
    AppendResult,
    EventPublisher,
    EventStore,
    EventStream,
    ExpectedVersion,
    InMemoryEventStore,
    ReadDirection,
    ReadOptions,
    StoredEvent,
)
from eventsource.types import AggregateId, CausationId, CorrelationId, EventId, TenantId, TState

if TYPE_CHECKING:
    from eventsource.bus.kafka import (
        KAFKA_AVAILABLE,
        KafkaEventBus,
        KafkaEventBusConfig,
        KafkaEventBusStats,
        KafkaNotAvailableError,
    )
    from eventsource.bus.rabbitmq import (
        RABBITMQ_AVAILABLE,
        RabbitMQEventBus,
        RabbitMQEventBusConfig,
        RabbitMQEventBusStats,
        RabbitMQNotAvailableError,
    )
    from eventsource.databases.postgresql_options import PostgreSQLOptions
    from eventsource.projections.checkpoints.postgresql import PostgreSQLCheckpointRepository
    from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository
    from eventsource.projections.dead_letters.postgresql import PostgreSQLDLQRepository
    from eventsource.projections.dead_letters.sqlite import SQLiteDLQRepository
    from eventsource.projections.postgresql import PostgreSQLProjection
    from eventsource.projections.sqlite import SQLiteProjection
    from eventsource.snapshots.postgresql import PostgreSQLSnapshotStore
    from eventsource.snapshots.sqlite import SQLiteSnapshotStore
    from eventsource.stores.postgresql import PostgreSQLEventStore
    from eventsource.stores.sqlite import SQLiteEventStore

__all__ = [
    "KAFKA_AVAILABLE",
    "RABBITMQ_AVAILABLE",
    "SQLITE_AVAILABLE",
    "AggregateId",
    "AggregateNotFoundError",
    "AggregateRepository",
    "AggregateRoot",
    "AppendResult",
    "AsyncEventHandler",
    "CausationId",
    "CheckpointConflictError",
    "CheckpointData",
    "CheckpointError",
    "CheckpointRepository",
    "CheckpointTrackingProjection",
    "CorrelationId",
    "DLQEntry",
    "DLQRepository",
    "DLQStats",
    "DatabaseError",
    "DeclarativeAggregate",
    "DeclarativeProjection",
    "DomainEvent",
    "DuplicateEventError",
    "DuplicateEventTypeError",
    "EventBus",
    "EventForwarder",
    "EventHandler",
    "EventHandlerFunc",
    "EventId",
    "EventNotFoundError",
    "EventPublisher",
    "EventRegistry",
    "EventSourceError",
    "EventSourceJSONEncoder",
    "EventStore",
    "EventStream",
    "EventSubscriber",
    "EventTypeNotFoundError",
    "EventVersionError",
    "ExpectedVersion",
    "FlexibleEventHandler",
    "FlexibleEventSubscriber",
    "ForeignEventError",
    "InMemoryCheckpointRepository",
    "InMemoryDLQRepository",
    "InMemoryEventBus",
    "InMemoryEventStore",
    "InMemorySnapshotStore",
    "KafkaEventBus",
    "KafkaEventBusConfig",
    "KafkaEventBusStats",
    "KafkaNotAvailableError",
    "LagMetrics",
    "NotConnectedError",
    "OptimisticLockError",
    "Projection",
    "ProjectionError",
    "ProjectionFailureCount",
    "ProjectionRunner",
    "RabbitMQEventBus",
    "RabbitMQEventBusConfig",
    "RabbitMQEventBusStats",
    "RabbitMQNotAvailableError",
    "ReadDirection",
    "ReadOptions",
    "RebuildError",
    "SQLiteCheckpointRepository",
    "SQLiteDLQRepository",
    "SQLiteEventStore",
    "SQLiteProjection",
    "SQLiteSnapshotStore",
    "Snapshot",
    "SnapshotDeserializationError",
    "SnapshotError",
    "SnapshotNotFoundError",
    "SnapshotSchemaVersionError",
    "SnapshotStore",
    "StoredEvent",
    "SyncEventHandler",
    "TState",
    "TenantId",
    "__version__",
    "current_headers",
    "default_registry",
    "get_event_class",
    "get_event_class_or_none",
    "handles",
    "is_event_registered",
    "list_registered_events",
    "register_event",
]

try:
    __version__ = metadata.version("eventsource-py")
except metadata.PackageNotFoundError:  # the source tree, not installed
    __version__ = "0.0.0.dev0"

if is_installed("asyncpg"):  # 'import *' resolves what is lazy, and must not need a driver
    __all__ += [
        "PostgreSQLCheckpointRepository",
        "PostgreSQLDLQRepository",
        "PostgreSQLEventStore",
        "PostgreSQLOptions",
        "PostgreSQLProjection",
        "PostgreSQLSnapshotStore",
    ]

__getattr__ = lazy_names(
    __name__,
    {
        "KAFKA_AVAILABLE": "eventsource.bus.kafka",
        "KafkaEventBus": "eventsource.bus.kafka",
        "KafkaEventBusConfig": "eventsource.bus.kafka",
        "KafkaEventBusStats": "eventsource.bus.kafka",
        "KafkaNotAvailableError": "eventsource.bus.kafka",
        "RABBITMQ_AVAILABLE": "eventsource.bus.rabbitmq",
        "RabbitMQEventBus": "eventsource.bus.rabbitmq",
        "RabbitMQEventBusConfig": "eventsource.bus.rabbitmq",
        "RabbitMQEventBusStats": "eventsource.bus.rabbitmq",
        "RabbitMQNotAvailableError": "eventsource.bus.rabbitmq",
        "SQLiteCheckpointRepository": "eventsource.projections.checkpoints.sqlite",
        "SQLiteDLQRepository": "eventsource.projections.dead_letters.sqlite",
        "SQLiteEventStore": "eventsource.stores.sqlite",
        "SQLiteProjection": "eventsource.projections.sqlite",
        "SQLiteSnapshotStore": "eventsource.snapshots.sqlite",
        "PostgreSQLCheckpointRepository": "eventsource.projections.checkpoints.postgresql",
        "PostgreSQLDLQRepository": "eventsource.projections.dead_letters.postgresql",
        "PostgreSQLEventStore": "eventsource.stores.postgresql",
        "PostgreSQLOptions": "eventsource.databases.postgresql_options",
        "PostgreSQLProjection": "eventsource.projections.postgresql",
        "PostgreSQLSnapshotStore": "eventsource.snapshots.postgresql",
    },
)
