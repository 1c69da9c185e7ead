"""Opening and closing Kafka's clients in bounded time, with errors that say what to do."""

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from aiokafka.errors import KafkaError

from eventsource.bus.kafka.config import KafkaEventBusConfig
from eventsource.cancellation import apart, unless_cancelled_within
from eventsource.exceptions import BrokerConnectionError

logger = logging.getLogger("eventsource.bus.kafka")

Result = TypeVar("Result")

CLOSING = 2.0
"""Seconds that closing a client may take; with its broker down, it might never end."""
_ENDING = 0.5
"""Seconds that a task of one has to end that was cancelled."""


class Client(Protocol):
    """A producer or a consumer."""

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Disconnect."""


def connection_settings(config: KafkaEventBusConfig) -> dict[str, Any]:
    """Return what every client needs to find and to convince the brokers, as aiokafka wants it."""
    try:
        context = config.create_ssl_context()
    except OSError as error:
        raise BrokerConnectionError(f"the files for TLS cannot be used: {error}") from error
    return {"bootstrap_servers": config.bootstrap_servers, "ssl_context": context, **config.security.login()}


async def start(client: Client, config: KafkaEventBusConfig, seconds: float) -> None:
    """
    Start *client*, within *seconds*.

    Raises:
        BrokerConnectionError: If that fails; *client* is closed then.
    """
    try:
        await bounded(client.start(), seconds)
    except BaseException as error:
        await stop(client)
        if isinstance(error, KafkaError | OSError | TimeoutError):
            raise refused(config, error, seconds) from error
        raise


async def stop(client: Client, seconds: float = CLOSING) -> None:
    """Close *client*, whatever state it is in, in little more than *seconds*."""
    try:
        if (flush := getattr(client, "flush", None)) is not None:
            await bounded(flush(), seconds)  # a producer's stop does so, too, but leaves a task if it is cancelled
        await bounded(client.stop(), seconds)
    except BaseException as error:
        await apart(_abandon(client))
        if not isinstance(error, KafkaError | OSError | TimeoutError):
            raise
        logger.debug("A client was not closed in good order: %r", error)


async def bounded(awaitable: Awaitable[Result], seconds: float) -> Result:
    """
    Return what *awaitable* returns.

    Raises:
        TimeoutError: If it takes more than *seconds*.
        BrokerConnectionError: If the driver cancels it by itself.
    """
    async with asyncio.timeout(seconds):
        return await unless_cancelled_within(awaitable, _lost)


def _lost() -> BrokerConnectionError:
    return BrokerConnectionError("the connection to Kafka was lost")


def refused(config: KafkaEventBusConfig, error: BaseException, seconds: float) -> BrokerConnectionError:
    """Return the error of a client that did not start."""
    user = f" as {config.sasl_username!r}" if config.security.uses_sasl else ""
    reason = (
        f"no answer within {seconds:g} s" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
    )
    return BrokerConnectionError(
        f"cannot connect to Kafka at {config.bootstrap_servers}{user} by {config.security_protocol} ({reason}); "
        "check the address, the protocol and the credentials"
    )


async def _abandon(client: Any) -> None:
    """
    End what a client has left that could not be closed in good order; aiokafka has no public way to do so.

    Its tasks would look for the brokers for ever, and send what everybody has given up once they are back.
    """
    client._closed = True
    connections = getattr(client, "client", None) or client._client
    for _ in range(2):  # a task that is cancelled for the first time may wait for others that it has started
        tasks = _tasks_of(client)
        for task in tasks:
            task.cancel()
        with suppress(TimeoutError):
            await bounded(connections.close(), _ENDING)
        if tasks:
            await asyncio.wait(tasks, timeout=_ENDING)


def _tasks_of(client: Any) -> "set[asyncio.Task[Any]]":
    parts = [part for name in ("_sender", "_coordinator", "_fetcher") if (part := getattr(client, name, None))]
    values = [value for part in parts for value in (*vars(part).values(), *getattr(part, "_pending_tasks", ()))]
    return {value for value in values if isinstance(value, asyncio.Task) and not value.done()}
