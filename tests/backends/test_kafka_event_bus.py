"""The event bus over Kafka keeps the promises of all buses, and those of buses over brokers."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from eventsource.bus.kafka import KafkaEventBus, KafkaEventBusConfig
from eventsource.testing import BrokerContract, DeadLetterSeen, EventBusContract
from eventsource.testing.broker_subject import DeadLetters, MakeBus, PublishRaw, Replay
from eventsource.testing.broker_subject import consuming as begin
from services.brokers import create_topics

IN_A_HURRY: dict[str, Any] = {
    "retry_base_delay": 0.001,
    "retry_max_delay": 0.1,
    "retry_jitter": 0.0,
    "linger_ms": 0,
    "compression_type": None,
    "heartbeat_interval_ms": 100,
}


def bus_at(address: str, prefix: str, *, consumer_group: str = "default", **options: Any) -> KafkaEventBus:
    """Make a bus whose group has a name of its own: members of one disturb each other, whatever they consume."""
    own = {"bootstrap_servers": address, "topic_prefix": prefix, "consumer_group": f"{prefix}-{consumer_group}"}
    return KafkaEventBus(KafkaEventBusConfig(**{**own, **IN_A_HURRY, **options}))


class TestEventBusContract(EventBusContract):
    @pytest.fixture
    async def bus(self, kafka_address: str) -> AsyncIterator[KafkaEventBus]:
        prefix = f"test-{uuid4()}"
        await create_topics(kafka_address, prefix, partitions=1)
        async with bus_at(kafka_address, prefix, max_retries=0) as bus:
            await begin(bus)
            yield bus


class TestBrokerContract(BrokerContract):
    @pytest.fixture
    async def make_bus(self, kafka_address: str) -> AsyncIterator[MakeBus]:
        prefix = f"test-{uuid4()}"
        await create_topics(kafka_address, prefix, partitions=2)
        made: list[KafkaEventBus] = []

        def make(**fields: Any) -> KafkaEventBus:
            made.append(bus := bus_at(kafka_address, prefix, **fields))
            return bus

        yield make
        for bus in made:
            await bus.shutdown()

    @pytest.fixture
    async def hopeless_bus(self, kafka_address: str) -> AsyncIterator[KafkaEventBus]:
        async with bus_at(kafka_address, "no topic has a name with spaces", connect_timeout=1.0) as bus:
            yield bus

    @pytest.fixture
    def dead_letters(self) -> DeadLetters:
        async def read(bus: Any) -> list[DeadLetterSeen]:
            return [seen(record) for record in await records_in(bus.config.dlq_topic_name, bus.config)]

        return read

    @pytest.fixture
    def replay(self) -> Replay:
        async def replay(bus: Any, letter: DeadLetterSeen) -> None:
            found = [each for each in await bus.get_dlq_messages() if each["headers"]["event_id"] == letter.message_id]
            assert await bus.replay_dlq_message(found[-1]["partition"], found[-1]["offset"])

        return replay

    @pytest.fixture
    def publish_raw(self) -> PublishRaw:
        async def publish(bus: Any, body: bytes, headers: dict[str, str]) -> None:
            key = headers.get("aggregate_id")
            pairs = [(name, value.encode()) for name, value in headers.items()]
            async with AIOKafkaProducer(bootstrap_servers=bus.config.bootstrap_servers) as producer:
                await producer.send_and_wait(bus.config.topic_name, body, key and key.encode(), headers=pairs)

        return publish


async def records_in(topic: str, config: KafkaEventBusConfig) -> list[ConsumerRecord]:
    """Return what is in *topic*, the oldest first."""
    found: list[ConsumerRecord] = []
    async with AIOKafkaConsumer(topic, bootstrap_servers=config.bootstrap_servers) as consumer:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            fetched = await consumer.getmany(*partitions, timeout_ms=100)
            found += [record for records in fetched.values() for record in records]
    return sorted(found, key=lambda record: record.timestamp)


def seen(record: ConsumerRecord) -> DeadLetterSeen:
    headers = {name: value.decode() for name, value in record.headers}
    return DeadLetterSeen(
        message_id=headers.get("event_id"),
        event_type=headers.get("event_type"),
        error_type=headers["dlq_error_type"],
        reason=headers["dlq_error_message"],
        retry_count=int(headers["dlq_retry_count"]),
        headers=headers,
        body=record.value,
    )
