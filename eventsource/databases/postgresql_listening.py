"""Hearing of the appends of other processes: LISTEN, over one connection for all who follow."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from typing import Any

from eventsource.databases.postgresql import Connection, PostgreSQLDatabase
from eventsource.databases.postgresql_errors import DRIVER_ERRORS
from eventsource.exceptions import DatabaseError
from eventsource.retry import RetryConfig, calculate_backoff

logger = logging.getLogger(__name__)

_RECONNECTING = RetryConfig(initial_delay=0.5, max_delay=30.0, jitter=0.1)


class Listener:
    """
    Calls *announce* for each notification on a channel, as long as somebody wants to hear.

    A lost connection is opened again, and then it is called once, for whatever was not heard meanwhile.

    Args:
        database: What to connect to.
        channel: Where to listen.
        announce: What to call.
    """

    def __init__(self, database: PostgreSQLDatabase, channel: str, announce: Callable[[], None]) -> None:
        self._database = database
        self._channel = channel
        self._announce = announce
        self._task: asyncio.Task[None] | None = None
        self._wanted = 0

    @asynccontextmanager
    async def heard(self) -> AsyncIterator[None]:
        """Listen inside the block."""
        self._wanted += 1
        if self._task is None:
            self._task = asyncio.create_task(self._keep_listening(), name=f"listen {self._channel}", context=Context())
        try:
            yield
        finally:
            self._wanted -= 1
            if not self._wanted:
                await self._end()

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _keep_listening(self) -> None:
        failures = 0
        while True:
            try:
                await self._listen()
                failures = 0
            except (DatabaseError, *DRIVER_ERRORS) as error:
                failures += 1
                if failures == 1:
                    logger.warning(
                        "Not listening to PostgreSQL at %s until it answers: %s", self._database.place, error
                    )
            await asyncio.sleep(calculate_backoff(failures, _RECONNECTING))

    async def _listen(self) -> None:
        """Listen until the connection is lost."""
        lost = asyncio.Event()

        def lose(_: Connection) -> None:
            lost.set()

        async with self._database.lasting_connection() as connection:
            try:
                connection.add_termination_listener(lose)
                await connection.add_listener(self._channel, self._hear)
                self._announce()
                await lost.wait()
            finally:
                if not self._database.is_own:  # else it is ended, however long the server might take to say goodbye
                    with suppress(*DRIVER_ERRORS):
                        connection.remove_termination_listener(lose)
                        await connection.remove_listener(self._channel, self._hear)

    def _hear(self, *notification: Any) -> None:
        self._announce()


def listener_of(database: PostgreSQLDatabase, channel: str, announce: Callable[[], None]) -> Listener:
    """Return the one that all who use *database* share, which calls what the first of them has given."""
    if channel not in database.listeners:
        database.listeners[channel] = Listener(database, channel, announce)
    listener: Listener = database.listeners[channel]
    return listener
