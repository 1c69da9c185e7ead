"""Connections to SQLite whose transactions carry the work of several, none of whom may end them."""

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Self, cast

from eventsource.exceptions import DatabaseError

# Each has a comment, or a borrower could run what the driver has compiled and keeps under the same text.
SAVEPOINT: Final = "SAVEPOINT job -- of the database"
RELEASE: Final = "RELEASE job -- of the database"
UNDO: Final = "ROLLBACK TO job -- of the database"
COMMIT: Final = "COMMIT -- of the database"
ROLLBACK: Final = "ROLLBACK -- of the database"
SAVEPOINT_OF_EVENT: Final = "SAVEPOINT event -- of the database"
RELEASE_EVENT: Final = "RELEASE event -- of the database"
UNDO_EVENT: Final = "ROLLBACK TO event -- of the database"

ENDED: Final = "the transaction has been ended by OR ROLLBACK or RAISE(ROLLBACK): use ABORT instead"

_RESERVED = ("job", "event")
_HARMLESS = ("foreign_key_list", "index_info", "index_list", "index_xinfo", "table_info", "table_list", "table_xinfo")
"""Pragmas that have an argument and change nothing."""


class SharedConnection(sqlite3.Connection):
    """A connection whose transactions are the database's: a job is a part of one, and does not end it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loan = _Loan()
        self.set_authorizer(self.loan.authorize)

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Return a cursor, which is closed at the end of a loan."""
        return self.loan.noted(super().cursor(*args, **kwargs))

    def execute(self, *args: Any) -> sqlite3.Cursor:
        """Run a statement."""
        return self._checked_cursor().execute(*args) if self.loan.is_out else super().execute(*args)

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        """Run a statement with each of several rows of values."""
        return self._checked_cursor().executemany(*args) if self.loan.is_out else super().executemany(*args)

    def commit(self) -> None:
        """Refuse to end the transaction."""
        raise _not_yours("commit")

    def rollback(self) -> None:
        """Refuse to end the transaction."""
        raise _not_yours("rollback")

    def executescript(self, script: str) -> sqlite3.Cursor:
        """Refuse to run a script, which would commit first."""
        raise _not_yours("executescript")

    def close(self) -> None:
        """Close it, unless it is lent."""
        if self.loan.is_out:
            raise _not_yours("close")
        super().close()

    def __enter__(self) -> Self:
        raise _not_yours("with")

    def _checked_cursor(self) -> sqlite3.Cursor:
        if not self.in_transaction:
            raise DatabaseError(ENDED)
        return cast(sqlite3.Cursor, self.cursor())


@contextmanager
def lent(connection: sqlite3.Connection) -> Iterator[None]:
    """
    Let somebody else work with *connection* inside the block, who may neither end its transaction nor set it otherwise.

    Raises:
        DatabaseError: If a statement would end the transaction or a savepoint of the database, or set a pragma.
    """
    loan = cast(SharedConnection, connection).loan
    loan.is_out = True
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_AUTH:
            raise _not_yours("execute") from error
        raise
    finally:
        loan.end()
        connection.row_factory, connection.text_factory = None, str


class _Loan:
    def __init__(self) -> None:
        self.is_out = False
        self._cursors: list[weakref.ref[sqlite3.Cursor]] = []

    def noted(self, cursor: sqlite3.Cursor) -> sqlite3.Cursor:
        """Remember a cursor that somebody may leave open, which would keep the transaction from being committed."""
        if self.is_out:
            self._cursors.append(weakref.ref(cursor))
        return cursor

    def end(self) -> None:
        """Take the connection back."""
        self.is_out = False
        for each in self._cursors:
            if (cursor := each()) is not None:
                cursor.close()
        self._cursors.clear()

    def authorize(self, action: int, operation: str | None, name: str | None, *rest: str | None) -> int:
        """Answer SQLite, which asks when it compiles a statement."""
        if not self.is_out:
            return sqlite3.SQLITE_OK
        ends = action == sqlite3.SQLITE_TRANSACTION or (action == sqlite3.SQLITE_SAVEPOINT and name in _RESERVED)
        sets = action == sqlite3.SQLITE_PRAGMA and name is not None and operation not in _HARMLESS
        return sqlite3.SQLITE_DENY if ends or sets else sqlite3.SQLITE_OK


def _not_yours(method: str) -> DatabaseError:
    return DatabaseError(
        f"connection.{method}: the transaction is shared with others, and is committed for all of them; "
        "use execute and executemany, and raise an exception to undo what was written"
    )
