"""Buses over a Kafka, each with topics of its own."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.partitioner import DefaultPartitioner

from eventsource.bus.kafka import KafkaEventBus, KafkaEventBusConfig
from services.availability import NotAvailableError
from services.fixtures import do_without
from services.kafka import Kafka

PATIENCE = 30.0
"""Seconds after which something has failed to happen."""

SOON: dict[str, Any] = {
    "retry_base_delay": 0.001,
    "retry_max_delay": 0.001,
    "retry_jitter": 0.0,
    "linger_ms": 0,
    "compression_type": None,
    "heartbeat_interval_ms": 100,
    "lag_interval": 0.05,
    "shutdown_timeout": 10.0,
}


def configured(address: str, **options: Any) -> KafkaEventBusConfig:
    """Return a configuration for a bus that waits as little as possible, with topics and a group of its own."""
    own = {"topic_prefix": f"test-{uuid4()}", "consumer_group": f"test-{uuid4()}"}
    return KafkaEventBusConfig(**{"bootstrap_servers": address, **own, **SOON, **options})


@contextmanager
def kafka_in(directory: Path, **options: Any) -> Iterator[Kafka]:
    """Give a broker of one's own for several tests, which is killed in the end."""
    broker = Kafka(directory, **options)
    try:
        broker.start()
    except NotAvailableError as error:
        do_without(str(error))
    try:
        yield broker
    finally:
        broker.kill()


@asynccontextmanager
async def bus_at(address: str, *, partitions: int = 1, **options: Any) -> AsyncIterator[KafkaEventBus]:
    """Give a connected bus over a broker that others use, too: in the end its topics are not there any more."""
    config = configured(address, **options)
    async with topics(config, partitions), KafkaEventBus(config) as bus:
        yield bus


@asynccontextmanager
async def topics(
    config: KafkaEventBusConfig,
    partitions: int = 1,
    *,
    largest: int = 1_048_588,
    largest_dead_letter: int | None = None,
) -> AsyncIterator[None]:
    """Have a bus's topics at the broker, which take so many bytes at once; in the end they are not there any more."""
    limits = {config.topic_name: largest, config.dlq_topic_name: largest_dead_letter or largest}
    new = [
        NewTopic(name, partitions, 1, topic_configs={"max.message.bytes": str(size)}) for name, size in limits.items()
    ]
    async with admin_at(config.bootstrap_servers) as admin:
        await admin.create_topics(new)
        yield
        await admin.delete_topics([*limits])


@asynccontextmanager
async def admin_at(address: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Give what it takes to look at a broker, and to change it, without a bus."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    try:
        await admin.start()
        while (await admin.describe_cluster())["controller_id"] < 0:  # noqa: ASYNC110 - it has just begun, and takes no orders yet
            await asyncio.sleep(0.05)
        yield admin
    finally:
        await admin.close()


async def consuming(bus: KafkaEventBus) -> KafkaEventBus:
    """Have *bus* consume, and return it once it does."""
    bus.start_consuming_in_background()
    await bus.wait_until_consuming(PATIENCE)
    return bus


async def records_in(address: str, topic: str) -> list[ConsumerRecord]:
    """Return what is in *topic*, as the driver reads it, one partition after the other."""
    found: dict[TopicPartition, list[ConsumerRecord]] = {}
    reader = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest", fetch_max_wait_ms=10)
    async with admin_at(address) as admin:
        (description,) = await admin.describe_topics([topic])
    partitions = sorted(TopicPartition(topic, each["partition"]) for each in description["partitions"])
    reader.assign(partitions)
    async with reader:
        ends = await reader.end_offsets(partitions)
        while any([await reader.position(each) < ends[each] for each in partitions]):
            for partition, records in (await reader.getmany(*partitions, timeout_ms=100)).items():
                found.setdefault(partition, []).extend(records)
    return [record for partition in partitions for record in found.get(partition, ())]


async def committed(config: KafkaEventBusConfig) -> dict[int, int]:
    """Return the offset of each partition from which the group would go on; none where nothing was committed."""
    async with admin_at(config.bootstrap_servers) as admin:
        offsets = await admin.list_consumer_group_offsets(config.consumer_group)
    return {each.partition: place.offset for each, place in offsets.items() if each.topic == config.topic_name}


async def has_committed(config: KafkaEventBusConfig, wanted: dict[int, int]) -> None:
    """Return once the group would go on from the offsets that are *wanted*."""
    async with asyncio.timeout(PATIENCE):
        while await committed(config) != wanted:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.02)


def door_in(partition: int, of: int) -> UUID:
    """Return the id of an aggregate whose messages go to *partition*, where there are so many."""
    partitions = list(range(of))
    choose: Callable[..., int] = DefaultPartitioner()
    return next(door for _ in count() if choose(str(door := uuid4()).encode(), partitions, partitions) == partition)


@asynccontextmanager
async def leaving_nothing() -> AsyncIterator[None]:
    """Check that what is done inside leaves neither a task behind nor a client that nobody has closed."""
    before = asyncio.all_tasks()
    unclosed: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: unclosed.append(context["message"]))
    yield
    left = asyncio.all_tasks() - before
    if left:
        _, left = await asyncio.wait(left, timeout=1)  # those of a server that is told that the client has gone
    gc.collect()
    loop.set_exception_handler(None)
    assert left == set()
    assert unclosed == []
