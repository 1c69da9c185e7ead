"""What RabbitMQ delivers, to whom, and what becomes of it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from aio_pika import Message

from eventsource.bus.messages import Received
from eventsource.bus.rabbitmq import RabbitMQEventBus
from eventsource.bus.rabbitmq.messages import received
from eventsource.events.base import DomainEvent
from eventsource.exceptions import EventBusError
from eventsource.testing.event_bus_subject import Gate, Recorder
from eventsource.testing.events import Closed, Opened, opened
from services.rabbitmq_buses import bus_at, channel_at, consuming, eventually


class InMicroseconds(datetime):
    """A time as some publishers write it, which the driver cannot read."""

    def timestamp(self) -> float:
        return super().timestamp() * 1_000_000


def another(bus: RabbitMQEventBus) -> RabbitMQEventBus:
    """Return a second bus of the same group."""
    return RabbitMQEventBus(replace(bus.config, consumer_name="another"))


async def delivered(bus: RabbitMQEventBus, url: str) -> Received:
    """Return the next message in the queue as the bus would understand it."""
    async with channel_at(url) as channel:
        message = await (await channel.get_queue(bus.config.queue_name)).get()
        return received(message, bus.config.queue_name)


async def test_a_message_is_understood_as_it_was_sent(rabbitmq_url: str, door: UUID) -> None:
    """Where it comes from, when it was sent, in which lane it belongs."""
    async with bus_at(rabbitmq_url) as bus:
        await bus.bind_event_type(Opened)
        event = Opened(aggregate_id=door)
        await bus.publish([event], headers={"request": "42"})

        message = await delivered(bus, rabbitmq_url)

        assert (message.address.destination, message.address.routing_key) == (
            bus.config.queue_name,
            "Door.eventsource.testing.Opened",
        )
        assert (message.message_id, message.lane) == (str(event.event_id), str(door))
        assert message.sent_at == event.occurred_at.replace(microsecond=0)
        assert (message.headers["request"], message.headers["aggregate_version"]) == ("42", "1")
        assert (message.is_redelivered, message.is_replayed) == (False, False)


async def test_headers_that_are_no_text_are_left_out(rabbitmq_url: str) -> None:
    """Others may publish to the exchange, too; numbers are given as text."""
    async with bus_at(rabbitmq_url) as bus:
        await bus.bind_routing_key("#")
        headers = {"text": "x", "number": 1, "flag": True, "list": ["x"], "table": {"x": "y"}, "nothing": None}
        async with channel_at(rabbitmq_url) as channel:
            exchange = await channel.get_exchange(bus.config.exchange_name)
            await exchange.publish(Message(b"{}", headers=headers), "any")  # type: ignore[arg-type]

        message = await delivered(bus, rabbitmq_url)

        assert message.headers == {"text": "x", "number": "1"}
        assert (message.lane, message.sent_at) == (None, None)


async def test_one_consumer_of_a_group_is_active_and_hands_over(rabbitmq_url: str, door: UUID) -> None:
    """The other one gets nothing before, and then the rest in its order, nothing twice."""
    async with bus_at(rabbitmq_url) as bus, another(bus) as other:
        first, second = Recorder(), Recorder()

        async def record_and_stop(event: Opened) -> None:
            first.record(event)
            await bus.stop_consuming()

        bus.subscribe(Opened, record_and_stop)
        other.subscribe(Opened, second)
        await bus.bind_event_type(Opened)
        events = opened(door, 1000)
        await bus.publish(events)

        await consuming(bus)
        await consuming(other)
        await second.received(events[-1])

        assert first.events + second.events == events
        assert first.events


async def test_consumers_may_compete(rabbitmq_url: str) -> None:
    """Where order is not wanted, both of a group are at work at the same time."""
    async with (
        bus_at(rabbitmq_url, single_active_consumer=False, prefetch_count=1) as bus,
        another(bus) as other,
    ):
        gates = [Gate(), Gate()]
        for each, gate in zip((bus, other), gates, strict=True):
            each.subscribe(Opened, gate)
            await consuming(each)

        await bus.publish([*opened(uuid4(), 1), *opened(uuid4(), 1)])

        async with asyncio.timeout(20):
            await asyncio.gather(*(gate.entered.wait() for gate in gates))
        for gate in gates:
            gate.open.set()


async def test_a_quorum_queue_works_likewise(rabbitmq_url: str, door: UUID) -> None:
    """Order, retries and dead letters included."""
    async with bus_at(rabbitmq_url, queue_type="quorum", max_retries=1) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        bus.subscribe(Closed, refuse)
        await consuming(bus)
        events = opened(door, 20)

        await bus.publish([Closed(aggregate_id=door), *events])

        assert await recorder.received(*events) == events
        assert [letter.dlq_retry_count for letter in await bus.get_dlq_messages()] == [1]


async def test_a_quorum_queue_gives_up_a_message_that_ends_each_connection(rabbitmq_url: str, door: UUID) -> None:
    """It becomes a dead letter, and the group goes on with what comes afterwards."""
    async with bus_at(rabbitmq_url, queue_type="quorum", reconnect_delay=0.001, max_reconnect_delay=0.001) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        await consuming(bus)
        async with channel_at(rabbitmq_url) as channel:
            exchange = await channel.get_exchange(bus.config.exchange_name)
            await exchange.publish(Message(b"{}", timestamp=InMicroseconds.now(UTC)), "any")

        await eventually(bus.get_dlq_message_count, 1)
        await bus.publish(events := opened(door, 1))

        assert await recorder.received(*events) == events


async def test_a_queue_that_is_deleted_under_the_consumer_is_made_again(rabbitmq_url: str, door: UUID) -> None:
    """The broker cancels the consumer without closing anything."""
    async with bus_at(rabbitmq_url) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        await consuming(bus)
        async with channel_at(rabbitmq_url) as channel:
            await channel.queue_delete(bus.config.queue_name)
        await eventually(lambda: _reconnections(bus), 1)
        await bus.wait_until_consuming()

        await bus.publish(events := opened(door, 1))

        assert await recorder.received(*events) == events


async def test_a_deleted_queue_is_told_to_whoever_does_not_want_to_go_on(rabbitmq_url: str) -> None:
    """Without reconnecting, consuming ends with what has ended it."""
    async with bus_at(rabbitmq_url) as bus:
        consumption = bus.start_consuming_in_background(auto_reconnect=False)
        await bus.wait_until_consuming()
        async with channel_at(rabbitmq_url) as channel:
            await channel.queue_delete(bus.config.queue_name)

        with pytest.raises(EventBusError, match=r"has cancelled the consumer; queue .* was deleted"):
            await consumption


async def test_an_aggregate_that_keeps_failing_leaves_the_others_room(rabbitmq_url: str, door: UUID) -> None:
    """Its messages wait beside the window, so that 200 others are handled while 150 of it are not."""
    async with bus_at(
        rabbitmq_url, prefetch_count=20, max_retries=10_000, retry_base_delay=0.05, retry_max_delay=0.05
    ) as bus:
        healthy = [Closed(aggregate_id=uuid4()) for _ in range(200)]
        open_again = False
        handled: list[int] = []

        def keep_failing(event: Opened) -> None:
            if not open_again:
                raise LookupError("no room")
            handled.append(event.number)

        bus.subscribe(Opened, keep_failing)
        bus.subscribe(Closed, recorder := Recorder())
        await consuming(bus)
        await bus.publish([*opened(door, 150), *healthy])
        await recorder.received(*healthy)
        failing_meanwhile = list(handled)

        open_again = True
        await eventually(lambda: asyncio.sleep(0, len(handled)), 150)

        assert failing_meanwhile == []
        assert handled == list(range(1, 151))


async def test_no_more_is_delivered_than_is_asked_for(rabbitmq_url: str) -> None:
    """What one consumer may hold is the window and the parking place."""
    async with bus_at(rabbitmq_url, prefetch_count=3, max_parked=2, max_concurrency=1) as bus:
        bus.subscribe(Opened, gate := Gate())
        await consuming(bus)
        await bus.publish([event for _ in range(20) for event in opened(uuid4(), 1)])
        await gate.entered.wait()

        await eventually(lambda: _waiting(bus), 15)
        gate.open.set()

        await eventually(lambda: _waiting(bus), 0)


async def _waiting(bus: RabbitMQEventBus) -> int:
    return (await bus.get_queue_info()).message_count


async def _reconnections(bus: RabbitMQEventBus) -> int:
    return bus.stats.reconnections


def refuse(event: DomainEvent) -> None:
    raise LookupError("no room")
