"""Handlers of events: marking, finding, calling and naming them."""

from eventsource.handlers.adapter import HandlerAdapter, get_handler_name
from eventsource.handlers.decorators import get_handled_event_type, handles, is_event_handler
from eventsource.handlers.registry import HandlerInfo, HandlerRegistry

__all__ = [
    "HandlerAdapter",
    "HandlerInfo",
    "HandlerRegistry",
    "get_handled_event_type",
    "get_handler_name",
    "handles",
    "is_event_handler",
]
