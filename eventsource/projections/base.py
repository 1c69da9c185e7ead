"""Projections: read models made of events."""

import logging
from abc import ABC, abstractmethod
from dataclasses import asdict
from functools import partial
from typing import Any, ClassVar, final

from eventsource.component import Component, implemented_by
from eventsource.events.base import DomainEvent
from eventsource.events.checks import check_name, check_type
from eventsource.events.registry import EventRegistry, EventTypeNotFoundError
from eventsource.exceptions import CheckpointConflictError, SerializationError, UnreadableEvent
from eventsource.handlers.registry import HandlerRegistry, UnregisteredEventHandling, report_unhandled
from eventsource.headers import current_headers, headers_in_hand
from eventsource.projections.attempts import Attempts, Failure, Sleep, sleep
from eventsource.projections.checkpoints.in_memory import InMemoryCheckpointRepository
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.projections.cursor import Cursor
from eventsource.projections.dead_letters.in_memory import InMemoryDLQRepository
from eventsource.projections.dead_letters.interface import DLQRepository, failed_event, message_of
from eventsource.projections.dead_letters.operations import AddFailedEvent
from eventsource.projections.dead_letters.payloads import event_of, payload_of
from eventsource.projections.dead_letters.values import DLQEntry, RetryResult
from eventsource.projections.followers import Follower
from eventsource.projections.operations import Call, CatchUp, Project
from eventsource.projections.outcomes import CaughtUp
from eventsource.protocols import EventSubscriber
from eventsource.retry import ExponentialBackoffRetryPolicy, RetryConfig, RetryPolicy
from eventsource.stores.values import StoredEvent
from eventsource.types import Headers

logger = logging.getLogger(__name__)

REPLAYED = "replay"
"""Who has resolved the dead letters of a projection that is made anew."""


class Projection(ABC):
    """Whatever turns events into a read model."""

    @abstractmethod
    async def handle(self, event: DomainEvent) -> None:
        """Bring the read model up to date with *event*."""

    @abstractmethod
    async def reset(self) -> None:
        """Empty the read model, to make it again from the first event on."""


class CheckpointTrackingProjection(Component, Projection, EventSubscriber, Follower):
    """
    A projection that notes how far it came, tries again, and keeps what it cannot handle as dead letters.

    Subclasses say which events they want (`subscribed_to`) and what to do with one (`_process_event`). Events come from
    a `ProjectionRunner`, which follows the log, or from a bus, through `handle`.

    Args:
        checkpoint_repo: Where its checkpoint is; in memory if not given, as a read model in memory needs it.
        dlq_repo: Where its dead letters are; in memory if not given.
        retry_policy: When to try again; if not given, ``MAX_RETRIES`` attempts, ``RETRY_BACKOFF_BASE`` seconds after
            the first, twice as long after the next.
        enable_tracing: Whether an instrumentation makes spans for its events.
        name: What it is called; its class name if not given. Checkpoint, lease and dead letters go by it.
    """

    MAX_RETRIES: ClassVar[int] = 3
    RETRY_BACKOFF_BASE: ClassVar[float] = 2

    def __init__(
        self,
        checkpoint_repo: CheckpointRepository | None = None,
        dlq_repo: DLQRepository | None = None,
        retry_policy: RetryPolicy | None = None,
        enable_tracing: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        self.enable_tracing = enable_tracing
        self.checkpoints = checkpoint_repo or InMemoryCheckpointRepository(enable_tracing=False)
        self.dead_letters = dlq_repo or InMemoryDLQRepository(enable_tracing=False)
        self.retry_policy = retry_policy or self._default_policy()
        self._name = type(self).__name__ if name is None else name
        check_type("checkpoint_repo", self.checkpoints, CheckpointRepository)
        check_type("dlq_repo", self.dead_letters, DLQRepository)
        check_type("retry_policy", self.retry_policy, RetryPolicy)
        check_name("name", self._name)

    @property
    def projection_name(self) -> str:
        """What the projection is called."""
        return self._name

    @final
    @implemented_by("_process_event")
    async def handle(self, event: DomainEvent) -> None:
        """
        Handle *event* and note it in the checkpoint, as often as the retry policy says.

        What the last attempt raised is kept with the event as a dead letter, and reaches the caller.
        """
        attempts = self._attempts_at(event, sleep)
        failure = await attempts.make(partial(attempts.error_of, partial(self._process_and_track, event)))
        if failure is None:
            return
        try:
            await self._keep_dead_letter(event, failure, current_headers())
        except Exception as error:  # the caller has to learn what the handler raised
            message = "Failed to write event %s to DLQ for projection %s: %s"
            logger.critical(message, event.event_id, self._name, error)
        try:
            raise failure.error
        finally:
            del failure  # its traceback holds this frame

    async def reset(self) -> None:
        """Forget the checkpoint and empty the read model; while a runner is active, use `ProjectionRunner.rebuild`."""
        position = await self.checkpoints.get_position(self._name)
        await self.checkpoints.reset_checkpoint(self._name, replay_until=position)  # should this end half-way
        await self._empty()

    async def get_checkpoint(self) -> str | None:
        """Return the id of the last event that was handled, if any was."""
        event_id = await self.checkpoints.get_checkpoint(self._name)
        return str(event_id) if event_id else None

    async def get_lag_metrics(self) -> dict[str, Any] | None:
        """Return what `CheckpointRepository.get_lag_metrics` says of the events it wants, None before the first one."""
        metrics = await self.checkpoints.get_lag_metrics(self._name, self.subscribed_to())
        return asdict(metrics) if metrics else None

    async def retry_dead_letters(
        self, limit: int = 100, *, event_registry: EventRegistry | None = None
    ) -> list[RetryResult]:
        """
        Try the failed events again, each once, in the order in which they failed, and return what came of each.

        Args:
            limit: At most so many.
            event_registry: Knows the classes of the events; the default registry if not given.
        """
        entries = await self.dead_letters.get_failed_events(self._name, limit=limit, oldest_first=True)
        return [await self.retry_dead_letter(entry.id, event_registry=event_registry) for entry in entries]

    async def retry_dead_letter(self, dlq_id: int, *, event_registry: EventRegistry | None = None) -> RetryResult:
        """Try one failed event again, once, and return what came of it; see `retry_dead_letters`."""
        entry = await self.dead_letters.get_failed_event_by_id(dlq_id)
        if entry is None or entry.projection_name != self._name:
            return RetryResult(dlq_id, "unknown")
        if entry.status == "resolved":
            return RetryResult(dlq_id, "resolved before", entry.event_id)
        try:
            event = event_of(entry, event_registry, self.subscribed_to())
        except (EventTypeNotFoundError, SerializationError) as error:
            return RetryResult(dlq_id, "unreadable", entry.event_id, error)
        return await self._retry(entry, event)

    @abstractmethod
    async def _process_event(self, event: DomainEvent) -> None:
        """Bring the read model up to date with *event*."""

    async def _truncate_read_models(self) -> None:
        """Empty the read model; subclasses that have one say how."""

    async def _project(self, project: Project) -> None:
        await self._process_event(project.event)

    async def _project_page(self, page: CatchUp, cursor: Cursor) -> CaughtUp:
        for stored in page.events:
            if cursor.halt.is_wanted or not await self._settle(stored, page.replay, cursor):
                break
            await cursor.handled(stored)
        return CaughtUp(cursor.position)

    def _can_be_rebuilt(self) -> bool:
        return type(self)._truncate_read_models is not CheckpointTrackingProjection._truncate_read_models

    async def _begin(self, checkpoint: CheckpointData, owner: str) -> None:
        if checkpoint.replay_until is not None:
            await self._empty()
        try:
            await super()._begin(checkpoint, owner)
        except CheckpointConflictError:
            if checkpoint.replay_until is not None:  # what whoever moved it has made of the events is gone by now
                await self.checkpoints.reset_checkpoint(self._name, replay_until=checkpoint.replay_until)
            raise

    async def _skip_unreadable(self, bad: UnreadableEvent, error: SerializationError) -> None:
        await self.dead_letters.add_failed_event(bad.event_id, self._name, bad.event_type, bad.payload, error)
        logger.critical("Event %s sent to DLQ: it cannot be read: %s", bad.event_id, error)

    async def _retry(self, entry: DLQEntry, event: DomainEvent) -> RetryResult:
        await self.dead_letters.mark_retrying(entry.id)
        project = partial(self._perform, self._project, Project(event, replay=True))
        with headers_in_hand(entry.headers):
            error = await self._attempts_at(event, sleep).error_of(project)
        if error is not None:
            return await self._failed_again(entry, error)
        await self.dead_letters.mark_resolved(entry.id, "retry")
        return RetryResult(entry.id, "resolved", entry.event_id)

    async def _failed_again(self, entry: DLQEntry, error: Exception) -> RetryResult:
        repository = self.dead_letters
        await repository._perform(repository._add_failed_event, self._dead_letter_again(entry, error))
        return RetryResult(entry.id, "failed", entry.event_id, error)

    async def _empty(self) -> None:
        """Empty the read model; dead letters need no retry then, for their events are handled again."""
        logger.warning("Resetting projection %s", self._name)
        await self._truncate_read_models()
        await self.dead_letters.resolve_failed_events(self._name, REPLAYED)

    async def _process_and_track(self, event: DomainEvent) -> None:
        await self._perform(self._project, Project(event))
        await self.checkpoints.update_checkpoint(self._name, event.event_id, event.event_type)

    async def _settle(self, stored: StoredEvent, replay: bool, cursor: Cursor) -> bool:
        """Handle one event or keep it as a dead letter; False if it was given up because a halt is wanted."""
        attempts = self._attempts_at(stored.event, cursor.halt.sleep)
        project = partial(self._perform, self._project, Project(stored.event, replay))
        with headers_in_hand(stored.headers):
            failure = await attempts.make(partial(attempts.error_of, project))
        if failure is None:
            return True
        if failure.is_final:
            await self._keep_dead_letter(stored.event, failure, stored.headers)
        return failure.is_final

    async def _keep_dead_letter(self, event: DomainEvent, failure: Failure, headers: Headers) -> None:
        repository = self.dead_letters
        await repository._perform(repository._add_failed_event, self._dead_letter(event, failure, headers))
        self._report_dead_letter(event, failure)

    def _dead_letter(self, event: DomainEvent, failure: Failure, headers: Headers) -> AddFailedEvent:
        return failed_event(
            event.event_id,
            self._name,
            event.event_type,
            payload_of(event),
            failure.error,
            retry_count=failure.attempts,
            headers=headers,
        )

    def _dead_letter_again(self, entry: DLQEntry, error: Exception) -> AddFailedEvent:
        return failed_event(
            entry.event_id,
            self._name,
            entry.event_type,
            entry.event_data,
            error,
            retry_count=entry.retry_count + 1,
            headers=entry.headers,
            again=True,
        )

    def _report_dead_letter(self, event: DomainEvent, failure: Failure) -> None:
        message = "Event %s sent to DLQ after %d attempts: projection %s failed on %s with %s: %s"
        error, facts = failure.error, (event.event_id, failure.attempts, self._name, event.event_type)
        logger.critical(message, *facts, type(error).__name__, message_of(error))

    def _attempts_at(self, event: DomainEvent, sleep: Sleep) -> Attempts:
        return Attempts(self._name, event, self.retry_policy, sleep)

    def _default_policy(self) -> RetryPolicy:
        delay, jitter = (self.RETRY_BACKOFF_BASE, 0.1) if self.RETRY_BACKOFF_BASE else (0.001, 0.0)
        return ExponentialBackoffRetryPolicy(
            RetryConfig(max_retries=max(0, self.MAX_RETRIES - 1), initial_delay=delay, jitter=jitter)
        )


class DeclarativeProjection(CheckpointTrackingProjection):
    """
    A projection whose handlers are async methods marked with ``@handles(Event)`` that take ``(event)``.

    The arguments are those of `CheckpointTrackingProjection`.

    Raises:
        ValueError: If a handler is not async or takes other arguments, or ``unregistered_event_handling`` is none of
            ignore, warn and error.
    """

    unregistered_event_handling: ClassVar[UnregisteredEventHandling] = "ignore"

    def __init__(
        self,
        checkpoint_repo: CheckpointRepository | None = None,
        dlq_repo: DLQRepository | None = None,
        retry_policy: RetryPolicy | None = None,
        enable_tracing: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(checkpoint_repo, dlq_repo, retry_policy, enable_tracing, name=name)
        self._handlers = HandlerRegistry(self, unregistered_event_handling=self.unregistered_event_handling)
        check_handled_classes(self, self._handlers)

    def subscribed_to(self) -> list[type[DomainEvent]]:
        """Return the event classes that have a handler."""
        return self._handlers.get_subscribed_events()

    async def _process_event(self, event: DomainEvent) -> None:
        handler = self._handlers.get_handler(type(event))
        if handler is None:
            report_unhandled(self, event, self.unregistered_event_handling, self._handlers.get_subscribed_events())
        else:
            await self._perform(self._call, Call(event, handler))

    async def _call(self, call: Call) -> None:
        await call.handler.call(call.event)


def check_handled_classes(projection: CheckpointTrackingProjection, handlers: HandlerRegistry) -> None:
    """
    Check that each handler is of a class that events may have.

    Raises:
        ValueError: If one is of `DomainEvent`, which would never be called.
    """
    if handlers.has_handler(DomainEvent):
        raise ValueError(
            f"{type(projection).__qualname__} handles DomainEvent, but events are matched by their very class: handle "
            "each class, or derive from CheckpointTrackingProjection and return [DomainEvent] from subscribed_to()"
        )
