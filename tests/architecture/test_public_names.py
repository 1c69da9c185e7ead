"""The names that users know, and nothing by accident."""

import importlib
import pkgutil
from collections.abc import Callable
from importlib import metadata
from types import ModuleType

import pytest

import eventsource
from eventsource.observability import OTEL_AVAILABLE

PUBLIC = {
    "version": "__version__",
    "types": "TState AggregateId EventId TenantId CorrelationId CausationId",
    "events": """
        DomainEvent EventRegistry default_registry register_event get_event_class get_event_class_or_none
        is_event_registered list_registered_events EventTypeNotFoundError DuplicateEventTypeError
    """,
    "stores": """
        EventStore EventPublisher EventStream AppendResult StoredEvent ReadOptions ReadDirection ExpectedVersion
        InMemoryEventStore SQLiteEventStore SQLITE_AVAILABLE PostgreSQLEventStore PostgreSQLOptions
    """,
    "aggregates": "AggregateRoot AggregateRepository DeclarativeAggregate handles",
    "bus": """
        EventBus EventHandlerFunc AsyncEventHandler InMemoryEventBus current_headers KafkaEventBus KafkaEventBusConfig
        KafkaEventBusStats KafkaNotAvailableError KAFKA_AVAILABLE RabbitMQEventBus RabbitMQEventBusConfig
        RabbitMQEventBusStats RabbitMQNotAvailableError RABBITMQ_AVAILABLE
    """,
    "protocols": "EventHandler SyncEventHandler FlexibleEventHandler EventSubscriber FlexibleEventSubscriber",
    "exceptions": """
        AggregateNotFoundError CheckpointConflictError RebuildError CheckpointError DatabaseError DuplicateEventError
        EventNotFoundError EventSourceError EventVersionError ForeignEventError NotConnectedError OptimisticLockError
        ProjectionError
    """,
    "repositories": """
        CheckpointRepository InMemoryCheckpointRepository SQLiteCheckpointRepository CheckpointData LagMetrics
        DLQRepository InMemoryDLQRepository SQLiteDLQRepository DLQEntry DLQStats ProjectionFailureCount
        EventSourceJSONEncoder PostgreSQLCheckpointRepository PostgreSQLDLQRepository
    """,
    "projections": """
        Projection CheckpointTrackingProjection DeclarativeProjection SQLiteProjection ProjectionRunner EventForwarder
        PostgreSQLProjection
    """,
    "snapshots": """
        Snapshot SnapshotStore InMemorySnapshotStore SQLiteSnapshotStore SnapshotError SnapshotDeserializationError
        SnapshotSchemaVersionError SnapshotNotFoundError PostgreSQLSnapshotStore
    """,
}
LAZY = {
    "KafkaEventBus": "eventsource.bus.kafka.bus",
    "KafkaEventBusConfig": "eventsource.bus.kafka.config",
    "PostgreSQLCheckpointRepository": "eventsource.projections.checkpoints.postgresql",
    "PostgreSQLDLQRepository": "eventsource.projections.dead_letters.postgresql",
    "PostgreSQLEventStore": "eventsource.stores.postgresql",
    "PostgreSQLOptions": "eventsource.databases.postgresql_options",
    "PostgreSQLProjection": "eventsource.projections.postgresql",
    "PostgreSQLSnapshotStore": "eventsource.snapshots.postgresql",
    "RabbitMQEventBus": "eventsource.bus.rabbitmq.bus",
    "RabbitMQEventBusConfig": "eventsource.bus.rabbitmq.config",
    "SQLiteCheckpointRepository": "eventsource.projections.checkpoints.sqlite",
    "SQLiteDLQRepository": "eventsource.projections.dead_letters.sqlite",
    "SQLiteEventStore": "eventsource.stores.sqlite",
    "SQLiteProjection": "eventsource.projections.sqlite",
    "SQLiteSnapshotStore": "eventsource.snapshots.sqlite",
}


def every_module() -> list[ModuleType]:
    names = ["eventsource", "eventsource_instrumentation"] if OTEL_AVAILABLE else ["eventsource"]
    packages = [importlib.import_module(name) for name in names]
    return packages + [
        importlib.import_module(module.name)
        for package in packages
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]


def test_the_public_names_are_those_that_are_promised() -> None:
    """A name neither comes nor goes without a word here."""
    promised = {name for group in PUBLIC.values() for name in group.split()}

    assert set(eventsource.__all__) == promised
    assert len(eventsource.__all__) == len(promised)


def test_every_public_name_of_a_module_is_there() -> None:
    """What a module promises can be imported from it."""
    promised = [(module, name) for module in every_module() for name in getattr(module, "__all__", [])]

    missing = [f"{module.__name__}.{name}" for module, name in promised if not hasattr(module, name)]

    assert missing == []


@pytest.mark.parametrize(("name", "home"), LAZY.items())
def test_a_backend_is_found_when_it_is_asked_for(name: str, home: str, run_afresh: Callable[[str], str]) -> None:
    """Its module is loaded by the first use of the name and not before."""
    script = f"""
import sys, eventsource
print({home!r} in sys.modules, eventsource.{name}.__module__, {home!r} in sys.modules)
"""

    assert run_afresh(script).split() == ["False", home, "True"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Lazy names do not hide a slip of the pen."""
    with pytest.raises(AttributeError, match="module 'eventsource' has no attribute 'SQLLiteEventStore'"):
        _ = eventsource.SQLLiteEventStore


def test_the_version_is_that_of_the_distribution() -> None:
    """It is written down once."""
    assert eventsource.__version__ == metadata.version("eventsource-py")
