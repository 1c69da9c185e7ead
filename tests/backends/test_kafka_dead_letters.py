"""The topic of dead letters: what is kept there, how it is read, and how it is replayed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from eventsource.bus.kafka import KafkaEventBus
from eventsource.exceptions import EventBusError, NotConnectedError
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import Measured, Opened, opened
from services.kafka_buses import (
    admin_at,
    bus_at,
    committed,
    configured,
    consuming,
    door_in,
    has_committed,
    leaving_nothing,
    records_in,
    topics,
)

ENOUGH = 20.0
"""Seconds within which everything has ended that waits for nothing; time-outs are longer."""

Until = Callable[[Callable[[], object]], Any]


def refuse(event: Measured) -> None:
    raise LookupError("no room " + event.text)


@asynccontextmanager
async def refusing(address: str, **options: Any) -> AsyncIterator[KafkaEventBus]:
    """Give a bus that consumes, and whose handlers refuse everything."""
    async with bus_at(address, **{"max_retries": 0, **options}) as bus:
        bus.subscribe_to_all_events(raise_an_error)
        yield await consuming(bus)


def raise_an_error(event: object) -> None:
    raise LookupError("no room")


async def kept(bus: KafkaEventBus, letters: int) -> list[dict[str, Any]]:
    """Return the dead letters once there are so many."""
    async with asyncio.timeout(ENOUGH):
        while bus.stats.messages_sent_to_dlq < letters:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.005)
    return await bus.get_dlq_messages()


async def test_a_dead_letter_tells_what_went_wrong_and_where_it_was(kafka_address: str, door: UUID) -> None:
    """Beside the headers that it had; of a long error the beginning."""
    event = Measured(aggregate_id=door, text="x" * 2000)
    began = datetime.now(UTC)
    async with bus_at(kafka_address, max_retries=2, consumer_group=f"mail-{door}") as bus:
        bus.subscribe(Measured, refuse)
        await consuming(bus)
        await bus.publish([*opened(door, 2), event], headers={"request": "42"})
        await kept(bus, 1)

        (record,) = await records_in(kafka_address, bus.config.dlq_topic_name)
        original = (await records_in(kafka_address, bus.config.topic_name))[2]

    headers = {name: value.decode() for name, value in record.headers}
    kept_at = datetime.fromisoformat(headers.pop("dlq_timestamp"))
    assert began <= kept_at <= datetime.now(UTC)
    assert (record.key, record.value) == (original.key, original.value)
    assert headers == {
        **{name: value.decode() for name, value in original.headers},
        "dlq_reason": "max_retries_exceeded",
        "dlq_error_type": "LookupError",
        "dlq_error_message": ("no room " + "x" * 2000)[:1000],
        "dlq_retry_count": "2",
        "dlq_original_topic": bus.config.topic_name,
        "dlq_original_partition": "0",
        "dlq_original_offset": "2",
        "dlq_consumer_group": f"mail-{door}",
    }


async def test_a_dead_letter_is_described(kafka_address: str, door: UUID) -> None:
    """With what it takes to replay it, and its body as data."""
    (event,) = opened(door, 1)
    async with refusing(kafka_address) as bus:
        await bus.publish([event])

        (letter,) = await kept(bus, 1)

        assert letter.pop("timestamp") > 0
        assert letter.pop("headers")["event_id"] == str(event.event_id)
        assert letter == {
            "topic": bus.config.dlq_topic_name,
            "partition": 0,
            "offset": 0,
            "key": str(door),
            "payload": event.model_dump(mode="json"),
            "replay_count": 0,
        }


async def test_what_is_no_json_is_described_by_its_bytes(kafka_address: str) -> None:
    """Whatever somebody else has published: bodies and keys that are no text, headers without a value."""
    async with refusing(kafka_address) as bus:
        async with AIOKafkaProducer(bootstrap_servers=kafka_address) as producer:
            headers = [("nothing", None), ("binary", b"\xff"), ("text", b"x")]
            await producer.send_and_wait(bus.config.topic_name, b"\xff\x00", b"\xff", headers=headers)

        (letter,) = await kept(bus, 1)

        assert (letter["key"], letter["payload"], letter["headers"]["text"]) == ("\ufffd", "ff00", "x")
        assert not {"nothing", "binary"} & {*letter["headers"]}


async def test_fewer_dead_letters_than_asked_for_are_returned_at_once(kafka_address: str, door: UUID) -> None:
    """Nobody waits for more, however long that is allowed to take; where there is none, too."""
    async with refusing(kafka_address, connect_timeout=300.0) as bus:
        async with asyncio.timeout(ENOUGH), leaving_nothing():
            none = await bus.get_dlq_messages(timeout_ms=300_000)
        await bus.publish(opened(door, 3))
        await kept(bus, 3)

        async with asyncio.timeout(ENOUGH), leaving_nothing():
            letters = await bus.get_dlq_messages(limit=100, timeout_ms=300_000)

        assert (none, [letter["payload"]["number"] for letter in letters]) == ([], [1, 2, 3])


async def test_no_more_dead_letters_than_asked_for_are_returned(kafka_address: str) -> None:
    """Of several partitions together; without a group, the same ones each time."""
    async with refusing(kafka_address, partitions=2) as bus:
        await bus.publish([event for number in (0, 1) for event in opened(door_in(number, of=2), 5)])
        await kept(bus, 10)

        lengths = [len(await bus.get_dlq_messages(limit)) for limit in (0, 1, 7, 7, 10, 11)]

        assert lengths == [0, 1, 7, 7, 10, 10]
        assert await bus.get_dlq_message_count() == 10


async def test_a_group_reads_dead_letters_on_where_it_was(kafka_address: str, door: UUID) -> None:
    """Each one once; the group is another one than that of the consumers."""
    async with refusing(kafka_address, dlq_consumer_group=f"clerks-{door}") as bus:
        await bus.publish(opened(door, 5))
        await kept(bus, 5)

        pages = [await bus.get_dlq_messages(2, use_consumer_group=True) for _ in range(4)]

        numbers = [[letter["payload"]["number"] for letter in page] for page in pages]
        assert numbers == [[1, 2], [3, 4], [5], []]
        assert len(await bus.get_dlq_messages()) == 5


async def test_reading_on_needs_the_name_of_a_group(kafka_address: str) -> None:
    """That of the consumers would lose its place."""
    bus = KafkaEventBus(configured(kafka_address))

    with pytest.raises(ValueError, match="needs a dlq_consumer_group in the configuration"):
        await bus.get_dlq_messages(use_consumer_group=True)


@pytest.mark.parametrize(
    "ask",
    [
        lambda bus: bus.get_dlq_messages(),
        lambda bus: bus.get_dlq_message_count(),
        lambda bus: bus.replay_dlq_message(0, 0),
        lambda bus: bus.get_topic_info(),
    ],
    ids=["read", "count", "replay", "topic"],
)
async def test_what_needs_a_connection_says_so(kafka_address: str, ask: Callable[[KafkaEventBus], Any]) -> None:
    """None of these connects by itself."""
    bus = KafkaEventBus(configured(kafka_address))

    with pytest.raises(NotConnectedError, match=r"await connect\(\) first"):
        await ask(bus)


async def test_a_dead_letter_is_replayed_so_often(
    kafka_address: str, door: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    """And once more if that is forced; each time it fails it is a dead letter again, that knows how often."""
    caplog.set_level(logging.INFO, "eventsource.bus.kafka")
    async with refusing(kafka_address, dlq_max_replay_attempts=1) as bus:
        await bus.publish(opened(door, 1))
        await kept(bus, 1)

        first = await bus.replay_dlq_message(0, 0)
        letters = await kept(bus, 2)
        with pytest.raises(ValueError, match=r"replayed 1 times \(dlq_max_replay_attempts=1\); force=True"):
            await bus.replay_dlq_message(0, 1)
        forced = await bus.replay_dlq_message(0, 1, force=True)
        letters = await kept(bus, 3)

        assert (first, forced) == (True, True)
        assert [letter["replay_count"] for letter in letters] == [0, 1, 2]
    assert [record.message for record in caplog.records].count("DLQ message replayed") == 2


async def test_a_replayed_message_has_the_headers_that_it_had(kafka_address: str, door: UUID) -> None:
    """And what tells that it was replayed, how often, and for whom; nothing of why it had failed."""
    async with refusing(kafka_address) as bus:
        await bus.publish(opened(door, 1), headers={"request": "42"})
        await kept(bus, 1)

        await bus.replay_dlq_message(0, 0)

        original, replayed = await records_in(kafka_address, bus.config.topic_name)
        assert (replayed.key, replayed.value) == (original.key, original.value)
        assert replayed.headers == (
            *original.headers,
            ("retry_count", b"0"),
            ("dlq_replay_count", b"1"),
            ("dlq_replay_group", bus.config.consumer_group.encode()),
        )


async def test_a_dead_letter_goes_back_to_the_group_whose_it_was(kafka_address: str, door: UUID) -> None:
    """Whoever replays it; that of the others moves on past it."""
    async with refusing(kafka_address) as bus:
        other = KafkaEventBus(replace(bus.config, consumer_group=f"others-{door}"))
        other.subscribe(Opened, recorder := Recorder())
        async with other:
            await consuming(other)
            await bus.publish(opened(door, 1))
            await kept(bus, 1)

            await other.replay_dlq_message(0, 0)

            await has_committed(other.config, {0: 2})
            await has_committed(bus.config, {0: 2})
            assert (len(recorder.events), bus.stats.messages_sent_to_dlq) == (1, 2)


@pytest.mark.parametrize(
    ("partition", "offset", "says"),
    [
        (0, 2, "partition 0 of .* has the offsets 1 to 1, not 2"),
        (0, 0, "has the offsets 1 to 1, not 0"),
        (0, -1, "has the offsets 1 to 1, not -1"),
        (7, 0, r"has the partitions \[0\], and not 7"),
    ],
)
async def test_a_dead_letter_that_is_not_there_is_told(
    kafka_address: str, door: UUID, partition: int, offset: int, says: str
) -> None:
    """Never so, or not any more."""
    async with refusing(kafka_address) as bus:
        await bus.publish(opened(door, 2))
        await kept(bus, 2)
        async with admin_at(kafka_address) as admin:
            await admin.delete_records({TopicPartition(bus.config.dlq_topic_name, 0): RecordsToDelete(1)})

        with pytest.raises(ValueError, match=says):
            await bus.replay_dlq_message(partition, offset)

        assert await bus.get_dlq_message_count() == 1
        assert [letter["offset"] for letter in await bus.get_dlq_messages()] == [1]


async def test_a_dead_letter_that_is_too_large_is_kept_without_its_body(
    kafka_address: str, door: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    """Together with what is said about it; where the body is, is told to whoever wants to replay it."""
    config = configured(kafka_address, max_retries=0)
    async with topics(config, largest_dead_letter=5000), KafkaEventBus(config) as bus:
        bus.subscribe_to_all_events(raise_an_error)
        await consuming(bus)
        await bus.publish([Measured(aggregate_id=door, text="x" * 5000), *opened(door, 1)])

        large, small = await kept(bus, 2)
        with pytest.raises(ValueError, match=f"the message is at offset 0 of partition 0 of {bus.config.topic_name}"):
            await bus.replay_dlq_message(0, large["offset"])

        assert (large["payload"], large["headers"]["dlq_body_omitted"]) == ("", "true")
        assert large["headers"]["dlq_error_message"] == "no room"
        assert small["payload"]["number"] == 1
    assert "A dead letter is kept without its body" in caplog.text


async def test_a_dead_letter_may_be_larger_than_what_is_published(kafka_address: str, door: UUID) -> None:
    """The limit is that of events; whatever the topic takes is kept."""
    async with refusing(kafka_address, max_request_size=3200) as bus:
        await bus.publish([Measured(aggregate_id=door, text="x" * 2000)])

        (letter,) = await kept(bus, 1)

        assert letter["payload"]["text"] == "x" * 2000


async def test_a_message_that_cannot_be_kept_comes_again(
    kafka_address: str, door: UUID, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """The consumer is interrupted, which is logged, and begins again with the message, until it is kept."""
    config = configured(kafka_address, max_retries=0)
    enough = ConfigResource(ConfigResourceType.TOPIC, config.dlq_topic_name, configs={"max.message.bytes": "100000"})
    async with topics(config, largest_dead_letter=100), KafkaEventBus(config) as bus:
        bus.subscribe(Opened, raise_an_error)
        await consuming(bus)

        await bus.publish(opened(door, 3))
        await until(lambda: bus.stats.connection_errors == 1)
        meanwhile = await committed(config)
        async with admin_at(kafka_address) as admin:
            await admin.alter_configs([enough])
        await has_committed(config, {0: 3})

        assert meanwhile == {0: 0}
        assert [letter["payload"]["number"] for letter in await bus.get_dlq_messages()] == [1, 2, 3]
        assert (bus.stats.messages_sent_to_dlq, bus.stats.reconnections) == (3, bus.stats.connection_errors)
    assert "was interrupted, and goes on in" in caplog.text
    assert "a message could not be settled: MessageTooLargeError" in caplog.text


async def test_without_reconnecting_a_message_that_cannot_be_kept_ends_the_consumer(
    kafka_address: str, door: UUID
) -> None:
    """Whoever has started it is told; nothing is committed."""
    config = configured(kafka_address, max_retries=0)
    async with topics(config, largest_dead_letter=100), KafkaEventBus(config) as bus:
        bus.subscribe(Opened, raise_an_error)
        await bus.publish(opened(door, 1))

        with pytest.raises(EventBusError, match="a message could not be settled: MessageTooLargeError"):
            await asyncio.wait_for(bus.start_consuming(auto_reconnect=False), ENOUGH)

        assert await committed(bus.config) == {0: 0}
