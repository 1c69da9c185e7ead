"""Checkpoints and dead letters of projections, under the path where users look for them."""

from typing import TYPE_CHECKING

from eventsource.lazy import is_installed, lazy_names
from eventsource.projections.checkpoints import (
    CheckpointData,
    CheckpointRepository,
    InMemoryCheckpointRepository,
    LagMetrics,
)
from eventsource.projections.dead_letters import (
    DLQEntry,
    DLQRepository,
    DLQStats,
    InMemoryDLQRepository,
    ProjectionFailureCount,
)
from eventsource.repositories.json_values import EventSourceJSONEncoder, json_dumps, json_loads

if TYPE_CHECKING:
    from eventsource.projections.checkpoints.postgresql import PostgreSQLCheckpointRepository
    from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository
    from eventsource.projections.dead_letters.postgresql import PostgreSQLDLQRepository
    from eventsource.projections.dead_letters.sqlite import SQLiteDLQRepository

__all__ = [
    "CheckpointData",
    "CheckpointRepository",
    "DLQEntry",
    "DLQRepository",
    "DLQStats",
    "EventSourceJSONEncoder",
    "InMemoryCheckpointRepository",
    "InMemoryDLQRepository",
    "LagMetrics",
    "ProjectionFailureCount",
    "SQLiteCheckpointRepository",
    "SQLiteDLQRepository",
    "json_dumps",
    "json_loads",
]

if is_installed("asyncpg"):  # 'import *' resolves what is lazy, and must not need a driver
    __all__ += ["PostgreSQLCheckpointRepository", "PostgreSQLDLQRepository"]

__getattr__ = lazy_names(
    __name__,
    {
        "SQLiteCheckpointRepository": "eventsource.projections.checkpoints.sqlite",
        "SQLiteDLQRepository": "eventsource.projections.dead_letters.sqlite",
        "PostgreSQLCheckpointRepository": "eventsource.projections.checkpoints.postgresql",
        "PostgreSQLDLQRepository": "eventsource.projections.dead_letters.postgresql",
    },
)
