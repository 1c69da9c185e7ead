"""The gauges that tell how far projections are behind, read on the thread of the event loop."""

import asyncio
import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

import pytest

from eventsource import DeclarativeProjection, ProjectionRunner, handles
from eventsource.testing.events import Opened
from eventsource_instrumentation import EventsourceInstrumentor
from eventsource_instrumentation.gauges import watch
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.measurements import LAG as LAG_GAUGE
from eventsource_instrumentation.recording import MetricPoint, RecordedMetrics, Recording

Append: TypeAlias = Callable[..., Awaitable[int]]
RunnerOf: TypeAlias = Callable[..., ProjectionRunner]
Until: TypeAlias = Callable[[Callable[[], object]], Awaitable[None]]

LAG = "eventsource.projection.lag"
DELAY = "eventsource.projection.delay"
OFTEN = {"lag_interval": 0.005, "checkpoint_interval": 0.005}
AT_MOST = 20.0


class Gated(DeclarativeProjection):
    """Handles an event when its gate is open."""

    def __init__(self, name: str = "gated") -> None:
        super().__init__(name=name)
        self.gate = asyncio.Event()

    @handles(Opened)
    async def on_opened(self, event: Opened) -> None:
        await self.gate.wait()


@pytest.fixture
async def gated() -> Gated:
    """A projection whose gate is shut."""
    return Gated()


def lags(metrics: RecordedMetrics) -> list[float]:
    """Return the values of the lag, each of a series of its own."""
    return [point.value for point in metrics.named(LAG)]


def gauges(metrics: RecordedMetrics) -> list[MetricPoint]:
    """Return what all gauges report."""
    return [point for point in metrics.points if point.name in (LAG, DELAY)]


class TestValues:
    async def test_how_many_events_and_how_long(
        self, append: Append, gated: Gated, runner_of: RunnerOf, until: Until, eventsource_metrics: RecordedMetrics
    ) -> None:
        """For each projection, by its name alone."""
        await append(3)

        async with runner_of(gated) as runner:
            await until(lambda: runner.lag)
            (lag,), (delay,) = eventsource_metrics.named(LAG), eventsource_metrics.named(DELAY)
            gated.gate.set()

        assert lag == MetricPoint(LAG, "{event}", {"eventsource.projection.name": "gated"}, 3)
        assert (delay.unit, delay.attributes) == ("s", {"eventsource.projection.name": "gated"})
        assert delay.value > 0

    async def test_they_fall_to_nothing(
        self, append: Append, gated: Gated, runner_of: RunnerOf, until: Until, eventsource_metrics: RecordedMetrics
    ) -> None:
        """When everything is handled and saved."""
        await append(3)

        async with runner_of(gated, **OFTEN):
            await until(lambda: lags(eventsource_metrics) == [3])
            gated.gate.set()
            await until(lambda: lags(eventsource_metrics) == [0])
            (delay,) = eventsource_metrics.named(DELAY)

        assert delay.value == 0

    async def test_they_rise_while_a_handler_blocks(
        self, append: Append, gated: Gated, runner_of: RunnerOf, until: Until, eventsource_metrics: RecordedMetrics
    ) -> None:
        """Nobody waits for it to tell."""
        async with runner_of(gated, **OFTEN):
            for count in range(1, 4):
                await append(1)
                await until(lambda count=count: lags(eventsource_metrics) == [count])
            gated.gate.set()

    async def test_they_rise_while_the_runner_is_paused(
        self, append: Append, gated: Gated, runner_of: RunnerOf, until: Until, eventsource_metrics: RecordedMetrics
    ) -> None:
        """And fall when it goes on."""
        gated.gate.set()

        async with runner_of(gated, **OFTEN) as runner:
            runner.pause()
            await append(4)
            await until(lambda: lags(eventsource_metrics) == [4])
            runner.resume()
            await until(lambda: lags(eventsource_metrics) == [0])

    async def test_the_delay_grows_by_itself(
        self, append: Append, gated: Gated, runner_of: RunnerOf, until: Until, eventsource_metrics: RecordedMetrics
    ) -> None:
        """It is the age of an event, also between two look-ups."""
        await append(1)

        async with runner_of(gated) as runner:
            await until(lambda: runner.lag)
            looked_up, first = runner.lag, eventsource_metrics.total(DELAY)
            await until(lambda: eventsource_metrics.total(DELAY) > first)
            assert runner.lag == looked_up
            gated.gate.set()

    async def test_each_projection_has_its_own(
        self, append: Append, gated: Gated, runner_of: RunnerOf, until: Until, eventsource_metrics: RecordedMetrics
    ) -> None:
        """One that stands still does not hide another one."""
        await append(2)
        quick = Gated("quick")
        quick.gate.set()

        async with runner_of(gated, **OFTEN), runner_of(quick, **OFTEN):
            await until(lambda: sorted(lags(eventsource_metrics)) == [0, 2])
            names = {point.attributes["eventsource.projection.name"] for point in eventsource_metrics.named(LAG)}
            gated.gate.set()

        assert names == {"gated", "quick"}


class TestWhoReports:
    async def test_nobody_who_does_not_run(
        self, append: Append, gated: Gated, runner_of: RunnerOf, until: Until, eventsource_metrics: RecordedMetrics
    ) -> None:
        """Neither before the start nor after the end, though the object lives."""
        await append(1)
        gated.gate.set()
        runner = runner_of(gated)
        before = gauges(eventsource_metrics)

        async with runner:
            await until(lambda: runner.lag)
            meanwhile = gauges(eventsource_metrics)

        assert (before, len(meanwhile), gauges(eventsource_metrics)) == ([], 2, [])

    async def test_a_runner_of_before_from_its_next_look_on(
        self, gated: Gated, runner_of: RunnerOf, until: Until, recording: Recording
    ) -> None:
        """An application may be running when it is instrumented."""
        async with runner_of(gated, **OFTEN) as runner:
            await until(lambda: runner.lag)
            with instrumented(meter_provider=recording.metrics.provider):
                await until(lambda: lags(recording.metrics) == [0])

    async def test_nobody_who_wants_no_metrics(
        self, gated: Gated, runner_of: RunnerOf, until: Until, eventsource_metrics: RecordedMetrics
    ) -> None:
        """The switch is the runner's, at any time."""
        async with runner_of(gated) as runner:
            await until(lambda: gauges(eventsource_metrics))
            runner.enable_metrics = False

            assert gauges(eventsource_metrics) == []

    async def test_no_kind_that_is_left_out(
        self, gated: Gated, runner_of: RunnerOf, until: Until, recording: Recording
    ) -> None:
        """Runners are one."""
        with instrumented(meter_provider=recording.metrics.provider, excluded_components=["projection_runner"]):
            async with runner_of(gated) as runner:
                await until(lambda: runner.lag)

                assert gauges(recording.metrics) == []

    async def test_nobody_who_is_gone(
        self, gated: Gated, runner_of: RunnerOf, until: Until, eventsource_metrics: RecordedMetrics
    ) -> None:
        """A gauge keeps no runner alive."""
        runner = runner_of(gated)
        async with runner:
            await until(lambda: gauges(eventsource_metrics))
        kept = weakref.ref(runner)

        del runner
        gc.collect()

        assert kept() is None

    async def test_runners_that_cannot_be_told_apart_do_no_harm(
        self, gated: Gated, until: Until, store: Any, eventsource_metrics: RecordedMetrics
    ) -> None:
        """A subclass that compares its objects has no hash, and its lag is looked up all the same."""

        class Compared(ProjectionRunner):
            def __eq__(self, other: object) -> bool:
                return True

        async with Compared(store, gated) as runner:
            await until(lambda: runner.lag)

    def test_runners_may_start_while_metrics_are_collected(
        self, eventsource_metrics: RecordedMetrics, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Exporters collect on threads of their own; what fails there is logged."""

        class Fast(ProjectionRunner):
            lag = None  # type: ignore[assignment]

            def __init__(self) -> None:
                pass

        started: list[Fast] = []
        before = sys.getswitchinterval()

        def start() -> None:
            for _ in range(3_000):
                started.append(Fast())
                watch([LAG_GAUGE], started[-1])

        starting = Thread(target=start)
        sys.setswitchinterval(1e-6)
        starting.start()
        while starting.is_alive():
            gauges(eventsource_metrics)
        sys.setswitchinterval(before)

        assert len(started) == 3_000
        assert caplog.records == []


class TestSwitching:
    async def test_off_is_silent(
        self,
        instrumentor: EventsourceInstrumentor,
        gated: Gated,
        runner_of: RunnerOf,
        until: Until,
        recording: Recording,
    ) -> None:
        """Though the runner goes on."""
        async with runner_of(gated, **OFTEN):
            instrumentor.instrument(meter_provider=recording.metrics.provider)
            await until(lambda: gauges(recording.metrics))
            instrumentor.uninstrument()

            assert gauges(recording.metrics) == []

    async def test_on_again_with_the_same_provider(
        self,
        instrumentor: EventsourceInstrumentor,
        gated: Gated,
        runner_of: RunnerOf,
        until: Until,
        recording: Recording,
    ) -> None:
        """Each value is there once, after any number of cycles."""
        async with runner_of(gated, **OFTEN):
            for _ in range(3):
                instrumentor.instrument(meter_provider=recording.metrics.provider)
                await until(lambda: gauges(recording.metrics))
                assert sorted(point.name for point in gauges(recording.metrics)) == [DELAY, LAG]
                instrumentor.uninstrument()

    async def test_only_the_provider_of_now_gets_anything(
        self,
        instrumentor: EventsourceInstrumentor,
        gated: Gated,
        runner_of: RunnerOf,
        until: Until,
        recording: Recording,
    ) -> None:
        """The one of before keeps its instruments, and they are silent; and so on when it is its turn again."""
        other = Recording()
        async with runner_of(gated, **OFTEN):
            for present, before in [(recording, other), (other, recording), (recording, other)]:
                instrumentor.instrument(meter_provider=present.metrics.provider)
                await until(lambda present=present: gauges(present.metrics))
                assert gauges(before.metrics) == []
                instrumentor.uninstrument()
        other.shutdown()

    async def test_the_global_provider_is_the_same_by_name_or_not(
        self,
        instrumentor: EventsourceInstrumentor,
        gated: Gated,
        runner_of: RunnerOf,
        until: Until,
        recording: Recording,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Named in one cycle and not in the next, it gets each value once."""
        monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", recording.metrics.provider)
        async with runner_of(gated, **OFTEN):
            for options in ({}, {"meter_provider": recording.metrics.provider}, {}):
                instrumentor.instrument(**options)
                await until(lambda: gauges(recording.metrics))
                assert sorted(point.name for point in gauges(recording.metrics)) == [DELAY, LAG]
                instrumentor.uninstrument()
                assert gauges(recording.metrics) == []


LATE = """
import asyncio
import json

from opentelemetry import metrics

from eventsource import DeclarativeProjection, InMemoryEventStore, ProjectionRunner, handles
from eventsource.testing.events import Opened
from eventsource_instrumentation import EventsourceInstrumentor
from eventsource_instrumentation.recording import Recording


class Openings(DeclarativeProjection):
    @handles(Opened)
    async def on_opened(self, event):
        pass


async def names_once_there_are_any(recording):
    async with asyncio.timeout(20):
        while not recording.metrics.points:
            await asyncio.sleep(0.001)
    return sorted(point.name for point in recording.metrics.points)


async def run():
    instrumentor, recording = EventsourceInstrumentor(), Recording()
    async with ProjectionRunner(InMemoryEventStore(), Openings(), lag_interval=0.005):
        instrumentor.instrument()
        instrumentor.uninstrument()
        instrumentor.instrument()
        metrics.set_meter_provider(recording.metrics.provider)
        names = await names_once_there_are_any(recording)
        instrumentor.uninstrument()
        return [names, len(recording.metrics.points)]


print(json.dumps(asyncio.run(run())))
"""


def test_a_global_provider_may_be_set_later(tmp_path: Path) -> None:
    """Each value is there once, however often it was switched on before."""
    command = [sys.executable, "-W", "error", "-c", LATE]

    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[DELAY, LAG], 0]
    assert done.stderr == ""
