"""Connections to SQLite whose transactions carry the work of several, none of whom may end them."""

import sqlite3
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

_RESERVED = ("job", "event")


class SharedConnection(sqlite3.Connection):
    """A connection whose transactions are the database's: a job is a part of one, and does not end it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loan = _Loan()
        self.set_authorizer(self.loan.authorize)

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


@contextmanager
def lent(connection: sqlite3.Connection) -> Iterator[None]:
    """
    Let somebody else work with *connection* inside the block, who may neither end its transaction nor close it.

    Raises:
        DatabaseError: If a statement would end the transaction, or a savepoint of the database.
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
        loan.is_out = False
        connection.row_factory, connection.text_factory = None, str


class _Loan:
    is_out = False

    def authorize(self, action: int, operation: str | None, name: str | None, *rest: str | None) -> int:
        """Answer SQLite, which asks when it compiles a statement."""
        ends = action == sqlite3.SQLITE_TRANSACTION or (action == sqlite3.SQLITE_SAVEPOINT and name in _RESERVED)
        return sqlite3.SQLITE_DENY if self.is_out and ends else sqlite3.SQLITE_OK


def _not_yours(method: str) -> DatabaseError:
    return DatabaseError(
        f"connection.{method}: the transaction is shared with others, and is committed for all of them; "
        "use execute and executemany, and raise an exception to undo what was written"
    )
