"""What samplers see of a span, what an unsampled one costs, and how long spans and metrics last."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState

from eventsource import AppendResult, InMemoryEventStore
from eventsource.testing.events import DOOR, opened
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.recording import Recording


class NoOddDoors(Sampler):
    """Drops what is about one aggregate, and remembers what it was shown."""

    def __init__(self, dropped: UUID) -> None:
        self._dropped = dropped
        self.shown: list[tuple[str, SpanKind | None, dict[str, Any]]] = []

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        attributes = attributes or {}
        self.shown.append((name, kind, dict(attributes)))
        drop = attributes.get("eventsource.aggregate.id") == str(self._dropped)
        return SamplingResult(Decision.DROP if drop else Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        return "NoOddDoors"


class Watched(InMemoryEventStore):
    """A store that knows how often it was asked for an attribute."""

    asked = 0

    @property
    def namespace(self) -> str | None:
        self.asked += 1
        return None


def provider_with(sampler: Sampler, exporter: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


async def test_a_sampler_decides_by_the_attributes(store: InMemoryEventStore) -> None:
    """It is shown all that is known when the operation begins."""
    dropped, kept = UUID(int=1), UUID(int=2)
    sampler, exporter = NoOddDoors(dropped), InMemorySpanExporter()

    with instrumented(tracer_provider=provider_with(sampler, exporter)):
        await store.append_events(dropped, DOOR, opened(dropped, 2), 0)
        await store.append_events(kept, DOOR, opened(kept, 2), 0)

    (span,) = exporter.get_finished_spans()
    assert (span.attributes or {})["eventsource.aggregate.id"] == str(kept)
    assert sampler.shown[0] == (
        "eventsource.event_store.append_events",
        SpanKind.INTERNAL,
        {
            "eventsource.aggregate.id": str(dropped),
            "eventsource.aggregate.type": "Door",
            "eventsource.event.count": 2,
            "eventsource.event.types": ("eventsource.testing.Opened",),
            "eventsource.expected_version": 0,
            "db.system.name": "memory",
            "db.system": "memory",
        },
    )


@pytest.mark.parametrize(("sampler", "asked"), [(ALWAYS_OFF, 0), (ALWAYS_ON, 1)])
async def test_attributes_are_made_when_somebody_looks(sampler: Sampler, asked: int, door: UUID) -> None:
    """A sampler that drops without looking costs none of them; a recording span asks once."""
    store = Watched()

    with instrumented(tracer_provider=provider_with(sampler, InMemorySpanExporter())):
        await store.append_events(door, DOOR, opened(door, 1), 0)

    assert store.asked == asked


async def test_a_span_lasts_as_long_as_its_metric_says(
    store: InMemoryEventStore, door: UUID, eventsource_telemetry: Recording
) -> None:
    """Both are the same measurement, to the nanosecond."""
    await store.append_events(door, DOOR, opened(door, 1), 0)

    span = eventsource_telemetry.spans.one("eventsource.event_store.append_events")
    (metric,) = eventsource_telemetry.metrics.named("eventsource.event_store.append.duration")
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time == round(metric.value * 1e9) > 0


async def test_metrics_are_recorded_where_spans_are_not(
    store: InMemoryEventStore, door: UUID, recording: Recording
) -> None:
    """Sampling is about traces only."""
    with instrumented(
        tracer_provider=provider_with(ALWAYS_OFF, InMemorySpanExporter()),
        meter_provider=recording.metrics.provider,
    ):
        result = await store.append_events(door, DOOR, opened(door, 1), 0)

    assert result == AppendResult.successful(1, 1)
    assert recording.metrics.count("eventsource.event_store.append.duration") == 1
