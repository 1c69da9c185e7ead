"""How a PostgreSQL database is opened."""

from dataclasses import dataclass
from ssl import SSLContext
from typing import Literal, TypeAlias

from eventsource.events.checks import check_type

SSLMode: TypeAlias = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

_LEAST, _MOST = 0.001, 2_147_483
"""Seconds that PostgreSQL takes for a time-out, in milliseconds: 0 would be none."""
_LONGEST_NAME = 63
"""Bytes that PostgreSQL keeps of a name; it cuts off the rest."""


@dataclass(frozen=True, slots=True)
class PostgreSQLOptions:
    """
    Where the tables are, how to connect, and how long to wait; times are in seconds.

    Stores that are given the same address and equal options share their connections. What only concerns connecting
    (``min_size``, ``max_size``, ``connect_timeout``, ``ssl``, ``statement_cache_size``) is of no effect with a pool of
    your own.

    Args:
        schema: The schema of the tables.
        min_size: How many connections are kept open.
        max_size: How many there may be. One more is used to listen.
        connect_timeout: How long to wait for a connection, be it opened or given back by others.
        command_timeout: After how long a statement is cancelled.
        lock_timeout: How long a statement waits for a lock, an append for the others for example.
        idle_timeout: After how long the server ends a transaction whose program does not go on.
        ssl: A mode of libpq's ``sslmode``, or a context, which may have certificates; as the address says if not given.
        statement_cache_size: How many prepared statements each connection keeps; 0 behind pgbouncer before 1.21.
        listen: Whether those who follow the log are told of the appends of other processes; False behind a pooler in
            transaction mode. Without it they look every so often.
        notify: Whether appends tell those who listen.

    Raises:
        TypeError, ValueError: If an option is of the wrong type, or makes no sense.
    """

    schema: str = "public"
    min_size: int = 0
    max_size: int = 10
    connect_timeout: float = 10.0
    command_timeout: float = 60.0
    lock_timeout: float = 30.0
    idle_timeout: float = 60.0
    ssl: SSLContext | SSLMode | None = None
    statement_cache_size: int = 100
    listen: bool = True
    notify: bool = True

    def __post_init__(self) -> None:
        check_type("schema", self.schema, str)
        if not 0 < len(self.schema.encode(errors="replace")) <= _LONGEST_NAME or "\0" in self.schema:
            raise ValueError(f"schema must be a name of 1 to {_LONGEST_NAME} bytes, not {self.schema!r}")
        for name in ("min_size", "max_size", "statement_cache_size"):
            check_type(name, getattr(self, name), int)
        if not 0 <= self.min_size <= self.max_size or self.max_size < 1 or self.statement_cache_size < 0:
            raise ValueError(
                f"min_size must be from 0 to max_size, max_size 1 or more, and statement_cache_size 0 or more, not "
                f"{self.min_size}, {self.max_size} and {self.statement_cache_size}"
            )
        for name in ("connect_timeout", "command_timeout", "lock_timeout", "idle_timeout"):
            seconds = getattr(self, name)
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not _LEAST <= seconds <= _MOST:
                raise ValueError(f"{name} must be a number of seconds from {_LEAST} to {_MOST}, not {seconds!r}")
        for name in ("listen", "notify"):
            check_type(name, getattr(self, name), bool)
