"""Telemetry that fails is no business of the application."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult

from eventsource import (
    AppendResult,
    EventForwarder,
    InMemoryCheckpointRepository,
    InMemoryEventBus,
    InMemoryEventStore,
    OptimisticLockError,
    ProjectionRunner,
)
from eventsource.observability import TracingMixin
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import DOOR, Opened, opened
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.recording import RecordedSpans, Recording

APPEND = "eventsource.event_store.append_events"


class BrokenError(Exception):
    """Comes from telemetry."""


def fail(*args: Any, **kwargs: Any) -> Any:
    raise BrokenError


class BrokenSampler(Sampler):
    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        raise BrokenError

    def get_description(self) -> str:
        return "broken"


class BrokenAtStart(SpanProcessor):
    on_start = fail


class BrokenAtEnd(SpanProcessor):
    on_end = fail


class BrokenExporter(SpanExporter):
    export = fail


class BrokenPropagator(TextMapPropagator):
    extract = fail
    inject = fail

    @property
    def fields(self) -> set[str]:
        raise BrokenError


def provider_with(processor: SpanProcessor) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


OPTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "request hook": lambda: {"request_hook": fail},
    "response hook": lambda: {"response_hook": fail},
    "sampler": lambda: {"tracer_provider": TracerProvider(sampler=BrokenSampler(), shutdown_on_exit=False)},
    "processor at start": lambda: {"tracer_provider": provider_with(BrokenAtStart())},
    "processor at end": lambda: {"tracer_provider": provider_with(BrokenAtEnd())},
    "exporter": lambda: {"tracer_provider": provider_with(SimpleSpanProcessor(BrokenExporter()))},
}


@pytest.fixture(params=[*OPTIONS, "propagator"])
def broken_telemetry(request: pytest.FixtureRequest, recording: Recording) -> Iterator[None]:
    """Telemetry that fails in one place."""
    propagator = propagate.get_global_textmap()
    if request.param == "propagator":
        propagate.set_global_textmap(BrokenPropagator())
    options = {"tracer_provider": recording.spans.provider} | OPTIONS.get(request.param, dict)()
    with instrumented(**options):
        yield
    propagate.set_global_textmap(propagator)


@pytest.mark.usefixtures("broken_telemetry")
class TestWhateverBreaks:
    async def test_the_result_is_the_same(self, store: InMemoryEventStore, door: UUID) -> None:
        """The caller's headers are stored, too."""
        result = await store.append_events(door, DOOR, opened(door, 1), 0, headers={"request": "7"})

        assert result == AppendResult.successful(1, 1)
        (stored,) = await store.read_page()
        assert stored.headers["request"] == "7"

    async def test_the_exception_is_the_same(self, store: InMemoryEventStore, door: UUID) -> None:
        """It is not even chained to what went wrong with telemetry."""
        with pytest.raises(OptimisticLockError) as caught:
            await store.append_events(door, DOOR, opened(door, 1), 9)

        assert caught.value.__context__ is None

    async def test_messages_arrive(self, door: UUID) -> None:
        """With headers or without."""
        bus, recorder = InMemoryEventBus(), Recorder()
        bus.subscribe(Opened, recorder)
        events = opened(door, 2)

        await bus.publish(events[:1])
        await bus.publish(
            events[1:], headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
        )

        assert recorder.events == events

    async def test_projections_catch_up(
        self,
        append: Callable[..., Awaitable[int]],
        openings: Callable[..., Any],
        runner_of: Callable[..., ProjectionRunner],
    ) -> None:
        """Without a second attempt, and the lag is looked up."""
        await append(3)
        projection = openings(checkpoint_repo=InMemoryCheckpointRepository(), enable_tracing=True)

        async with runner_of(projection) as runner:
            await runner.wait_for(timeout=20)
            failure, lag = runner.failure, runner.lag

        assert (projection.count, failure) == (3, None)
        assert lag is not None

    async def test_what_is_forwarded_arrives(
        self, store: InMemoryEventStore, append: Callable[..., Awaitable[int]]
    ) -> None:
        """Fresh or old, with the context that is stored, if there is one."""
        bus, recorder = InMemoryEventBus(), Recorder()
        bus.subscribe(Opened, recorder)
        await append(2, occurred_at=datetime(2024, 5, 1, tzinfo=UTC))
        await append(1)

        async with EventForwarder(store, bus, InMemoryCheckpointRepository()) as forwarder:
            await forwarder.wait_for(timeout=20)
            failure = forwarder.failure

        assert ([event.number for event in recorder.events], failure) == ([1, 2, 1], None)

    async def test_nothing_is_current_afterwards(self, store: InMemoryEventStore, door: UUID) -> None:
        """What was begun is undone."""
        before = otel_context.get_current()

        await store.append_events(door, DOOR, opened(door, 1), 0)

        assert otel_context.get_current() is before

    def test_the_applications_own_spans_do_no_harm(self) -> None:
        """The block runs, and its exception comes out."""

        class Service(TracingMixin):
            def __init__(self) -> None:
                self._init_tracing("here")

        before = otel_context.get_current()

        with pytest.raises(KeyError) as caught, Service()._create_span_context("service.work"):
            raise KeyError("mine")

        assert caught.value.args == ("mine",)
        assert otel_context.get_current() is before


async def test_only_the_first_failure_is_a_warning(
    store: InMemoryEventStore, recording: Recording, door: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken exporter must not fill the log; what follows is there at DEBUG."""
    caplog.set_level(logging.DEBUG, "eventsource_instrumentation")

    with instrumented(tracer_provider=recording.spans.provider, request_hook=fail):
        for version in range(3):
            await store.append_events(door, DOOR, opened(door, 1), version)

    records = [each for each in caplog.records if each.name.startswith("eventsource_instrumentation")]
    assert [each.levelno for each in records] == [logging.WARNING, logging.DEBUG, logging.DEBUG]
    assert all(each.exc_info and each.exc_info[0] is BrokenError for each in records)


async def test_a_hook_that_fails_costs_neither_span_nor_metric(
    store: InMemoryEventStore, recording: Recording, door: UUID
) -> None:
    """Both hooks are extras."""
    providers = {"tracer_provider": recording.spans.provider, "meter_provider": recording.metrics.provider}

    with instrumented(request_hook=fail, response_hook=fail, **providers):
        await store.append_events(door, DOOR, opened(door, 1), 0)

    span = recording.spans.one(APPEND)
    assert (span.attributes or {})["eventsource.version"] == 1
    assert span.status.is_unset
    assert (await store.read_page())[0].headers.keys() == {"traceparent"}
    assert recording.metrics.count("eventsource.event_store.append.duration") == 1


@pytest.mark.parametrize("hook", ["request_hook", "response_hook"])
async def test_a_hook_that_ends_the_program_ends_it_properly(
    hook: str, store: InMemoryEventStore, recording: Recording, door: UUID
) -> None:
    """What is no error of telemetry reaches the caller; the span is ended and its context left before."""

    def leave(*args: Any) -> None:
        raise SystemExit(3)

    before = otel_context.get_current()

    with instrumented(tracer_provider=recording.spans.provider, **{hook: leave}), pytest.raises(SystemExit) as caught:
        await store.append_events(door, DOOR, opened(door, 1), 0)

    assert caught.value.code == 3
    assert otel_context.get_current() is before
    assert recording.spans.names == [APPEND]


class TestSuppression:
    """`suppress_instrumentation` is how exporters keep their own calls out of the traces."""

    async def test_neither_spans_nor_metrics(
        self, store: InMemoryEventStore, door: UUID, eventsource_telemetry: Recording
    ) -> None:
        """The operation is done, and nothing is told of it."""
        with suppress_instrumentation():
            result = await store.append_events(door, DOOR, opened(door, 1), 0)

        assert result.new_version == 1
        assert (eventsource_telemetry.spans.names, eventsource_telemetry.metrics.points) == ([], [])

    async def test_no_headers_are_written(
        self, store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """The caller's are left as they are."""
        tracer = eventsource_spans.provider.get_tracer("here")

        with tracer.start_as_current_span("request"), suppress_instrumentation():
            await store.append_events(door, DOOR, opened(door, 1), 0, headers={"request": "7"})

        assert [stored.headers for stored in await store.read_page()] == [{"request": "7"}]

    def test_the_applications_spans_are_suppressed_too(self, eventsource_spans: RecordedSpans) -> None:
        """The block is given no span."""

        class Service(TracingMixin):
            def __init__(self) -> None:
                self._init_tracing("here")

        with suppress_instrumentation(), Service()._create_span_context("service.work") as span:
            assert span is None
            assert trace.get_current_span() is trace.INVALID_SPAN

        assert eventsource_spans.names == []
