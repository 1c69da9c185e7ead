"""Projections: read models made of events."""

import logging
from abc import ABC, abstractmethod
from typing import ClassVar, final

from eventsource.component import Component, implemented_by
from eventsource.events.base import DomainEvent
from eventsource.handlers.registry import HandlerRegistry, UnregisteredEventHandling, report_unhandled
from eventsource.projections.operations import Call, Project
from eventsource.protocols import EventSubscriber

logger = logging.getLogger(__name__)


class Projection(ABC):
    """Whatever turns events into a read model."""

    @abstractmethod
    async def handle(self, event: DomainEvent) -> None:
        """Bring the read model up to date with *event*."""

    @abstractmethod
    async def reset(self) -> None:
        """Empty the read model, to make it again from the first event on."""


class DeclarativeProjection(Component, Projection, EventSubscriber):
    """
    A projection whose handlers are async methods marked with ``@handles(Event)`` that take ``(event)``.

    Args:
        name: What it is called; its class name if not given.
        enable_tracing: Whether an instrumentation makes spans for this projection.

    Raises:
        ValueError: If a handler is not async or takes other arguments, or ``unregistered_event_handling`` is none of
            ignore, warn and error.
    """

    unregistered_event_handling: ClassVar[UnregisteredEventHandling] = "ignore"

    def __init__(self, *, name: str | None = None, enable_tracing: bool = False) -> None:
        self.enable_tracing = enable_tracing
        self._name = name or type(self).__name__
        self._handlers = HandlerRegistry(self, unregistered_event_handling=self.unregistered_event_handling)

    @property
    def projection_name(self) -> str:
        """What the projection is called."""
        return self._name

    def subscribed_to(self) -> list[type[DomainEvent]]:
        """Return the event classes that have a handler."""
        return self._handlers.get_subscribed_events()

    @final
    @implemented_by("_project")
    async def handle(self, event: DomainEvent) -> None:
        """
        Give *event* to its handler; what that raises reaches the caller.

        Raises:
            UnhandledEventError: If there is none and ``unregistered_event_handling`` is ``error``.
        """
        await self._perform(self._project, Project(event))

    async def reset(self) -> None:
        """Empty the read model, to make it again from the first event on."""
        logger.warning("Resetting projection %s", self._name)
        await self._truncate_read_models()

    async def _truncate_read_models(self) -> None:
        """Empty the read model; subclasses that have one say how."""

    async def _project(self, project: Project) -> None:
        handler = self._handlers.get_handler(type(project.event))
        if handler is None:
            report_unhandled(
                self, project.event, self.unregistered_event_handling, self._handlers.get_subscribed_events()
            )
        else:
            await self._perform(self._call, Call(project.event, handler))

    async def _call(self, call: Call) -> None:
        await call.handler.call(call.event)
