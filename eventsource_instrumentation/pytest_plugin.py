"""
Fixtures that switch the instrumentation on for one test and hand over what it emitted.

pytest finds this module in every environment that has the distribution, so it imports nothing of OpenTelemetry until
one of its fixtures is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventsource_instrumentation.recording import RecordedMetrics, RecordedSpans, Recording


@pytest.fixture
def eventsource_telemetry() -> Iterator[Recording]:
    """
    Instrument eventsource during the test and give what it emits: ``.spans`` and ``.metrics``.

    If the process is instrumented already, as ``opentelemetry-instrument pytest`` does, that is set aside meanwhile.
    """
    from eventsource_instrumentation import EventsourceInstrumentor  # noqa: F401 - which says so if the extra is missing
    from eventsource_instrumentation.instrumentor import instrumented
    from eventsource_instrumentation.recording import Recording

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OTEL_SDK_DISABLED", raising=False)  # it is about the application's telemetry, not the test's
        recording = Recording()
    with instrumented(tracer_provider=recording.spans.provider, meter_provider=recording.metrics.provider):
        yield recording
    recording.shutdown()


@pytest.fixture
def eventsource_spans(eventsource_telemetry: Recording) -> RecordedSpans:
    """Instrument eventsource during the test and give the spans that have ended."""
    return eventsource_telemetry.spans


@pytest.fixture
def eventsource_metrics(eventsource_telemetry: Recording) -> RecordedMetrics:
    """Instrument eventsource during the test and give what the metrics have measured."""
    return eventsource_telemetry.metrics
