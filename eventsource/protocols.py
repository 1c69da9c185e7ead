"""What may be subscribed to a bus."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from eventsource.events.base import DomainEvent

THandled = TypeVar("THandled", bound=DomainEvent, contravariant=True)


@runtime_checkable
class EventHandler(Protocol):
    """Handles events asynchronously."""

    async def handle(self, event: DomainEvent) -> None:
        """Handle one event."""


@runtime_checkable
class SyncEventHandler(Protocol):
    """Handles events in the caller's thread, while the event loop waits."""

    def handle(self, event: DomainEvent) -> None:
        """Handle one event."""


@runtime_checkable
class FlexibleEventHandler(Protocol):
    """Handles events, asynchronously or not."""

    def handle(self, event: DomainEvent) -> Awaitable[None] | None:
        """Handle one event."""


class HandlerOf(Protocol[THandled]):
    """Handles events of one class, asynchronously or not."""

    def handle(self, event: THandled, /) -> Awaitable[None] | None:
        """Handle one event."""


@runtime_checkable
class FlexibleEventSubscriber(Protocol):
    """Handles the events that it names, asynchronously or not."""

    def subscribed_to(self) -> Sequence[type[DomainEvent]]:
        """Return the event classes that this subscriber wants."""

    def handle(self, event: DomainEvent) -> Awaitable[None] | None:
        """Handle one event."""


class EventSubscriber(ABC):
    """Handles the events that it names."""

    @abstractmethod
    def subscribed_to(self) -> list[type[DomainEvent]]:
        """Return the event classes that this subscriber wants."""

    @abstractmethod
    async def handle(self, event: DomainEvent) -> None:
        """Handle one event."""


class AsyncEventHandler(ABC):
    """Handles events of the classes that it names."""

    @abstractmethod
    async def handle(self, event: DomainEvent) -> None:
        """Handle one event."""

    @abstractmethod
    def event_types(self) -> list[type[DomainEvent]]:
        """Return the classes of the events that this handler wants."""

    def can_handle(self, event: DomainEvent) -> bool:
        """Tell whether *event* is of one of these very classes."""
        return type(event) in self.event_types()
