"""Event stores: append-only logs of events, in streams of one aggregate each."""

from typing import TYPE_CHECKING

from eventsource.lazy import is_installed, lazy_names
from eventsource.stores.in_memory import InMemoryEventStore
from eventsource.stores.interface import EventPublisher, EventStore
from eventsource.stores.values import (
    AppendResult,
    EventStream,
    ExpectedVersion,
    ReadDirection,
    ReadOptions,
    StoredEvent,
)

if TYPE_CHECKING:
    from eventsource.stores.postgresql import PostgreSQLEventStore
    from eventsource.stores.sqlite import SQLiteEventStore

SQLITE_AVAILABLE = True
"""Always: sqlite3 is a part of Python."""

__all__ = [
    "SQLITE_AVAILABLE",
    "AppendResult",
    "EventPublisher",
    "EventStore",
    "EventStream",
    "ExpectedVersion",
    "InMemoryEventStore",
    "ReadDirection",
    "ReadOptions",
    "SQLiteEventStore",
    "StoredEvent",
]

if is_installed("asyncpg"):  # 'import *' resolves what is lazy, and must not need a driver
    __all__ += ["PostgreSQLEventStore"]

__getattr__ = lazy_names(
    __name__,
    {
        "SQLiteEventStore": "eventsource.stores.sqlite",
        "PostgreSQLEventStore": "eventsource.stores.postgresql",
    },
)
