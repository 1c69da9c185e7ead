"""A Kafka that goes away, comes back, or stands still."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest

from eventsource.bus.kafka import KafkaEventBus, KafkaEventBusConfig
from eventsource.exceptions import BrokerConnectionError, PublishTimeoutError
from eventsource.testing.event_bus_subject import Gate
from eventsource.testing.events import Opened, opened
from services.kafka import Kafka
from services.kafka_buses import bus_at, configured, consuming, has_committed, kafka_in, leaving_nothing, topics

pytestmark = pytest.mark.servers

ENOUGH = 20.0
"""Seconds within which everything has ended that is to end after some tenths of a second."""

HURRIED = {"publish_timeout": 2.0, "connect_timeout": 2.0, "shutdown_timeout": 2.0}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker for these tests alone; it works again after each of them."""
    with kafka_in(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@asynccontextmanager
async def killed(broker: Kafka) -> AsyncIterator[None]:
    """Have *broker* end as by a crash, and start again afterwards."""
    await asyncio.to_thread(broker.kill)
    try:
        yield
    finally:
        await asyncio.to_thread(broker.start)


@asynccontextmanager
async def frozen(broker: Kafka) -> AsyncIterator[None]:
    """Have *broker* stand still, with its connections open."""
    broker.freeze()
    try:
        yield
    finally:
        broker.thaw()


async def busy(config: KafkaEventBusConfig) -> tuple[KafkaEventBus, Gate]:
    """Return a bus that has an event in hand, which waits at the gate, and others behind it."""
    bus = KafkaEventBus(config)
    bus.subscribe(Opened, gate := Gate())
    await bus.connect()
    await consuming(bus)
    await bus.publish(opened(uuid4(), 3))
    await gate.entered.wait()
    return bus, gate


async def test_a_killed_broker_is_found_again(broker: Kafka, door: UUID) -> None:
    """Publishing and consuming go on by themselves, and nothing that was confirmed is lost."""
    async with bus_at(broker.address, publish_timeout=60.0) as bus:
        bus.subscribe(Opened, gate := Gate())
        await consuming(bus)
        before, after = opened(door, 20), opened(uuid4(), 20)
        await bus.publish(before)
        await gate.entered.wait()

        async with killed(broker):
            publishing = asyncio.create_task(bus.publish(after))
            gate.open.set()
        await publishing

        received = await gate.received(*before, *after)
        in_order = dict.fromkeys(event.event_id for event in received if event.aggregate_id == door)
        assert list(in_order) == [event.event_id for event in before]
        await has_committed(bus.config, {0: 40})


async def test_a_bus_whose_broker_was_killed_can_be_closed(broker: Kafka, door: UUID) -> None:
    """In the middle of everything; nothing goes on afterwards, such as sending what was given up."""
    config = configured(broker.address, **HURRIED)
    async with topics(config), leaving_nothing():
        bus, gate = await busy(config)
        async with killed(broker), asyncio.timeout(ENOUGH):
            with pytest.raises(PublishTimeoutError):
                await bus.publish(opened(door, 1))
            gate.open.set()

            await bus.shutdown()


async def test_a_frozen_broker_keeps_nobody(broker: Kafka, door: UUID) -> None:
    """Publishing, asking, connecting and closing end within their time-outs, and nothing goes on."""
    config = configured(broker.address, **HURRIED)
    async with topics(config), leaving_nothing():
        bus, _ = await busy(config)
        async with frozen(broker), asyncio.timeout(ENOUGH):
            with pytest.raises(PublishTimeoutError, match=r"within 2 s; it may still arrive, and publishing it again"):
                await bus.publish(opened(door, 1))
            with pytest.raises(BrokerConnectionError, match=r"no answer within 2 s"):
                await bus.get_dlq_messages(timeout_ms=100)
            with pytest.raises(BrokerConnectionError, match=r"no answer within 2 s"):
                await KafkaEventBus(config).connect()

            await bus.shutdown()


async def test_a_commit_that_is_not_answered_keeps_nobody(broker: Kafka, caplog: pytest.LogCaptureFixture) -> None:
    """It is told in the log; the event is going to be handled again, unless the broker did hear."""
    config = configured(broker.address, **HURRIED)
    async with topics(config), leaving_nothing():
        bus, gate = await busy(config)
        async with frozen(broker), asyncio.timeout(ENOUGH):
            gate.open.set()
            await bus.shutdown()
            was_consuming = bus.is_consuming

    assert gate.events
    assert not was_consuming
    assert "Offsets were not committed" in caplog.text


async def test_a_consumer_that_stops_gives_up_a_commit_that_is_not_answered(broker: Kafka) -> None:
    """And leaves nothing of it behind, neither a task nor an error of the driver that nobody has asked for."""
    config = configured(broker.address, **HURRIED)
    async with topics(config), leaving_nothing():
        bus, gate = await busy(config)
        async with frozen(broker), asyncio.timeout(ENOUGH):
            gate.open.set()

            await bus.stop_consuming()
            await bus.shutdown()

    assert not bus.is_consuming


async def test_publications_that_share_a_batch_are_given_up_in_their_time(broker: Kafka) -> None:
    """The driver gives them up, too, where it is not idempotent: all of a batch together, and in its own words."""
    async with bus_at(broker.address, **HURRIED, acks=1) as bus:
        await bus.publish(opened(uuid4(), 1))
        async with frozen(broker), asyncio.timeout(ENOUGH):
            publications = []
            for _ in range(10):
                publications.append(asyncio.create_task(bus.publish(opened(uuid4(), 1000, actor_id="x" * 1000))))
                await asyncio.sleep(0.05)
            outcomes = await asyncio.gather(*publications, return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {PublishTimeoutError}
