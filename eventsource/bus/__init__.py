"""Event buses: from whoever publishes an event to whoever subscribed to its class."""

from eventsource.bus.interface import (
    AsyncEventHandler,
    EventBus,
    EventHandler,
    EventHandlerFunc,
    EventSubscriber,
    FlexibleEventHandler,
    FlexibleEventSubscriber,
)
from eventsource.bus.memory import InMemoryEventBus
from eventsource.headers import current_headers

__all__ = [
    "AsyncEventHandler",
    "EventBus",
    "EventHandler",
    "EventHandlerFunc",
    "EventSubscriber",
    "FlexibleEventHandler",
    "FlexibleEventSubscriber",
    "InMemoryEventBus",
    "current_headers",
]
