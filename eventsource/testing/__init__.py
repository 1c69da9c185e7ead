"""For authors of backends: what each port promises, as pytest classes to subclass."""

from typing import TYPE_CHECKING

from eventsource.lazy import lazy_names

if TYPE_CHECKING:
    from eventsource.testing.event_bus import EventBusContract
    from eventsource.testing.event_store import EventStoreContract
    from eventsource.testing.snapshot_store import SnapshotStoreContract

__all__ = ["EventBusContract", "EventStoreContract", "SnapshotStoreContract"]

__getattr__ = lazy_names(
    __name__,
    {
        "EventBusContract": "eventsource.testing.event_bus",
        "EventStoreContract": "eventsource.testing.event_store",
        "SnapshotStoreContract": "eventsource.testing.snapshot_store",
    },
)
