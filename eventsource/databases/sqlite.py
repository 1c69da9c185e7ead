"""SQLite: the connections to one database, a thread that writes and some that read."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import local
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, cast, get_args

from eventsource.cancellation import to_the_end
from eventsource.databases.group_commit import GroupCommit
from eventsource.databases.owning_loop import OwningLoop
from eventsource.databases.sqlite_connections import COMMIT, RELEASE, ROLLBACK, SAVEPOINT, UNDO, SharedConnection
from eventsource.exceptions import DatabaseError

Result = TypeVar("Result")
Job: TypeAlias = Callable[[sqlite3.Connection], Result]
"""What is to be done with a connection, as a part of a transaction that somebody else began and will commit."""

Synchronous: TypeAlias = Literal["OFF", "NORMAL", "FULL", "EXTRA"]

MEMORY = ":memory:"
_READERS = 4
_ADVICE = {
    sqlite3.SQLITE_BUSY: "another connection kept it locked for longer than busy_timeout: retry, or raise busy_timeout",
    sqlite3.SQLITE_CANTOPEN: "give a file in a directory that exists and may be written to",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore it from a backup",
    sqlite3.SQLITE_FULL: "the disk is full: make room and retry",
    sqlite3.SQLITE_NOTADB: "the file is something else than a SQLite database: give another one",
    sqlite3.SQLITE_READONLY: "it is read-only: check the mount and the permissions of file and directory",
}

_OUTAGES = frozenset({*_ADVICE, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM})
_REFUSALS = (sqlite3.Error, OverflowError, UnicodeError)
"""What SQLite raises, and the driver where a number takes more than 64 bits or a text is no Unicode."""


@dataclass(frozen=True, slots=True)
class SQLiteOptions:
    """
    How a database is opened: with a write-ahead log, what is flushed when, how long to wait for locks (ms).

    Raises:
        ValueError: If SQLite knows no such option.
    """

    wal_mode: bool = True
    synchronous: Synchronous = "FULL"
    busy_timeout: int = 5000

    def __post_init__(self) -> None:
        if self.synchronous not in get_args(Synchronous):
            raise ValueError(f"synchronous must be one of {get_args(Synchronous)}, not {self.synchronous!r}")
        if self.busy_timeout < 0:
            raise ValueError(f"busy_timeout must be 0 ms or more, not {self.busy_timeout}")


class Committed(NamedTuple):
    """What a writing job returned, and how many jobs its transaction carried."""

    result: Any
    shared: int


def _result_of(job: Job[Result], connection: sqlite3.Connection) -> Result:
    try:
        return job(connection)
    except StopIteration as error:  # no future can carry it: whoever waits would wait for ever
        raise RuntimeError("what was to be done raised StopIteration") from error


class _Writing(NamedTuple):
    job: Job[Any]
    alone: bool


class SQLiteDatabase:
    """
    The connections to one database; for one event loop at a time.

    All writing happens on one thread, where the jobs that are queued share a transaction, a savepoint each; one that
    runs the code of others has a transaction alone. Reading happens on other threads. A whole job is one hop to its
    thread. ``:memory:`` is one private connection for both.
    """

    def __init__(self, path: str, options: SQLiteOptions) -> None:
        self.path = path
        self.options = options
        self._connections: list[sqlite3.Connection] = []
        self._of_thread = local()
        self._owner = OwningLoop(f"the SQLite database {path!r}")
        self._group: GroupCommit[_Writing, Committed] = GroupCommit(self._commit)
        self._writer = ThreadPoolExecutor(1, "eventsource-sqlite-writer")
        self._reader = self._writer if path == MEMORY else self._readers()

    async def write(self, job: Job[Any], *, alone: bool = False) -> Committed:
        """
        Return what *job* returned, once what it wrote is committed, *alone* or together with what others write.

        Raises:
            DatabaseError: If the database refused; nothing of the job was written.
        """
        self._owner.check()
        return await self._group.submit(_Writing(job, alone))

    async def read(self, job: Job[Result]) -> Result:
        """
        Return what *job* read from one state of the database.

        Raises:
            DatabaseError: If the database refused.
        """
        self._owner.check()
        return await self._hop(self._reader, partial(self._read, job))

    async def close(self) -> None:
        """Finish the jobs that are queued, then close all connections."""
        await to_the_end(self._finish())  # those whose jobs are queued were promised an answer

    async def _finish(self) -> None:
        try:
            await self._group.drain()
        finally:
            await asyncio.to_thread(self._shut_down)

    def _readers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_READERS, "eventsource-sqlite-reader", initializer=self._become_reader)

    def _become_reader(self) -> None:
        self._of_thread.is_reader = True

    def _hop(self, executor: ThreadPoolExecutor, work: Callable[[], Result]) -> "asyncio.Future[Result]":
        return asyncio.get_running_loop().run_in_executor(executor, copy_context().run, work)

    def _commit(self, group: Sequence["_Writing"]) -> "asyncio.Future[list[Committed | Exception]]":
        return self._hop(self._writer, partial(self._write_all, group))

    def _write_all(self, group: Sequence["_Writing"]) -> list[Committed | Exception]:
        together = [writing.job for writing in group if not writing.alone]
        outcomes = iter(self._write(together) if together else ())
        return [self._write_alone(writing.job) if writing.alone else next(outcomes) for writing in group]

    def _write_alone(self, job: Job[Any]) -> Committed | Exception:
        try:
            (outcome,) = self._write([job])
        except BaseException as error:  # it belongs to this job, and not to those that came at the same time
            return cast(Exception, error)
        return outcome

    def _write(self, jobs: Sequence[Job[Any]]) -> list[Committed | Exception]:
        try:
            connection = self._connection()
            with _transaction(connection, "BEGIN IMMEDIATE"):
                return [self._attempt(connection, job, len(jobs)) for job in jobs]
        except _REFUSALS as error:
            return [self._explained(error, "nothing was written") for _ in jobs]

    def _attempt(self, connection: sqlite3.Connection, job: Job[Any], shared: int) -> Committed | Exception:
        try:
            connection.execute(SAVEPOINT)
            result = _result_of(job, connection)
            connection.execute(RELEASE)
            return Committed(result, shared)
        except Exception as error:  # each job gets its own answer, and the other jobs theirs
            if not connection.in_transaction:  # SQLite gave up the whole transaction, as it does on a full disk
                raise
            undo(connection)
            connection.execute(RELEASE)
            return self._explained(error, "nothing was written") if isinstance(error, _REFUSALS) else error

    def _read(self, job: Job[Result]) -> Result:
        try:
            connection = self._connection()
            with _transaction(connection, "BEGIN"):
                return _result_of(job, connection)
        except _REFUSALS as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception, consequence: str = "nothing was read") -> DatabaseError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte of an extended code is the primary one
        advice = self._advice(code)
        facts = (f"SQLite database {self.path!r}: {error}", consequence, *filter(None, [advice]))
        explained = DatabaseError("; ".join(facts))
        explained.__cause__ = error
        return explained

    def _advice(self, code: int) -> str | None:
        if code == sqlite3.SQLITE_READONLY and getattr(self._of_thread, "is_reader", False):
            return "what reads must not write"
        if Path(self.path).is_dir():
            return "it is a directory: give a file"
        directory = Path(self.path).resolve().parent
        if code == sqlite3.SQLITE_CANTOPEN and directory.is_dir() and not os.access(directory, os.W_OK):
            code = sqlite3.SQLITE_READONLY
        return _ADVICE.get(code)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = self._connect()
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=self.options.busy_timeout / 1000,
            isolation_level=None,
            check_same_thread=False,
            factory=SharedConnection,
        )
        self._connections.append(connection)
        _set_journal_mode(connection, self.options)
        connection.execute(f"PRAGMA synchronous = {self.options.synchronous}")
        if getattr(self._of_thread, "is_reader", False):
            connection.execute("PRAGMA query_only = ON")
        return connection

    def _shut_down(self) -> None:
        self._reader.shutdown()
        self._writer.shutdown()
        for connection in self._connections:
            connection.close()


def is_outage(error: Exception) -> bool:
    """Tell whether the database has failed, and not the statement that it was given."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _OUTAGES


def undo(connection: sqlite3.Connection) -> None:
    """Undo what the running job has written so far; what others wrote in the same transaction stays."""
    connection.execute(UNDO)


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute(COMMIT)
    except BaseException:
        if connection.in_transaction:
            connection.execute(ROLLBACK)
        raise


def _set_journal_mode(connection: sqlite3.Connection, options: SQLiteOptions) -> None:
    mode = "WAL" if options.wal_mode else "DELETE"
    deadline = time.monotonic() + options.busy_timeout / 1000
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode = {mode}")
            return
        except sqlite3.OperationalError as error:  # SQLite itself does not wait when it changes this mode
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)
