"""For authors of backends: what each port promises, as pytest classes to subclass."""

from typing import TYPE_CHECKING

from eventsource.lazy import lazy_names

if TYPE_CHECKING:
    from eventsource.testing.broker import BrokerContract
    from eventsource.testing.broker_subject import DeadLetterSeen
    from eventsource.testing.checkpoint_repository import CheckpointRepositoryContract
    from eventsource.testing.dlq_repository import DLQRepositoryContract
    from eventsource.testing.event_bus import EventBusContract
    from eventsource.testing.event_store import EventStoreContract
    from eventsource.testing.snapshot_store import SnapshotStoreContract

__all__ = [
    "BrokerContract",
    "CheckpointRepositoryContract",
    "DLQRepositoryContract",
    "DeadLetterSeen",
    "EventBusContract",
    "EventStoreContract",
    "SnapshotStoreContract",
]

__getattr__ = lazy_names(
    __name__,
    {
        "BrokerContract": "eventsource.testing.broker",
        "CheckpointRepositoryContract": "eventsource.testing.checkpoint_repository",
        "DLQRepositoryContract": "eventsource.testing.dlq_repository",
        "DeadLetterSeen": "eventsource.testing.broker_subject",
        "EventBusContract": "eventsource.testing.event_bus",
        "EventStoreContract": "eventsource.testing.event_store",
        "SnapshotStoreContract": "eventsource.testing.snapshot_store",
    },
)
