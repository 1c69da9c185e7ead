"""What a bus over Kafka is delivered, and what it commits."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from eventsource.bus.kafka import KafkaEventBus
from eventsource.exceptions import NotConnectedError
from eventsource.headers import current_headers
from eventsource.testing.broker_subject import HeaderRecorder
from eventsource.testing.event_bus_subject import Gate, Recorder
from eventsource.testing.events import Closed, Opened, opened
from services.kafka_buses import (
    admin_at,
    bus_at,
    committed,
    configured,
    consuming,
    has_committed,
    leaving_nothing,
    topics,
)

ENOUGH = 20.0
"""Seconds within which everything has ended that waits for nothing; time-outs are longer."""

Until = Callable[[Callable[[], object]], Any]


def another(bus: KafkaEventBus, **changes: Any) -> KafkaEventBus:
    """Return a second bus of the same group, if no *changes* say otherwise."""
    return KafkaEventBus(replace(bus.config, consumer_name="another", **changes))


async def send(
    bus: KafkaEventBus, *messages: tuple[bytes | None, bytes | None, list[tuple[str, Any]]], **options: Any
) -> None:
    """Put keys, values and headers into the topic of *bus*, as somebody else might do."""
    async with AIOKafkaProducer(bootstrap_servers=bus.config.bootstrap_servers) as producer:
        for key, value, headers in messages:
            await producer.send_and_wait(bus.config.topic_name, value, key, headers=headers, **options)


def headers_of(event: Opened) -> list[tuple[str, bytes]]:
    return [("event_type", event.event_type.encode()), ("event_id", str(event.event_id).encode())]


async def test_what_is_handled_is_committed(kafka_address: str, door: UUID) -> None:
    """The group would go on behind the last event."""
    async with bus_at(kafka_address) as bus:
        bus.subscribe(Opened, Recorder())
        await consuming(bus)

        await bus.publish(opened(door, 3))

        await has_committed(bus.config, {0: 3})


async def test_nothing_is_committed_beyond_an_event_in_hand(kafka_address: str, door: UUID) -> None:
    """What was handled behind it waits, for whoever takes over begins at the first one that is missing."""
    async with bus_at(kafka_address) as bus:
        bus.subscribe(Opened, gate := Gate())
        bus.subscribe(Closed, recorder := Recorder())
        await consuming(bus)
        before, behind = Closed(aggregate_id=uuid4()), [Closed(aggregate_id=uuid4()) for _ in range(20)]
        await bus.publish([before, *opened(door, 1), *behind])
        await recorder.received(before, *behind)
        await has_committed(bus.config, {0: 1})

        await bus.publish(later := [Closed(aggregate_id=uuid4())])
        await recorder.received(*later)
        meanwhile = await committed(bus.config)
        gate.open.set()

        await has_committed(bus.config, {0: 23})
        assert meanwhile == {0: 1}


async def test_what_became_a_dead_letter_is_committed(kafka_address: str, door: UUID) -> None:
    """It is settled as what was handled is."""
    async with bus_at(kafka_address, max_retries=1) as bus:
        bus.subscribe(Opened, refuse)
        await consuming(bus)

        await bus.publish(opened(door, 2))

        await has_committed(bus.config, {0: 2})
        assert await bus.get_dlq_message_count() == 2


async def test_an_event_in_hand_is_committed_when_the_bus_stops(kafka_address: str, door: UUID) -> None:
    """Also if it is handled only then."""
    async with bus_at(kafka_address) as bus:
        bus.subscribe(Opened, gate := Gate())
        await consuming(bus)
        await bus.publish(opened(door, 1))
        await gate.entered.wait()

        stopping = asyncio.create_task(bus.stop_consuming())
        gate.open.set()
        await stopping

        assert await committed(bus.config) == {0: 1}


async def test_an_aggregate_that_keeps_failing_leaves_the_others_room(kafka_address: str, door: UUID) -> None:
    """Its messages wait beside the window, so that 200 others are handled while 150 of it are not."""
    async with bus_at(
        kafka_address, max_in_flight=20, max_retries=10_000, retry_base_delay=0.05, retry_max_delay=0.05
    ) as bus:
        healthy = [Closed(aggregate_id=uuid4()) for _ in range(200)]
        is_open = False
        handled: list[int] = []

        def keep_failing(event: Opened) -> None:
            if not is_open:
                raise LookupError("no room")
            handled.append(event.number)

        bus.subscribe(Opened, keep_failing)
        bus.subscribe(Closed, recorder := Recorder())
        await consuming(bus)
        await bus.publish([*opened(door, 150), *healthy])
        await recorder.received(*healthy)
        failing_meanwhile = list(handled)

        is_open = True
        await has_committed(bus.config, {0: 350})

        assert failing_meanwhile == []
        assert handled == list(range(1, 151))


async def test_a_new_group_may_begin_with_what_comes(kafka_address: str, door: UUID) -> None:
    """From the moment on in which it is said to consume."""
    async with bus_at(kafka_address, auto_offset_reset="latest") as bus:
        bus.subscribe(Opened, recorder := Recorder())
        before, after = opened(door, 3), opened(door, 2)
        await bus.publish(before)

        await consuming(bus)
        await bus.publish(after)

        assert await recorder.received(*after) == after


async def test_a_bus_that_only_publishes_is_no_member(kafka_address: str, door: UUID) -> None:
    """A group has as many members as buses that consume."""
    async with bus_at(kafka_address) as bus:
        await bus.publish(opened(door, 1))
        before = await members(bus)
        await consuming(bus)
        meanwhile = await members(bus)

        await bus.stop_consuming()

        assert (before, meanwhile, await members(bus)) == ([], [bus.config.consumer_name], [])


async def test_a_message_without_a_key_is_handled(kafka_address: str, door: UUID) -> None:
    """Others may publish to the topic, too."""
    (event,) = opened(door, 1)
    async with bus_at(kafka_address) as bus:
        bus.subscribe(Opened, recorder := HeaderRecorder())
        await consuming(bus)

        await send(bus, (None, event.model_dump_json().encode(), headers_of(event)))

        assert await recorder.received(event) == [event]
        await has_committed(bus.config, {0: 1})


async def test_headers_that_are_no_text_are_left_out(kafka_address: str, door: UUID) -> None:
    """Of several with one name the first counts, and what is empty is none."""
    (event,) = opened(door, 1)
    strange = [("binary", b"\xff"), ("nothing", None), ("twice", b"1"), ("twice", b"2"), ("empty", b"")]
    async with bus_at(kafka_address) as bus:
        bus.subscribe(Opened, recorder := HeaderRecorder())
        await consuming(bus)

        await send(bus, (b"\xff", event.model_dump_json().encode(), [*headers_of(event), *strange]))

        await recorder.received(event)
        assert recorder.headers == [
            {"event_type": event.event_type, "event_id": str(event.event_id), "twice": "1", "empty": ""}
        ]


async def test_a_message_without_a_body_is_a_dead_letter(kafka_address: str, door: UUID) -> None:
    """A tombstone is no event; what follows is handled."""
    (event,) = opened(door, 1)
    headers = [*headers_of(event), ("nothing", None)]
    async with bus_at(kafka_address) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        await consuming(bus)

        await send(bus, (b"key", None, headers), (b"key", event.model_dump_json().encode(), headers))

        assert await recorder.received(event) == [event]
        (letter,) = await bus.get_dlq_messages()
        assert (letter["key"], letter["headers"]["dlq_reason"]) == ("key", "deserialization_error")


async def test_a_message_from_a_time_that_cannot_be_is_handled(kafka_address: str, door: UUID) -> None:
    """Some publish microseconds, which would be in the year 55,000."""
    (event,) = opened(door, 1)
    async with bus_at(kafka_address) as bus:
        async with admin_at(kafka_address) as admin:
            ever = {"message.timestamp.after.max.ms": str(2**63 - 1)}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, bus.config.topic_name, ever)])
        bus.subscribe(Opened, recorder := Recorder())
        await consuming(bus)

        await send(
            bus, (b"key", event.model_dump_json().encode(), headers_of(event)), timestamp_ms=1_700_000_000_000_000
        )

        assert await recorder.received(event) == [event]


async def test_messages_replayed_for_another_group_are_passed_over(kafka_address: str, door: UUID) -> None:
    """They neither reach a handler nor hold up what is committed."""
    (event,) = opened(door, 1)
    body = event.model_dump_json().encode()
    async with bus_at(kafka_address) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        await consuming(bus)

        replayed = [*headers_of(event), ("dlq_replay_count", b"1"), ("dlq_replay_group", b"somebody else")]
        await send(bus, *[(b"key", body, replayed)] * 3, (b"key", body, headers_of(event)))

        await has_committed(bus.config, {0: 4})
        assert recorder.events == [event]


async def test_an_idle_consumer_stops_at_once(kafka_address: str) -> None:
    """It does not wait for a message, nor for its time-out."""
    async with leaving_nothing(), bus_at(kafka_address, shutdown_timeout=300.0) as bus:
        await consuming(bus)

        await asyncio.wait_for(bus.stop_consuming(), ENOUGH)

        assert not bus.is_consuming


async def test_an_idle_bus_is_shut_down_at_once(kafka_address: str, door: UUID) -> None:
    """It consumes and has published."""
    config = configured(kafka_address, shutdown_timeout=300.0)
    async with topics(config), leaving_nothing():
        bus = KafkaEventBus(config)
        bus.subscribe(Opened, recorder := Recorder())
        await bus.connect()
        await consuming(bus)
        await bus.publish(events := opened(door, 1))
        await recorder.received(*events)

        await asyncio.wait_for(bus.shutdown(), ENOUGH)

        assert (bus.is_connected, bus.is_consuming) == (False, False)


async def test_a_consumer_may_begin_again(kafka_address: str, door: UUID) -> None:
    """Where it has stopped, on the same bus, any number of times."""
    async with bus_at(kafka_address) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        events = opened(door, 3)

        for event in events:
            await consuming(bus)
            await bus.publish([event])
            await recorder.received(event)
            await bus.stop_consuming()

        assert recorder.events == events
        assert bus.stats.reconnections == 0


async def test_a_stop_while_joining_is_heeded(kafka_address: str) -> None:
    """Nobody waits until the group has taken in who leaves it at once."""
    async with leaving_nothing(), bus_at(kafka_address, connect_timeout=300.0) as bus:
        consumption = bus.start_consuming_in_background()
        await asyncio.sleep(0)

        await asyncio.wait_for(bus.stop_consuming(), ENOUGH)

        assert consumption.done()
        assert consumption.exception() is None


async def test_a_cancelled_consumer_leaves_nothing_behind(kafka_address: str, door: UUID) -> None:
    """Neither tasks nor connections nor an offset that is not true."""
    async with bus_at(kafka_address) as bus:
        bus.subscribe(Opened, gate := Gate())
        await bus.publish(opened(door, 1))

        async with leaving_nothing():
            consumption = bus.start_consuming_in_background()
            await gate.entered.wait()
            consumption.cancel()
            await asyncio.wait({consumption}, timeout=ENOUGH)

        assert consumption.cancelled()
        assert await committed(bus.config) == {0: 0}


async def test_consuming_needs_a_connection(kafka_address: str) -> None:
    """Whoever did not connect is told at once."""
    bus = KafkaEventBus(configured(kafka_address))

    with pytest.raises(NotConnectedError, match=r"await connect\(\) first"):
        await bus.start_consuming()


async def test_lag_counts_what_is_not_settled(kafka_address: str, door: UUID, until: Until) -> None:
    """Of each partition, also while a handler is stuck; without a consumer there is none."""
    async with bus_at(kafka_address) as bus:
        bus.subscribe(Opened, gate := Gate())
        before = dict(bus.lag)
        await consuming(bus)
        await until(lambda: bus.lag == {0: 0})

        await bus.publish(events := opened(door, 5))
        await until(lambda: bus.lag == {0: 5})
        gate.open.set()
        await gate.received(*events)
        await until(lambda: bus.lag == {0: 0})
        await bus.stop_consuming()

        assert (before, bus.lag) == ({}, {})


async def test_lag_counts_what_was_not_fetched(kafka_address: str, door: UUID, until: Until) -> None:
    """A partition that is paused falls behind, and that is seen."""
    async with bus_at(kafka_address, max_offset_span=5) as bus:
        bus.subscribe(Opened, gate := Gate())
        await consuming(bus)
        await bus.publish(opened(door, 1500))
        await until(lambda: bus.lag == {0: 1500})

        await bus.publish(opened(door, 100))
        await until(lambda: bus.lag == {0: 1600})
        gate.open.set()

        await until(lambda: bus.lag == {0: 0})


async def test_lag_is_told_before_the_first_message(kafka_address: str, door: UUID, until: Until) -> None:
    """A group that begins late sees what it has before it, one that has handled all sees nothing."""
    async with bus_at(kafka_address) as bus:
        bus.subscribe(Opened, gate := Gate())
        await bus.publish(opened(door, 7))
        await consuming(bus)
        await until(lambda: bus.lag == {0: 7})
        gate.open.set()
        await has_committed(bus.config, {0: 7})
        await bus.stop_consuming()

        await consuming(bus)

        await until(lambda: bus.lag == {0: 0})


async def test_lag_is_told_as_soon_as_a_consumer_begins_again(kafka_address: str, until: Until) -> None:
    """Although somebody may have been looking at it when the one before ended, whom nobody has answered."""
    async with bus_at(kafka_address, lag_interval=0.001) as bus:
        async with asyncio.timeout(ENOUGH):
            for _ in range(10):
                await consuming(bus)
                await until(lambda: bus.lag == {0: 0})
                await bus.stop_consuming()

        assert bus.lag == {}


async def members(bus: KafkaEventBus) -> list[str]:
    """Return the names of the clients that are members of the group of *bus*, as the broker says."""
    async with admin_at(bus.config.bootstrap_servers) as admin:
        (description,) = await admin.describe_consumer_groups([bus.config.consumer_group])
    ((_, _, _, _, _, found, *_),) = description.groups
    return [client for _, client, *_ in found]


def refuse(event: Opened) -> None:
    raise LookupError(f"no room for {current_headers()['event_id']}")
