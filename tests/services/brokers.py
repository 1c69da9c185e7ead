"""The brokers as buses use them, and as their drivers see them."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Self
from uuid import uuid4

import aio_pika
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from eventsource import KafkaEventBus, KafkaEventBusConfig, RabbitMQEventBus, RabbitMQEventBusConfig
from eventsource.bus.broker import BrokerEventBus

PATIENCE = 30.0

RETRIES = {"retry_base_delay": 0.001, "retry_max_delay": 0.001, "retry_jitter": 0.0}


class Broker(ABC):
    """A place of the test's own at a broker that all share: buses that meet there, and the messages on the wire."""

    system: ClassVar[str]
    address: ClassVar[str]
    """The fixture that tells where the broker is."""

    def __init__(self, address: str) -> None:
        self.name = f"test-{uuid4()}"
        self._at = address
        self._stack = AsyncExitStack()

    @abstractmethod
    def bus(self, **options: Any) -> BrokerEventBus:
        """Return a bus; its *options* are those of its configuration."""

    @abstractmethod
    async def headers(self, messages: int) -> list[list[tuple[str, str]]]:
        """Return the headers that are text of the first so many messages, as the driver reads them."""

    @abstractmethod
    async def replay(self, bus: Any) -> None:
        """Let *bus* replay its only dead letter."""

    async def consuming(self, **options: Any) -> BrokerEventBus:
        """Return a bus that consumes until the test ends."""
        bus = await self._stack.enter_async_context(self.bus(**options))
        bus.start_consuming_in_background()
        await bus.wait_until_consuming(PATIENCE)
        return bus

    async def settled(self, bus: BrokerEventBus, messages: int) -> None:
        """Return once *bus* has handled so many messages, or kept them as dead letters."""
        async with asyncio.timeout(PATIENCE):
            while bus.stats.events_processed_success + bus.stats.messages_sent_to_dlq < messages:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.005)

    async def __aenter__(self) -> Self:
        await self._prepare()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @abstractmethod
    async def _prepare(self) -> None: ...


class RabbitMQBroker(Broker):
    """An exchange, with a queue where everything stays that goes through it."""

    system = "rabbitmq"
    address = "rabbitmq_url"

    def bus(self, **options: Any) -> RabbitMQEventBus:
        config = RabbitMQEventBusConfig(rabbitmq_url=self._at, exchange_name=self.name, **{**RETRIES, **options})
        return RabbitMQEventBus(config)

    async def headers(self, messages: int) -> list[list[tuple[str, str]]]:
        found = []
        for _ in range(messages):
            message = await self._queue.get(no_ack=True, timeout=PATIENCE)
            found.append([(name, value) for name, value in message.headers.items() if isinstance(value, str)])
        return found

    async def replay(self, bus: Any) -> None:
        (letter,) = await bus.get_dlq_messages()
        await bus.replay_dlq_message(letter.message_id)

    async def _prepare(self) -> None:
        connection = await self._stack.enter_async_context(await aio_pika.connect(self._at))
        channel = await self._stack.enter_async_context(connection.channel())
        await channel.declare_exchange(self.name, "topic", durable=True)
        self._queue = await channel.declare_queue(exclusive=True)
        await self._queue.bind(self.name, "#")


class KafkaBroker(Broker):
    """A topic of one partition, and one for its dead letters."""

    system = "kafka"
    address = "kafka_address"

    def bus(self, **options: Any) -> KafkaEventBus:
        own = {"topic_prefix": self.name, "consumer_group": self.name}
        return KafkaEventBus(KafkaEventBusConfig(bootstrap_servers=self._at, **{**own, **RETRIES, **options}))

    async def headers(self, messages: int) -> list[list[tuple[str, str]]]:
        reader = AIOKafkaConsumer(f"{self.name}.stream", bootstrap_servers=self._at, auto_offset_reset="earliest")
        async with reader, asyncio.timeout(PATIENCE):
            records = [await reader.getone() for _ in range(messages)]
        return [[(name, value.decode()) for name, value in record.headers] for record in records]

    async def replay(self, bus: Any) -> None:
        (letter,) = await bus.get_dlq_messages()
        await bus.replay_dlq_message(letter["partition"], letter["offset"])

    async def _prepare(self) -> None:
        await create_topics(self._at, self.name, partitions=1)


async def create_topics(address: str, prefix: str, partitions: int) -> None:
    """Create the topics that a bus over Kafka uses."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        names = (f"{prefix}.stream", f"{prefix}.stream.dlq")
        await admin.create_topics([NewTopic(name, partitions, 1) for name in names])
    finally:
        await admin.close()


BROKERS: dict[str, type[Broker]] = {each.system: each for each in (RabbitMQBroker, KafkaBroker)}
