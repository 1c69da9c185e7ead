"""Projections: read models made of events."""

from eventsource.handlers.decorators import get_handled_event_type, handles, is_event_handler
from eventsource.projections.base import DeclarativeProjection, Projection

__all__ = ["DeclarativeProjection", "Projection", "get_handled_event_type", "handles", "is_event_handler"]
