"""What nobody measures is not worked out."""

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest
from opentelemetry.metrics import MeterProvider, NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

from eventsource import InMemoryEventStore, OptimisticLockError
from eventsource.testing.events import DOOR, opened
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.recording import Recording


class Watched(InMemoryEventStore):
    """A store that knows how often it was asked for an attribute."""

    asked = 0

    @property
    def system(self) -> str:  # type: ignore[override]
        self.asked += 1
        return "memory"


@pytest.fixture
def asked_with(door: UUID) -> Callable[[MeterProvider], Awaitable[int]]:
    """Does what is measured, well or badly, and tells how often an attribute was asked for."""

    async def go(provider: MeterProvider) -> int:
        store = Watched()
        with instrumented(tracer_provider=NoOpTracerProvider(), meter_provider=provider):
            await store.append_events(door, DOOR, opened(door, 1), 0)
            await store.get_events(door, DOOR)
            with pytest.raises(OptimisticLockError):
                await store.append_events(door, DOOR, opened(door, 1), 9)
        return store.asked

    return go


async def test_instruments_that_do_nothing_cost_no_attributes(
    asked_with: Callable[[MeterProvider], Awaitable[int]],
) -> None:
    """Those of the API, where there is no SDK."""
    assert await asked_with(NoOpMeterProvider()) == 0


async def test_instruments_that_measure_have_attributes(
    asked_with: Callable[[MeterProvider], Awaitable[int]], recording: Recording
) -> None:
    """Else the promise above would say nothing."""
    assert await asked_with(recording.metrics.provider) > 0


LATE = """
import asyncio
import json
from uuid import uuid4

from opentelemetry import metrics, trace

from eventsource import InMemoryEventStore
from eventsource.testing.events import DOOR, opened
from eventsource_instrumentation import EventsourceInstrumentor
from eventsource_instrumentation.recording import Recording


class Watched(InMemoryEventStore):
    asked = 0

    @property
    def system(self):
        self.asked += 1
        return "memory"


async def append(store):
    door = uuid4()
    await store.append_events(door, DOOR, opened(door, 1), 0)
    return store.asked


EventsourceInstrumentor().instrument()
before = asyncio.run(append(Watched()))
recording = Recording()
trace.set_tracer_provider(recording.spans.provider)
metrics.set_meter_provider(recording.metrics.provider)
asyncio.run(append(Watched()))
appended = recording.metrics.total("eventsource.event_store.events.appended")
print(json.dumps([before, recording.spans.names, appended]))
"""


def test_providers_that_are_set_later_are_used_from_then_on(tmp_path: Path) -> None:
    """Until then nothing is worked out: there may never be any."""
    command = [sys.executable, "-W", "error", "-c", LATE]

    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [0, ["eventsource.event_store.append_events"], 1]
