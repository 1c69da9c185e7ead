"""A RabbitMQ that goes away, comes back, or stands still."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from eventsource.bus.rabbitmq import RabbitMQEventBus
from eventsource.exceptions import BrokerConnectionError, PublishTimeoutError
from eventsource.testing.event_bus_subject import Gate, Recorder
from eventsource.testing.events import Opened, opened
from services.rabbitmq import RabbitMQ
from services.rabbitmq_buses import bus_at, channel_at, configured, consuming, eventually
from services.wires import Wire, wire_to

ENOUGH = 20.0
"""Seconds within which everything has ended that is to end after some tenths of a second."""


@pytest.fixture
async def wire(rabbitmq_url: str) -> AsyncIterator[tuple[Wire, str]]:
    """A wire to the broker, and its near end."""
    async with wire_to(rabbitmq_url) as wire:
        yield wire


async def test_an_idle_connection_that_was_lost_is_made_again_by_publishing(wire: tuple[Wire, str], door: UUID) -> None:
    """Whoever publishes does not notice."""
    line, url = wire
    async with bus_at(url, mandatory=False) as bus:
        line.cut()
        await eventually(lambda: asyncio.sleep(0, bus.is_connected), wanted=False)

        await bus.publish(opened(door, 3))

        assert bus.is_connected
        assert bus.stats.publish_confirms == 3


async def test_a_publication_goes_on_after_the_connection_was_lost(wire: tuple[Wire, str], door: UUID) -> None:
    """Each event arrives, in its order; some may arrive twice."""
    line, url = wire
    async with bus_at(url, batch_size=10) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        await bus.bind_event_type(Opened)
        events = opened(door, 500)
        publishing = asyncio.create_task(bus.publish(events))

        await eventually(lambda: asyncio.sleep(0, bus.stats.publish_confirms >= 100), wanted=True)
        line.cut()
        await publishing
        await consuming(bus)
        await recorder.received(*events)

        numbers = [event.number for event in recorder.events if isinstance(event, Opened)]
        assert list(dict.fromkeys(numbers)) == list(range(1, 501))
        assert line.connected > 2


async def test_an_idle_consumer_notices_that_its_connection_was_lost(wire: tuple[Wire, str], door: UUID) -> None:
    """It does not wait for a message that will never come."""
    line, url = wire
    async with bus_at(url) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        await consuming(bus)

        line.cut()
        await eventually(lambda: asyncio.sleep(0, bus.stats.reconnections), 1)
        await bus.publish(events := opened(door, 1))

        assert await recorder.received(*events) == events


async def test_an_event_in_hand_is_delivered_again_after_the_connection_was_lost(
    wire: tuple[Wire, str], door: UUID
) -> None:
    """It could not be acknowledged; what waited behind it follows, none before its time."""
    line, url = wire
    async with bus_at(url) as bus:
        bus.subscribe(Opened, gate := Gate())
        await consuming(bus)
        events = opened(door, 3)
        await bus.publish(events)
        await gate.entered.wait()

        line.cut()
        gate.open.set()
        handled = await gate.received(*events, events[0])

        assert list(dict.fromkeys(event.event_id for event in handled)) == [event.event_id for event in events]
        assert bus.stats.reconnections == 1


async def test_a_dead_letter_waits_for_a_connection(rabbitmq_url: str, wire: tuple[Wire, str], door: UUID) -> None:
    """The message is not acknowledged before it is kept."""
    line, url = wire
    async with bus_at(url, max_retries=0) as bus:

        def refuse(event: Opened) -> None:
            if event.number == 1 and not bus.stats.messages_sent_to_dlq:
                line.cut()
            raise LookupError("no room")

        bus.subscribe(Opened, refuse)
        await consuming(bus)
        async with RabbitMQEventBus(replace(bus.config, rabbitmq_url=rabbitmq_url)) as observer:
            await bus.publish(opened(door, 2))

            await eventually(lambda: _dead_letters(observer), {1, 2})


async def test_nobody_waits_longer_than_a_time_out_for_a_lost_broker(wire: tuple[Wire, str], door: UUID) -> None:
    """It is tried again so long, and then told."""
    line, url = wire
    bus = RabbitMQEventBus(configured(url, publish_timeout=0.3, connect_timeout=0.2, mandatory=False))
    await bus.connect()
    line.break_off()

    with pytest.raises(BrokerConnectionError, match=r"not to be had again within 0\.3 s; 2 message"):
        await asyncio.wait_for(bus.publish(opened(door, 2)), ENOUGH)

    await bus.shutdown()


async def test_a_killed_broker_is_found_again(start_rabbitmq: Callable[..., RabbitMQ], door: UUID) -> None:
    """Publishing and consuming go on by themselves, and nothing that was confirmed is lost."""
    broker = await asyncio.to_thread(start_rabbitmq)
    async with RabbitMQEventBus(configured(broker.address, publish_timeout=60.0)) as bus:
        bus.subscribe(Opened, gate := Gate())
        await consuming(bus)
        before, after = opened(door, 20), opened(uuid4(), 20)
        await bus.publish(before)
        await gate.entered.wait()
        await _written(broker)

        await asyncio.to_thread(broker.kill)
        publishing = asyncio.create_task(bus.publish(after))
        gate.open.set()
        await asyncio.to_thread(broker.start)
        await publishing

        received = await gate.received(*before, *after)
        in_order = dict.fromkeys(event.event_id for event in received if event.aggregate_id == door)
        assert list(in_order) == [event.event_id for event in before]


async def test_a_frozen_broker_keeps_nobody(start_rabbitmq: Callable[..., RabbitMQ], door: UUID) -> None:
    """Publishing, acknowledging, asking and closing each end within their time-outs."""
    broker = await asyncio.to_thread(start_rabbitmq)
    options = {"publish_timeout": 0.3, "connect_timeout": 0.3, "ack_timeout": 0.3}
    bus = RabbitMQEventBus(configured(broker.address, **options))
    bus.subscribe(Opened, gate := Gate())
    await bus.connect()
    await consuming(bus)
    events = opened(door, 1)
    await bus.publish(events)
    await gate.entered.wait()

    broker.freeze()
    try:
        async with asyncio.timeout(ENOUGH):
            health = await bus.health_check()
            with pytest.raises(PublishTimeoutError, match="publishing it again is safe"):
                await bus.publish(opened(door, 1))
            with pytest.raises(BrokerConnectionError):
                await bus.publish(opened(door, 200))
            gate.open.set()
            await gate.received(*events)
            await bus.shutdown(timeout=5.0)
    finally:
        broker.thaw()

    assert (health.healthy, health.queue_status) == (False, "error")
    assert (bus.is_connected, bus.is_consuming) == (False, False)


async def _dead_letters(bus: RabbitMQEventBus) -> set[int]:
    return {json.loads(letter.body)["number"] for letter in await bus.get_dlq_messages()}


async def _written(broker: RabbitMQ) -> None:
    """Wait until the broker has on its disk which queues there are, a moment after it has confirmed them."""
    latest = str(uuid4())
    async with channel_at(broker.address) as channel:
        await channel.declare_exchange(latest, durable=True)
    directory = broker.directory / "data"

    def found() -> bool:
        return any(latest.encode() in path.read_bytes() for path in directory.glob("*/*.LOG"))

    await eventually(lambda: asyncio.to_thread(found), wanted=True)
