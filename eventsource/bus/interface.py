"""The port of event buses."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Self, TypeAlias, TypeVar, final

from eventsource.bus.messages import Address, Server
from eventsource.bus.operations import Dispatch, Handle, Publish
from eventsource.bus.subscriptions import Subscriptions
from eventsource.component import Component, implemented_by
from eventsource.events.base import DomainEvent
from eventsource.events.checks import check_events
from eventsource.exceptions import NotConnectedError
from eventsource.headers import check_headers
from eventsource.protocols import (
    AsyncEventHandler,
    EventHandler,
    EventSubscriber,
    FlexibleEventHandler,
    FlexibleEventSubscriber,
    HandlerOf,
)
from eventsource.types import Headers

EventHandlerFunc: TypeAlias = Callable[[DomainEvent], Awaitable[None] | None]
TEvent = TypeVar("TEvent", bound=DomainEvent)
Handler: TypeAlias = HandlerOf[TEvent] | Callable[[TEvent], Awaitable[None] | None]

__all__ = [
    "AsyncEventHandler",
    "EventBus",
    "EventHandler",
    "EventHandlerFunc",
    "EventSubscriber",
    "FlexibleEventHandler",
    "FlexibleEventSubscriber",
]


class EventBus(Component, ABC):
    """
    Carries events to handlers, which subscribe to event classes; a class is matched exactly.

    Backends implement the underscored hooks. ``system`` names the messaging system (the value of
    ``messaging.system``), ``concurrent_publications`` is how many calls of `publish` whoever has much to publish should
    have under way at once; 1 where handlers run inside of the call. ``server`` is where the broker is, if there is one,
    ``consumer_group`` with whom this bus shares what is published.
    """

    system: ClassVar[str] = "other"
    concurrent_publications: ClassVar[int] = 1
    server: Server | None = None
    consumer_group: str | None = None

    def __init__(self) -> None:
        self._subscriptions = Subscriptions(logging.getLogger(type(self).__module__))
        self._is_shut_down = False

    @final
    @implemented_by("_publish")
    async def publish(
        self, events: Sequence[DomainEvent], background: bool = False, *, headers: Headers | None = None
    ) -> None:
        """
        Publish *events* in their order.

        Args:
            events: Nothing is done if there is none.
            background: Whether to return at once; failures are then only logged and counted.
            headers: Travel with each of the events; a handler finds them in `current_headers`.

        Raises:
            NotConnectedError: If the bus was shut down, or is not connected and does not do that by itself.
        """
        self._check_open()
        events = check_events(events)
        if events:
            await self._begin(Publish(events, background, check_headers(headers)))

    def subscribe(self, event_type: type[TEvent], handler: Handler[TEvent]) -> None:
        """
        Let *handler* handle the events of this class; twice if it is subscribed twice.

        Raises:
            TypeError: If *event_type* is no event class or *handler* cannot handle events.
        """
        self._subscriptions.add(event_type, handler)

    def unsubscribe(self, event_type: type[TEvent], handler: Handler[TEvent]) -> bool:
        """Take back one subscription and tell whether there was one."""
        return self._subscriptions.remove(event_type, handler)

    def subscribe_all(self, subscriber: FlexibleEventSubscriber) -> None:
        """
        Subscribe *subscriber* to each of the event classes that it names.

        Raises:
            TypeError: If it is a class instead of an object.
        """
        if isinstance(subscriber, type):
            raise TypeError(f"{subscriber!r} is a class: subscribe an object of it")
        for event_type in subscriber.subscribed_to():
            self.subscribe(event_type, subscriber)

    def subscribe_to_all_events(self, handler: Handler[DomainEvent]) -> None:
        """Let *handler* handle every event."""
        self._subscriptions.add_to_all(handler)

    def unsubscribe_from_all_events(self, handler: Handler[DomainEvent]) -> bool:
        """Take back one subscription to every event and tell whether there was one."""
        return self._subscriptions.remove_from_all(handler)

    def clear_subscribers(self) -> None:
        """Take back all subscriptions."""
        self._subscriptions.clear()

    def get_subscriber_count(self, event_type: type[DomainEvent] | None = None) -> int:
        """Return how many handlers *event_type* has, or all classes together; those of every event not counted."""
        return self._subscriptions.count(event_type)

    def get_wildcard_subscriber_count(self) -> int:
        """Return how many handlers every event has."""
        return self._subscriptions.count_of_all()

    def address_of(self, event: DomainEvent) -> Address | None:
        """Return where a message that carries *event* goes, if it goes anywhere."""
        return None

    @abstractmethod
    async def shutdown(self, timeout: float = 30.0) -> None:
        """Publish and handle what was accepted, for *timeout* seconds at most, and accept nothing more."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.shutdown()

    async def _begin(self, publish: Publish) -> None:
        """Pass *publish* through the door; a bus may do so later, if it is to be done in the background."""
        await self._perform(self._publish, publish)

    def _check_open(self) -> None:
        """Raise a `NotConnectedError` if nothing can be published."""
        self._check_not_shut_down()

    def _check_not_shut_down(self) -> None:
        if self._is_shut_down:
            raise NotConnectedError(f"{type(self).__name__} has been shut down: publish before, or make a new bus")

    @abstractmethod
    async def _publish(self, publish: Publish) -> None: ...

    @abstractmethod
    async def _dispatch(self, dispatch: Dispatch) -> None: ...

    async def _handle(self, handle: Handle) -> None:
        await handle.handler.handle(handle.event)

    async def _deliver(self, event: DomainEvent) -> None:
        """Hand *event* to its handlers, if there are any."""
        if handlers := self._subscriptions.of(type(event)):
            await self._perform(self._dispatch, Dispatch(event, handlers))

    async def _call(self, handler: Any, event: DomainEvent) -> None:
        await self._perform(self._handle, Handle(event, handler))
