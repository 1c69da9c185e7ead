"""Publishing to Kafka and consuming from it, against aiokafka by hand."""

from functools import partial
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.brokers import EVENTS, PAUSE, SLOW_EVENTS, Counting, sample
from benchmarks.measuring import Figure, compared, stopwatch
from benchmarks.sample import Deposited
from benchmarks.services import Kafka, find
from eventsource import KafkaEventBus, KafkaEventBusConfig

PARTITIONS = 4


async def run() -> list[Figure]:
    """Compare the bus with a producer whose futures are gathered, and with a loop that awaits each handler."""
    address = find(Kafka)
    figures = await compared(
        {"publish, 5,000 events at once": partial(_publish, address), "raw pipelining": partial(_send, address)},
        "raw pipelining",
    )
    for what, events, pause in (
        ("handlers that do nothing", EVENTS, 0.0),
        (f"handlers that wait {PAUSE * 1000:g} ms", SLOW_EVENTS, PAUSE),
    ):
        topic = await _filled(address, events)
        ways = {
            "lanes": partial(_consume, address, topic, events, pause),
            "raw loop": partial(_loop, address, topic, events, pause),
        }
        figures += await compared(ways, "raw loop", f"consuming, {what}: ")
    return figures


async def _publish(address: str) -> float:
    events = sample(EVENTS)
    async with KafkaEventBus(_config(address, "publishing")) as bus:
        await bus.publish(events[:1])
        with stopwatch() as watch:
            await bus.publish(events)
    return watch.seconds / EVENTS


async def _send(address: str) -> float:
    """Send the same bodies with the same settings, and await all confirmations at the end."""
    events = sample(EVENTS)
    config = _config(address, "publishing")
    async with AIOKafkaProducer(**_driver_settings(config)) as producer:
        await producer.send_and_wait(config.topic_name, b"first")
        with stopwatch() as watch:
            futures = [
                await producer.send(
                    config.topic_name, event.model_dump_json().encode(), str(event.aggregate_id).encode()
                )
                for event in events
            ]
            for future in futures:
                await future
    return watch.seconds / EVENTS


async def _consume(address: str, prefix: str, events: int, pause: float) -> float:
    counting = Counting(events, pause)
    async with KafkaEventBus(_config(address, prefix, consumer_group=uuid4().hex)) as bus:
        bus.subscribe(Deposited, counting)
        with stopwatch() as watch:
            bus.start_consuming_in_background()
            await counting.done.wait()
    return watch.seconds / events


async def _loop(address: str, prefix: str, events: int, pause: float) -> float:
    """Read each message as an event, await the handler, and commit after each batch."""
    counting = Counting(events, pause)
    config = _config(address, prefix, consumer_group=uuid4().hex)
    with stopwatch() as watch:
        async with AIOKafkaConsumer(
            config.topic_name,
            bootstrap_servers=address,
            group_id=config.consumer_group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        ) as consumer:
            while not counting.done.is_set():
                for records in (await consumer.getmany(timeout_ms=100, max_records=500)).values():
                    for record in records:
                        await counting.handle(Deposited.model_validate_json(record.value))
                await consumer.commit()
    return watch.seconds / events


async def _filled(address: str, events: int) -> str:
    """Return the prefix of a new topic with so many events."""
    config = _config(address, f"benchmark-{uuid4().hex}")
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic(config.topic_name, PARTITIONS, 1)])
    await admin.close()
    async with KafkaEventBus(config) as bus:
        await bus.publish(sample(events))
    return config.topic_prefix


def _config(address: str, prefix: str, consumer_group: str = "benchmark") -> KafkaEventBusConfig:
    return KafkaEventBusConfig(bootstrap_servers=address, topic_prefix=prefix, consumer_group=consumer_group)


def _driver_settings(config: KafkaEventBusConfig) -> dict[str, object]:
    settings = config.get_producer_config()
    del settings["security_protocol"]
    return settings
