"""Exchanges, queues and bindings."""

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue
from aio_pika.exceptions import ChannelPreconditionFailed

from eventsource.bus.rabbitmq.config import RabbitMQEventBusConfig
from eventsource.bus.rabbitmq.connection import bounded
from eventsource.exceptions import EventBusError

logger = logging.getLogger(__name__)

_DELIVERIES = 20
"""How often a message may come back before a quorum queue makes a dead letter of it; RabbitMQ 4 has it by default."""

_LOOKS = 1_000_000
"""How often a dead letter may be looked at: each time counts as a delivery, and quorum queues give up after some."""


async def declare_exchange(channel: AbstractChannel, config: RabbitMQEventBusConfig) -> AbstractExchange:
    """
    Declare the exchange that events are published to.

    Raises:
        EventBusError: If there is one of the name that is not like it.
    """
    return await _declare_exchange(channel, config, config.exchange_name, config.exchange_type)


async def declare_queue(
    channel: AbstractChannel, config: RabbitMQEventBusConfig, routing_keys: Iterable[str] = ()
) -> AbstractQueue:
    """
    Declare the group's queue and that of its dead letters, and bind it, with *routing_keys* besides the default.

    Raises:
        EventBusError: If there is an exchange or a queue of the name that is not like it.
    """
    exchange = await declare_exchange(channel, config)
    if config.enable_dlq:
        await declare_dead_letters(channel, config)
    queue = await _declare_queue(channel, config, config.queue_name, _arguments_of(config))
    for routing_key in dict.fromkeys((config.get_effective_routing_key(), *routing_keys)):
        async with bounded(config, f"binding queue {config.queue_name!r}"):
            await queue.bind(exchange, routing_key)
        _log_binding(config, routing_key)
    return queue


async def declare_dead_letters(channel: AbstractChannel, config: RabbitMQEventBusConfig) -> None:
    """
    Declare the exchange and the queue of the group's dead letters.

    Raises:
        EventBusError: If there is one of the name that is not like it.
    """
    arguments: dict[str, Any] = {"x-queue-type": config.queue_type}
    if config.queue_type == "quorum":
        arguments["x-delivery-limit"] = _LOOKS
    if config.dlq_message_ttl is not None:
        arguments["x-message-ttl"] = config.dlq_message_ttl
    if config.dlq_max_length is not None:
        arguments["x-max-length"] = config.dlq_max_length
    exchange = await _declare_exchange(channel, config, config.dlq_exchange_name, "direct")
    queue = await _declare_queue(channel, config, config.dlq_queue_name, arguments)
    async with bounded(config, f"binding queue {config.dlq_queue_name!r}"):
        await queue.bind(exchange, config.queue_name)


def _arguments_of(config: RabbitMQEventBusConfig) -> dict[str, Any]:
    arguments: dict[str, Any] = {"x-queue-type": config.queue_type}
    if config.single_active_consumer:
        arguments["x-single-active-consumer"] = True
    if config.enable_dlq:
        arguments["x-dead-letter-exchange"] = config.dlq_exchange_name
        arguments["x-dead-letter-routing-key"] = config.queue_name
        if config.queue_type == "quorum":
            arguments["x-delivery-limit"] = _DELIVERIES
    return arguments


async def _declare_exchange(
    channel: AbstractChannel, config: RabbitMQEventBusConfig, name: str, kind: str
) -> AbstractExchange:
    async with _declaring(config, "exchange", name):
        exchange = await channel.declare_exchange(name, kind, durable=config.durable, auto_delete=config.auto_delete)
    logger.info("Declared exchange %s", name, extra={"exchange": name, "exchange_type": kind})
    return exchange


async def _declare_queue(
    channel: AbstractChannel, config: RabbitMQEventBusConfig, name: str, arguments: dict[str, Any]
) -> AbstractQueue:
    async with _declaring(config, "queue", name):
        queue = await channel.declare_queue(
            name, durable=config.durable, auto_delete=config.auto_delete, arguments=arguments
        )
    logger.info("Declared queue %s", name, extra={"queue": name, "arguments": arguments})
    return queue


@asynccontextmanager
async def _declaring(config: RabbitMQEventBusConfig, kind: str, name: str) -> AsyncIterator[None]:
    async with bounded(config, f"declaring {kind} {name!r}"):
        try:
            yield
        except ChannelPreconditionFailed as error:
            raise EventBusError(
                f"{kind} {name!r} exists, and is not what the configuration says ({error}); delete it when it is "
                f"empty, configure what it is, or choose other names (exchange_name, consumer_group)"
            ) from error


def _log_binding(config: RabbitMQEventBusConfig, routing_key: str) -> None:
    facts: dict[str, Any] = {"queue": config.queue_name, "exchange": config.exchange_name, "routing_key": routing_key}
    if config.exchange_type == "fanout":
        facts |= {"broadcast_mode": True, "routing_key_ignored": True}
    logger.info("Bound queue %s to %s with %r", config.queue_name, config.exchange_name, routing_key, extra=facts)
