"""Checkpoints of projections, under the path where users look for them."""

from typing import TYPE_CHECKING

from eventsource.lazy import is_installed, lazy_names
from eventsource.projections.checkpoints import (
    CheckpointData,
    CheckpointRepository,
    InMemoryCheckpointRepository,
    LagMetrics,
)

if TYPE_CHECKING:
    from eventsource.projections.checkpoints.postgresql import PostgreSQLCheckpointRepository
    from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository

__all__ = [
    "CheckpointData",
    "CheckpointRepository",
    "InMemoryCheckpointRepository",
    "LagMetrics",
    "SQLiteCheckpointRepository",
]

if is_installed("asyncpg"):  # 'import *' resolves what is lazy, and must not need a driver
    __all__ += ["PostgreSQLCheckpointRepository"]

__getattr__ = lazy_names(
    __name__,
    {
        "SQLiteCheckpointRepository": "eventsource.projections.checkpoints.sqlite",
        "PostgreSQLCheckpointRepository": "eventsource.projections.checkpoints.postgresql",
    },
)
