"""What all stores on SQLite have in common: opening and closing a database that they share by its file."""

import asyncio
import os
import sqlite3
from dataclasses import dataclass
from typing import ClassVar, Self, TypeAlias
from weakref import WeakKeyDictionary

from eventsource.databases.sqlite import MEMORY, SQLiteDatabase, SQLiteOptions
from eventsource.exceptions import DatabaseError, NotConnectedError


@dataclass(slots=True)
class _Shared:
    database: SQLiteDatabase
    users: int = 0


_Databases: TypeAlias = dict[tuple[str, SQLiteOptions], _Shared]
_open: WeakKeyDictionary[asyncio.AbstractEventLoop, _Databases] = WeakKeyDictionary()


class Lease:
    """The right to use a database, which the stores of one event loop on one file, opened alike, share."""

    def __init__(self, path: str, options: SQLiteOptions) -> None:
        path = path if path == MEMORY else os.path.realpath(path)
        self._key = (path, options)
        self._databases: _Databases = {}
        if path != MEMORY:
            self._databases = _open.setdefault(asyncio.get_running_loop(), self._databases)
        self._shared = self._databases.get(self._key) or _Shared(SQLiteDatabase(path, options))
        self._shared.users += 1
        self._databases[self._key] = self._shared
        self.is_ready = False
        self.openers = 0

    @property
    def database(self) -> SQLiteDatabase:
        """The database."""
        return self._shared.database

    async def release(self) -> None:
        """Give the right back; the last one closes the database."""
        self._shared.users -= 1
        if self._shared.users == 0:
            del self._databases[self._key]
            await self._shared.database.close()


class SQLiteBacked:
    """
    A store on SQLite; subclasses say which tables they need.

    Args:
        database: The file, or ``:memory:`` for a private database that is lost when it is closed.
        options: How to open it.

    Raises:
        ValueError: If *database* is empty or a URI.
    """

    known_as: str | None = None
    """What errors call it, if it is a part of something that users know under another name."""

    _schema: ClassVar[tuple[str, ...]]
    _probe: ClassVar[str]

    def __init__(self, database: str | os.PathLike[str], options: SQLiteOptions) -> None:
        self._path = _checked(os.fspath(database))
        self._options = options
        self._lease: Lease | None = None

    @property
    def database(self) -> str:
        """The file, as it was given."""
        return self._path

    @property
    def namespace(self) -> str:
        """The file, which is what a database of SQLite is called."""
        return self._path

    @property
    def is_connected(self) -> bool:
        """Whether the store can be used."""
        return self._lease is not None

    async def initialize(self) -> None:
        """
        Open the database and create the tables that are missing; may be called again.

        Raises:
            DatabaseError: If the file cannot be opened or is no database of this layout.
        """
        lease = self._lease = self._lease or Lease(self._path, self._options)
        if lease.is_ready:
            return
        lease.openers += 1
        try:
            await lease.database.write(self._create)
            lease.is_ready = True
        except BaseException:
            if lease.openers == 1 and not lease.is_ready and lease is self._lease:  # no other task wants it open
                await SQLiteBacked.close(self)  # and not what a subclass has besides, which others may be opening
            raise
        finally:
            lease.openers -= 1

    async def close(self) -> None:
        """Finish what was asked for and close the database; may be called again."""
        lease, self._lease = self._lease, None
        if lease is not None:
            await lease.release()

    async def __aenter__(self) -> Self:
        await self.initialize()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def _connected(self) -> SQLiteDatabase:
        if self._lease is None:
            raise NotConnectedError(
                f"{self.known_as or type(self).__name__} on {self._path!r} is not open: use it inside 'async with', "
                "or call initialize() first and close() last"
            )
        return self._lease.database

    def _create(self, connection: sqlite3.Connection) -> None:
        for statement in self._schema:
            connection.execute(statement)
        try:
            connection.execute(self._probe)
        except sqlite3.OperationalError as error:
            raise DatabaseError(
                f"SQLite database {self._path!r} has a table of another layout than {type(self).__name__}'s "
                f"({error}): give a file of its own"
            ) from error


def _checked(path: str) -> str:
    if not path or path.startswith("file:"):
        raise ValueError(f"{path!r} is no file: give a path, or {MEMORY!r} for a private database in memory")
    return path
