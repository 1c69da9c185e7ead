"""What all stores on SQLite have in common: which file, and which tables."""

import os
import sqlite3
from functools import partial
from typing import ClassVar

from eventsource.databases.backed import DatabaseBacked, Lease
from eventsource.databases.sqlite import MEMORY, SQLiteDatabase, SQLiteOptions
from eventsource.exceptions import DatabaseError


class SQLiteBacked(DatabaseBacked[SQLiteDatabase]):
    """
    A store on SQLite; subclasses say which tables they need.

    Args:
        database: The file, or ``:memory:`` for a private database that is lost when it is closed.
        options: How to open it.

    Raises:
        ValueError: If *database* is empty or a URI.
    """

    _schema: ClassVar[tuple[str, ...]]
    _probe: ClassVar[str]

    def __init__(self, database: str | os.PathLike[str], options: SQLiteOptions) -> None:
        self._path = _checked(os.fspath(database))
        self._options = options

    @property
    def database(self) -> str:
        """The file, as it was given."""
        return self._path

    @property
    def namespace(self) -> str:
        """The file, which is what a database of SQLite is called."""
        return self._path

    @property
    def _place(self) -> str:
        return self._path

    def _new_lease(self) -> Lease[SQLiteDatabase]:
        path = self._path if self._path == MEMORY else os.path.realpath(self._path)
        key = None if path == MEMORY else (path, self._options)
        return Lease(key, partial(SQLiteDatabase, path, self._options))

    async def _create_missing(self, database: SQLiteDatabase) -> None:
        await database.write(self._create)

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
