"""Dead letters in RabbitMQ: what is written on them, and what can be done with them."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from aio_pika import DeliveryMode, Message

from eventsource.bus.rabbitmq import RabbitMQEventBus
from eventsource.events.base import DomainEvent
from eventsource.exceptions import EventBusError
from eventsource.headers import current_headers
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import Opened, opened
from services.rabbitmq_buses import bus_at, channel_at, consuming, eventually


class Refusal:
    """A handler that fails until it is told not to."""

    def __init__(self, message: str = "no room") -> None:
        self.message = message
        self.is_over = False

    def handle(self, event: DomainEvent) -> None:
        if not self.is_over:
            raise LookupError(self.message)


class Latin(str):
    """Text that is sent as what is no UTF-8, as other drivers may do; this one reads it, and cannot write it."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xff\xfe"


async def refused(bus: RabbitMQEventBus, *events: Opened, refusal: Refusal | None = None) -> None:
    """Have *bus* make dead letters of *events*."""
    bus.subscribe(Opened, refusal or Refusal())
    await consuming(bus)
    await bus.publish(events)
    await eventually(bus.get_dlq_message_count, len(events))


async def test_a_dead_letter_tells_what_became_of_it(rabbitmq_url: str, door: UUID) -> None:
    """Body, properties and headers are those of the message; the reason is added."""
    async with bus_at(rabbitmq_url, max_retries=2) as bus:
        event = Opened(aggregate_id=door)
        began = datetime.now(UTC)

        await refused(bus, event)
        (letter,) = await bus.get_dlq_messages()

        assert json.loads(letter.body)["event_id"] == letter.message_id == str(event.event_id)
        assert letter.event_type == letter.headers["event_type"] == "eventsource.testing.Opened"
        assert (letter.dlq_reason, letter.dlq_error_type, letter.dlq_retry_count) == ("no room", "LookupError", 2)
        assert letter.original_routing_key == "Door.eventsource.testing.Opened"
        assert letter.routing_key == bus.config.queue_name
        assert began <= datetime.fromisoformat(str(letter.dlq_timestamp)) <= datetime.now(UTC)
        assert bus.stats.messages_sent_to_dlq == 1


async def test_a_dead_letter_is_as_durable_as_its_message(rabbitmq_url: str, door: UUID) -> None:
    """It is meant to outlive the broker, too."""
    async with bus_at(rabbitmq_url, max_retries=0) as bus:
        await refused(bus, event := Opened(aggregate_id=door))

        async with channel_at(rabbitmq_url) as channel:
            message = await (await channel.get_queue(bus.config.dlq_queue_name)).get()

        assert (message.delivery_mode, message.content_type) == (DeliveryMode.PERSISTENT, "application/json")
        assert message.timestamp == event.occurred_at.replace(microsecond=0)


async def test_a_long_reason_is_cut(rabbitmq_url: str, door: UUID) -> None:
    """Headers have to fit into a frame."""
    async with bus_at(rabbitmq_url, max_retries=0) as bus:
        await refused(bus, Opened(aggregate_id=door), refusal=Refusal("x" * 200_000))

        (letter,) = await bus.get_dlq_messages()

        assert letter.dlq_reason == "x" * 1000


async def test_looking_at_dead_letters_leaves_them_where_they_are(rabbitmq_url: str, door: UUID) -> None:
    """The oldest ones are shown, each once, and the next time again."""
    async with bus_at(rabbitmq_url, max_retries=0) as bus:
        events = opened(door, 5)
        await refused(bus, *events)
        ids = [str(event.event_id) for event in events]

        some = await bus.get_dlq_messages(limit=3)
        everything = await bus.get_dlq_messages()

        assert [letter.message_id for letter in some] == ids[:3]
        assert [letter.message_id for letter in everything] == ids
        assert await bus.get_dlq_message_count() == 5


async def test_a_replayed_dead_letter_is_handled_by_its_own_group_only(rabbitmq_url: str, door: UUID) -> None:
    """The others have handled it already; it leaves the queue of dead letters, and the rest stays there."""
    name = f"test-{uuid4()}"
    async with (
        bus_at(rabbitmq_url, exchange_name=name, max_retries=0) as bus,
        bus_at(rabbitmq_url, exchange_name=name, consumer_group="mail") as other,
    ):
        other.subscribe(Opened, elsewhere := Recorder())
        await consuming(other)
        refusal, first, second = Refusal(), *opened(door, 2)
        await refused(bus, first, second, refusal=refusal)
        bus.subscribe(Opened, recorder := Recorder())
        refusal.is_over = True

        replayed = await bus.replay_dlq_message(str(second.event_id))
        await recorder.received(second)
        await other.publish(third := opened(door, 1))
        await elsewhere.received(*third)

        assert replayed
        assert elsewhere.events == [first, second, *third]
        assert [letter.message_id for letter in await bus.get_dlq_messages()] == [str(first.event_id)]


async def test_a_replayed_message_has_nothing_left_of_a_dead_letter(rabbitmq_url: str, door: UUID) -> None:
    """Its headers are those of the user and of the event, and that it was replayed."""
    async with bus_at(rabbitmq_url, max_retries=0) as bus:
        refusal, event, headers = Refusal(), Opened(aggregate_id=door), list[Any]()
        await refused(bus, event, refusal=refusal)
        bus.subscribe(Opened, lambda event: headers.append(dict(current_headers())))
        refusal.is_over = True

        await bus.replay_dlq_message(str(event.event_id))
        await eventually(lambda: asyncio.sleep(0, len(headers)), 1)

        assert {name for name in headers[0] if name.startswith("x-")} == {"x-retry-count", "x-replayed-from-dlq"}
        assert headers[0]["aggregate_id"] == str(door)


async def test_a_message_that_dies_twice_still_tells_where_it_came_from(rabbitmq_url: str, door: UUID) -> None:
    """On its second way it was not published to the exchange."""
    async with bus_at(rabbitmq_url, max_retries=0) as bus:
        event = Opened(aggregate_id=door)
        await refused(bus, event)

        await bus.replay_dlq_message(str(event.event_id))
        await eventually(lambda: asyncio.sleep(0, bus.stats.messages_sent_to_dlq), 2)
        await eventually(bus.get_dlq_message_count, 1)

        (letter,) = await bus.get_dlq_messages()
        assert letter.original_routing_key == "Door.eventsource.testing.Opened"


async def test_a_dead_letter_without_a_queue_to_go_back_to_stays(rabbitmq_url: str, door: UUID) -> None:
    """It is not acknowledged before it is somewhere else."""
    async with bus_at(rabbitmq_url, max_retries=0) as bus:
        event = Opened(aggregate_id=door)
        await refused(bus, event)
        await bus.stop_consuming()
        async with channel_at(rabbitmq_url) as channel:
            await channel.queue_delete(bus.config.queue_name)

        with pytest.raises(EventBusError, match=f"dead letter {event.event_id}, which stays where it is"):
            await bus.replay_dlq_message(str(event.event_id))

        assert await bus.get_dlq_message_count() == 1


async def test_an_unknown_dead_letter_is_not_replayed(rabbitmq_url: str, door: UUID) -> None:
    """Whoever asks is told."""
    async with bus_at(rabbitmq_url, max_retries=0) as bus:
        await refused(bus, Opened(aggregate_id=door))

        assert not await bus.replay_dlq_message(str(uuid4()))
        assert await bus.get_dlq_message_count() == 1


async def test_dead_letters_can_be_deleted(rabbitmq_url: str, door: UUID) -> None:
    """It is told how many there were."""
    async with bus_at(rabbitmq_url, max_retries=0) as bus:
        await refused(bus, *opened(door, 3))

        assert (await bus.purge_dlq(), await bus.get_dlq_message_count()) == (3, 0)


async def test_where_nobody_has_consumed_yet_there_are_no_dead_letters(rabbitmq_url: str) -> None:
    """The queue is not there, and asking does not make it."""
    async with bus_at(rabbitmq_url) as bus:
        assert (await bus.get_dlq_messages(), await bus.get_dlq_message_count()) == ([], 0)
        assert (await bus.replay_dlq_message("1"), await bus.purge_dlq()) == (False, 0)


async def test_dead_letters_that_are_switched_off_are_none(rabbitmq_url: str, door: UUID) -> None:
    """A message that failed is dropped, and the next one handled."""
    async with bus_at(rabbitmq_url, max_retries=0, enable_dlq=False) as bus:
        recorder = Recorder()

        def refuse_the_first(event: Opened) -> None:
            if event.number == 1:
                raise LookupError("no room")
            recorder.record(event)

        bus.subscribe(Opened, refuse_the_first)
        await consuming(bus)
        events = opened(door, 2)

        await bus.publish(events)
        await recorder.received(events[1])

        assert (await bus.get_dlq_messages(), await bus.get_dlq_message_count()) == ([], 0)
        assert (await bus.replay_dlq_message("1"), await bus.purge_dlq()) == (False, 0)


@pytest.mark.parametrize(
    "headers",
    [{}, {"event_type": "Unknown"}, {"event_type": "eventsource.testing.Opened"}, {"event_type": 7}],
    ids=["nameless", "unknown", "undecodable", "a number"],
)
async def test_what_is_no_event_is_kept(rabbitmq_url: str, headers: dict[str, Any]) -> None:
    """It is a dead letter at once, and the next message is handled."""
    async with bus_at(rabbitmq_url, max_retries=5) as bus:
        await consuming(bus)

        await put(rabbitmq_url, bus, Message(b"\xffnonsense", headers=headers))
        await eventually(bus.get_dlq_message_count, 1)

        (letter,) = await bus.get_dlq_messages()
        assert (letter.dlq_error_type, letter.dlq_retry_count) == ("DeserializationError", 0)
        assert "nonsense" in letter.body


@pytest.mark.parametrize(
    "value",
    [Latin(), [1, {"a": [True, None]}], datetime(2024, 5, 1, tzinfo=UTC), bytearray(b"\xff\xfe")],
    ids=["no UTF-8", "nested", "time", "bytes"],
)
async def test_headers_of_any_kind_survive_becoming_a_dead_letter(rabbitmq_url: str, value: Any) -> None:
    """Others may publish to the exchange, and one header must not keep the consumer from going on."""
    async with bus_at(rabbitmq_url) as bus:
        await consuming(bus)

        await put(rabbitmq_url, bus, Message(b"", headers={"any": value}))
        await eventually(bus.get_dlq_message_count, 1)

        assert (await bus.get_dlq_messages())[0].dlq_error_type == "DeserializationError"


async def test_copies_that_a_header_asks_for_are_made_once(rabbitmq_url: str) -> None:
    """The broker reads CC; a dead letter and its replay are for one queue only."""
    async with bus_at(rabbitmq_url) as bus, bus_at(rabbitmq_url) as bystander:
        await bystander.bind_routing_key("any")
        await consuming(bus)
        await put(rabbitmq_url, bus, Message(b"", headers={"CC": [bystander.config.queue_name]}, message_id="1"))
        await eventually(bus.get_dlq_message_count, 1)

        await bus.replay_dlq_message("1")
        await eventually(lambda: asyncio.sleep(0, bus.stats.messages_sent_to_dlq), 2)

        assert (await bystander.get_queue_info()).message_count == 0


async def test_what_the_broker_itself_dead_letters_tells_why(rabbitmq_url: str, door: UUID) -> None:
    """Static methods of the bus read what it has written."""
    async with bus_at(rabbitmq_url) as bus:
        await bus.bind_event_type(Opened)
        await bus.publish(opened(door, 1))
        async with channel_at(rabbitmq_url) as channel:
            alive = await (await channel.get_queue(bus.config.queue_name)).get()
            await alive.reject(requeue=False)
        await eventually(bus.get_dlq_message_count, 1)
        (letter,) = await bus.get_dlq_messages()
        async with channel_at(rabbitmq_url) as channel:
            dead = await (await channel.get_queue(bus.config.dlq_queue_name)).get()

        info = bus.get_death_info(dead)

        assert (bus.is_from_dlq(alive), bus.is_from_dlq(dead)) == (False, True)
        assert (bus.get_death_count(alive), bus.get_death_count(dead)) == (0, 1)
        assert bus.get_first_death_queue(dead) == info["first_death_queue"] == bus.config.queue_name
        assert bus.get_first_death_reason(dead) == info["first_death_reason"] == "rejected"
        assert bus.get_first_death_exchange(dead) == info["first_death_exchange"] == bus.config.exchange_name
        assert bus.get_original_routing_key(dead) == "Door.eventsource.testing.Opened"
        assert info["original_routing_key"] == "Door.eventsource.testing.Opened"
        assert (letter.dlq_reason, letter.original_routing_key) == ("rejected", "Door.eventsource.testing.Opened")
        assert (info["is_dead_lettered"], info["death_count"], len(info["x_death"])) == (True, 1, 1)


async def put(url: str, bus: RabbitMQEventBus, message: Message) -> None:
    """Publish *message* as a stranger would."""
    async with channel_at(url) as channel:
        await (await channel.get_exchange(bus.config.exchange_name)).publish(message, "any")
