"""What a bus over Kafka publishes, and how."""

import asyncio
import json
import logging
from collections import defaultdict
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord

from eventsource.bus.kafka import KafkaEventBus
from eventsource.exceptions import BrokerConnectionError, MessageTooLargeError, NotConnectedError, PublishError
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import Measured, Opened, opened
from services.kafka_buses import bus_at, configured, consuming, leaving_nothing, records_in, topics


async def published(bus: KafkaEventBus) -> list[ConsumerRecord]:
    """Return what is in the topic of *bus*."""
    return await records_in(bus.config.bootstrap_servers, bus.config.topic_name)


def numbers(records: list[ConsumerRecord]) -> dict[str, list[int]]:
    """Return the numbers of the events of each aggregate, in the order in which they are in the topic."""
    found = defaultdict(list)
    for record in records:
        found[record.key.decode()].append(json.loads(record.value)["number"])
    return found


def names(record: ConsumerRecord) -> list[str]:
    return [name for name, _ in record.headers]


async def test_a_message_is_readable_without_this_library(kafka_address: str, door: UUID) -> None:
    """The key is the aggregate's id, the body the event as JSON, and the headers are text in a fixed order."""
    event = Opened(aggregate_id=door, number=3, aggregate_version=2)
    async with bus_at(kafka_address) as bus:
        await bus.publish([event])

        (record,) = await published(bus)

    assert record.key == str(door).encode()
    assert Opened.model_validate_json(record.value) == event
    assert record.headers == (
        ("event_id", str(event.event_id).encode()),
        ("event_type", b"eventsource.testing.Opened"),
        ("aggregate_id", str(door).encode()),
        ("aggregate_type", b"Door"),
        ("aggregate_version", b"2"),
        ("occurred_at", event.occurred_at.isoformat().encode()),
        ("correlation_id", str(event.correlation_id).encode()),
    )


async def test_what_an_event_may_tell_follows_what_each_tells(kafka_address: str, door: UUID) -> None:
    """And headers of one's own come last."""
    event = Opened(aggregate_id=door, tenant_id=uuid4(), causation_id=uuid4(), actor_id="ann")
    async with bus_at(kafka_address) as bus:
        await bus.publish([event], headers={"request": "ü42"})

        (record,) = await published(bus)

    assert record.headers[7:] == (
        ("tenant_id", str(event.tenant_id).encode()),
        ("causation_id", str(event.causation_id).encode()),
        ("actor_id", b"ann"),
        ("request", "ü42".encode()),
    )


async def test_headers_of_retries_and_dead_letters_are_nobody_elses(kafka_address: str, door: UUID) -> None:
    """Whoever passes on the headers of a message in hand does not pass on what has become of it."""
    headers = {"retry_count": "2", "retry_after": "1", "dlq_reason": "old", "dlq_replay_group": "other", "request": "1"}
    async with bus_at(kafka_address) as bus:
        await bus.publish(opened(door, 1), headers=headers)

        (record,) = await published(bus)

    assert names(record)[-1] == "request"
    assert not {"retry_count", "retry_after", "dlq_reason", "dlq_replay_group"} & {*names(record)}


async def test_a_header_that_the_driver_is_made_to_add_is_not_repeated(
    kafka_address: str, door: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tracer of the driver appends to the list, also what is there already; new names get through."""
    send = AIOKafkaProducer.send

    async def traced(self: AIOKafkaProducer, *args: Any, headers: list[tuple[str, bytes]], **kwargs: Any) -> Any:
        headers += [("traceparent", b"theirs"), ("tracer", b"yes"), ("tracer", b"twice")]
        return await send(self, *args, headers=headers, **kwargs)

    monkeypatch.setattr(AIOKafkaProducer, "send", traced)
    async with bus_at(kafka_address) as bus:
        await bus.publish(opened(door, 1), headers={"traceparent": "ours"})

        (record,) = await published(bus)

    assert record.headers[-2:] == (("traceparent", b"ours"), ("tracer", b"yes"))
    assert len(names(record)) == len({*names(record)})


@pytest.mark.parametrize("acks", ["all", 1, 0])
async def test_events_arrive_whoever_confirms_them(kafka_address: str, door: UUID, acks: Any) -> None:
    """All replicas, the leader, or nobody."""
    async with bus_at(kafka_address, acks=acks) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        await consuming(bus)

        await bus.publish(events := opened(door, 3))

        assert await recorder.received(*events) == events
        assert bus.stats.events_published == 3


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_events_arrive_however_they_are_compressed(
    kafka_address: str, door: UUID, compression: str | None
) -> None:
    """Any client can read them."""
    async with bus_at(kafka_address, compression_type=compression) as bus:
        await bus.publish(opened(door, 3))

        assert numbers(await published(bus)) == {str(door): [1, 2, 3]}


async def test_a_compression_without_its_library_is_told(kafka_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When connecting; nothing stays open."""
    monkeypatch.setattr("aiokafka.codec.cramjam", None)
    bus = KafkaEventBus(configured(kafka_address, compression_type="zstd"))

    async with leaving_nothing():
        with pytest.raises(BrokerConnectionError, match=r"zstd.*install it, or choose another compression_type"):
            await bus.connect()


async def test_a_large_batch_keeps_the_order_of_each_aggregate(kafka_address: str) -> None:
    """Its messages are under way at the same time, in many requests to several partitions."""
    doors = [uuid4() for _ in range(10)]
    events = [Opened(aggregate_id=doors[number % 10], number=number) for number in range(5000)]
    async with bus_at(kafka_address, partitions=3) as bus:
        await bus.publish(events)

        found = numbers(await published(bus))

    assert found == {str(door): list(range(first, 5000, 10)) for first, door in enumerate(doors)}


async def test_publications_at_the_same_time_keep_their_order(kafka_address: str, door: UUID) -> None:
    """Also where each has to wait until there is room in a request."""
    publications = [opened(door, 5) for _ in range(100)]
    for number, events in enumerate(publications):
        publications[number] = [event.model_copy(update={"number": number * 5 + event.number}) for event in events]
    async with bus_at(kafka_address, batch_size=2000) as bus:
        await asyncio.gather(*(bus.publish(events) for events in publications))

        found = numbers(await published(bus))

    assert found == {str(door): list(range(1, 501))}


async def test_a_publication_does_not_overtake_those_that_wait_for_room(kafka_address: str) -> None:
    """It may find the room that they wait for before they do."""
    doors = [uuid4() for _ in range(3)]
    async with bus_at(kafka_address, partitions=2, batch_size=3000) as bus, leaving_nothing():
        async with asyncio.TaskGroup() as group:
            for number in range(300):
                for door in doors:
                    group.create_task(bus.publish([Opened(aggregate_id=door, number=number)]))
                await asyncio.sleep(0)

        found = numbers(await published(bus))

    assert found == {str(door): list(range(300)) for door in doors}


async def test_publications_in_the_background_keep_their_order(kafka_address: str, door: UUID) -> None:
    """Whoever does not wait has said what comes first, too."""
    config = configured(kafka_address, batch_size=3000)
    async with topics(config):
        async with KafkaEventBus(config) as bus:
            for event in opened(door, 500):
                await bus.publish([event], background=True)
                await asyncio.sleep(0)

        found = numbers(await published(bus))

    assert found == {str(door): list(range(1, 501))}


async def test_an_event_that_is_too_large_is_refused_with_its_batch(kafka_address: str, door: UUID) -> None:
    """Before anything is sent; the next ones are published."""
    small = opened(door, 3)
    large = Measured(aggregate_id=door, text="x" * 2_000_000)
    async with bus_at(kafka_address) as bus:
        with pytest.raises(MessageTooLargeError, match=r"at most 1048576 are sent \(max_request_size\)") as caught:
            await bus.publish([*small[:2], large])
        await bus.publish(small[2:])

        assert numbers(await published(bus)) == {str(door): [3]}
        assert (bus.stats.events_published, bus.stats.publish_errors) == (1, 1)

    assert caught.value.event_id == large.event_id


async def test_a_bus_goes_on_after_the_broker_has_refused_an_event_for_its_size(kafka_address: str, door: UUID) -> None:
    """The producer, whose messages to that partition would be refused from then on, is replaced."""
    config = configured(kafka_address)
    large = Measured(aggregate_id=door, text="x" * 20_000)
    async with topics(config, largest=10_000), leaving_nothing(), KafkaEventBus(config) as bus:
        with pytest.raises(MessageTooLargeError, match=r"set max_request_size to its max\.message\.bytes") as caught:
            await bus.publish([large])
        for event in opened(door, 3):
            await bus.publish([event])

        assert numbers(await published(bus)) == {str(door): [1, 2, 3]}

    assert caught.value.event_id == large.event_id


async def test_a_refused_event_does_not_keep_others_from_being_published_later(kafka_address: str) -> None:
    """Those that are under way together with it arrive, or fail as a publication does; the bus is still connected."""
    config = configured(kafka_address, batch_size=3000)
    large = Measured(aggregate_id=uuid4(), text="x" * 20_000)
    others = [opened(uuid4(), 1) for _ in range(100)]
    async with topics(config, largest=10_000), KafkaEventBus(config) as bus:
        together = map(bus.publish, [*others[:50], [large], *others[50:]])
        outcomes = await asyncio.gather(*together, return_exceptions=True)
        refused = outcomes.pop(50)
        failed = [events for events, outcome in zip(others, outcomes, strict=True) if outcome is not None]
        for events in failed:
            await bus.publish(events)

        found = numbers(await published(bus))

    assert isinstance(refused, MessageTooLargeError)
    assert {type(outcome) for outcome in outcomes} <= {type(None), PublishError}
    assert {*found} == {str(event.aggregate_id) for events in others for event in events}


@pytest.mark.parametrize("events", [0, 1])
async def test_publishing_needs_a_connection(kafka_address: str, door: UUID, events: int) -> None:
    """Before it is made and after it is closed, also for no event at all."""
    bus = KafkaEventBus(configured(kafka_address))

    with pytest.raises(NotConnectedError, match=r"await connect\(\) first"):
        await bus.publish(opened(door, events))
    await bus.connect()
    await bus.disconnect()
    with pytest.raises(NotConnectedError, match=r"await connect\(\) first"):
        await bus.publish(opened(door, events))


async def test_a_bus_connects_once(kafka_address: str, caplog: pytest.LogCaptureFixture) -> None:
    """Asking again is told, and changes nothing; at the same time, too."""
    async with leaving_nothing(), KafkaEventBus(configured(kafka_address)) as bus:
        connected_at = bus.stats.connected_at

        await asyncio.gather(bus.connect(), bus.connect())

        assert bus.stats.connected_at == connected_at
    assert [record.message for record in caplog.records if "connected already" in record.message] == [
        "KafkaEventBus is connected already"
    ] * 2


async def test_a_failure_in_the_background_is_logged_and_counted(
    kafka_address: str, door: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for it."""
    config = configured(kafka_address)
    async with topics(config, largest=10_000), KafkaEventBus(config) as bus:
        await bus.publish([Measured(aggregate_id=door, text="x" * 20_000)], background=True)

        await bus.disconnect()

    (record,) = [record for record in caplog.records if record.message.startswith("Failed to publish event")]
    assert (record.name, record.levelno) == ("eventsource.bus.kafka.bus", logging.ERROR)
    assert bus.stats.publish_errors == 1


async def test_a_cancelled_publication_harms_no_other(kafka_address: str, door: UUID) -> None:
    """Whatever becomes of its events, those of the next one follow in their order."""
    async with bus_at(kafka_address) as bus:
        publishing = asyncio.create_task(bus.publish(opened(uuid4(), 3000)))
        await asyncio.sleep(0)
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing

        await bus.publish(opened(door, 100))

        assert numbers(await published(bus))[str(door)] == list(range(1, 101))


async def test_what_is_known_of_the_topic_is_told(kafka_address: str) -> None:
    """And what this bus does with it."""
    async with bus_at(kafka_address, partitions=3, consumer_group="mail") as bus:
        info = await bus.get_topic_info()

        assert info == {
            "topic": bus.config.topic_name,
            "partitions": 3,
            "consumer_group": "mail",
            "connected": True,
            "consuming": False,
        }


async def test_buses_of_one_process_do_not_disturb_each_other(kafka_address: str, door: UUID) -> None:
    """Each has a producer of its own."""
    config = configured(kafka_address)
    async with topics(config), AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(KafkaEventBus(config)) for _ in range(2)]
        await first.disconnect()

        await second.publish(opened(door, 1))

        assert numbers(await published(second)) == {str(door): [1]}
