"""What goes wrong between a bus and Kafka, and how it is told."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka.admin import NewTopic

from eventsource.bus.kafka import KafkaEventBus
from eventsource.exceptions import BrokerConnectionError, EventBusError, NotConnectedError, PublishError
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import Opened, opened
from services.kafka import Kafka
from services.kafka_buses import admin_at, configured, consuming, kafka_in, leaving_nothing
from services.processes import free_ports

pytestmark = pytest.mark.servers

ENOUGH = 20.0
"""Seconds within which everything has ended that is to end soon; time-outs that must not count are longer."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker that makes no topic by itself, for all of these tests: none does anything else to it."""
    settings = {"auto.create.topics.enable": "false"}
    with kafka_in(tmp_path_factory.mktemp("broker"), settings=settings) as broker:
        yield broker


@asynccontextmanager
async def silence() -> AsyncIterator[str]:
    """Give the address of something that listens and says nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def create(broker: Kafka, *names: str) -> None:
    async with admin_at(broker.address) as admin:
        await admin.create_topics([NewTopic(name, 1, 1) for name in names])


async def test_a_broker_that_is_not_there_is_told() -> None:
    """At once; nothing stays open, and it is counted."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    bus = KafkaEventBus(configured(address, connect_timeout=300.0))

    async with leaving_nothing(), asyncio.timeout(ENOUGH):
        with pytest.raises(BrokerConnectionError, match=f"cannot connect to Kafka at {address} by PLAINTEXT"):
            await bus.connect()

    assert (bus.is_connected, bus.stats.connection_errors, bus.stats.connected_at) == (False, 1, None)


async def test_something_that_is_no_broker_is_given_up() -> None:
    """It listens, and says nothing."""
    async with silence() as address, leaving_nothing(), asyncio.timeout(ENOUGH):
        bus = KafkaEventBus(configured(address, connect_timeout=0.3))

        with pytest.raises(BrokerConnectionError, match=r"\(no answer within 0\.3 s\)"):
            await bus.connect()


async def test_whoever_connects_can_be_cancelled() -> None:
    """It is not taken for a failure of the broker, and leaves nothing open."""
    async with silence() as address, leaving_nothing(), asyncio.timeout(ENOUGH):
        connecting = asyncio.create_task(KafkaEventBus(configured(address, connect_timeout=300.0)).connect())
        done, _ = await asyncio.wait({connecting}, timeout=0.1)

        connecting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert done == set()


async def test_a_bus_that_could_not_connect_may_try_again(broker: Kafka, door: UUID) -> None:
    """It is as if it had not tried before."""
    config = configured(f"127.0.0.1:{free_ports(1)[0]}")
    await create(broker, config.topic_name)
    bus = KafkaEventBus(config)
    with pytest.raises(BrokerConnectionError):
        await bus.connect()

    config.bootstrap_servers = broker.address
    await bus.connect()
    await bus.publish(opened(door, 1))

    await bus.shutdown()
    assert bus.stats.events_published == 1


async def test_a_bus_that_is_shut_down_while_it_connects_stays_so(broker: Kafka) -> None:
    """Nothing is open afterwards."""
    bus = KafkaEventBus(configured(broker.address))
    async with leaving_nothing(), asyncio.timeout(ENOUGH):
        connecting = asyncio.create_task(bus.connect())
        await asyncio.sleep(0)

        await bus.shutdown()

        with pytest.raises(NotConnectedError, match="has been shut down"):
            await connecting
    assert not bus.is_connected


async def test_publishing_to_a_topic_that_is_not_there_is_told(broker: Kafka, door: UUID) -> None:
    """Within the time that publishing may take, with what to do; once there is one, the bus publishes."""
    config = configured(broker.address, publish_timeout=0.5, connect_timeout=300.0)
    async with leaving_nothing(), KafkaEventBus(config) as bus:
        async with asyncio.timeout(ENOUGH):
            with pytest.raises(PublishError, match=f"there is no topic '{config.topic_name}'.*create it, or let the"):
                await bus.publish(opened(door, 1))
        await create(broker, config.topic_name)
        await bus.publish(opened(door, 2))

        assert (bus.stats.publish_errors, bus.stats.events_published) == (1, 2)


@pytest.mark.parametrize("missing", [".stream", ".stream.dlq"], ids=["topic", "dead letters"])
async def test_consuming_without_a_topic_is_told(broker: Kafka, missing: str) -> None:
    """Whether it is that of events or that of dead letters; the consumer does not begin."""
    config = configured(broker.address, connect_timeout=0.5)
    await create(broker, *({config.topic_name, config.dlq_topic_name} - {config.topic_prefix + missing}))
    async with leaving_nothing(), KafkaEventBus(config) as bus:
        async with asyncio.timeout(ENOUGH):
            with pytest.raises(EventBusError, match=f"there is no topic '{config.topic_prefix}{missing}' .*create it"):
                await bus.start_consuming()

        assert not bus.is_consuming


async def test_a_consumer_may_begin_once_there_is_a_topic(broker: Kafka, door: UUID) -> None:
    """The bus is as it was."""
    config = configured(broker.address, connect_timeout=0.5)
    async with leaving_nothing(), KafkaEventBus(config) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        with pytest.raises(EventBusError):
            await bus.start_consuming()

        await create(broker, config.topic_name, config.dlq_topic_name)
        await consuming(bus)
        await bus.publish(events := opened(door, 2))

        assert await recorder.received(*events) == events


async def test_without_dead_letters_a_consumer_needs_no_topic_for_them(broker: Kafka, door: UUID) -> None:
    """It begins and consumes."""
    config = configured(broker.address, enable_dlq=False)
    await create(broker, config.topic_name)
    async with KafkaEventBus(config) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        await consuming(bus)

        await bus.publish(events := opened(door, 2))

        assert await recorder.received(*events) == events


ASKING: dict[str, Any] = {
    "read": lambda bus: bus.get_dlq_messages(),
    "count": lambda bus: bus.get_dlq_message_count(),
    "replay": lambda bus: bus.replay_dlq_message(0, 0),
    "topic": lambda bus: bus.get_topic_info(),
}


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING.keys())
async def test_asking_for_a_topic_that_is_not_there_is_told(broker: Kafka, ask: Any) -> None:
    """Within the time that connecting may take."""
    async with leaving_nothing(), KafkaEventBus(configured(broker.address, connect_timeout=0.5)) as bus:
        async with asyncio.timeout(ENOUGH):
            with pytest.raises(PublishError, match="there is no topic"):
                await ask(bus)


async def test_a_topic_whose_name_is_not_allowed_is_told(broker: Kafka, door: UUID) -> None:
    """As one that is not there."""
    config = configured(broker.address, topic_prefix="no name", publish_timeout=0.5, connect_timeout=0.5)
    async with leaving_nothing(), KafkaEventBus(config) as bus, asyncio.timeout(ENOUGH):
        with pytest.raises(EventBusError, match=r"no name\.stream"):
            await bus.publish(opened(door, 1))
        with pytest.raises(EventBusError, match=r"no name\.stream"):
            await bus.start_consuming()


async def test_stopping_ends_an_attempt_to_join(broker: Kafka, door: UUID) -> None:
    """Whoever stops does not wait for another member that takes its time."""
    config = configured(broker.address, shutdown_timeout=0.5)
    await create(broker, config.topic_name, config.dlq_topic_name)
    entered = asyncio.Event()

    async def never_end(event: Opened) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with leaving_nothing(), KafkaEventBus(config) as bus, KafkaEventBus(config) as other:
        bus.subscribe(Opened, never_end)
        await consuming(bus)
        await bus.publish(opened(door, 1))
        await entered.wait()
        joining = other.start_consuming_in_background()
        done, _ = await asyncio.wait({joining}, timeout=0.3)

        await asyncio.wait_for(other.stop_consuming(), ENOUGH)

        assert (done, joining.done(), joining.exception()) == (set(), True, None)


async def test_names_of_topics_are_told_with_the_event(broker: Kafka) -> None:
    """Whoever catches the error knows which event it is about."""
    (event,) = opened(uuid4(), 1)
    async with KafkaEventBus(configured(broker.address, publish_timeout=0.3)) as bus:
        with pytest.raises(PublishError) as caught:
            await bus.publish([event])

    assert caught.value.event_id == event.event_id
