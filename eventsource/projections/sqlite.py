"""Projections whose read model is in SQLite: what they write and their checkpoint are one transaction."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from os import PathLike
from typing import Any, ClassVar

from eventsource.databases.sqlite import MEMORY, Job, Result, SQLiteDatabase, SQLiteOptions, Synchronous, is_outage
from eventsource.databases.sqlite_connections import ENDED, RELEASE_EVENT, SAVEPOINT_OF_EVENT, UNDO_EVENT, lent
from eventsource.databases.sqlite_stores import SQLiteBacked
from eventsource.events.base import DomainEvent
from eventsource.exceptions import DatabaseError, ProjectionError
from eventsource.handlers.registry import check_synchronous, report_unhandled
from eventsource.headers import headers_in_hand
from eventsource.projections.base import REPLAYED
from eventsource.projections.checkpoints.operations import ResetCheckpoint, SaveCheckpoint
from eventsource.projections.checkpoints.sqlite import (
    SQLiteCheckpointRepository,
    begin_again,
    move_checkpoint,
)
from eventsource.projections.cursor import Cursor
from eventsource.projections.dead_letters.operations import AddFailedEvent, MarkResolved, ResolveFailedEvents
from eventsource.projections.dead_letters.sqlite import (
    SQLiteDLQRepository,
    add_dead_letter,
    is_resolved,
    resolve_all_dead_letters,
    resolve_dead_letter,
)
from eventsource.projections.dead_letters.values import DLQEntry
from eventsource.projections.outcomes import Attempted
from eventsource.projections.transactional import TransactionalProjection
from eventsource.retry import RetryPolicy
from eventsource.stores.values import StoredEvent
from eventsource.types import Headers

logger = logging.getLogger(__name__)

_LONGEST_TRANSACTION = 0.1
"""Seconds after which the events that are handled so far are committed: meanwhile nobody else can write."""


class SQLiteProjection(TransactionalProjection[SQLiteDatabase], SQLiteBacked):
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

    _schema = ()
    _probe = "SELECT 1"
    _gap: ClassVar[float] = 0.005

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
        parts = (
            SQLiteCheckpointRepository(database, enable_tracing, **same),
            SQLiteDLQRepository(database, enable_tracing, **same),
        )
        super().__init__(parts, retry_policy, enable_tracing, name, require_async=False)
        reason = "it runs on the thread that writes to the database"
        check_synchronous(type(self), self._handlers.get_all_handlers(), ("connection", "event"), reason)

    async def fetch(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of the read model that *query* asks for."""
        return await self._connected.read(lambda connection: connection.execute(query, parameters).fetchall())

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        """Create the tables of the read model where they are missing; subclasses say how."""

    def _empty_tables(self, connection: sqlite3.Connection) -> None:
        """Empty the tables of the read model; subclasses that can be made anew say how."""

    def _can_be_rebuilt(self) -> bool:
        return type(self)._empty_tables is not SQLiteProjection._empty_tables

    async def _commit(self, events: Sequence[StoredEvent], to_position: int, cursor: Cursor) -> list[Attempted]:
        move = partial(self._move, cursor=cursor)
        try:
            attempts, position = await self._write(partial(self._handle_page, events, to_position, move))
        except _TransactionEnded as ended:
            return await self._commit_before(ended.attempt, events[: ended.handled], cursor)
        if position is not None:
            cursor.committed(position)
        return list(attempts)

    async def _handle_alone(self, event: DomainEvent, headers: Headers) -> None:
        await self._write_alone(partial(self._handle_tracked, event, headers))

    async def _handle_dead_letter(self, entry: DLQEntry, event: DomainEvent) -> bool:
        return await self._write_alone(partial(self._handle_unresolved, entry, event))

    async def _keep_and_move(self, add: AddFailedEvent, save: SaveCheckpoint) -> None:
        await self._connected.write(partial(_keep_and_move, add, save))

    async def _keep_unless_resolved(self, dlq_id: int, add: AddFailedEvent) -> bool:
        kept: bool = (await self._connected.write(partial(_keep_unless_resolved, dlq_id, add))).result
        return kept

    async def _begin_with(self, save: SaveCheckpoint, *, anew: bool) -> None:
        await self._write(partial(self._begin_at_once, save, anew))

    async def _reset(self) -> None:
        await self._write(self._reset_at_once)

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
        move: Callable[[StoredEvent, int, int], SaveCheckpoint],
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
        move_checkpoint(move(done[-1], position, len(done)), connection)
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

    def _handle_unresolved(self, entry: DLQEntry, event: DomainEvent, connection: sqlite3.Connection) -> bool:
        if not resolve_dead_letter(MarkResolved(entry.id, "retry", datetime.now(UTC)), connection):
            return False
        self._call(event, entry.headers, connection)
        return True

    def _begin_at_once(self, save: SaveCheckpoint, anew: bool, connection: sqlite3.Connection) -> None:
        if anew:
            self._empty_at_once(connection)
        move_checkpoint(save, connection)

    def _reset_at_once(self, connection: sqlite3.Connection) -> None:
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


class _TransactionEnded(Exception):  # noqa: N818 - what it tells is the handler's error
    """A handler has ended the transaction, and so undone what those before it wrote."""

    def __init__(self, handled: int, attempt: Attempted) -> None:
        super().__init__(str(attempt.error))
        self.handled = handled
        self.attempt = attempt


def _is_explained_better(error: sqlite3.Error) -> bool:
    return is_outage(error) or getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_AUTH


def _keep_and_move(add: AddFailedEvent, save: SaveCheckpoint, connection: sqlite3.Connection) -> None:
    add_dead_letter(add, connection)
    move_checkpoint(save, connection)


def _keep_unless_resolved(dlq_id: int, add: AddFailedEvent, connection: sqlite3.Connection) -> bool:
    """Keep the failure of another attempt, and tell so, unless the event has been handled meanwhile."""
    if is_resolved(dlq_id, connection):
        return False
    add_dead_letter(add, connection)
    return True
