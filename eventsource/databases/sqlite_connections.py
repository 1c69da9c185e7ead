"""Connections to SQLite whose transactions carry the work of several, none of whom may end them."""

import sqlite3
from contextlib import AbstractContextManager
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

    def __enter__(self) -> Self:
        raise _not_yours("with")


def lent(connection: sqlite3.Connection) -> AbstractContextManager[None]:
    """Refuse inside the block whatever would end the transaction of *connection*, or the savepoints of the database."""
    return cast(SharedConnection, connection).loan


class _Loan(AbstractContextManager[None]):
    def __init__(self) -> None:
        self._is_out = False

    def __enter__(self) -> None:
        self._is_out = True

    def __exit__(self, *exc_info: object) -> None:
        self._is_out = False

    def authorize(self, action: int, operation: str | None, name: str | None, *rest: str | None) -> int:
        """Answer SQLite, which asks when it compiles a statement."""
        ends = action == sqlite3.SQLITE_TRANSACTION or (action == sqlite3.SQLITE_SAVEPOINT and name in _RESERVED)
        return sqlite3.SQLITE_DENY if self._is_out and ends else sqlite3.SQLITE_OK


def _not_yours(method: str) -> DatabaseError:
    return DatabaseError(
        f"connection.{method}: the transaction is shared with others, and is committed for all of them; "
        "use execute and executemany, and raise an exception to undo what was written"
    )
