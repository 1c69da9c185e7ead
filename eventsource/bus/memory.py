"""An event bus within the process."""

import asyncio
import logging
from contextvars import ContextVar
from typing import ClassVar

from eventsource.bus.interface import EventBus
from eventsource.bus.operations import Dispatch, Publish
from eventsource.events.base import DomainEvent
from eventsource.handlers.adapter import HandlerAdapter
from eventsource.headers import headers_in_hand

logger = logging.getLogger(__name__)

_background: ContextVar["asyncio.Task[None] | None"] = ContextVar("eventsource_background", default=None)
"""The publication in the background that the running handler is a part of."""


class InMemoryEventBus(EventBus):
    """
    Hands events to the handlers in the same process, one event after the other.

    The handlers of one event run concurrently; one that fails is logged and counted, and harms nobody else.
    """

    system: ClassVar[str] = "memory"

    def __init__(self, *, enable_tracing: bool = True) -> None:
        super().__init__()
        self.enable_tracing = enable_tracing
        self._background: set[asyncio.Task[None]] = set()
        self._stats = {
            "events_published": 0,
            "handlers_invoked": 0,
            "handler_errors": 0,
            "background_tasks_created": 0,
            "background_tasks_completed": 0,
        }

    def get_stats(self) -> dict[str, int]:
        """Return what was counted so far; ``handlers_invoked`` are successes."""
        return dict(self._stats)

    def get_background_task_count(self) -> int:
        """Return how many publications in the background are not done yet."""
        return len(self._background)

    async def shutdown(self, timeout: float = 30.0) -> None:
        """Wait for the publications in the background, for *timeout* seconds, then cancel what is left of them."""
        self._is_shut_down = True
        waiting = self._background - {_background.get()}  # a handler may be the one who shuts down
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=timeout)
        if late:
            logger.warning("Event bus shutdown: %d task(s) did not complete within timeout", len(late))
            for task in late:
                task.cancel()
            await asyncio.wait(late)

    async def _publish(self, publish: Publish) -> None:
        if not publish.background:
            await self._deliver_all(publish)
            return
        task = asyncio.create_task(self._deliver_in_background(publish))
        self._stats["background_tasks_created"] += 1
        self._background.add(task)
        task.add_done_callback(self._forget)

    async def _deliver_in_background(self, publish: Publish) -> None:
        _background.set(asyncio.current_task())
        await self._deliver_all(publish)

    async def _deliver_all(self, publish: Publish) -> None:
        with headers_in_hand(publish.headers):
            for event in publish.events:
                self._stats["events_published"] += 1
                await self._deliver(event)

    async def _dispatch(self, dispatch: Dispatch) -> None:
        event, handlers = dispatch.event, dispatch.handlers
        if len(handlers) == 1:
            await self._try(handlers[0], event)
            return
        async with asyncio.TaskGroup() as group:
            for handler in handlers:
                group.create_task(self._try(handler, event))

    async def _try(self, handler: HandlerAdapter, event: DomainEvent) -> None:
        try:
            await self._call(handler, event)
            self._stats["handlers_invoked"] += 1
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._report(handler, event, error)  # nobody cancelled the handler: it raised this by itself
        except Exception as error:  # what a handler does wrong is no business of the publisher
            self._report(handler, event, error)

    def _report(self, handler: HandlerAdapter, event: DomainEvent, error: BaseException) -> None:
        self._stats["handler_errors"] += 1
        logger.error(
            "Handler %s failed processing %s: %s",
            handler.name,
            event.event_type,
            error,
            exc_info=error,
            extra={
                "handler": handler.name,
                "event_type": event.event_type,
                "event_id": str(event.event_id),
                "error": str(error),
            },
        )

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        self._stats["background_tasks_completed"] += 1
