"""What is read from buses over Kafka while metrics are collected."""

import gc
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from eventsource_instrumentation import EventsourceInstrumentor
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.recording import MetricPoint, RecordedMetrics, Recording

KAFKA = "kafka.eventbus."
LAG = f"{KAFKA}consumer.lag"
ACTIVE = f"{KAFKA}connections.active"
COUNTERS = {
    f"{KAFKA}connection.errors": "{error}",
    f"{KAFKA}reconnections": "{reconnection}",
    f"{KAFKA}rebalances": "{rebalance}",
}
BUS = {"messaging.consumer.group.name": "guests", "messaging.destination.name": "doors"}


def of_partition(number: int) -> dict[str, str]:
    return BUS | {"messaging.destination.partition.id": str(number)}


@pytest.fixture
async def bus(eventsource_metrics: RecordedMetrics, local_bus: Callable[..., Any]) -> AsyncIterator[Any]:
    """A bus that is connected while everything is instrumented."""
    async with local_bus() as bus:
        yield bus


async def test_a_connected_bus_is_one_connection(bus: Any, eventsource_metrics: RecordedMetrics) -> None:
    """It is there from the moment on when it is connected."""
    assert eventsource_metrics.named(ACTIVE) == [MetricPoint(ACTIVE, "{connection}", BUS, 1)]


async def test_each_partition_has_a_lag(bus: Any, eventsource_metrics: RecordedMetrics) -> None:
    """What was last looked up, nothing where there is no partition."""
    before = eventsource_metrics.named(LAG)

    bus.lag = {0: 5, 1: 0}

    assert before == []
    assert eventsource_metrics.named(LAG) == [
        MetricPoint(LAG, "{message}", of_partition(0), 5),
        MetricPoint(LAG, "{message}", of_partition(1), 0),
    ]


async def test_a_partition_that_went_away_has_none(bus: Any, eventsource_metrics: RecordedMetrics) -> None:
    """Another consumer reports it."""
    bus.lag = {0: 5, 1: 7}
    eventsource_metrics.named(LAG)

    bus.lag = {1: 7}

    assert [point.attributes for point in eventsource_metrics.named(LAG)] == [of_partition(1)]


async def test_what_the_bus_has_counted_is_a_counter(bus: Any, eventsource_metrics: RecordedMetrics) -> None:
    """Each collection has the sum so far."""
    eventsource_metrics.named(ACTIVE)

    bus.stats.connection_errors = 3
    bus.stats.reconnections = 2
    bus.stats.rebalance_count = 1

    points = [point for point in eventsource_metrics.points if point.name in COUNTERS]
    assert points == [
        MetricPoint(name, unit, BUS, value) for (name, unit), value in zip(COUNTERS.items(), (3, 2, 1), strict=True)
    ]


async def test_two_buses_are_two_series(
    bus: Any, local_bus: Callable[..., Any], eventsource_metrics: RecordedMetrics
) -> None:
    """Each with its own group."""
    other = local_bus()
    other.consumer_group = "hosts"
    bus.lag, other.lag = {0: 5}, {0: 7}

    async with other:
        points = eventsource_metrics.named(LAG)

    found = {(point.attributes["messaging.consumer.group.name"], point.value) for point in points}
    assert found == {("guests", 5), ("hosts", 7)}


async def test_a_bus_that_is_closed_has_nothing(
    local_bus: Callable[..., Any], eventsource_metrics: RecordedMetrics
) -> None:
    """Though the object lives, and whatever it has counted."""
    bus = local_bus()
    async with bus:
        bus.lag = {0: 5}
        bus.stats.reconnections = 2
        assert eventsource_metrics.names == {ACTIVE, LAG, *COUNTERS}

    assert eventsource_metrics.points == []


async def test_a_bus_of_before_has_something_from_its_next_look_on(
    local_bus: Callable[..., Any], recording: Recording
) -> None:
    """An application may be running when it is instrumented."""
    async with local_bus() as bus:
        with instrumented(meter_provider=recording.metrics.provider):
            before = recording.metrics.names
            await bus.refresh()

            assert (before, ACTIVE in recording.metrics.names) == (set(), True)


async def test_a_bus_that_wants_no_metrics_has_nothing(bus: Any, eventsource_metrics: RecordedMetrics) -> None:
    """The switch is the bus's, at any time."""
    bus.lag = {0: 5}
    bus.enable_metrics = False

    assert eventsource_metrics.points == []


async def test_a_bus_over_something_else_has_nothing(bus: Any, eventsource_metrics: RecordedMetrics) -> None:
    """The names are Kafka's."""
    bus.lag = {0: 5}
    bus.system = "rabbitmq"

    assert eventsource_metrics.points == []


async def test_a_bus_that_cannot_tell_is_in_nobodys_way(
    bus: Any, local_bus: Callable[..., Any], eventsource_metrics: RecordedMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody's own may lack what ours has; the others report, and there is one warning at most."""
    other = local_bus()
    other.lag = None
    bus.lag = {0: 5}

    async with other:
        for _ in range(3):
            assert [point.value for point in eventsource_metrics.named(LAG)] == [5]

    assert len([record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]) <= 1


async def test_a_bus_that_is_gone_is_forgotten(
    local_bus: Callable[..., Any], eventsource_metrics: RecordedMetrics
) -> None:
    """Nothing here keeps it alive, connected or not."""
    bus = local_bus()
    await bus.connect()
    bus.lag = {0: 5}
    before = len(eventsource_metrics.points)
    kept = weakref.ref(bus)

    del bus
    gc.collect()

    assert (before, kept(), eventsource_metrics.points) == (5, None, [])


async def test_off_is_silent(instrumentor: EventsourceInstrumentor, local: Any, recording: Recording) -> None:
    """And on again, everything is there once."""
    local.lag = {0: 5}
    for _ in range(3):
        instrumentor.instrument(meter_provider=recording.metrics.provider)
        await local.refresh()
        assert sorted(point.name for point in recording.metrics.points) == sorted([ACTIVE, LAG, *COUNTERS])
        instrumentor.uninstrument()

        assert recording.metrics.points == []
