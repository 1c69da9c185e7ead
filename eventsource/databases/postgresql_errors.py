"""What PostgreSQL and its driver raise, in words that say what to do."""

from typing import Final, NamedTuple

from eventsource.databases.postgresql_driver import asyncpg
from eventsource.exceptions import DatabaseError


class Consequence(NamedTuple):
    """What an error tells of the operation: as a rule, and where the connection was lost in the midst of it."""

    known: str
    unknown: str


NOTHING_DONE: Final = Consequence("nothing was done", "nothing was done")
NOTHING_READ: Final = Consequence("nothing was read", "nothing was read")
NOTHING_WRITTEN: Final = Consequence("nothing was written", "it is not known whether anything was written")
MAYBE_WRITTEN: Final = Consequence(
    "nothing was written", "it is not known whether anything was written, and doing it again is safe"
)

ENDED: Final = "the handler has ended the transaction, which is the projection's: leave COMMIT and ROLLBACK out"
LEFT_RUNNING: Final = "the handler has left a statement running: await it"
GONE_ON: Final = (
    "the handler has gone on after an error of the database, which fails all of the transaction: "
    "put what may fail into 'async with connection.transaction():'"
)

DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, EOFError)
"""Whatever the driver raises; a `TimeoutError` is an `OSError`."""

_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    OSError,
    EOFError,
)
_OUTAGES: Final = ("08", "25006", "25P03", "40", "53", "55P03", "57P", "58", "XX")
"""Classes of SQLSTATE that tell of the server, or of others, and not of the statement (PostgreSQL 15, appendix A)."""

_OF_VALUES: Final = ("22", "23", "54")
"""Those that tell of what the statement was given: data exceptions, violated constraints, exceeded limits."""

_ADVICE: Final = {
    "08P01": "behind a pooler, leave out what it does not know of the address's settings",
    "25006": "this server is read-only: give the address of the primary",
    "26000": "behind a pooler in transaction mode, set statement_cache_size=0",
    "28000": "the server does not let this user in: check pg_hba.conf, user and encryption",
    "28P01": "check user and password",
    "3D000": "create the database first",
    "42501": "see what 'python -m eventsource.databases.postgresql_schema --role NAME' ends with, or ask the owner",
    "42P05": "behind a pooler in transaction mode, set statement_cache_size=0",
    "42P01": "close it and call initialize(), or run what 'python -m eventsource.databases.postgresql_schema' prints",
    "42883": "close it and call initialize(), or run what 'python -m eventsource.databases.postgresql_schema' prints",
    "3F000": "close it and call initialize(), or run what 'python -m eventsource.databases.postgresql_schema' prints",
    "53100": "the disk is full: make room and retry",
    "53300": "the server has no connection left: lower max_size, or raise its max_connections",
    "55P03": "others kept a lock for longer than lock_timeout: find the long transaction in pg_stat_activity, or retry",
    "57014": "it was cancelled, or took longer than a time-out allows: find what holds it up, or raise command_timeout",
    "57P03": "the server is starting or stopping: retry",
}


def explained(place: str, error: BaseException, consequence: str) -> DatabaseError:
    """Return what to raise instead of *error*, which is its cause."""
    text = str(error).split("\n", 1)[0] or type(error).__name__
    if isinstance(error, asyncpg.InternalClientError) or "released back to the pool" in text:
        text = "the connection was lost"
    facts = (f"PostgreSQL at {place}: {text}", consequence, *filter(None, [_advice(error)]))
    explanation = DatabaseError("; ".join(facts))
    explanation.__cause__ = error
    return explanation


def is_lost(error: BaseException) -> bool:
    """Tell whether the connection has ended, so that the outcome of what it did may be unknown."""
    if isinstance(error, _LOST):
        return True
    return isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError)


def is_outage(error: BaseException) -> bool:
    """Tell whether the server has said that it cannot go on, for reasons that another statement would meet as well."""
    return (getattr(error, "sqlstate", None) or "").startswith(_OUTAGES)


def is_in_failed_transaction(error: BaseException) -> bool:
    """Tell whether a statement was refused because one before it has failed, in the same transaction."""
    return isinstance(error, asyncpg.InFailedSQLTransactionError)


def is_about_values(error: BaseException) -> bool:
    """Tell whether a statement was refused for the values that it was given, so that others may go."""
    return isinstance(error, asyncpg.DataError) or (getattr(error, "sqlstate", None) or "").startswith(_OF_VALUES)


def unusable(error: Exception, reason_for_it: str = GONE_ON) -> DatabaseError:
    """Return what to raise instead of *error*, which tells what came of it only."""
    reason = DatabaseError(reason_for_it)
    reason.__cause__ = error
    return reason


def undefined_column(error: BaseException | None) -> bool:
    """Tell whether a table has not the columns that it should have."""
    return isinstance(error, asyncpg.UndefinedColumnError)


def _advice(error: BaseException) -> str | None:
    if isinstance(error, TimeoutError):
        return "it did not answer in time: raise connect_timeout or command_timeout, or find what holds it up"
    if isinstance(error, asyncpg.DataError):
        return "PostgreSQL cannot store such a value"
    return _ADVICE.get(getattr(error, "sqlstate", None) or "")
