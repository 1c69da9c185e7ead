"""Several partitions, and members of a group who come and go."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from aiokafka import AIOKafkaConsumer

from eventsource.bus.kafka import KafkaEventBus
from eventsource.events.base import DomainEvent
from eventsource.testing.broker_subject import Failing
from eventsource.testing.event_bus_subject import Gate, Recorder
from eventsource.testing.events import Opened, opened
from services.kafka_buses import bus_at, configured, consuming, door_in, has_committed, topics

ENOUGH = 20.0
"""Seconds within which everything has ended that waits for nothing; time-outs are longer."""

Until = Callable[[Callable[[], object]], Any]


@asynccontextmanager
async def group_at(
    address: str, *, members: int = 2, partitions: int = 2, **options: Any
) -> AsyncIterator[list[KafkaEventBus]]:
    """Give the buses of one group, connected; in the end they leave, and then their topics are deleted."""
    config = configured(address, **options)
    async with topics(config, partitions), AsyncExitStack() as stack:
        named = [replace(config, consumer_name=f"member-{number}") for number in range(members)]
        yield [await stack.enter_async_context(KafkaEventBus(each)) for each in named]


class ByPartition(Recorder):
    """Remembers the events, and keeps those of one aggregate waiting."""

    def __init__(self, blocked: UUID) -> None:
        super().__init__()
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self._blocked = blocked

    async def handle(self, event: DomainEvent) -> None:
        if event.aggregate_id == self._blocked:
            self.entered.set()
            await self.open.wait()
        self.record(event)

    def numbers(self, door: UUID) -> list[int]:
        """Return which events of *door* came, in their order."""
        return [event.number for event in self.events if isinstance(event, Opened) and event.aggregate_id == door]


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How many messages of each partition the driver has given out."""
    counts: Counter[int] = Counter()
    getmany = AIOKafkaConsumer.getmany

    async def counting(self: AIOKafkaConsumer, *args: Any, **kwargs: Any) -> Any:
        found = await getmany(self, *args, **kwargs)
        counts.update({each.partition: len(records) for each, records in found.items()})
        return found

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", counting)
    return counts


async def test_a_blocked_partition_waits_while_others_go_on(
    kafka_address: str, fetched: Counter[int], until: Until
) -> None:
    """It is not read much beyond its first event that is not settled, and goes on once that is."""
    stuck, free = door_in(0, of=2), door_in(1, of=2)
    async with bus_at(kafka_address, partitions=2, max_offset_span=50) as bus:
        bus.subscribe(Opened, recorder := ByPartition(stuck))
        await consuming(bus)
        await bus.publish(opened(stuck, 1))
        await recorder.entered.wait()

        await bus.publish(opened(stuck, 2000))
        for number in range(1, 21):
            await bus.publish(opened(free, 50))
            await until(lambda: bus.stats.events_processed_success == number * 50)  # noqa: B023
        while_stuck = fetched[0]
        recorder.open.set()
        await has_committed(bus.config, {0: 2001, 1: 1000})

        assert while_stuck < 1000
        assert recorder.numbers(stuck) == [1, *range(1, 2001)]


async def test_lag_is_told_of_each_partition(kafka_address: str, until: Until) -> None:
    """One that is stuck does not hide behind one that is not."""
    stuck, free = door_in(0, of=3), door_in(2, of=3)
    async with bus_at(kafka_address, partitions=3) as bus:
        bus.subscribe(Opened, recorder := ByPartition(stuck))
        await consuming(bus)

        await bus.publish([*opened(stuck, 5), *opened(free, 7)])
        await until(lambda: bus.lag == {0: 5, 1: 0, 2: 0})
        recorder.open.set()

        await until(lambda: bus.lag == {0: 0, 1: 0, 2: 0})


async def test_a_member_hands_over_when_it_has_finished(kafka_address: str, until: Until) -> None:
    """What it has in hand and what it has fetched is handled and committed before the other one begins."""
    doors = [door_in(partition, of=2) for partition in (0, 1)]
    async with group_at(kafka_address) as (bus, other):
        bus.subscribe(Opened, gate := Gate())
        other.subscribe(Opened, recorder := Recorder())
        await consuming(bus)
        before, after = ([event for door in doors for event in opened(door, 20)] for _ in range(2))
        await bus.publish(before)
        await until(lambda: bus.lag == {0: 20, 1: 20})

        other.start_consuming_in_background()
        await until(lambda: bus.stats.rebalance_count == 1)
        handled_meanwhile = list(recorder.events)
        gate.open.set()
        await other.wait_until_consuming()
        await bus.publish(after)
        await has_committed(bus.config, {0: 40, 1: 40})

        assert handled_meanwhile == []
        assert gate.counts + recorder.counts == Counter(event.event_id for event in (*before, *after))
        assert len(recorder.events) == 20
        assert (bus.stats.reconnections, other.stats.rebalance_count) == (0, 0)


async def test_a_failing_event_is_left_to_whoever_gets_its_partition(kafka_address: str, until: Until) -> None:
    """Nobody waits for its next attempt, nor for those behind it, which keep their order."""
    events = [event for partition in (0, 1) for event in opened(door_in(partition, of=2), 20)]
    patient = {"max_retries": 3, "retry_base_delay": 300.0, "retry_max_delay": 300.0}
    async with group_at(kafka_address, **patient) as (bus, other):
        bus.subscribe(Opened, Failing({event.event_id: 1 for event in events}))
        other.subscribe(Opened, recorder := Recorder())
        await consuming(bus)
        await bus.publish(events)
        await until(lambda: bus.stats.handler_errors == 2)

        async with asyncio.timeout(ENOUGH):
            await consuming(other)
            await until(lambda: len(recorder.events) == 20)

        assert [event.number for event in recorder.events if isinstance(event, Opened)] == list(range(1, 21))


async def test_a_handler_that_does_not_end_holds_nobody_up_for_ever(kafka_address: str, until: Until) -> None:
    """It is cancelled while there is still time for the commit, and its event comes to whoever has the partition."""
    doors = [door_in(partition, of=2) for partition in (0, 1)]
    async with group_at(kafka_address, rebalance_timeout_ms=1000, shutdown_timeout=0.2) as (bus, other):
        cancelled: list[Opened] = []

        async def never_end(event: Opened) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(event)

        bus.subscribe(Opened, never_end)
        other.subscribe(Opened, recorder := Recorder())
        await consuming(bus)
        await bus.publish([event for door in doors for event in opened(door, 1)])
        await until(lambda: bus.stats.events_consumed == 2)

        async with asyncio.timeout(ENOUGH):
            await consuming(other)
            await until(lambda: len(recorder.events) == 1)

        assert len(cancelled) == 2
        assert bus.is_consuming


async def test_who_stays_takes_over_from_who_leaves(kafka_address: str) -> None:
    """Nothing is handled twice, and nothing is left."""
    doors = [door_in(partition, of=4) for partition in range(4)]
    async with group_at(kafka_address, partitions=4) as (bus, other):
        bus.subscribe(Opened, first := Recorder())
        other.subscribe(Opened, second := Recorder())
        await consuming(bus)
        await consuming(other)
        before, after = ([event for door in doors for event in opened(door, 25)] for _ in range(2))
        await bus.publish(before)

        await other.shutdown()
        await bus.publish(after)
        await has_committed(bus.config, dict.fromkeys(range(4), 50))

        assert first.counts + second.counts == Counter(event.event_id for event in (*before, *after))


async def test_a_paused_partition_goes_on_after_a_rebalance(kafka_address: str, until: Until) -> None:
    """Whoever has it then begins behind what was committed."""
    async with group_at(kafka_address, members=3, max_offset_span=5) as (bus, *others):
        bus.subscribe(Opened, gate := Gate())
        await consuming(bus)
        await bus.publish(opened(door_in(0, of=2), 1500))
        await until(lambda: bus.lag == {0: 1500, 1: 0})

        for other in others:
            other.subscribe(Opened, gate)
            other.start_consuming_in_background()
        await until(lambda: bus.stats.rebalance_count == 1)
        gate.open.set()
        await has_committed(bus.config, {0: 1500, 1: 0})

        assert [event.number for event in gate.events if isinstance(event, Opened)] == list(range(1, 1501))


async def test_a_member_may_stop_while_the_group_is_rebalanced(kafka_address: str, until: Until) -> None:
    """What is in hand is finished once, and the one who has joined gets all partitions."""
    async with group_at(kafka_address) as (bus, other):
        bus.subscribe(Opened, gate := Gate())
        other.subscribe(Opened, recorder := Recorder())
        await consuming(bus)
        await bus.publish(before := opened(door_in(0, of=2), 5))
        await until(lambda: bus.lag == {0: 5, 1: 0})
        other.start_consuming_in_background()
        await until(lambda: bus.stats.rebalance_count == 1)

        stopping = asyncio.create_task(bus.stop_consuming())
        gate.open.set()
        await asyncio.wait_for(stopping, ENOUGH)
        await other.wait_until_consuming()
        await bus.publish(after := [event for number in (0, 1) for event in opened(door_in(number, of=2), 5)])
        await has_committed(bus.config, {0: 10, 1: 5})

        assert gate.events == before
        assert recorder.counts == Counter(event.event_id for event in after)


async def test_a_member_without_a_partition_takes_over_when_somebody_leaves(
    kafka_address: str, door: UUID, until: Until
) -> None:
    """Until then it consumes, as far as it can tell."""
    async with group_at(kafka_address, partitions=1) as members:
        for bus in members:
            await consuming(bus)
        await until(lambda: sorted(len(bus.lag) for bus in members) == [0, 1])
        idle, busy = sorted(members, key=lambda bus: len(bus.lag))
        idle.subscribe(Opened, recorder := Recorder())

        await busy.stop_consuming()
        await busy.publish(events := opened(door, 3))

        assert await recorder.received(*events) == events


async def test_a_group_that_began_at_the_end_misses_nothing_while_it_is_away(kafka_address: str, door: UUID) -> None:
    """Where it has begun is committed, though no message has come."""
    async with bus_at(kafka_address, auto_offset_reset="latest") as bus:
        await consuming(bus)
        await bus.stop_consuming()
        (event,) = opened(door, 1)
        await bus.publish([event])
        bus.subscribe(Opened, recorder := Recorder())

        await consuming(bus)

        assert await recorder.received(event) == [event]
