"""The brokers that tests use, by the drivers that the buses use."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import aio_pika
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.helpers import create_ssl_context

from services.kafka import PASSWORD, USER, Kafka
from services.rabbitmq import RabbitMQ


async def test_the_shared_rabbitmq_works(rabbitmq_url: str) -> None:
    """What is put into a queue comes out of it."""
    name = f"test-{uuid4()}"

    await _put(rabbitmq_url, name)

    assert await _take(rabbitmq_url, name) == b"hello"


async def test_the_shared_kafka_works(kafka_address: str) -> None:
    """What is sent to a topic is read from it."""
    topic = f"test-{uuid4()}"

    await _send(topic, bootstrap_servers=kafka_address)

    assert await _receive(topic, bootstrap_servers=kafka_address) == b"hello"


async def test_a_killed_rabbitmq_keeps_its_address_and_its_data(start_rabbitmq: Callable[..., RabbitMQ]) -> None:
    """Both connections, plain and encrypted, lead to it again."""
    broker = await asyncio.to_thread(start_rabbitmq, tls=True)
    trusted = ssl.create_default_context(cafile=broker.certificate)
    await _put(broker.tls_address, "kept", ssl_context=trusted)

    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)

    assert await _take(broker.address, "kept") == b"hello"


async def test_a_killed_kafka_keeps_its_addresses_and_its_data(start_kafka: Callable[..., Kafka]) -> None:
    """All listeners, plain, encrypted and with a password, lead to it again."""
    broker = await asyncio.to_thread(start_kafka, protocols=("SSL", "SASL_PLAINTEXT", "SASL_SSL"))
    await _send("kept", **_options(broker, "SASL_SSL"))

    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)

    for protocol in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT"):
        assert await _receive("kept", **_options(broker, protocol)) == b"hello"


async def _put(url: str, name: str, **options: Any) -> None:
    async with await aio_pika.connect(url, **options) as connection, connection.channel() as channel:
        await channel.declare_queue(name, durable=True)
        message = aio_pika.Message(b"hello", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, name, timeout=30)


async def _take(url: str, name: str) -> bytes:
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        queue = await channel.get_queue(name)
        message = await queue.get(no_ack=True, timeout=30)
        await queue.delete()
    return message.body


async def _send(topic: str, **options: Any) -> None:
    async with AIOKafkaProducer(**options) as producer:
        await producer.send_and_wait(topic, b"hello")


async def _receive(topic: str, **options: Any) -> bytes | None:
    async with AIOKafkaConsumer(topic, auto_offset_reset="earliest", **options) as consumer, asyncio.timeout(30):
        return (await consumer.getone()).value


def _options(broker: Kafka, protocol: str) -> dict[str, Any]:
    options: dict[str, Any] = {"bootstrap_servers": broker.address_of(protocol), "security_protocol": protocol}
    if protocol.endswith("SSL"):
        options |= {"ssl_context": create_ssl_context(cafile=str(broker.certificate))}
    if protocol.startswith("SASL"):
        options |= {"sasl_mechanism": "PLAIN", "sasl_plain_username": USER, "sasl_plain_password": PASSWORD}
    return options
