"""Projections whose read model, checkpoint and dead letters are in one database: what they write is one transaction."""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

from eventsource.databases.backed import Closable, DatabaseBacked
from eventsource.events.base import DomainEvent
from eventsource.handlers.registry import HandlerRegistry, UnregisteredEventHandling
from eventsource.headers import current_headers
from eventsource.projections.attempts import Failure, sleep
from eventsource.projections.base import CheckpointTrackingProjection, check_handled_classes
from eventsource.projections.checkpoints.operations import SaveCheckpoint
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.projections.cursor import Cursor
from eventsource.projections.dead_letters.operations import AddFailedEvent
from eventsource.projections.dead_letters.values import DLQEntry, RetryResult
from eventsource.projections.operations import CatchUp, Project
from eventsource.projections.outcomes import Attempted, CaughtUp
from eventsource.retry import RetryPolicy
from eventsource.stores.values import StoredEvent
from eventsource.types import Headers

Database = TypeVar("Database", bound=Closable)


class TransactionalProjection(CheckpointTrackingProjection, DatabaseBacked[Database]):
    """
    A projection that moves its checkpoint, or keeps a dead letter, in the transaction of what its handlers write.

    Backends implement what is done in one transaction, all of it or nothing. The events of a page share as few as
    possible, each up to an event that fails, which is undone alone.

    Args:
        parts: The repositories of its checkpoint and of its dead letters, which are opened and closed with it.
        retry_policy, enable_tracing, name: As those of `CheckpointTrackingProjection`.
        require_async: Whether its handlers must be async.
    """

    unregistered_event_handling: ClassVar[UnregisteredEventHandling] = "ignore"

    _gap: ClassVar[float] = 0.0
    """Seconds between two transactions of a page, for others who want to write."""

    def __init__(
        self,
        parts: tuple[Any, Any],
        retry_policy: RetryPolicy | None,
        enable_tracing: bool,
        name: str | None,
        *,
        require_async: bool,
    ) -> None:
        self._parts = parts
        self._openers = 0
        for part in parts:
            part.known_as = type(self).__name__
        CheckpointTrackingProjection.__init__(self, *parts, retry_policy, enable_tracing, name=name)
        mode = self.unregistered_event_handling
        self._handlers = HandlerRegistry(self, require_async=require_async, unregistered_event_handling=mode)
        check_handled_classes(self, self._handlers)

    def subscribed_to(self) -> list[type[DomainEvent]]:
        """Return the event classes that have a handler."""
        return self._handlers.get_subscribed_events()

    async def initialize(self) -> None:
        """
        Open the database and create the tables that are missing; may be called again.

        Raises:
            DatabaseError: If it cannot be opened, or has a table of another layout.
        """
        self._openers += 1
        try:
            for part in self._parts:
                await part.initialize()
            await super().initialize()
        except BaseException:
            if self._openers == 1 and not self.is_connected:  # no other task wants it open
                await self.close()
            raise
        finally:
            self._openers -= 1

    async def close(self) -> None:
        """Finish what was asked for and close the database; may be called again."""
        await super().close()
        for part in self._parts:
            await part.close()

    async def reset(self) -> None:
        """Forget the checkpoint and empty the read model, both or nothing; for a runner, use its `rebuild`."""
        await self._reset()

    @abstractmethod
    async def _commit(self, events: Sequence[StoredEvent], to_position: int, cursor: Cursor) -> list[Attempted]:
        """
        Handle *events* and move the checkpoint, up to the first event that fails, and return the attempts.

        Only the last one may have failed. The checkpoint goes to *to_position* if none has.
        """

    @abstractmethod
    async def _handle_alone(self, event: DomainEvent, headers: Headers) -> None:
        """Handle an event from a bus and count it in the checkpoint; raise what the handler raises."""

    @abstractmethod
    async def _handle_dead_letter(self, entry: DLQEntry, event: DomainEvent) -> bool:
        """Handle an event once more and resolve its entry; False if that is resolved; raise what the handler raises."""

    @abstractmethod
    async def _keep_and_move(self, add: AddFailedEvent, save: SaveCheckpoint) -> None:
        """Keep a dead letter and move the checkpoint."""

    @abstractmethod
    async def _keep_unless_resolved(self, dlq_id: int, add: AddFailedEvent) -> bool:
        """Keep the failure of another attempt; False if the event has been handled meanwhile."""

    @abstractmethod
    async def _begin_with(self, save: SaveCheckpoint, *, anew: bool) -> None:
        """Save the first checkpoint, and empty the read model if that is made *anew*."""

    @abstractmethod
    async def _reset(self) -> None:
        """Reset the checkpoint and empty the read model."""

    async def _process_event(self, event: DomainEvent) -> None:
        """Handle an event from a bus, and note it in the checkpoint."""
        await self._handle_alone(event, current_headers())

    async def _process_and_track(self, event: DomainEvent) -> None:
        await self._perform(self._project, Project(event))

    async def _project_page(self, page: CatchUp, cursor: Cursor) -> CaughtUp:
        remaining: Sequence[StoredEvent] = page.events
        attempts: list[Attempted] = []
        while remaining and not cursor.halt.is_wanted:
            made = await self._commit(remaining, page.to_position, cursor)
            attempts += made
            error = made[-1].error if made else None
            remaining = remaining[len(made) - (error is not None) :]
            if error is None:
                await asyncio.sleep(self._gap if remaining else 0)
                continue
            if not await self._settle_failed(remaining[0], error, cursor, attempts):
                break
            remaining = remaining[1:]
        return CaughtUp(cursor.position, tuple(attempts))

    async def _begin(self, checkpoint: CheckpointData, owner: str) -> None:
        save = SaveCheckpoint(self._name, None, None, 0, owner=owner, events=0)
        await self._begin_with(save, anew=checkpoint.replay_until is not None)

    async def _retry(self, entry: DLQEntry, event: DomainEvent) -> RetryResult:
        is_done = False

        async def project(project: Project) -> None:
            nonlocal is_done
            is_done = await self._handle_dead_letter(entry, project.event)

        attempt = partial(self._perform, project, Project(event, replay=True))
        error = await self._attempts_at(event, sleep).error_of(attempt)
        if error is not None:
            return await self._failed_again(entry, error)
        return RetryResult(entry.id, "resolved" if is_done else "resolved before", entry.event_id)

    async def _failed_again(self, entry: DLQEntry, error: Exception) -> RetryResult:
        async def keep(add: AddFailedEvent) -> bool:
            return await self._keep_unless_resolved(entry.id, add)

        kept = await self.dead_letters._perform(keep, self._dead_letter_again(entry, error))
        return RetryResult(entry.id, "failed" if kept else "resolved before", entry.event_id, error)

    async def _commit_before(self, failed: Attempted, events: Sequence[StoredEvent], cursor: Cursor) -> list[Attempted]:
        """Handle *events* again, which were undone with the one behind them, and add the attempt at that one."""
        made = await self._commit(events, events[-1].global_position, cursor) if events else []
        is_done = len(made) == len(events) and (not made or made[-1].error is None)
        return [*made, failed] if is_done else made

    async def _settle_failed(
        self, stored: StoredEvent, error: Exception, cursor: Cursor, attempts: list[Attempted]
    ) -> bool:
        """Handle an event that failed with *error*, or keep it as a dead letter; False if a halt is wanted before."""

        async def again() -> Exception | None:
            attempts.extend(await self._commit([stored], stored.global_position, cursor))
            return attempts[-1].error

        failure = await self._attempts_at(stored.event, cursor.halt.sleep).make(again, failed=error)
        if failure is not None and failure.is_final:
            await self._keep_and_move_on(stored, failure, cursor)
        return failure is None or failure.is_final

    async def _keep_and_move_on(self, stored: StoredEvent, failure: Failure, cursor: Cursor) -> None:
        save = self._move(stored, stored.global_position, 1, cursor)

        async def keep(add: AddFailedEvent) -> None:
            await self._keep_and_move(add, save)

        await self.dead_letters._perform(keep, self._dead_letter(stored.event, failure, stored.headers))
        cursor.committed(stored.global_position)
        self._report_dead_letter(stored.event, failure)

    def _move(self, last: StoredEvent, position: int, events: int, cursor: Cursor) -> SaveCheckpoint:
        return SaveCheckpoint(self._name, last.event_id, last.event_type, position, cursor.saved, cursor.owner, events)
