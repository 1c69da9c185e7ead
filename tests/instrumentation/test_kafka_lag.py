"""How far a consumer of Kafka is behind, read on the thread of the event loop that it runs on."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest

from eventsource import KafkaEventBus, KafkaEventBusConfig
from eventsource.testing.event_bus_subject import Gate
from eventsource.testing.events import Opened, opened
from eventsource_instrumentation.recording import RecordedMetrics
from services.brokers import create_topics

LAG = "kafka.eventbus.consumer.lag"
ACTIVE = "kafka.eventbus.connections.active"
EVENTS = 1_000
AT_MOST = 30.0


class Watched(KafkaEventBus):
    """A bus that tells when it has looked at its lag."""

    def __init__(self, config: KafkaEventBusConfig) -> None:
        super().__init__(config)
        self._looks = asyncio.Condition()

    async def looks(self, times: int) -> None:
        """Return after it has looked so many times more."""
        async with asyncio.timeout(AT_MOST), self._looks:
            for _ in range(times):
                await self._looks.wait()

    async def _refresh(self, refresh: Any) -> None:
        await super()._refresh(refresh)
        async with self._looks:
            self._looks.notify_all()


@pytest.fixture
async def prefix(kafka_address: str) -> str:
    """The prefix of topics with two partitions."""
    prefix = f"test-{uuid4()}"
    await create_topics(kafka_address, prefix, partitions=2)
    return prefix


@pytest.fixture
def bus_of(kafka_address: str, prefix: str, eventsource_metrics: RecordedMetrics) -> Callable[..., Watched]:
    """Makes a bus of a group that looks often."""

    def make(group: str = "guests") -> Watched:
        return Watched(KafkaEventBusConfig(kafka_address, prefix, group, lag_interval=0.1, heartbeat_interval_ms=100))

    return make


@pytest.fixture
async def publisher(bus_of: Callable[..., Watched]) -> AsyncIterator[Watched]:
    """A bus that does not consume."""
    async with bus_of("publishers") as bus:
        yield bus


async def begin(bus: Watched, handler: Any) -> None:
    """Let *bus* consume."""
    bus.subscribe(Opened, handler)
    bus.start_consuming_in_background()
    await bus.wait_until_consuming(AT_MOST)


async def publish(bus: KafkaEventBus) -> None:
    """Publish events of so many aggregates that both partitions have some."""
    await bus.publish([event for _ in range(100) for event in opened(uuid4(), EVENTS // 100)])


def lag(metrics: RecordedMetrics, group: str = "guests") -> dict[Any, float]:
    """Return the lag of each partition."""
    points = metrics.named(LAG, {"messaging.consumer.group.name": group})
    return {point.attributes["messaging.destination.partition.id"]: point.value for point in points}


async def test_it_rises_while_a_handler_blocks_and_falls_to_nothing(
    bus_of: Callable[..., Watched], publisher: Watched, eventsource_metrics: RecordedMetrics
) -> None:
    """Two looks after the messages were published it has all of them; two after they are settled, none."""
    gate = Gate()
    async with bus_of() as bus:
        await begin(bus, gate)
        await publish(publisher)
        await bus.looks(2)
        blocked = lag(eventsource_metrics)

        gate.open.set()
        async with asyncio.timeout(AT_MOST):
            while bus.stats.events_processed_success < EVENTS:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.005)
        await bus.looks(2)
        released = lag(eventsource_metrics)

    assert set(blocked) == {"0", "1"}
    assert min(blocked.values()) > 0
    assert sum(blocked.values()) == EVENTS
    assert released == {"0": 0, "1": 0}


async def test_a_closed_bus_has_none_and_can_be_collected(
    bus_of: Callable[..., Watched], publisher: Watched, eventsource_metrics: RecordedMetrics
) -> None:
    """Neither the gauge nor anything else keeps it."""
    gate = Gate()
    bus = bus_of()
    await bus.connect()
    await begin(bus, gate)
    await publish(publisher)
    await bus.looks(2)
    before = lag(eventsource_metrics)
    await bus.shutdown(timeout=0.01)
    kept = weakref.ref(bus)

    del bus
    gc.collect()

    assert sum(before.values()) == EVENTS
    assert lag(eventsource_metrics) == {}
    assert kept() is None


async def test_a_closed_bus_has_none_while_it_lives(
    bus_of: Callable[..., Watched], eventsource_metrics: RecordedMetrics
) -> None:
    """Nor any other series."""
    bus = bus_of()
    async with bus:
        await begin(bus, Gate())
        await bus.looks(2)
        before = lag(eventsource_metrics)

    assert before == {"0": 0, "1": 0}
    assert [point for point in eventsource_metrics.points if point.name.startswith("kafka.eventbus.")] == []


async def test_one_that_only_publishes_has_none(publisher: Watched, eventsource_metrics: RecordedMetrics) -> None:
    """It is connected, and behind nothing."""
    await publish(publisher)
    await publisher.looks(2)

    assert lag(eventsource_metrics, "publishers") == {}
    (active,) = eventsource_metrics.named(ACTIVE)
    assert active.value == 1


async def test_two_groups_are_two_series(
    bus_of: Callable[..., Watched], publisher: Watched, eventsource_metrics: RecordedMetrics
) -> None:
    """One may be behind while the other is not."""
    shut, open_ = Gate(), Gate()
    open_.open.set()
    async with bus_of("guests") as guests, bus_of("hosts") as hosts:
        await begin(guests, shut)
        await begin(hosts, open_)
        await publish(publisher)
        async with asyncio.timeout(AT_MOST):
            while hosts.stats.events_processed_success < EVENTS:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.005)
        await asyncio.gather(guests.looks(2), hosts.looks(2))
        behind = {group: sum(lag(eventsource_metrics, group).values()) for group in ("guests", "hosts")}
        shut.open.set()

    assert behind == {"guests": EVENTS, "hosts": 0}


async def test_partitions_that_go_to_another_member_go_with_their_lag(
    bus_of: Callable[..., Watched], publisher: Watched, eventsource_metrics: RecordedMetrics
) -> None:
    """Each is there once, and that they were taken is counted."""
    async with bus_of() as first, bus_of() as second:
        await begin(first, Gate())
        await begin(second, Gate())
        async with asyncio.timeout(AT_MOST):
            while not (len(first.lag) == len(second.lag) == 1):  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.005)

        points = eventsource_metrics.named(LAG)
        rebalances = eventsource_metrics.total("kafka.eventbus.rebalances")

    assert sorted(str(point.attributes["messaging.destination.partition.id"]) for point in points) == ["0", "1"]
    assert rebalances == 1
