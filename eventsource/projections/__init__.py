"""Projections: read models made of events, and what leads them through the log."""

from typing import TYPE_CHECKING

from eventsource.handlers.decorators import get_handled_event_type, handles, is_event_handler
from eventsource.lazy import is_installed, lazy_names
from eventsource.projections.base import CheckpointTrackingProjection, DeclarativeProjection, Projection
from eventsource.projections.dead_letters.values import RetryResult
from eventsource.projections.forwarding import EventForwarder
from eventsource.projections.lag import Lag
from eventsource.projections.progress import ReplayProgress, progress_bar
from eventsource.projections.runner import ProjectionRunner
from eventsource.protocols import AsyncEventHandler, EventHandler, EventSubscriber, SyncEventHandler

if TYPE_CHECKING:
    from eventsource.projections.postgresql import PostgreSQLProjection
    from eventsource.projections.sqlite import SQLiteProjection

__all__ = [
    "AsyncEventHandler",
    "CheckpointTrackingProjection",
    "DeclarativeProjection",
    "EventForwarder",
    "EventHandler",
    "EventSubscriber",
    "Lag",
    "Projection",
    "ProjectionRunner",
    "ReplayProgress",
    "RetryResult",
    "SQLiteProjection",
    "SyncEventHandler",
    "get_handled_event_type",
    "handles",
    "is_event_handler",
    "progress_bar",
]

if is_installed("asyncpg"):  # 'import *' resolves what is lazy, and must not need a driver
    __all__ += ["PostgreSQLProjection"]

__getattr__ = lazy_names(
    __name__,
    {
        "SQLiteProjection": "eventsource.projections.sqlite",
        "PostgreSQLProjection": "eventsource.projections.postgresql",
    },
)
