"""How a bus over RabbitMQ says that it is well."""

from uuid import UUID

from eventsource.bus.rabbitmq import RabbitMQEventBus
from eventsource.testing.events import opened
from services.rabbitmq_buses import bus_at, channel_at, configured, consuming, eventually


async def test_a_consumer_is_healthy_with_its_queues(rabbitmq_url: str) -> None:
    """Connection, channel and both queues are there."""
    async with bus_at(rabbitmq_url) as bus:
        await consuming(bus)

        health = await bus.health_check()

        assert health.healthy
        assert (health.connection_status, health.channel_status) == ("connected", "open")
        assert (health.queue_status, health.dlq_status, health.error) == ("accessible", "accessible", None)


async def test_whoever_only_publishes_is_healthy_without_a_queue(rabbitmq_url: str) -> None:
    """It needs none."""
    async with bus_at(rabbitmq_url) as bus:
        health = await bus.health_check()

        assert (health.healthy, health.queue_status, health.error) == (True, "missing", None)


async def test_a_consumer_without_its_queue_of_dead_letters_is_not_healthy(rabbitmq_url: str) -> None:
    """The next message that fails could not be kept."""
    async with bus_at(rabbitmq_url) as bus:
        await consuming(bus)
        async with channel_at(rabbitmq_url) as channel:
            await channel.queue_delete(bus.config.dlq_queue_name)

        health = await bus.health_check()

        assert (health.healthy, health.queue_status, health.dlq_status) == (False, "accessible", "missing")
        assert bus.config.dlq_queue_name in str(health.error)


async def test_a_bus_without_a_connection_says_so() -> None:
    """It does not raise, and does not connect by itself."""
    bus = RabbitMQEventBus(configured("amqp://me:secret@broker.example/"))

    health = await bus.health_check()
    info = await bus.get_queue_info()

    assert (health.healthy, health.connection_status) == (False, "disconnected")
    assert (info.state, "secret" in f"{info} {health}") == ("error", False)


async def test_the_queue_tells_who_consumes_and_what_waits(rabbitmq_url: str, door: UUID) -> None:
    """Idle while nobody consumes, running then."""
    async with bus_at(rabbitmq_url) as bus:
        await bus.bind_routing_key("#")
        await bus.publish(opened(door, 3))
        await eventually(lambda: _count(bus), 3)

        before = await bus.get_queue_info()
        await consuming(bus)
        after = await bus.get_queue_info()

        assert (before.name, before.state, before.consumer_count) == (bus.config.queue_name, "idle", 0)
        assert (after.state, after.consumer_count) == ("running", 1)


async def _count(bus: RabbitMQEventBus) -> int:
    return (await bus.get_queue_info()).message_count
