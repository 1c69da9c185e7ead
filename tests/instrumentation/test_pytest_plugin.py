"""The fixtures that users' tests find."""

from typing import Protocol

import pytest

pytest_plugins = ("pytester",)

TESTS = """
import asyncio
from uuid import uuid4

import pytest

from eventsource import DomainEvent, EventStore, InMemoryEventStore


class Opened(DomainEvent):
    aggregate_type: str = "Door"


def append():
    door = uuid4()
    asyncio.run(InMemoryEventStore().append_events(door, "Door", [Opened(aggregate_id=door)], 0))
"""
INSTRUMENTED = """
import pytest
from eventsource_instrumentation import EventsourceInstrumentor
from eventsource_instrumentation.recording import Recording

outer = Recording()
EventsourceInstrumentor().instrument(
    tracer_provider=outer.spans.provider, meter_provider=outer.metrics.provider
)


@pytest.fixture
def outer_spans():
    return outer.spans
"""


class Run(Protocol):
    def __call__(self, tests: str, conftest: str = "") -> pytest.RunResult: ...


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs tests of a user's in a process of their own; both files are given as text."""
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        monkeypatch.delenv(name, raising=False)

    def go(tests: str, conftest: str = "") -> pytest.RunResult:
        pytester.makeconftest(conftest)
        pytester.makepyfile(TESTS + tests)
        return pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio")

    return go


def test_they_record_spans_and_metrics(run: Run) -> None:
    """Each of the three by itself, and all of them the same recording."""
    result = run("""
def test_spans(eventsource_spans):
    append()
    assert eventsource_spans.names == ["eventsource.event_store.append_events"]


def test_metrics(eventsource_metrics):
    append()
    assert eventsource_metrics.total("eventsource.event_store.events.appended") == 1


def test_both(eventsource_telemetry, eventsource_spans, eventsource_metrics):
    assert eventsource_telemetry.spans is eventsource_spans
    assert eventsource_telemetry.metrics is eventsource_metrics
""")

    result.assert_outcomes(passed=3)


def test_they_record_where_the_sdk_is_disabled(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Developers keep the telemetry of their applications off like that; the variable is there in the test."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    result = run("""
import os


def test_both(eventsource_spans, eventsource_metrics):
    append()
    assert eventsource_spans.names == ["eventsource.event_store.append_events"]
    assert eventsource_metrics.total("eventsource.event_store.events.appended") == 1
    assert os.environ["OTEL_SDK_DISABLED"] == "true"
""")

    result.assert_outcomes(passed=1)


def test_each_test_has_its_own_recording_and_none_without_the_fixture(run: Run) -> None:
    """Nothing leaks from one test into the next."""
    result = run("""
@pytest.mark.parametrize("time", [1, 2])
def test_one_at_a_time(eventsource_spans, time):
    append()
    assert len(eventsource_spans.finished) == 1


def test_off_otherwise():
    append()
    assert "_perform" not in vars(EventStore)
""")

    result.assert_outcomes(passed=3)


def test_a_test_that_fails_is_cleaned_up_after(run: Run) -> None:
    """The next one finds everything switched off."""
    result = run("""
def test_failing(eventsource_spans):
    append()
    eventsource_spans.one("no.such.span")


def test_off_afterwards():
    assert "_perform" not in vars(EventStore)
""")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*0 spans are called 'no.such.span'; there are:*"])
    result.stdout.fnmatch_lines(["*eventsource.event_store.append_events*"])


def test_a_process_that_is_instrumented_is_set_aside_and_restored(run: Run) -> None:
    """As it is under ``opentelemetry-instrument pytest``."""
    result = run(
        """
def test_one_without(outer_spans):
    append()
    assert len(outer_spans.finished) == 1


def test_two_with(outer_spans, eventsource_spans):
    append()
    assert (len(outer_spans.finished), len(eventsource_spans.finished)) == (1, 1)


def test_three_without(outer_spans):
    append()
    assert len(outer_spans.finished) == 2
""",
        INSTRUMENTED,
    )

    result.assert_outcomes(passed=3)
