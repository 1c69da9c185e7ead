"""PostgreSQL: a pool of connections, of which each statement and each transaction asks for one."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from eventsource.databases.owning_loop import OwningLoop
from eventsource.databases.postgresql_driver import asyncpg
from eventsource.databases.postgresql_errors import (
    DRIVER_ERRORS,
    ENDED,
    LEFT_RUNNING,
    MAYBE_WRITTEN,
    NOTHING_DONE,
    NOTHING_READ,
    NOTHING_WRITTEN,
    Consequence,
    explained,
    is_lost,
    is_outage,
    unusable,
)
from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.exceptions import DatabaseError

Connection: TypeAlias = Any
"""A connection of asyncpg's."""
Source: TypeAlias = Any
"""An address (``postgresql://user:password@host:port/database``), or a pool of asyncpg's."""
Row: TypeAlias = Any
"""A record of asyncpg's, which is a sequence of values."""

_HOST = re.compile(r"(\[[^\]]*\]|[^\[\]:]*)(:\d*)?")
_CLOSING = 5.0
"""Seconds after which connections that do not close are left to themselves."""


class PostgreSQLDatabase:
    """
    The connections to one database; for one event loop at a time.

    Nothing is set on a connection for longer than a transaction, so that it may be anybody's next, a pooler's too.
    """

    def __init__(self, source: Source, options: PostgreSQLOptions) -> None:
        self.source = source
        self.options = options
        self.place = place_of(source)
        self.listeners: dict[str, Any] = {}
        """Who listens to which channel, for all who use it."""
        self._owner = OwningLoop(f"PostgreSQL at {self.place}")
        self._opening = asyncio.Lock()
        self.is_own = isinstance(source, str)
        """Whether the connections belong to it, and not to a pool of somebody else's."""
        self._is_closed = False
        self._pool: Any = None if self.is_own else source

    def check_loop(self) -> None:
        """
        Check that the running event loop may use it.

        Raises:
            NotConnectedError: If one in another thread does.
        """
        self._owner.check()

    async def fetch(self, query: str, *values: object) -> list[Row]:
        """
        Return the rows that *query* gives, which only reads; where the connection was lost, another one is asked.

        Raises:
            DatabaseError: If the database refused, or did not answer in time.
        """
        return await self._fetch(query, values, NOTHING_READ, again=True)

    async def write(self, query: str, *values: object, again: bool = False) -> list[Row]:
        """
        Return the rows that *query* gives, which writes; it is a transaction of its own.

        Args:
            query: The statement.
            values: Its values.
            again: Whether it may be run twice, which is done where the connection was lost: then the outcome is not
                known.

        Raises:
            DatabaseError: If the database refused, or did not answer in time.
        """
        return await self._fetch(query, values, MAYBE_WRITTEN if again else NOTHING_WRITTEN, again=again)

    @asynccontextmanager
    async def transaction(self, *, lent: bool = False) -> AsyncIterator[Connection]:
        """
        Give a connection with a transaction at READ COMMITTED, which is committed at the end, undone after an error.

        Args:
            lent: Whether it is given to somebody else, who may set it otherwise.

        Raises:
            DatabaseError: If the database refused, or did not answer in time.
        """
        async with self._connection() as connection, self._explaining(NOTHING_WRITTEN):
            transaction = connection.transaction(isolation="read_committed")
            await transaction.start()
            try:
                try:
                    await connection.execute(self._limits)
                    yield connection
                except BaseException:
                    await _undo(connection, transaction)
                    raise
                await transaction.commit()
            finally:
                if lent and self.is_own:
                    await _reset(connection)

    @asynccontextmanager
    async def lasting_connection(self) -> AsyncIterator[Connection]:
        """
        Give a connection that nobody else has inside the block, be it one more, or one of somebody else's pool.

        Raises:
            DatabaseError: If it is not to be had.
        """
        if not self.is_own:
            async with self._connection() as connection:
                yield connection
            return
        async with self._explaining(NOTHING_DONE):
            connection = await asyncpg.connect(self.source, **self._settings)
        try:
            yield connection
        finally:
            connection.terminate()

    async def close(self) -> None:
        """Let what is under way finish, for a moment, and close all connections; those of a pool of others stay."""
        self._is_closed = True
        pool, self._pool = self._pool, None
        if pool is None or not self.is_own:
            return
        closing = asyncio.ensure_future(pool.close())
        try:
            _, late = await asyncio.wait({closing}, timeout=_CLOSING)
        except asyncio.CancelledError:
            pool.terminate()
            raise
        finally:
            closing.add_done_callback(lambda done: done.cancelled() or done.exception())
        if late:
            pool.terminate()

    async def _fetch(
        self,
        query: str,
        values: tuple[object, ...],
        without: Consequence,
        *,
        again: bool,
        connecting: Consequence = NOTHING_DONE,
    ) -> list[Row]:
        try:
            async with self._connection(connecting) as connection:
                rows: list[Row] = await connection.fetch(query, *values, timeout=self.options.command_timeout)
                return rows
        except DRIVER_ERRORS as error:
            if not again or not is_lost(error) or isinstance(error, TimeoutError):
                raise self._explained(error, without) from error
        if self.is_own and self._pool is not None:
            await self._pool.expire_connections()  # the others may be as dead as this one
        unknown = Consequence(without.unknown, without.unknown)  # whatever comes of it now
        return await self._fetch(query, values, unknown, again=False, connecting=unknown)

    @asynccontextmanager
    async def _connection(self, without: Consequence = NOTHING_DONE) -> AsyncIterator[Connection]:
        self.check_loop()
        async with self._explaining(without):
            pool = await self._open_pool()
            connection = await pool.acquire(timeout=self.options.connect_timeout)
        try:
            yield connection
        finally:
            with suppress(*DRIVER_ERRORS):  # the pool has ended it then, and opens another one when it is needed
                await pool.release(connection, timeout=self.options.connect_timeout)

    async def _open_pool(self) -> Any:
        if self._pool is not None:
            return self._pool
        async with self._opening:
            if self._is_closed:
                raise asyncpg.InterfaceError("the connections were closed meanwhile")
            if self._pool is None:
                options = self.options
                pool = asyncpg.create_pool(
                    self.source,
                    min_size=options.min_size,
                    max_size=options.max_size,
                    connection_class=_Connection,
                    **self._settings,
                )
                self._pool = await pool
        return self._pool

    @property
    def _settings(self) -> dict[str, Any]:
        options = self.options
        settings = {
            "timeout": options.connect_timeout,
            "command_timeout": options.command_timeout,
            "statement_cache_size": options.statement_cache_size,
        }
        return settings if options.ssl is None else {**settings, "ssl": options.ssl}

    @property
    def _limits(self) -> str:
        lock, idle = (round(seconds * 1000) for seconds in (self.options.lock_timeout, self.options.idle_timeout))
        statement = round(self.options.command_timeout * 1000)  # for a pool of others, which may have no time-out
        return (
            f"SET LOCAL statement_timeout = {statement}; "
            f"SET LOCAL lock_timeout = {lock}; SET LOCAL idle_in_transaction_session_timeout = {idle}; "
            "SET LOCAL eventsource.transaction = 'open'"
        )

    @asynccontextmanager
    async def _explaining(self, without: Consequence) -> AsyncIterator[None]:
        try:
            yield
        except DRIVER_ERRORS as error:
            raise self._explained(error, without) from error

    def _explained(self, error: BaseException, without: Consequence) -> DatabaseError:
        return explained(self.place, error, without.unknown if is_lost(error) else without.known)


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg is not annotated
    """A connection on which nothing is set that the next one would have to be spared, at the price of a round trip."""

    def get_reset_query(self) -> str:
        """Return what is run when it is given back."""
        return ""

    async def reset_session(self) -> None:
        """Set everything back that somebody may have set."""
        await self.execute(super().get_reset_query())


def place_of(source: Source) -> str:
    """
    Return what errors call a database: host, port and name, without user and password.

    Raises:
        TypeError: If *source* is neither an address nor a pool.
        ValueError: If it is another address.
    """
    if isinstance(source, asyncpg.Pool):
        return "the pool's server"
    if not isinstance(source, str):
        raise TypeError(f"give an address, 'postgresql://...', or a pool of asyncpg's, not a {type(source).__name__}")
    scheme, separator, rest = source.partition("://")
    if not separator or scheme not in ("postgresql", "postgres"):
        raise ValueError("an address must look like 'postgresql://user:password@host:5432/database'")
    hosts = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    if not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise ValueError(
            "host and port are not to be told from the rest: write '/?#[]' in a password as '%2F' and so on"
        )
    return rest.partition("?")[0].rpartition("@")[2] or "localhost"


def database_in(source: Source) -> str | None:
    """Return the name of the database that *source* tells of, if it does."""
    return (urlsplit(source).path[1:] or None) if isinstance(source, str) else None


def is_gone(connection: Connection) -> bool:
    """Tell whether *connection* was lost, which the pool may have noticed already."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


async def harm_to(connection: Connection) -> Exception | None:
    """
    Return what somebody has done to the transaction that they had.

    They may have ended it, gone on though it had failed, left a statement running, or written what its deferred
    constraints refuse.
    """
    try:
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        is_open = await connection.fetchval("SELECT current_setting('eventsource.transaction', true) = 'open'")
    except asyncpg.InFailedSQLTransactionError as error:  # a COMMIT would undo all and not say so
        return unusable(error)
    except asyncpg.InterfaceError as error:
        if is_gone(connection):
            raise
        return unusable(error, LEFT_RUNNING)
    except asyncpg.PostgresError as error:
        if is_outage(error):
            raise
        refused: Exception = error
        return refused
    return None if is_open else DatabaseError(ENDED)


def _terminate(connection: Connection) -> None:
    if not is_gone(connection):
        connection.terminate()


async def _reset(connection: Connection) -> None:
    if is_gone(connection):
        return
    try:
        await connection.reset_session()
    except BaseException as error:
        _terminate(connection)
        if not isinstance(error, DRIVER_ERRORS):  # of those nobody need know: what was done is committed, or undone
            raise


async def _undo(connection: Connection, transaction: Any) -> None:
    try:
        await transaction.rollback()
    except BaseException as error:
        _terminate(connection)
        if not isinstance(error, DRIVER_ERRORS):
            raise
