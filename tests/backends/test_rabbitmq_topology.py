"""Which exchanges, queues and bindings a bus makes, and when."""

import logging
from typing import Any
from uuid import UUID

import pytest
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from eventsource.bus.rabbitmq import RabbitMQEventBus, RabbitMQEventBusConfig
from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry
from eventsource.exceptions import UnroutableError
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import Closed, Opened, opened
from services.rabbitmq_buses import bus_at, channel_at, configured, consuming


class Unnamed(DomainEvent):
    event_type: str = "Unnamed"


async def exists(url: str, queue: str) -> bool:
    async with channel_at(url) as channel:
        try:
            await channel.get_queue(queue)
        except ChannelNotFoundEntity:
            return False
    return True


async def test_whoever_only_publishes_leaves_no_queue_behind(rabbitmq_url: str, door: UUID) -> None:
    """Nobody would ever empty it."""
    async with bus_at(rabbitmq_url, mandatory=False) as bus:
        await bus.publish(opened(door, 1))

        assert not await exists(rabbitmq_url, bus.config.queue_name)
        assert not await exists(rabbitmq_url, bus.config.dlq_queue_name)


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, {"x-queue-type": "classic", "x-single-active-consumer": True}),
        ({"single_active_consumer": False}, {"x-queue-type": "classic"}),
        (
            {"queue_type": "quorum"},
            {"x-queue-type": "quorum", "x-single-active-consumer": True, "x-delivery-limit": 20},
        ),
    ],
    ids=["default", "competing", "quorum"],
)
async def test_the_queue_is_declared_as_configured(
    rabbitmq_url: str, options: dict[str, Any], arguments: dict[str, Any]
) -> None:
    """The broker finds what it has equal to what is expected, and different from anything else."""
    async with bus_at(rabbitmq_url, **options) as bus:
        await bus.bind_routing_key("any")
        config = bus.config
        dead_letters = {
            "x-dead-letter-exchange": config.dlq_exchange_name,
            "x-dead-letter-routing-key": config.queue_name,
        }

        async with channel_at(rabbitmq_url) as channel:
            await channel.declare_queue(config.queue_name, durable=True, arguments=arguments | dead_letters)
            with pytest.raises(ChannelPreconditionFailed):
                await channel.declare_queue(config.queue_name, durable=True, arguments=arguments)


async def test_the_queue_of_dead_letters_has_its_limits(rabbitmq_url: str) -> None:
    """How long a dead letter is kept, and how many are."""
    async with bus_at(rabbitmq_url, dlq_message_ttl=60_000, dlq_max_length=5) as bus:
        await bus.bind_routing_key("any")

        async with channel_at(rabbitmq_url) as channel:
            await channel.declare_queue(
                bus.config.dlq_queue_name,
                durable=True,
                arguments={"x-queue-type": "classic", "x-message-ttl": 60_000, "x-max-length": 5},
            )


async def test_without_dead_letters_there_is_no_queue_for_them(rabbitmq_url: str) -> None:
    """Neither that, nor a word of it in the queue's arguments."""
    async with bus_at(rabbitmq_url, enable_dlq=False, single_active_consumer=False) as bus:
        await bus.bind_routing_key("any")

        async with channel_at(rabbitmq_url) as channel:
            await channel.declare_queue(bus.config.queue_name, durable=True, arguments={"x-queue-type": "classic"})
        assert not await exists(rabbitmq_url, bus.config.dlq_queue_name)
        assert await bus.get_dlq_message_count() == 0


async def test_a_direct_exchange_delivers_what_was_bound(rabbitmq_url: str, door: UUID) -> None:
    """The default binding matches no event there; one of an event class does."""
    async with bus_at(rabbitmq_url, exchange_type="direct") as bus:
        await bus.bind_event_type(Opened)
        bus.subscribe_to_all_events(recorder := Recorder())
        await consuming(bus)
        events = opened(door, 2)

        await bus.publish(events)
        with pytest.raises(UnroutableError, match=r"'Door\.eventsource\.testing\.Closed'"):
            await bus.publish([Closed(aggregate_id=door)])

        assert await recorder.received(*events) == events


async def test_a_binding_is_made_again_by_a_new_session(rabbitmq_url: str, door: UUID) -> None:
    """Also when the queue had been deleted in the meantime."""
    async with bus_at(rabbitmq_url, routing_key_pattern="nothing") as bus:
        await bus.bind_routing_key("Door.#")
        async with channel_at(rabbitmq_url) as channel:
            await channel.queue_delete(bus.config.queue_name)
        bus.subscribe(Opened, recorder := Recorder())

        await consuming(bus)
        events = opened(door, 1)
        await bus.publish(events)

        assert await recorder.received(*events) == events


async def test_former_names_of_an_event_class_are_bound_too(rabbitmq_url: str, door: UUID) -> None:
    """Processes that were not renamed yet publish under them."""
    registry = EventRegistry()
    registry.register(Opened, aliases=["WasOpened"])
    async with bus_at(rabbitmq_url, exchange_type="direct") as bus:
        renamed = RabbitMQEventBus(bus.config, registry)
        async with renamed:
            await renamed.bind_event_type(Opened)
            renamed.subscribe(Opened, recorder := Recorder())
            await consuming(renamed)
            old = EventRegistry()
            old.register(Opened, "WasOpened")
            async with RabbitMQEventBus(bus.config, old) as former:
                await former.publish(events := opened(door, 1))

            assert await recorder.received(*events) == events


async def test_an_event_class_without_an_aggregate_type_cannot_be_bound() -> None:
    """Its routing key is only known when there is an event."""
    bus = RabbitMQEventBus()

    with pytest.raises(ValueError, match=r"Unnamed has no default for aggregate_type.*bind_routing_key"):
        await bus.bind_event_type(Unnamed)


async def test_each_group_gets_every_event(rabbitmq_url: str, door: UUID) -> None:
    """One queue each, whatever the exchange does with routing keys."""
    async with bus_at(rabbitmq_url, exchange_type="fanout") as bus:
        name = bus.config.exchange_name
        async with bus_at(rabbitmq_url, exchange_name=name, exchange_type="fanout", consumer_group="mail") as other:
            recorders = []
            for each in (bus, other):
                each.subscribe(Opened, recorder := Recorder())
                recorders.append(recorder)
                await consuming(each)

            await bus.publish(events := opened(door, 2))

            assert [await recorder.received(*events) for recorder in recorders] == [events, events]


async def test_a_binding_to_a_fanout_exchange_says_what_it_means(
    rabbitmq_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The routing key is ignored there, and whoever reads the log is told."""
    caplog.set_level(logging.INFO, "eventsource.bus.rabbitmq")
    async with bus_at(rabbitmq_url, exchange_type="fanout") as bus:
        await bus.bind_routing_key("Door.#")

    bound = [record for record in caplog.records if record.message.startswith("Bound queue")]
    assert [record.__dict__["routing_key_ignored"] for record in bound] == [True, True]


async def test_nothing_stays_of_what_is_not_to_stay(rabbitmq_url: str, door: UUID) -> None:
    """With auto_delete the queue goes with its last consumer."""
    config = configured(rabbitmq_url, durable=False, auto_delete=True, enable_dlq=False)
    async with RabbitMQEventBus(config) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        await consuming(bus)
        await bus.publish(events := opened(door, 1))
        await recorder.received(*events)

    assert not await exists(rabbitmq_url, config.queue_name)


def test_the_address_of_an_event_is_its_exchange_and_routing_key(door: UUID) -> None:
    """It is that of the message, under the name that the registry gives the class."""
    registry = EventRegistry()
    registry.register(Opened, "DoorOpened")
    bus = RabbitMQEventBus(RabbitMQEventBusConfig(exchange_name="doors"), registry)

    address = bus.address_of(Opened(aggregate_id=door))

    assert (address.destination, address.routing_key) == ("doors", "Door.DoorOpened")
