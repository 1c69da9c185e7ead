"""Projections whose read model is in PostgreSQL: what they write and their checkpoint are one transaction."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from eventsource.databases.postgresql import Connection, PostgreSQLDatabase, Source, harm_to, is_gone
from eventsource.databases.postgresql_errors import ENDED, is_in_failed_transaction, is_outage, unusable
from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.databases.postgresql_stores import PostgreSQLBacked
from eventsource.events.base import DomainEvent
from eventsource.exceptions import DatabaseError
from eventsource.handlers.registry import report_unhandled
from eventsource.headers import headers_in_hand
from eventsource.projections.attempts import sleep
from eventsource.projections.base import REPLAYED
from eventsource.projections.checkpoints.operations import ResetCheckpoint, SaveCheckpoint
from eventsource.projections.checkpoints.postgresql import PostgreSQLCheckpointRepository
from eventsource.projections.cursor import Cursor
from eventsource.projections.dead_letters.operations import AddFailedEvent, MarkResolved, ResolveFailedEvents
from eventsource.projections.dead_letters.postgresql import PostgreSQLDLQRepository
from eventsource.projections.dead_letters.values import DLQEntry
from eventsource.projections.operations import Call
from eventsource.projections.outcomes import Attempted
from eventsource.projections.transactional import TransactionalProjection
from eventsource.retry import RetryPolicy
from eventsource.stores.values import StoredEvent
from eventsource.types import Headers

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

_LONGEST_TRANSACTION = 1.0
"""Seconds after which the events that are handled so far are committed: what they changed is locked meanwhile."""


class PostgreSQLProjection(TransactionalProjection[PostgreSQLDatabase], PostgreSQLBacked):
    """
    A projection that keeps read model, checkpoint and dead letters in one PostgreSQL database.

    Its handlers are async methods marked with ``@handles(Event)`` that take ``(connection, event)``; the connection is
    asyncpg's, in a transaction, which is not theirs to end. What the handlers of a page write is committed together
    with the checkpoint: each event is reflected once, whatever dies when. When one fails, all of the page is undone and
    those before it are handled again, without it. So a handler that commits is not only refused: what was written
    before it on its page stays, and is written again.

    An async context manager: entering connects, and creates the tables (`_create_tables`). ``options`` are those of
    `PostgreSQLEventStore`, the other arguments those of `CheckpointTrackingProjection`.

    Raises:
        ValueError: If a handler is not async or takes other arguments.
    """

    def __init__(
        self,
        database: Source,
        retry_policy: RetryPolicy | None = None,
        enable_tracing: bool = False,
        *,
        name: str | None = None,
        options: PostgreSQLOptions | None = None,
    ) -> None:
        PostgreSQLBacked.__init__(self, database, options)
        self._checkpoints = PostgreSQLCheckpointRepository(database, enable_tracing, options=options)
        self._dead_letters = PostgreSQLDLQRepository(database, enable_tracing, options=options)
        parts = (self._checkpoints, self._dead_letters)
        super().__init__(parts, retry_policy, enable_tracing, name, require_async=True)

    @property
    def namespace(self) -> str | None:
        """Database and schema, as those of its checkpoints."""
        return self._checkpoints.namespace

    async def fetch(self, query: str, *values: object) -> list[Any]:
        """Return the rows of the read model that *query* asks for, with *values* for ``$1`` and so on."""
        return await self._connected.fetch(query, *values)

    async def _create_tables(self, connection: Connection) -> None:
        """Create the tables of the read model where they are missing; subclasses say how."""

    async def _empty_tables(self, connection: Connection) -> None:
        """Empty the tables of the read model; subclasses that can be made anew say how."""

    def _can_be_rebuilt(self) -> bool:
        return type(self)._empty_tables is not PostgreSQLProjection._empty_tables

    async def _create_missing(self, database: PostgreSQLDatabase) -> None:
        if type(self)._create_tables is not PostgreSQLProjection._create_tables:
            async with database.transaction(lent=True) as connection:
                await self._alone(connection)
                await self._create_tables(connection)
                await _check(connection)

    async def _commit(self, events: Sequence[StoredEvent], to_position: int, cursor: Cursor) -> list[Attempted]:
        attempts: list[Attempted] = []
        try:
            async with self._connected.transaction(lent=True) as connection:
                position = await self._handle_page(events, to_position, cursor, attempts, connection)
        except _Undone as undone:
            if undone.is_by_last:
                return await self._commit_before(attempts[-1], events[: len(attempts) - 1], cursor)
            return await self._commit_one_by_one(events, cursor)
        cursor.committed(position)
        return attempts

    async def _commit_one_by_one(self, events: Sequence[StoredEvent], cursor: Cursor) -> list[Attempted]:
        """Handle *events* in a transaction each, for one of them has left that of all of them unusable."""
        attempts: list[Attempted] = []
        for stored in events:
            attempts += await self._commit([stored], stored.global_position, cursor)
            if attempts[-1].error is not None or cursor.halt.is_wanted:
                break
        return attempts

    async def _handle_page(
        self,
        events: Sequence[StoredEvent],
        to_position: int,
        cursor: Cursor,
        attempts: list[Attempted],
        connection: Connection,
    ) -> int:
        """Handle *events*, the first one in any case, and move the checkpoint, and return where it is."""
        end = time.perf_counter() + _LONGEST_TRANSACTION
        for stored in events:
            if attempts and (cursor.halt.is_wanted or time.perf_counter() > end):
                break
            attempts.append(await self._attempt(stored, connection))
            if (error := attempts[-1].error) is not None:
                attempts[-1].error = _reason(error)
                raise _Undone(is_by_last=len(events) == 1 or not is_in_failed_transaction(error))
        last = events[len(attempts) - 1]
        position = to_position if len(attempts) == len(events) else last.global_position
        if (harm := await harm_to(connection)) is not None:
            attempts[-1].error = harm
            raise _Undone(is_by_last=len(events) == 1)
        await self._checkpoints.move(self._move(last, position, len(attempts), cursor), connection)
        return position

    async def _attempt(self, stored: StoredEvent, connection: Connection) -> Attempted:
        started = time.perf_counter()
        call = partial(self._call, stored.event, stored.headers, connection)
        error = await self._attempts_at(stored.event, sleep).error_of(call)
        if error is not None and (is_outage(error) or is_gone(connection)):
            raise error
        return Attempted(stored.event, time.perf_counter() - started, error)

    async def _call(self, event: DomainEvent, headers: Headers, connection: Connection) -> None:
        handler = self._handlers.get_handler(type(event))
        if handler is None:
            report_unhandled(self, event, self.unregistered_event_handling, self._handlers.get_subscribed_events())
            return
        with headers_in_hand(headers):
            await self._perform(partial(_call, connection), Call(event, handler))
        if not connection.is_in_transaction():
            raise DatabaseError(ENDED)

    async def _handle_alone(self, event: DomainEvent, headers: Headers) -> None:
        save = SaveCheckpoint(self._name, event.event_id, event.event_type)

        await self._write(partial(self._call, event, headers), partial(self._checkpoints.move, save))

    async def _handle_dead_letter(self, entry: DLQEntry, event: DomainEvent) -> bool:
        mark = MarkResolved(entry.id, "retry", datetime.now(UTC))

        async def handle(connection: Connection) -> bool:
            if not await self._dead_letters.resolve(mark, connection):
                return False
            await self._call(event, entry.headers, connection)
            return True

        return await self._write(handle)

    async def _keep_and_move(self, add: AddFailedEvent, save: SaveCheckpoint) -> None:
        async with self._connected.transaction() as connection:
            await self._dead_letters.add(add, connection)
            await self._checkpoints.move(save, connection)

    async def _keep_unless_resolved(self, dlq_id: int, add: AddFailedEvent) -> bool:
        async with self._connected.transaction() as connection:
            if await self._dead_letters.is_resolved(dlq_id, connection):
                return False
            await self._dead_letters.add(add, connection)
            return True

    async def _begin_with(self, save: SaveCheckpoint, *, anew: bool) -> None:
        move = partial(self._checkpoints.move, save)
        await (self._write(self._empty_at_once, move) if anew else self._write(move))

    async def _reset(self) -> None:
        reset = ResetCheckpoint(self._name, None)
        await self._write(self._empty_at_once, partial(self._checkpoints.begin_again, reset))

    async def _empty_at_once(self, connection: Connection) -> None:
        logger.warning("Resetting projection %s", self._name)
        await self._empty_tables(connection)
        await self._dead_letters.resolve_all(ResolveFailedEvents(self._name, REPLAYED, datetime.now(UTC)), connection)

    async def _write(
        self,
        work: Callable[[Connection], Awaitable[Result]],
        and_then: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> Result:
        """Do *work*, which runs a subclass's code, *and then* one's own, in a transaction; raise what they raise."""
        try:
            async with self._connected.transaction(lent=True) as connection:
                try:
                    result = await work(connection)
                    await _check(connection)
                    if and_then is not None:
                        await and_then(connection)
                    return result
                except Exception as error:
                    if is_outage(error) or is_gone(connection):
                        raise
                    raise _Raised(_reason(error)) from error
        except _Raised as raised:
            failure = raised.error
        raise failure


class _Undone(Exception):  # noqa: N818 - it tells of an error, and is none
    """A transaction is undone because an event has failed: the last one that was attempted, or one before that."""

    def __init__(self, *, is_by_last: bool) -> None:
        super().__init__()
        self.is_by_last = is_by_last


class _Raised(Exception):  # noqa: N818 - it carries an error
    """What ended a transaction is not the database's."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


async def _check(connection: Connection) -> None:
    if (harm := await harm_to(connection)) is not None:
        raise harm


def _reason(error: Exception) -> Exception:
    return unusable(error) if is_in_failed_transaction(error) else error


async def _call(connection: Connection, call: Call) -> None:
    await call.handler.call(call.event, connection)
