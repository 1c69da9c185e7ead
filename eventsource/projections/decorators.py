"""``@handles`` and its kin, under the path where users of projections look for them."""

from eventsource.handlers.decorators import get_handled_event_type, handles, is_event_handler

__all__ = ["get_handled_event_type", "handles", "is_event_handler"]
