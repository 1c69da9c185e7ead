"""What may be subscribed to a bus, under the path where users of projections look for it."""

from eventsource.protocols import AsyncEventHandler, EventHandler, EventSubscriber, SyncEventHandler

__all__ = ["AsyncEventHandler", "EventHandler", "EventSubscriber", "SyncEventHandler"]
