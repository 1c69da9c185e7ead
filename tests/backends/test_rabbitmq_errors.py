"""What goes wrong between a bus and RabbitMQ, and how it is told."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from eventsource.bus.rabbitmq import RabbitMQEventBus
from eventsource.bus.rabbitmq.connection import is_of_lost_connection
from eventsource.exceptions import BrokerConnectionError, EventBusError, NotConnectedError
from eventsource.testing.events import opened
from services.processes import free_ports
from services.rabbitmq_buses import bus_at, configured


class Silent:
    """Something that listens and says nothing."""

    def __init__(self) -> None:
        self.url = ""
        self.asked = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.set()
        await reader.read()
        writer.close()


@pytest.fixture
async def silent() -> AsyncIterator[Silent]:
    """A server that is no broker."""
    silent = Silent()
    async with await asyncio.start_server(silent.serve, "127.0.0.1", 0) as server:
        silent.url = f"amqp://guest:guest@127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        yield silent


def with_password(url: str, password: str) -> str:
    return url.replace(":guest@", f":{password}@")


async def test_a_wrong_password_is_told_without_being_shown(rabbitmq_url: str) -> None:
    """The error names the broker, not the secret."""
    bus = RabbitMQEventBus(configured(with_password(rabbitmq_url, "sesame")))

    with pytest.raises(BrokerConnectionError, match=r"amqp://\*\*\*:\*\*\*@.*ACCESS_REFUSED") as caught:
        await bus.connect()

    assert "sesame" not in repr(caught.value)
    assert bus.stats.connection_errors == 1


async def test_a_virtual_host_that_is_not_there_is_told(rabbitmq_url: str) -> None:
    """It is the broker that refuses, with its own words."""
    bus = RabbitMQEventBus(configured(rabbitmq_url.rstrip("/") + "/nowhere"))

    with pytest.raises(BrokerConnectionError, match="nowhere"):
        await bus.connect()


async def test_a_broker_that_is_not_there_is_told() -> None:
    """Connecting, publishing and consuming all say so, at once."""
    bus = RabbitMQEventBus(configured(f"amqp://guest:guest@127.0.0.1:{free_ports(1)[0]}/"))

    with pytest.raises(BrokerConnectionError, match=r"127\.0\.0\.1.*failed, connecting"):
        await bus.connect()
    with pytest.raises(BrokerConnectionError, match="failed, connecting"):
        await bus.publish(opened(uuid4(), 1))
    with pytest.raises(BrokerConnectionError, match="failed, connecting"):
        await bus.start_consuming()


async def test_a_server_that_says_nothing_is_given_up(silent: Silent) -> None:
    """Something that listens is not yet a broker."""
    bus = RabbitMQEventBus(configured(silent.url, connect_timeout=0.1))

    with pytest.raises(BrokerConnectionError, match=r"has not answered within 0\.1 s, connecting"):
        await bus.connect()


async def test_publishing_gives_up_connecting_in_its_own_time(silent: Silent, door: UUID) -> None:
    """Whichever time-out is the shorter one."""
    bus = RabbitMQEventBus(configured(silent.url, connect_timeout=300, publish_timeout=0.1))

    with pytest.raises(BrokerConnectionError, match=r"cannot be connected to within 0\.1 s"):
        await asyncio.wait_for(bus.publish(opened(door, 1)), timeout=20)


async def test_whoever_connects_can_be_cancelled(silent: Silent) -> None:
    """It is not taken for a failure of the broker."""
    connecting = asyncio.create_task(RabbitMQEventBus(configured(silent.url, connect_timeout=300)).connect())
    await silent.asked.wait()

    connecting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await connecting


async def test_stopping_ends_an_attempt_to_connect(silent: Silent) -> None:
    """Whoever stops does not wait for a server that says nothing."""
    bus = RabbitMQEventBus(configured(silent.url, connect_timeout=300))
    consumption = bus.start_consuming_in_background()
    await silent.asked.wait()

    await asyncio.wait_for(bus.stop_consuming(), timeout=20)

    assert consumption.done()
    assert consumption.exception() is None


async def test_an_exchange_of_another_type_is_told(rabbitmq_url: str) -> None:
    """What is there already is neither used nor replaced."""
    async with bus_at(rabbitmq_url) as bus:
        other = RabbitMQEventBus(
            configured(rabbitmq_url, exchange_name=bus.config.exchange_name, exchange_type="fanout")
        )

        with pytest.raises(EventBusError, match=f"exchange '{bus.config.exchange_name}' exists"):
            await other.connect()

        await other.shutdown()


async def test_a_queue_with_other_arguments_is_told(rabbitmq_url: str) -> None:
    """The consumer does not begin, and says which queue it is and what to do."""
    async with bus_at(rabbitmq_url) as bus:
        await bus.bind_routing_key("any")
        other = RabbitMQEventBus(
            configured(rabbitmq_url, exchange_name=bus.config.exchange_name, single_active_consumer=False)
        )

        with pytest.raises(EventBusError, match=f"queue '{bus.config.queue_name}' exists.*choose other names"):
            await other.start_consuming()


@pytest.mark.parametrize(
    "ask",
    [
        lambda bus: bus.bind_routing_key("Door.*"),
        lambda bus: bus.get_dlq_messages(),
        lambda bus: bus.get_dlq_message_count(),
        lambda bus: bus.replay_dlq_message("1"),
        lambda bus: bus.purge_dlq(),
    ],
    ids=["bind", "list", "count", "replay", "purge"],
)
async def test_what_needs_a_connection_says_so(ask: object) -> None:
    """None of these connects by itself, and an answer without a broker would be a lie."""
    bus = RabbitMQEventBus(configured("amqp://localhost/"))

    with pytest.raises(NotConnectedError, match=r"await connect\(\) first"):
        await ask(bus)  # type: ignore[operator]


async def test_a_bus_that_was_shut_down_publishes_no_batch(rabbitmq_url: str, door: UUID) -> None:
    """It would have to connect again."""
    async with bus_at(rabbitmq_url) as bus:
        await bus.shutdown()

        with pytest.raises(NotConnectedError, match="shut down"):
            await bus.publish_batch(opened(door, 1))

    assert bus.is_shutdown


async def test_a_disconnected_bus_connects_again_to_publish(rabbitmq_url: str, door: UUID) -> None:
    """Only a shutdown is for good."""
    async with bus_at(rabbitmq_url, mandatory=False) as bus:
        await bus.disconnect()
        was_connected = bus.is_connected

        await bus.publish(opened(door, 1))

        assert (was_connected, bus.is_connected) == (False, True)


@pytest.mark.parametrize(
    ("error", "is_lost"), [(Exception(), True), (ConnectionResetError(), True), (KeyError(), False)]
)
def test_an_error_without_a_word_is_that_of_a_lost_connection(error: Exception, is_lost: bool) -> None:
    """The driver raises a bare one for what is under way on a channel while it is closed."""
    assert is_of_lost_connection(error) is is_lost
