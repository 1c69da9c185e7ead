"""How a bus over RabbitMQ says that it is well."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from eventsource.bus.rabbitmq import RabbitMQEventBus
from eventsource.exceptions import BrokerConnectionError
from eventsource.testing.events import opened
from services.rabbitmq_buses import bus_at, channel_at, configured, consuming, eventually
from services.wires import wire_to


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


async def test_whoever_only_consumes_is_well_again_after_the_connections_were_lost(rabbitmq_url: str) -> None:
    """The next session makes the connection for dead letters, too, before anybody asks."""
    async with wire_to(rabbitmq_url) as (line, url), bus_at(url) as bus:
        await consuming(bus)

        line.cut()
        await eventually(lambda: asyncio.sleep(0, bus.stats.reconnections), 1)

        assert bus.is_connected
        assert (await bus.health_check()).healthy


@pytest.mark.parametrize(
    "ask",
    [
        lambda bus: bus.health_check(),
        lambda bus: bus.get_queue_info(),
        lambda bus: bus.get_dlq_messages(),
        lambda bus: bus.get_dlq_message_count(),
        lambda bus: bus.replay_dlq_message("1"),
        lambda bus: bus.purge_dlq(),
        lambda bus: bus.bind_routing_key("Door.*"),
    ],
    ids=["health", "queue", "list", "count", "replay", "purge", "bind"],
)
async def test_a_question_makes_a_lost_connection_again(
    rabbitmq_url: str, ask: Callable[[RabbitMQEventBus], Awaitable[Any]]
) -> None:
    """The answer is the one of before."""
    async with wire_to(rabbitmq_url) as (line, url), bus_at(url) as bus:
        await bus.bind_routing_key("#")
        before = await ask(bus)
        line.cut()
        await eventually(lambda: asyncio.sleep(0, bus.is_connected), wanted=False)

        after = await ask(bus)

        assert after == before
        assert bus.is_connected


async def test_a_broker_that_stays_away_is_told(rabbitmq_url: str) -> None:
    """As a result where an error is never raised, and else as one that says what is wrong."""
    async with wire_to(rabbitmq_url) as (line, url):
        bus = RabbitMQEventBus(configured(url))
        await bus.connect()
        line.break_off()
        await eventually(lambda: asyncio.sleep(0, bus.is_connected), wanted=False)

        health = await bus.health_check()
        info = await bus.get_queue_info()
        with pytest.raises(BrokerConnectionError, match="failed, connecting"):
            await bus.get_dlq_message_count()

        await bus.shutdown()
        assert (health.healthy, health.connection_status, info.state) == (False, "disconnected", "error")
        assert "failed, connecting" in str(health.error)


async def _count(bus: RabbitMQEventBus) -> int:
    return (await bus.get_queue_info()).message_count
