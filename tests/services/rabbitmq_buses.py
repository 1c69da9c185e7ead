"""Buses over a RabbitMQ, each with an exchange of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aio_pika

from eventsource.bus.rabbitmq import RabbitMQEventBus, RabbitMQEventBusConfig

SOON = {
    "retry_base_delay": 0.001,
    "retry_max_delay": 0.001,
    "retry_jitter": 0.0,
    "reconnect_delay": 0.05,
    "max_reconnect_delay": 0.2,
    "shutdown_timeout": 10.0,
}


def configured(url: str, **options: Any) -> RabbitMQEventBusConfig:
    """Return a configuration for a bus that waits as little as possible."""
    return RabbitMQEventBusConfig(**{"rabbitmq_url": url, "exchange_name": f"test-{uuid4()}", **SOON, **options})


@asynccontextmanager
async def bus_at(url: str, *, connected: bool = True, **options: Any) -> AsyncIterator[RabbitMQEventBus]:
    """Give a bus over a broker that others use, too: in the end nothing of it is left there."""
    bus = RabbitMQEventBus(configured(url, **options))
    try:
        if connected:
            await bus.connect()
        yield bus
    finally:
        await bus.shutdown()
        await _clean(url, bus.config)


async def consuming(bus: RabbitMQEventBus) -> RabbitMQEventBus:
    """Have *bus* consume, and return it once it does."""
    bus.start_consuming_in_background()
    await bus.wait_until_consuming()
    return bus


@asynccontextmanager
async def channel_at(url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """Give what it takes to look at a broker, and to change it, without a bus."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        yield channel


async def eventually(read: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    """Wait until *read* returns what is *wanted*; the broker counts a little later than it confirms."""
    async with asyncio.timeout(20):
        while await read() != wanted:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.02)


async def _clean(url: str, config: RabbitMQEventBusConfig) -> None:
    async with channel_at(url) as channel:
        await channel.queue_delete(config.queue_name)
        await channel.queue_delete(config.dlq_queue_name)
        await channel.exchange_delete(config.exchange_name)
        await channel.exchange_delete(config.dlq_exchange_name)
