"""Checkpoints of projections, under the path where users look for them."""

from typing import TYPE_CHECKING

from eventsource.lazy import lazy_names
from eventsource.projections.checkpoints import (
    CheckpointData,
    CheckpointRepository,
    InMemoryCheckpointRepository,
    LagMetrics,
)

if TYPE_CHECKING:
    from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository

__all__ = [
    "CheckpointData",
    "CheckpointRepository",
    "InMemoryCheckpointRepository",
    "LagMetrics",
    "SQLiteCheckpointRepository",
]

__getattr__ = lazy_names(__name__, {"SQLiteCheckpointRepository": "eventsource.projections.checkpoints.sqlite"})
