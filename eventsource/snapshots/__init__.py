"""Snapshots: the state of an aggregate at one version, so that not all of its events are read again."""

from typing import TYPE_CHECKING

from eventsource.lazy import is_installed, lazy_names
from eventsource.snapshots.exceptions import (
    SnapshotDeserializationError,
    SnapshotError,
    SnapshotNotFoundError,
    SnapshotSchemaVersionError,
)
from eventsource.snapshots.in_memory import InMemorySnapshotStore
from eventsource.snapshots.interface import SnapshotStore
from eventsource.snapshots.values import Snapshot

if TYPE_CHECKING:
    from eventsource.snapshots.postgresql import PostgreSQLSnapshotStore
    from eventsource.snapshots.sqlite import SQLiteSnapshotStore

SQLITE_AVAILABLE = True
"""Always: sqlite3 is a part of Python."""

__all__ = [
    "SQLITE_AVAILABLE",
    "InMemorySnapshotStore",
    "SQLiteSnapshotStore",
    "Snapshot",
    "SnapshotDeserializationError",
    "SnapshotError",
    "SnapshotNotFoundError",
    "SnapshotSchemaVersionError",
    "SnapshotStore",
]

if is_installed("asyncpg"):  # 'import *' resolves what is lazy, and must not need a driver
    __all__ += ["PostgreSQLSnapshotStore"]

__getattr__ = lazy_names(
    __name__,
    {
        "SQLiteSnapshotStore": "eventsource.snapshots.sqlite",
        "PostgreSQLSnapshotStore": "eventsource.snapshots.postgresql",
    },
)
