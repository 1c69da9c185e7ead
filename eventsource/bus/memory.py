"""An event bus within the process."""

import asyncio
import logging
from collections.abc import Collection
from contextvars import ContextVar
from functools import partial
from typing import ClassVar, TypeAlias

from eventsource.ambient import set_during
from eventsource.bus.interface import EventBus
from eventsource.bus.operations import Dispatch, Publish
from eventsource.cancellation import is_being_cancelled
from eventsource.events.base import DomainEvent
from eventsource.handlers.adapter import HandlerAdapter
from eventsource.headers import headers_in_hand

logger = logging.getLogger(__name__)

Publication: TypeAlias = "asyncio.Future[None]"
"""Is done when all handlers of what was published are."""

_part_of: ContextVar[frozenset[Publication]] = ContextVar("eventsource_publications", default=frozenset())
"""The publications that wait for the running handler."""

_GRACE = 1.0


class InMemoryEventBus(EventBus):
    """
    Hands events to the handlers in the same process, one event after the other.

    The handlers of one event run concurrently; one that fails is logged and counted, and harms nobody else.
    """

    system: ClassVar[str] = "memory"

    def __init__(self, *, enable_tracing: bool = True) -> None:
        super().__init__()
        self.enable_tracing = enable_tracing
        self._under_way: set[Publication] = set()
        self._background: dict[Publication, asyncio.Task[None]] = {}
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
        """
        Wait for the publications under way, for *timeout* seconds, then cancel those in the background.

        Nothing more is accepted. Publications of other event loops are not waited for; what does not end when it is
        cancelled is left behind after another second.
        """
        self._is_shut_down = True
        loop = asyncio.get_running_loop()
        here = {each for each in self._under_way if each.get_loop() is loop}
        late = await _still_waiting(here - _part_of.get(), timeout)  # a handler may be who shuts down
        if late:
            logger.warning("Event bus shutdown: %d task(s) did not complete within timeout", len(late))
            tasks = [self._background[each] for each in late if each in self._background]
            for task in tasks:
                task.cancel()
            await _still_waiting(tasks, _GRACE)

    async def _publish(self, publish: Publish) -> None:
        publication: Publication = asyncio.get_running_loop().create_future()
        self._under_way.add(publication)
        if not publish.background:
            await self._deliver_as(publication, _part_of.get(), publish)
            return
        task = asyncio.create_task(self._deliver_as(publication, frozenset(), publish))
        self._stats["background_tasks_created"] += 1
        self._background[publication] = task
        task.add_done_callback(partial(self._forget, publication))

    async def _deliver_as(self, publication: Publication, waiting: frozenset[Publication], publish: Publish) -> None:
        with set_during(_part_of, waiting | {publication}):
            try:
                await self._deliver_all(publish)
            finally:
                self._end(publication)

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
            if is_being_cancelled():
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

    def _forget(self, publication: Publication, task: asyncio.Task[None]) -> None:
        del self._background[publication]
        self._stats["background_tasks_completed"] += 1
        self._end(publication)  # a task that is cancelled before it begins cannot say so

    def _end(self, publication: Publication) -> None:
        self._under_way.discard(publication)
        if not publication.done():
            publication.set_result(None)


async def _still_waiting(futures: Collection["asyncio.Future[None]"], timeout: float) -> set["asyncio.Future[None]"]:
    """Return those of *futures* that are not done after *timeout* seconds."""
    if not futures:
        return set()
    _, late = await asyncio.wait(futures, timeout=timeout)
    return late
