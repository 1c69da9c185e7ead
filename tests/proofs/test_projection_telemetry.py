"""Telemetry of a long catch-up: few spans, and gauges that tell where the projection stands all the while."""

import asyncio
from collections.abc import Callable
from math import ceil
from uuid import uuid4

from eventsource.events.base import DomainEvent
from eventsource.handlers.decorators import handles
from eventsource.projections.base import DeclarativeProjection
from eventsource.projections.checkpoints.in_memory import InMemoryCheckpointRepository
from eventsource.projections.runner import ProjectionRunner
from eventsource.stores.in_memory import InMemoryEventStore
from eventsource.stores.values import ExpectedVersion
from eventsource.testing.events import DOOR, Opened, opened
from eventsource_instrumentation.recording import RecordedMetrics, Recording

AT_MOST = 120.0
PAGE = 500
A_FEW = 10
SERIES = {"eventsource.projection.name": "openings"}


class Openings(DeclarativeProjection):
    """Counts, as long as its gate is open."""

    count = 0

    def __init__(self, checkpoints: InMemoryCheckpointRepository) -> None:
        super().__init__(checkpoints, name="openings")
        self.gate = asyncio.Event()

    @handles(Opened)
    async def on_opened(self, event: Opened) -> None:
        await self.gate.wait()
        self.count += 1


async def test_a_long_catch_up_has_few_spans_and_gauges_that_follow_it(
    size: Callable[[int, int], int], report: Callable[[str], None], eventsource_telemetry: Recording
) -> None:
    """At most two spans for a page; the lag begins at the top, falls to 0, and rises while nothing is handled."""
    events = size(5_000, 100_000)
    store, metrics, spans = InMemoryEventStore(), eventsource_telemetry.metrics, eventsource_telemetry.spans
    projection = Openings(InMemoryCheckpointRepository())
    await _append(store, events)
    spans.clear()

    async with ProjectionRunner(store, projection, lag_interval=0.01, checkpoint_interval=0.3) as runner:
        seen = [await _lag_once(metrics, lambda lag: lag == events)]
        projection.gate.set()
        seen.append(await _lag_once(metrics, lambda lag: lag == 0))
        in_spans = len(spans.names)
        runner.pause()
        await _append(store, 10)
        seen.append(await _lag_once(metrics, lambda lag: lag == 10))
        runner.resume()
        seen.append(await _lag_once(metrics, lambda lag: lag == 0))
        projection.gate.clear()
        await _append(store, 20)
        seen.append(await _lag_once(metrics, lambda lag: lag == 20))
        projection.gate.set()
        seen.append(await _lag_once(metrics, lambda lag: lag == 0))

    pages = ceil(events / PAGE)
    assert seen == [events, 0, 10, 0, 20, 0]
    assert projection.count == events + 30
    assert in_spans <= 2 * pages + A_FEW
    report(f"{events} events in {pages} pages: {in_spans} spans; lag {' -> '.join(f'{lag:.0f}' for lag in seen)}")


async def _append(store: InMemoryEventStore, count: int) -> None:
    door = uuid4()
    numbered: list[DomainEvent] = [*opened(door, count)]
    await store.append_events(door, DOOR, numbered, ExpectedVersion.ANY)


async def _lag_once(metrics: RecordedMetrics, is_it: Callable[[float], bool]) -> float:
    """Collect on the thread of the event loop until the lag is what it should be, with the delay that goes with it."""
    async with asyncio.timeout(AT_MOST):
        while True:
            points = {point.name: point.value for point in metrics.points if point.attributes == SERIES}
            lag, delay = points.get("eventsource.projection.lag"), points.get("eventsource.projection.delay")
            if lag is not None and delay is not None and is_it(lag) and (delay > 0) == (lag > 0):
                return lag
            await asyncio.sleep(0.005)
