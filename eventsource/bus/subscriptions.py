"""Who wants which events."""

import logging
from threading import Lock
from typing import Any

from eventsource.events.base import DomainEvent
from eventsource.events.checks import check_event_class
from eventsource.handlers.adapter import HandlerAdapter


class Subscriptions:
    """
    The handlers of each event class, and those of all events; safe to use from several threads.

    A handler that was subscribed twice is there twice. Events are matched by their exact class.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._by_class: dict[type[DomainEvent], list[HandlerAdapter]] = {}
        self._of_all: list[HandlerAdapter] = []
        self._lock = Lock()

    def add(self, event_type: type[DomainEvent], handler: Any) -> None:
        """Add *handler* for *event_type*."""
        check_event_class(event_type)
        adapter = HandlerAdapter(handler)
        with self._lock:
            self._by_class.setdefault(event_type, []).append(adapter)
        self._logger.info("Registered handler %s for %s", adapter.name, event_type.__name__)

    def remove(self, event_type: type[DomainEvent], handler: Any) -> bool:
        """Remove *handler* once from *event_type* and tell whether it was there."""
        return self._remove(self._by_class.get(event_type, []), handler, event_type.__name__)

    def add_to_all(self, handler: Any) -> None:
        """Add *handler* for every event."""
        adapter = HandlerAdapter(handler)
        with self._lock:
            self._of_all.append(adapter)
        self._logger.info("Registered wildcard handler %s", adapter.name)

    def remove_from_all(self, handler: Any) -> bool:
        """Remove *handler* once from the handlers of every event and tell whether it was there."""
        return self._remove(self._of_all, handler, "all events")

    def of(self, event_type: type[DomainEvent]) -> tuple[HandlerAdapter, ...]:
        """Return the handlers of *event_type*, then those of every event."""
        with self._lock:
            return (*self._by_class.get(event_type, ()), *self._of_all)

    def count(self, event_type: type[DomainEvent] | None) -> int:
        """Return how many handlers *event_type* has, or all classes together; those of every event not counted."""
        with self._lock:
            if event_type is not None:
                return len(self._by_class.get(event_type, ()))
            return sum(map(len, self._by_class.values()))

    def count_of_all(self) -> int:
        """Return how many handlers every event has."""
        return len(self._of_all)

    def clear(self) -> None:
        """Remove all handlers."""
        with self._lock:
            self._by_class.clear()
            self._of_all.clear()

    def _remove(self, handlers: list[HandlerAdapter], handler: Any, subject: str) -> bool:
        adapter = HandlerAdapter(handler)
        with self._lock:
            if adapter not in handlers:
                return False
            handlers.remove(adapter)
        self._logger.info("Unsubscribed handler %s from %s", adapter.name, subject)
        return True
