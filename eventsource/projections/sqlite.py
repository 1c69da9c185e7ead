"""Projections whose read model is in SQLite: what they write and their checkpoint are one transaction."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Sequence
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from os import PathLike
from typing import Any, ClassVar

from eventsource.databases.sqlite import MEMORY, Job, Result, SQLiteOptions, Synchronous, is_outage
from eventsource.databases.sqlite_connections import ENDED, RELEASE_EVENT, SAVEPOINT_OF_EVENT, UNDO_EVENT, lent
from eventsource.databases.sqlite_stores import SQLiteBacked
from eventsource.events.base import DomainEvent
from eventsource.exceptions import DatabaseError, ProjectionError
from eventsource.handlers.registry import (
    HandlerRegistry,
    UnregisteredEventHandling,
    check_synchronous,
    report_unhandled,
)
from eventsource.headers import current_headers, headers_in_hand
from eventsource.projections.attempts import Failure
from eventsource.projections.base import REPLAYED, CheckpointTrackingProjection, check_handled_classes
from eventsource.projections.checkpoints.operations import ResetCheckpoint, SaveCheckpoint
from eventsource.projections.checkpoints.sqlite import (
    SQLiteCheckpointRepository,
    begin_again,
    move_checkpoint,
)
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.projections.cursor import Cursor
from eventsource.projections.dead_letters.operations import AddFailedEvent, MarkResolved, ResolveFailedEvents
from eventsource.projections.dead_letters.sqlite import (
    SQLiteDLQRepository,
    add_dead_letter,
    is_resolved,
    resolve_all_dead_letters,
    resolve_dead_letter,
)
from eventsource.projections.dead_letters.values import DLQEntry, RetryResult
from eventsource.projections.operations import CatchUp, Project
from eventsource.projections.outcomes import Attempted, CaughtUp
from eventsource.retry import RetryPolicy
from eventsource.stores.values import StoredEvent
from eventsource.types import Headers

logger = logging.getLogger(__name__)

_LONGEST_TRANSACTION = 0.1
"""Seconds after which the events that are handled so far are committed: meanwhile nobody else can write."""

_GAP = 0.005
"""Seconds until the next ones are begun, for those in other processes who want to write."""


class SQLiteProjection(SQLiteBacked, CheckpointTrackingProjection):
    """
    A projection that keeps read model, checkpoint and dead letters in one SQLite file, which may be the event store's.

    Its handlers are plain functions marked with ``@handles(Event)`` that take ``(connection, event)``. They run on the
    thread that writes to the file, so that handlers and appends never wait for each other's locks. What the handlers of
    a page write is committed together with the checkpoint: each event is reflected once, whatever dies when. An event
    that fails is undone alone.

    An async context manager: entering opens the file and creates the tables (`_create_tables`). The options are those
    of `SQLiteEventStore`, the other arguments those of `CheckpointTrackingProjection`.

    Raises:
        ValueError: If a handler is async or takes other arguments, or *database* is ``:memory:``.
    """

    unregistered_event_handling: ClassVar[UnregisteredEventHandling] = "ignore"
    _schema = ()
    _probe = "SELECT 1"

    def __init__(
        self,
        database: str | PathLike[str],
        retry_policy: RetryPolicy | None = None,
        enable_tracing: bool = False,
        *,
        name: str | None = None,
        wal_mode: bool = True,
        synchronous: Synchronous = "FULL",
        busy_timeout: int = 5000,
    ) -> None:
        options = SQLiteOptions(wal_mode, synchronous, busy_timeout)
        SQLiteBacked.__init__(self, database, options)
        if self.database == MEMORY:
            raise ValueError("a SQLite projection needs a file: in memory use DeclarativeProjection")
        same: dict[str, Any] = {"wal_mode": wal_mode, "synchronous": synchronous, "busy_timeout": busy_timeout}
        self._parts = (
            SQLiteCheckpointRepository(database, enable_tracing, **same),
            SQLiteDLQRepository(database, enable_tracing, **same),
        )
        self._openers = 0
        for part in self._parts:
            part.known_as = type(self).__name__
        CheckpointTrackingProjection.__init__(self, *self._parts, retry_policy, enable_tracing, name=name)
        mode = self.unregistered_event_handling
        self._handlers = HandlerRegistry(self, require_async=False, unregistered_event_handling=mode)
        reason = "it runs on the thread that writes to the database"
        check_handled_classes(self, self._handlers)
        check_synchronous(type(self), self._handlers.get_all_handlers(), ("connection", "event"), reason)

    def subscribed_to(self) -> list[type[DomainEvent]]:
        """Return the event classes that have a handler."""
        return self._handlers.get_subscribed_events()

    async def fetch(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of the read model that *query* asks for."""
        return await self._connected.read(lambda connection: connection.execute(query, parameters).fetchall())

    async def initialize(self) -> None:
        """
        Open the database and create the tables that are missing; may be called again.

        Raises:
            DatabaseError: If the file cannot be opened or is no database of this layout.
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
        await self._write(self._reset)

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        """Create the tables of the read model where they are missing; subclasses say how."""

    def _empty_tables(self, connection: sqlite3.Connection) -> None:
        """Empty the tables of the read model; subclasses that can be made anew say how."""

    async def _process_event(self, event: DomainEvent) -> None:
        """Handle an event from a bus, and note it in the checkpoint."""
        await self._write_alone(partial(self._handle_tracked, event, current_headers()))

    async def _process_and_track(self, event: DomainEvent) -> None:
        await self._perform(self._project, Project(event))

    async def _project_page(self, page: CatchUp, cursor: Cursor) -> CaughtUp:
        remaining: Sequence[StoredEvent] = page.events
        attempts: list[Attempted] = []
        while remaining and not cursor.halt.is_wanted:
            made = await self._commit(remaining, page.to_position, cursor)
            attempts += made
            error = made[-1].error
            remaining = remaining[len(made) - (error is not None) :]
            if error is None:
                await asyncio.sleep(_GAP if remaining else 0)
                continue
            if not await self._settle_failed(remaining[0], error, cursor, attempts):
                break
            remaining = remaining[1:]
        return CaughtUp(cursor.position, tuple(attempts))

    def _can_be_rebuilt(self) -> bool:
        return type(self)._empty_tables is not SQLiteProjection._empty_tables

    async def _begin(self, checkpoint: CheckpointData, owner: str) -> None:
        await self._write(partial(self._begin_at_once, checkpoint, owner))

    async def _retry(self, entry: DLQEntry, event: DomainEvent) -> RetryResult:
        async def project(project: Project) -> bool:
            return await self._write_alone(partial(self._handle_dead_letter, entry, project.event))

        try:
            done = await self._perform(project, Project(event, replay=True))
        except Exception as error:  # whatever the handler raises is the answer
            return await self._failed_again(entry, error)
        return RetryResult(entry.id, "resolved" if done else "resolved before", entry.event_id)

    async def _failed_again(self, entry: DLQEntry, error: Exception) -> RetryResult:
        async def keep(add: AddFailedEvent) -> bool:
            kept: bool = (await self._connected.write(partial(_keep_unless_resolved, entry.id, add))).result
            return kept

        kept = await self.dead_letters._perform(keep, self._dead_letter_again(entry, error))
        return RetryResult(entry.id, "failed" if kept else "resolved before", entry.event_id, error)

    async def _commit(self, events: Sequence[StoredEvent], to_position: int, cursor: Cursor) -> list[Attempted]:
        """Handle *events* and move the checkpoint, up to the first event that fails, as one transaction."""
        job = partial(self._handle_page, events, to_position, cursor.saved, cursor.owner)
        try:
            attempts, position = await self._write(job)
        except _TransactionEnded as ended:
            return await self._commit_before(ended.attempt, events[: ended.handled], cursor)
        if position is not None:
            cursor.committed(position)
        return list(attempts)

    async def _commit_before(
        self, ended_by: Attempted, events: Sequence[StoredEvent], cursor: Cursor
    ) -> list[Attempted]:
        """Handle *events* again, which were undone with the one behind them, and add the attempt at that one."""
        made = await self._commit(events, events[-1].global_position, cursor) if events else []
        is_done = len(made) == len(events) and (not made or made[-1].error is None)
        return [*made, ended_by] if is_done else made

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
        save = self._move(stored, stored.global_position, 1, cursor.saved, cursor.owner)

        async def keep(add: AddFailedEvent) -> None:
            await self._connected.write(partial(_keep_dead_letter, add, save))

        await self.dead_letters._perform(keep, self._dead_letter(stored.event, failure, stored.headers))
        cursor.committed(stored.global_position)
        self._report_dead_letter(stored.event, failure)

    async def _write_alone(self, job: Job[Result]) -> Result:
        """Do *job*, which calls one handler, and raise what the handler has raised as it is."""
        try:
            return await self._write(job)
        except DatabaseError as error:
            cause = error.__cause__
            raise cause if isinstance(cause, sqlite3.Error) and not _is_explained_better(cause) else error from None

    async def _write(self, job: Job[Result]) -> Result:
        """Do *job*, which runs a subclass's code, in the context variables of here and in a transaction of its own."""
        run = copy_context().run
        result: Result = (await self._connected.write(lambda connection: run(job, connection), alone=True)).result
        return result

    # What follows runs on the thread that writes.

    def _handle_page(
        self,
        events: Sequence[StoredEvent],
        to_position: int,
        expected: int,
        owner: str,
        connection: sqlite3.Connection,
    ) -> tuple[list[Attempted], int | None]:
        attempts: list[Attempted] = []
        end = time.perf_counter() + _LONGEST_TRANSACTION
        for stored in events:
            attempts.append(self._attempt(stored, connection))
            if not connection.in_transaction:
                raise _TransactionEnded(len(attempts) - 1, attempts[-1])
            if attempts[-1].error is not None or time.perf_counter() > end:
                break
        done = events[: len(attempts) - (attempts[-1].error is not None)]
        if not done:
            return attempts, None
        position = to_position if len(done) == len(events) else done[-1].global_position
        move_checkpoint(self._move(done[-1], position, len(done), expected, owner), connection)
        return attempts, position

    def _attempt(self, stored: StoredEvent, connection: sqlite3.Connection) -> Attempted:
        started = time.perf_counter()
        connection.execute(SAVEPOINT_OF_EVENT)
        failure = self._failure_of(stored, connection)
        if connection.in_transaction:
            if failure is not None:
                connection.execute(UNDO_EVENT)
            connection.execute(RELEASE_EVENT)
        return Attempted(stored.event, time.perf_counter() - started, failure)

    def _failure_of(self, stored: StoredEvent, connection: sqlite3.Connection) -> Exception | None:
        try:
            self._call(stored.event, stored.headers, connection)
        except Exception as error:  # whatever the handler raises, the retry policy decides; a broken database apart
            if is_outage(error):
                raise
            return error
        return None

    def _call(self, event: DomainEvent, headers: Headers, connection: sqlite3.Connection) -> None:
        handler = self._handlers.get_handler(type(event))
        if handler is None:
            report_unhandled(self, event, self.unregistered_event_handling, self._handlers.get_subscribed_events())
            return
        try:
            with headers_in_hand(headers), lent(connection):
                handler.handler(connection, event)
        except asyncio.CancelledError as error:  # it would cancel all whose writes share the transaction
            raise ProjectionError(self._name, event.event_id, "the handler was cancelled") from error
        if not connection.in_transaction:
            raise DatabaseError(ENDED)

    def _handle_tracked(self, event: DomainEvent, headers: Headers, connection: sqlite3.Connection) -> None:
        self._call(event, headers, connection)
        move_checkpoint(SaveCheckpoint(self._name, event.event_id, event.event_type), connection)

    def _handle_dead_letter(self, entry: DLQEntry, event: DomainEvent, connection: sqlite3.Connection) -> bool:
        if not resolve_dead_letter(MarkResolved(entry.id, "retry", datetime.now(UTC)), connection):
            return False
        self._call(event, entry.headers, connection)
        return True

    def _begin_at_once(self, checkpoint: CheckpointData, owner: str, connection: sqlite3.Connection) -> None:
        if checkpoint.replay_until is not None:
            self._empty_at_once(connection)
        move_checkpoint(SaveCheckpoint(self._name, None, None, 0, owner=owner, events=0), connection)

    def _reset(self, connection: sqlite3.Connection) -> None:
        begin_again(ResetCheckpoint(self._name, None), connection)
        self._empty_at_once(connection)

    def _empty_at_once(self, connection: sqlite3.Connection) -> None:
        logger.warning("Resetting projection %s", self._name)
        with lent(connection):
            self._empty_tables(connection)
        resolve_all_dead_letters(ResolveFailedEvents(self._name, REPLAYED, datetime.now(UTC)), connection)

    def _create(self, connection: sqlite3.Connection) -> None:
        super()._create(connection)
        with lent(connection):
            self._create_tables(connection)

    def _move(self, last: StoredEvent, position: int, events: int, expected: int, owner: str) -> SaveCheckpoint:
        return SaveCheckpoint(self._name, last.event_id, last.event_type, position, expected, owner, events)


class _TransactionEnded(Exception):  # noqa: N818 - what it tells is the handler's error
    """A handler has ended the transaction, and so undone what those before it wrote."""

    def __init__(self, handled: int, attempt: Attempted) -> None:
        super().__init__(str(attempt.error))
        self.handled = handled
        self.attempt = attempt


def _is_explained_better(error: sqlite3.Error) -> bool:
    return is_outage(error) or getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_AUTH


def _keep_dead_letter(add: AddFailedEvent, save: SaveCheckpoint, connection: sqlite3.Connection) -> None:
    add_dead_letter(add, connection)
    move_checkpoint(save, connection)


def _keep_unless_resolved(dlq_id: int, add: AddFailedEvent, connection: sqlite3.Connection) -> bool:
    """Keep the failure of another attempt, and tell so, unless the event has been handled meanwhile."""
    if is_resolved(dlq_id, connection):
        return False
    add_dead_letter(add, connection)
    return True
