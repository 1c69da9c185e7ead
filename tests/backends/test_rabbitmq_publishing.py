"""What a bus sends to RabbitMQ, and when it says that it is there."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from aio_pika import DeliveryMode
from aio_pika.abc import AbstractIncomingMessage

from eventsource.bus.rabbitmq import BatchPublishError, RabbitMQEventBus
from eventsource.bus.rabbitmq.messages import Writer
from eventsource.bus.serializing import EventSerializer
from eventsource.events.base import DomainEvent
from eventsource.exceptions import MessageTooLargeError, PublishError, UnroutableError
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import Measured, Opened, opened
from services.rabbitmq import RabbitMQ
from services.rabbitmq_buses import bus_at, channel_at, configured, consuming


async def sent(url: str, *events: DomainEvent, **headers: str) -> AbstractIncomingMessage:
    """Publish *events*, and return the first message as it lies in the queue."""
    async with bus_at(url) as bus:
        await bus.bind_routing_key("#")
        await bus.publish(events, headers=headers)
        async with channel_at(url) as channel:
            return await (await channel.get_queue(bus.config.queue_name)).get(no_ack=True)


async def test_a_message_tells_what_it_carries(rabbitmq_url: str, door: UUID) -> None:
    """Properties and headers, for whoever reads the queue without this library."""
    event = Opened(aggregate_id=door, aggregate_version=7, tenant_id=uuid4(), actor_id="me", causation_id=uuid4())

    message = await sent(rabbitmq_url, event, request="42")

    assert message.body == event.model_dump_json().encode()
    assert (message.content_type, message.content_encoding) == ("application/json", "utf-8")
    assert message.delivery_mode == DeliveryMode.PERSISTENT
    assert (message.message_id, message.timestamp) == (str(event.event_id), event.occurred_at.replace(microsecond=0))
    assert message.routing_key == "Door.eventsource.testing.Opened"
    assert message.headers == {
        "event_type": "eventsource.testing.Opened",
        "aggregate_id": str(door),
        "aggregate_type": "Door",
        "aggregate_version": 7,
        "correlation_id": str(event.correlation_id),
        "causation_id": str(event.causation_id),
        "tenant_id": str(event.tenant_id),
        "actor_id": "me",
        "x-retry-count": 0,
        "request": "42",
    }


async def test_what_the_event_says_comes_before_the_headers_of_the_user(rabbitmq_url: str, door: UUID) -> None:
    """The consumer finds the class of the event by them."""
    message = await sent(rabbitmq_url, Opened(aggregate_id=door), event_type="Nonsense", aggregate_id="nobody")

    assert message.headers["event_type"] == "eventsource.testing.Opened"
    assert message.headers["aggregate_id"] == str(door)


@pytest.mark.parametrize(
    "name",
    ["x-retry-count", "x-dlq-reason", "x-replayed-from-dlq", "x-original-routing-key", "x-death", "CC", "BCC"],
)
async def test_a_header_that_means_something_to_the_bus_or_the_broker_is_not_sent(
    rabbitmq_url: str, door: UUID, name: str
) -> None:
    """A handler may hand on the headers that it was given."""
    message = await sent(rabbitmq_url, Opened(aggregate_id=door), **{name: "from a user"})

    assert message.headers.get(name) in {None, 0}


def test_a_header_that_is_set_is_not_replaced_by_the_driver(door: UUID) -> None:
    """Whoever traces the driver writes into the headers of the message; the first one wins."""
    writer = Writer(EventSerializer(), "events", mandatory=True)
    message = writer.message_of(Opened(aggregate_id=door), {"traceparent": "ours"}).message

    message.properties.headers["traceparent"] = "the driver's"
    message.properties.headers["tracestate"] = "new"

    assert (message.headers["traceparent"], message.headers["tracestate"]) == ("ours", "new")


async def test_an_event_from_before_1970_is_sent_without_a_timestamp(rabbitmq_url: str, door: UUID) -> None:
    """The protocol has none for it; the event itself still tells."""
    message = await sent(rabbitmq_url, Opened(aggregate_id=door, occurred_at=datetime(1969, 7, 20, tzinfo=UTC)))

    assert message.timestamp is None


async def test_a_time_without_a_zone_is_taken_as_utc(rabbitmq_url: str, door: UUID) -> None:
    """Wherever the process runs."""
    moment = datetime(2024, 5, 1, 12)  # noqa: DTZ001 - that is the point

    message = await sent(rabbitmq_url, Opened(aggregate_id=door, occurred_at=moment))

    assert message.timestamp == moment.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "error"),
    [({"n" * 129: "x"}, PublishError), ({"x": "x" * 100_000}, MessageTooLargeError)],
    ids=["name", "size"],
)
async def test_headers_that_do_not_fit_are_refused_before_anything_is_sent(
    rabbitmq_url: str, door: UUID, headers: dict[str, str], error: type[Exception]
) -> None:
    """The driver would cut the name, and the broker would close the connection."""
    async with bus_at(rabbitmq_url, mandatory=False) as bus:
        with pytest.raises(error):
            await bus.publish(opened(door, 2), headers=headers)

        assert bus.stats.publish_confirms == 0


async def test_large_headers_arrive(rabbitmq_url: str, door: UUID) -> None:
    """What is not refused fits into a frame."""
    message = await sent(rabbitmq_url, Opened(aggregate_id=door), large="x" * 99_000)

    assert message.headers["large"] == "x" * 99_000


async def test_an_event_of_two_megabytes_is_carried(rabbitmq_url: str, door: UUID) -> None:
    """The broker takes much more than that."""
    async with bus_at(rabbitmq_url) as bus:
        bus.subscribe(Measured, recorder := Recorder())
        await consuming(bus)
        event = Measured(aggregate_id=door, text="x" * 2_000_000)

        await bus.publish([event])

        assert await recorder.received(event) == [event]


async def test_an_event_that_nobody_receives_is_an_error(rabbitmq_url: str, door: UUID) -> None:
    """The error says where it was to go, and the other events of the list are there."""
    async with bus_at(rabbitmq_url, routing_key_pattern="*.eventsource.testing.Measured") as bus:
        await bus.bind_event_type(Measured)
        lost = Opened(aggregate_id=door)
        where = f"exchange '{bus.config.exchange_name}' with routing key 'Door.eventsource.testing.Opened'"

        with pytest.raises(UnroutableError, match=where) as caught:
            await bus.publish([Measured(aggregate_id=door), lost, Measured(aggregate_id=door)])

        assert caught.value.event_id == lost.event_id
        assert (bus.stats.publish_confirms, bus.stats.publish_returns, bus.stats.publish_errors) == (2, 1, 1)


async def test_an_event_that_nobody_receives_may_be_no_error(rabbitmq_url: str, door: UUID) -> None:
    """Where that is said, the broker confirms and forgets it."""
    async with bus_at(rabbitmq_url, mandatory=False) as bus:
        await bus.publish(opened(door, 3))

        assert (bus.stats.publish_confirms, bus.stats.publish_returns) == (3, 0)


async def test_many_events_keep_their_order_over_several_windows(rabbitmq_url: str, door: UUID) -> None:
    """A window is confirmed before the next one is sent."""
    async with bus_at(rabbitmq_url, batch_size=7) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        await consuming(bus)
        events = opened(door, 100)

        await bus.publish(events)

        assert await recorder.received(*events) == events


async def test_an_event_twice_in_one_list_is_sent_twice(rabbitmq_url: str, door: UUID) -> None:
    """In its places, and the answers to both are understood."""
    async with bus_at(rabbitmq_url) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        await consuming(bus)
        first, second, third = opened(door, 3)

        await bus.publish([first, second, first, third])

        assert await recorder.received(first, first, second, third) == [first, second, first, third]


async def test_two_events_of_one_id_in_one_list_are_told_apart(rabbitmq_url: str, door: UUID) -> None:
    """The error is about the one that was not received."""
    async with bus_at(rabbitmq_url, routing_key_pattern="nothing") as bus:
        await bus.bind_event_type(Measured)
        received = Measured(aggregate_id=door)
        lost = Opened(aggregate_id=door, event_id=received.event_id)

        with pytest.raises(UnroutableError, match=r"'Door\.eventsource\.testing\.Opened'"):
            await bus.publish([lost, received])


async def test_an_event_published_by_many_at_once_is_told_right_to_each(rabbitmq_url: str, door: UUID) -> None:
    """The broker tells its answers apart by the id, so that one waits for the other."""
    async with bus_at(rabbitmq_url, routing_key_pattern="nothing") as bus:
        await bus.bind_event_type(Measured)
        received = Measured(aggregate_id=door)
        lost = Opened(aggregate_id=door, event_id=received.event_id)

        outcomes = await asyncio.gather(
            *(bus.publish([event]) for event in [received, lost] * 10), return_exceptions=True
        )

        assert [type(outcome) for outcome in outcomes] == [type(None), UnroutableError] * 10


async def test_an_exchange_that_was_deleted_is_made_again(rabbitmq_url: str, door: UUID) -> None:
    """The broker closes the channel, and the publication goes on with another one."""
    async with bus_at(rabbitmq_url, mandatory=False) as bus:
        async with channel_at(rabbitmq_url) as channel:
            await channel.exchange_delete(bus.config.exchange_name)

        await bus.publish(opened(door, 3))

        assert bus.stats.publish_confirms == 3


async def test_an_event_that_is_too_large_for_the_broker_harms_nobody_else(
    start_rabbitmq: Callable[..., RabbitMQ], door: UUID
) -> None:
    """The broker closes the channel under all who use it, and only the one to blame gets an error."""
    broker = await asyncio.to_thread(start_rabbitmq, settings={"max_message_size": "100000"})
    async with RabbitMQEventBus(configured(broker.address, mandatory=False)) as bus:
        large = Measured(aggregate_id=door, text="x" * 100_000)

        outcomes = await asyncio.gather(
            *(bus.publish([event]) for event in [*opened(door, 5), large, *opened(door, 5)]), return_exceptions=True
        )

        assert [type(outcome) for outcome in outcomes] == [type(None)] * 5 + [MessageTooLargeError] + [type(None)] * 5


@pytest.mark.parametrize(
    ("options", "chunks"), [({"preserve_order": True}, 1), ({"preserve_order": False}, 4)], ids=["in order", "at once"]
)
async def test_a_batch_is_published_as_far_as_possible(
    rabbitmq_url: str, door: UUID, options: dict[str, Any], chunks: int
) -> None:
    """What fails is told after all was tried."""
    async with bus_at(rabbitmq_url, batch_size=3, routing_key_pattern="nothing") as bus:
        await bus.bind_event_type(Measured)
        wanted = [Measured(aggregate_id=door) for _ in range(8)]

        results = await bus.publish_batch(wanted + wanted[:2], **options)
        with pytest.raises(BatchPublishError, match="2 of 4 events were not published") as caught:
            await bus.publish_batch([*opened(door, 1), *wanted[:2], *opened(door, 1)], **options)

        assert results == {"total": 10, "published": 10, "failed": 0, "chunks": chunks}
        assert (caught.value.results["published"], caught.value.results["failed"]) == (2, 2)
        assert [type(error) for error in caught.value.errors] == [UnroutableError, UnroutableError]
        assert (bus.stats.batch_publishes, bus.stats.batch_events_published) == (2, 12)
        assert (bus.stats.batch_partial_failures, bus.stats.events_published) == (1, 12)


async def test_a_batch_in_order_keeps_it(rabbitmq_url: str, door: UUID) -> None:
    """Headers travel with each event there, too."""
    async with bus_at(rabbitmq_url) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        await consuming(bus)
        events = opened(door, 20)

        await bus.publish_batch(events, preserve_order=True, headers={"request": "42"})

        assert await recorder.received(*events) == events


async def test_an_empty_batch_is_nothing() -> None:
    """Nobody is connected to for it."""
    bus = RabbitMQEventBus()

    assert await bus.publish_batch([]) == {"total": 0, "published": 0, "failed": 0, "chunks": 0}


async def test_statistics_are_reset_in_place(rabbitmq_url: str, door: UUID) -> None:
    """A copy taken before stays as it was; when the bus was connected stays known."""
    async with bus_at(rabbitmq_url, mandatory=False) as bus:
        await bus.publish(opened(door, 2))
        before, live = bus.get_stats(), bus.stats

        bus.reset_stats()

        assert (before.events_published, live.events_published, live.publish_confirms) == (2, 0, 0)
        assert live.connected_at == before.connected_at
        assert bus.get_stats_dict()["is_connected"]
        assert bus.uptime_seconds > 0


async def test_closing_lets_a_publication_finish(rabbitmq_url: str, door: UUID) -> None:
    """Whoever publishes while the bus is closed is told the truth."""
    async with bus_at(rabbitmq_url, batch_size=1000, mandatory=False) as bus:
        publishing = asyncio.create_task(bus.publish(opened(door, 300)))
        await asyncio.sleep(0)

        await bus.shutdown()

        await publishing
        assert bus.stats.publish_confirms == 300
