"""Projections: read models made of events."""

from eventsource.handlers.decorators import get_handled_event_type, handles, is_event_handler
from eventsource.projections.base import DeclarativeProjection, Projection
from eventsource.protocols import AsyncEventHandler, EventHandler, EventSubscriber, SyncEventHandler

__all__ = [
    "AsyncEventHandler",
    "DeclarativeProjection",
    "EventHandler",
    "EventSubscriber",
    "Projection",
    "SyncEventHandler",
    "get_handled_event_type",
    "handles",
    "is_event_handler",
]
