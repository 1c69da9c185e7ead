"""Connections to RabbitMQ."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, AMQPChannelError

from eventsource.bus.rabbitmq.addresses import secured
from eventsource.bus.rabbitmq.config import RabbitMQEventBusConfig
from eventsource.bus.stopping import forget
from eventsource.cancellation import is_being_cancelled
from eventsource.exceptions import BrokerConnectionError, EventBusError, EventSourceError

logger = logging.getLogger(__name__)

_CLOSING = 2.5
"""Seconds after which a connection that does not close is left to itself."""


class Line:
    """A connection; ``lost`` is done once it is not open any more, with what is known of the reason."""

    def __init__(self, config: RabbitMQEventBusConfig, connection: AbstractConnection) -> None:
        self._config = config
        self._connection = connection
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        connection.close_callbacks.add(self._note_lost)

    @property
    def is_open(self) -> bool:
        """Whether nothing is known of its end."""
        return not self.lost.done()

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """Open a channel for a while; what it was given and has not acknowledged goes back to its queue."""
        channel = await self.open_channel()
        try:
            yield channel
        finally:
            await self.close_channel(channel)

    async def open_channel(self) -> AbstractChannel:
        """
        Open a channel on which the broker confirms what it takes, or gives it back.

        Raises:
            BrokerConnectionError: If that fails.
        """
        async with bounded(self._config, "opening a channel"):
            return await self._connection.channel(publisher_confirms=True, on_return_raises=True)

    async def close_channel(self, channel: AbstractChannel) -> None:
        """Close *channel* and return soon, whatever state it is in."""
        if self.is_open and not channel.is_closed:
            await _end(channel.close())

    async def close(self) -> None:
        """Close the connection and return soon, whatever state it is in."""
        await _end(self._connection.close())

    def _note_lost(self, _: object, reason: BaseException | None = None) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)


async def open_line(config: RabbitMQEventBusConfig, purpose: str) -> Line:
    """
    Connect to the broker.

    Raises:
        BrokerConnectionError: If it cannot be reached in time, or refuses.
    """
    async with bounded(config, "connecting"):
        options: dict[str, Any] = {"heartbeat": config.heartbeat, **(config.ssl_options or {})}
        if (context := await asyncio.to_thread(_tls_context, config)) is not None:
            options["ssl_context"] = context
        connection = await aio_pika.connect(
            secured(config.rabbitmq_url) if config.uses_tls else config.rabbitmq_url,
            client_properties={"connection_name": f"{config.consumer_name} ({purpose})"},
            **options,
        )
        return Line(config, connection)


@asynccontextmanager
async def bounded(config: RabbitMQEventBusConfig, doing: str, seconds: float | None = None) -> AsyncIterator[None]:
    """
    Give what is done inside *seconds*, or the time-out for connecting, and put the driver's errors into our words.

    Raises:
        BrokerConnectionError: If there is no answer in time, or the connection is lost.
        EventBusError: If the broker refuses.
    """
    seconds = config.connect_timeout if seconds is None else seconds
    place = f"RabbitMQ at {config.masked_url}"
    try:
        async with asyncio.timeout(seconds):
            yield
    except EventSourceError:
        raise
    except TimeoutError as error:
        raise BrokerConnectionError(f"{place} has not answered within {seconds} s, {doing}") from error
    except AMQPChannelError as error:
        raise EventBusError(f"{place} refused, {doing}: {error}") from error
    except Exception as error:  # the driver's own cannot all be told by their class
        if not is_of_lost_connection(error):
            raise
        raise BrokerConnectionError(f"{place} failed, {doing}: {str(error) or type(error).__name__}") from error
    except asyncio.CancelledError as error:
        if is_being_cancelled():
            raise
        raise BrokerConnectionError(f"{place} was lost, {doing}") from error


def is_of_lost_connection(error: BaseException) -> bool:
    """Tell whether the driver raises *error* when there is no connection; a bare one if it was closed meanwhile."""
    return isinstance(error, CONNECTION_EXCEPTIONS) or type(error) is Exception


def _tls_context(config: RabbitMQEventBusConfig) -> ssl.SSLContext | None:
    """Return how to encrypt; None if there is nothing to say about it that the driver does not find in the address."""
    if not config.uses_tls or config.ssl_context is not None:
        return config.ssl_context
    if config.verify_ssl and not (config.ca_file or config.cert_file):
        return None
    context = ssl.create_default_context(cafile=config.ca_file)
    if not config.verify_ssl:
        logger.warning("SSL certificate verification disabled: anybody may pose as the broker; use it for tests only")
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.cert_file and config.key_file:
        context.load_cert_chain(config.cert_file, config.key_file)
    elif config.cert_file or config.key_file:
        logger.warning("A client certificate needs both cert_file and key_file; none is presented")
    return context


async def _end(closing: Any) -> None:
    task = asyncio.ensure_future(closing)
    try:
        _, late = await asyncio.wait({task}, timeout=_CLOSING)
    except asyncio.CancelledError:
        task.cancel()
        raise
    for unfinished in late:
        unfinished.cancel()
    if task.done():
        forget(task)
