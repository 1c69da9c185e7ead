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
    DatabaseError,
    DuplicateEventError,
    EventNotFoundError,
    EventSourceError,
    EventVersionError,
    ForeignEventError,
    NotConnectedError,
    OptimisticLockError,
    ProjectionError,
)
from eventsource.handlers import handles
from eventsource.headers import current_headers
from eventsource.lazy import lazy_names
from eventsource.projections import DeclarativeProjection, Projection
from eventsource.protocols import (
    EventHandler,
    EventSubscriber,
    FlexibleEventHandler,
    FlexibleEventSubscriber,
    SyncEventHandler,
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
    from eventsource.snapshots.sqlite import SQLiteSnapshotStore
    from eventsource.stores.sqlite import SQLiteEventStore

__all__ = [
    "SQLITE_AVAILABLE",
    "AggregateId",
    "AggregateNotFoundError",
    "AggregateRepository",
    "AggregateRoot",
    "AppendResult",
    "AsyncEventHandler",
    "CausationId",
    "CorrelationId",
    "DatabaseError",
    "DeclarativeAggregate",
    "DeclarativeProjection",
    "DomainEvent",
    "DuplicateEventError",
    "DuplicateEventTypeError",
    "EventBus",
    "EventHandler",
    "EventHandlerFunc",
    "EventId",
    "EventNotFoundError",
    "EventPublisher",
    "EventRegistry",
    "EventSourceError",
    "EventStore",
    "EventStream",
    "EventSubscriber",
    "EventTypeNotFoundError",
    "EventVersionError",
    "ExpectedVersion",
    "FlexibleEventHandler",
    "FlexibleEventSubscriber",
    "ForeignEventError",
    "InMemoryEventBus",
    "InMemoryEventStore",
    "InMemorySnapshotStore",
    "NotConnectedError",
    "OptimisticLockError",
    "Projection",
    "ProjectionError",
    "ReadDirection",
    "ReadOptions",
    "SQLiteEventStore",
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

__getattr__ = lazy_names(
    __name__,
    {
        "SQLiteEventStore": "eventsource.stores.sqlite",
        "SQLiteSnapshotStore": "eventsource.snapshots.sqlite",
    },
)
