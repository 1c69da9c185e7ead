"""Checkpoints: how far each projection has come in the log, and which of its runners may move that."""

from typing import TYPE_CHECKING

from eventsource.lazy import is_installed, lazy_names
from eventsource.projections.checkpoints.in_memory import InMemoryCheckpointRepository
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.checkpoints.values import CheckpointData, LagMetrics

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
