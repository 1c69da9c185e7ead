"""Opening and closing Kafka's clients in bounded time, with errors that say what to do."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar

from aiokafka.errors import KafkaError

from eventsource.bus.kafka.config import KafkaEventBusConfig
from eventsource.cancellation import is_being_cancelled
from eventsource.exceptions import BrokerConnectionError

logger = logging.getLogger("eventsource.bus.kafka")

Result = TypeVar("Result")

_CLOSING = 2.0
"""Seconds that closing a client may take; with its broker down, it might never end."""


class Client(Protocol):
    """A producer or a consumer."""

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Disconnect."""


def connection_settings(config: KafkaEventBusConfig) -> dict[str, Any]:
    """Return what every client needs to find and to convince the brokers, as aiokafka wants it."""
    settings = {name: value for name, value in config.security.settings().items() if not name.startswith("ssl_")}
    try:
        context = config.create_ssl_context()
    except OSError as error:
        raise BrokerConnectionError(f"the files for TLS cannot be used: {error}") from error
    return {"bootstrap_servers": config.bootstrap_servers, "ssl_context": context, **settings}


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


async def stop(client: Client) -> None:
    """Close *client*, whatever state it is in."""
    try:
        await bounded(client.stop(), _CLOSING)
    except (KafkaError, OSError, TimeoutError) as error:
        logger.debug("A client was not closed in good order: %r", error)


async def bounded(awaitable: Awaitable[Result], seconds: float) -> Result:
    """
    Return what *awaitable* returns.

    Raises:
        TimeoutError: If it takes more than *seconds*.
        BrokerConnectionError: If the driver cancels it by itself.
    """
    try:
        async with asyncio.timeout(seconds):
            return await awaitable
    except asyncio.CancelledError as error:
        if is_being_cancelled():
            raise
        raise BrokerConnectionError("the connection to Kafka was lost") from error


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
