"""Forwarding: what the log holds is published on a bus, even if whoever appended it has died."""

import asyncio
from collections.abc import Iterator, Sequence
from contextvars import Context
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

from eventsource.bus.interface import EventBus
from eventsource.events.base import DomainEvent
from eventsource.events.checks import check_type
from eventsource.exceptions import SerializationError, UnreadableEvent
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.cursor import Cursor
from eventsource.projections.followers import Follower
from eventsource.projections.halt import Halt
from eventsource.projections.operations import CatchUp
from eventsource.projections.outcomes import CaughtUp
from eventsource.projections.runner import ProjectionRunner
from eventsource.stores.interface import EventStore
from eventsource.types import Headers


class EventForwarder(ProjectionRunner):
    """
    Publishes on *bus* whatever is appended to *store*: at least once, in the order of the log, with the stored headers.

    No outbox is needed: the log is one. The checkpoint moves when a page is published, so a crash repeats at most a
    page. A failure of the bus makes the forwarder begin again from the checkpoint, and so does an event that cannot be
    read: none is left out. A bus that carries several publications at once is given as many, those of one aggregate one
    after another.

    Args:
        store: Where the events are.
        bus: Where they are published; whoever saves them must not publish them too.
        checkpoints: Where the checkpoint is.
        name: What the checkpoint is called.
        event_types: The classes of events to forward; all if not given.
        options: As for `ProjectionRunner`.
    """

    def __init__(
        self,
        store: EventStore,
        bus: EventBus,
        checkpoints: CheckpointRepository,
        *,
        name: str = "forwarder",
        event_types: Sequence[type[DomainEvent]] | None = None,
        **options: Any,
    ) -> None:
        check_type("bus", bus, EventBus)
        check_type("checkpoints", checkpoints, CheckpointRepository)
        wanted = [DomainEvent] if event_types is None else list(event_types)
        super().__init__(store, _Forwarding(bus, wanted, checkpoints, name), **options)


@dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive events that were stored with the same headers."""

    events: tuple[DomainEvent, ...]
    headers: Headers

    @property
    def aggregates(self) -> set[tuple[UUID, str]]:
        return {(event.aggregate_id, event.aggregate_type) for event in self.events}


class _Forwarding(Follower):
    def __init__(
        self, bus: EventBus, event_types: list[type[DomainEvent]], checkpoints: CheckpointRepository, name: str
    ) -> None:
        self.checkpoints = checkpoints
        self._bus = bus
        self._event_types = event_types
        self._name = name

    @property
    def projection_name(self) -> str:
        return self._name

    def subscribed_to(self) -> list[type[DomainEvent]]:
        return self._event_types

    async def _skip_unreadable(self, bad: UnreadableEvent, error: SerializationError) -> None:
        raise error  # what cannot be read cannot be published, and what comes later must not overtake it

    async def _project_page(self, page: CatchUp, cursor: Cursor) -> CaughtUp:
        published = await self._publish_page(page, cursor.halt)
        for stored in page.events[:published]:
            await cursor.handled(stored)
        await cursor.save()
        return CaughtUp(cursor.position)

    async def _publish_page(self, page: CatchUp, halt: Halt) -> int:
        """Publish the events of *page*, until a halt is wanted, and return how many were."""
        publications: dict[asyncio.Task[None], int] = {}
        try:
            async with asyncio.TaskGroup() as group:
                await self._publish_all(_runs(page), group, publications, halt)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        for publication in publications:
            publication.result()  # one that a driver has cancelled is no success
        return sum(publications.values())

    async def _publish_all(
        self,
        runs: Iterator[_Run],
        group: asyncio.TaskGroup,
        publications: dict["asyncio.Task[None]", int],
        halt: Halt,
    ) -> None:
        window = asyncio.Semaphore(self._bus.concurrent_publications)
        latest: dict[tuple[UUID, str], asyncio.Task[None]] = {}
        for run in runs:
            await window.acquire()
            if halt.is_wanted:
                return
            before = {latest[aggregate] for aggregate in run.aggregates if aggregate in latest}
            # In an empty context, so that whoever traces the publication finds what is in its headers, and no more.
            publication = group.create_task(self._publish(run, before), context=Context())
            publication.add_done_callback(lambda _: window.release())
            publications[publication] = len(run.events)
            latest.update(dict.fromkeys(run.aggregates, publication))

    async def _publish(self, run: _Run, before: set["asyncio.Task[None]"]) -> None:
        """Publish *run*, after the publications *before* it that carry events of the same aggregates."""
        for task in before:
            await task
        await self._bus.publish(run.events, headers=run.headers)


def _runs(page: CatchUp) -> Iterator[_Run]:
    for headers, run in groupby(page.events, attrgetter("headers")):
        yield _Run(tuple(stored.event for stored in run), headers)
