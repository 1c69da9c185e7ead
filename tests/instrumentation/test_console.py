"""Traces as trees on a terminal."""

import io
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, Tracer

from eventsource import InMemoryEventBus, InMemoryEventStore
from eventsource.testing.events import DOOR, Opened, opened
from eventsource_instrumentation.console import TraceTreeExporter
from eventsource_instrumentation.instrumentor import instrumented


@pytest.fixture
def out() -> io.StringIO:
    """The terminal."""
    return io.StringIO()


@pytest.fixture
def provider(out: io.StringIO) -> Iterator[TracerProvider]:
    """A provider whose traces are drawn."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(TraceTreeExporter(out)))
    yield provider
    provider.shutdown()


@pytest.fixture
def tracer(provider: TracerProvider) -> Tracer:
    """Makes spans that are drawn."""
    return provider.get_tracer("here")


def elsewhere(trace_id: int) -> Context:
    """Return a context whose span is another process's."""
    flags = TraceFlags(TraceFlags.SAMPLED)
    return trace.set_span_in_context(NonRecordingSpan(SpanContext(trace_id, 2, is_remote=True, trace_flags=flags)))


def pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the lines two by two."""
    return zip(lines[::2], lines[1::2], strict=True)


def drawn(out: io.StringIO) -> list[str]:
    """Return the lines without their durations, which are as they are."""
    return [re.sub(r" +\d+\.\d\d ms", "", line).rstrip() for line in out.getvalue().splitlines()]


def test_a_trace_is_drawn_as_a_tree(tracer: Tracer, out: io.StringIO) -> None:
    """Children stand below their parent, in the order in which they started."""
    with tracer.start_as_current_span("request"):
        with tracer.start_as_current_span("first"), tracer.start_as_current_span("inner"):
            pass
        with tracer.start_as_current_span("second"), tracer.start_as_current_span("last"):
            pass

    assert drawn(out) == [
        "request",
        "├─ first",
        "│  └─ inner",
        "└─ second",
        "   └─ last",
    ]


def test_children_stand_in_the_order_in_which_they_started(tracer: Tracer, out: io.StringIO) -> None:
    """Whichever ended first."""
    with tracer.start_as_current_span("request"):
        first, second = tracer.start_span("first", start_time=1), tracer.start_span("second", start_time=2)
        second.end()
        first.end()

    assert drawn(out) == ["request", "├─ first", "└─ second"]


def test_each_line_has_the_duration(tracer: Tracer, out: io.StringIO) -> None:
    """In milliseconds, right-aligned."""
    tracer.start_span("request", start_time=0).end(12_345_678)

    assert out.getvalue() == f"{'request':<64} {'12.35':>9} ms\n"


async def test_what_matters_most_of_the_attributes_is_shown(
    provider: TracerProvider, out: io.StringIO, store: InMemoryEventStore, door: UUID
) -> None:
    """Kind, counts and versions, and no ids."""
    with instrumented(tracer_provider=provider):
        await store.append_events(door, DOOR, opened(door, 2), 0)

    assert drawn(out) == [
        "eventsource.event_store.append_events  Door  eventsource.testing.Opened  events=2  version=2"
    ]
    assert str(door) not in out.getvalue()


async def test_an_error_is_shown_where_it_happened(provider: TracerProvider, out: io.StringIO, door: UUID) -> None:
    """By its type."""

    def fail(event: object) -> None:
        raise RuntimeError("the hinge is broken")

    bus = InMemoryEventBus()
    bus.subscribe(Opened, fail)

    with instrumented(tracer_provider=provider):
        await bus.publish(opened(door, 1))

    assert [line.endswith("✗ RuntimeError") for line in drawn(out)] == [False, False, True]


def test_nothing_is_drawn_before_the_root_has_ended(tracer: Tracer, out: io.StringIO) -> None:
    """A tree comes whole."""
    with tracer.start_as_current_span("request"):
        with tracer.start_as_current_span("inner"):
            pass
        before = out.getvalue()

    assert before == ""
    assert drawn(out) == ["request", "└─ inner"]


def test_a_root_whose_parent_is_elsewhere_is_a_root(tracer: Tracer, out: io.StringIO) -> None:
    """A consumer's part of a trace is drawn although the publisher is another process."""
    with tracer.start_as_current_span("consume", elsewhere(trace_id=1)), tracer.start_as_current_span("handle"):
        pass

    assert drawn(out) == ["consume", "└─ handle"]


def test_traces_side_by_side_are_drawn_one_after_the_other(tracer: Tracer, out: io.StringIO) -> None:
    """Each when it is done."""
    one, two = tracer.start_span("one"), tracer.start_span("two")
    tracer.start_span("of one", trace.set_span_in_context(one)).end()
    tracer.start_span("of two", trace.set_span_in_context(two)).end()

    two.end()
    one.end()

    assert drawn(out) == ["two", "└─ of two", "one", "└─ of one"]


def test_requests_of_one_trace_are_trees_of_their_own(out: io.StringIO) -> None:
    """A client may call twice within one trace; what comes in one batch, and mixed, is drawn apart."""
    batch = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(batch))
    tracer = provider.get_tracer("here")
    one, two = (tracer.start_span(name, elsewhere(trace_id=7)) for name in ("one", "two"))
    of_one, of_two = (
        tracer.start_span(f"of {name}", trace.set_span_in_context(root)) for name, root in (("one", one), ("two", two))
    )
    for span in (of_two, of_one, two, one):
        span.end()

    TraceTreeExporter(out).export(batch.get_finished_spans())

    assert drawn(out) == ["two", "└─ of two", "one", "└─ of one"]


def test_requests_of_one_trace_are_drawn_each_when_it_is_done(tracer: Tracer, out: io.StringIO) -> None:
    """The end of one does not tear the other."""
    one, two = tracer.start_span("one", elsewhere(trace_id=7)), tracer.start_span("two", elsewhere(trace_id=7))
    tracer.start_span("of one", trace.set_span_in_context(one)).end()
    tracer.start_span("of two", trace.set_span_in_context(two)).end()

    two.end()
    after_two = drawn(out)
    one.end()

    assert after_two == ["two", "└─ of two"]
    assert drawn(out)[2:] == ["one", "└─ of one"]


def test_what_ends_after_its_root_is_drawn_at_once(tracer: Tracer, out: io.StringIO) -> None:
    """Work in the background goes on when the request is answered; it has a tree of its own."""
    root = tracer.start_span("request")
    late = tracer.start_span("background", trace.set_span_in_context(root))
    root.end()
    tracer.start_span("step", trace.set_span_in_context(late)).end()

    late.end()

    assert drawn(out) == ["request", "background", "└─ step"]


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that take turns as often as can be."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty_threads")
def test_threads_that_export_at_once_lose_nothing(tracer: Tracer, out: io.StringIO) -> None:
    """Each of their trees is drawn whole."""
    start = Barrier(4)

    def serve(thread: int) -> None:
        start.wait()
        for number in range(100):
            with tracer.start_as_current_span(f"request {thread} {number}", elsewhere(trace_id=7)):
                tracer.start_span(f"of {thread} {number}").end()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(serve, range(4)))

    lines = drawn(out)
    trees = {(root.removeprefix("request "), child.removeprefix("└─ of ")) for root, child in pairs(lines)}
    assert len(lines) == 800
    assert trees == {(f"{thread} {number}",) * 2 for thread in range(4) for number in range(100)}


def test_what_is_left_is_drawn_on_shutdown(provider: TracerProvider, tracer: Tracer, out: io.StringIO) -> None:
    """Whose root never ended here, or had ended before."""
    root = tracer.start_span("request")
    tracer.start_span("inner", trace.set_span_in_context(root)).end()

    provider.shutdown()

    assert drawn(out) == ["inner"]


def test_what_waits_is_bounded(tracer: Tracer, out: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that lives for ever does not collect spans for ever; the oldest are drawn without a root."""
    monkeypatch.setattr("eventsource_instrumentation.console._MOST_WAITING", 1000)
    for number in range(1, 1003):
        parent = NonRecordingSpan(SpanContext(number, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
        tracer.start_span(f"child {number}", trace.set_span_in_context(parent)).end()

    assert drawn(out) == ["child 1", "child 2"]


def test_the_standard_output_of_the_moment_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Also one that was put in place after the exporter was made."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(TraceTreeExporter()))

    with provider.get_tracer("here").start_as_current_span("request"):
        pass

    assert capsys.readouterr().out.startswith("request ")


def test_a_span_that_ends_while_another_is_drawn_waits_for_its_turn() -> None:
    """Finalizers end spans in the middle of anything, in the very thread that draws."""

    class Interrupting(io.StringIO):
        def write(self, text: str) -> int:
            for span in pending:
                pending.remove(span)
                span.end()
            return super().write(text)

    out = Interrupting()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(TraceTreeExporter(out)))
    tracer = provider.get_tracer("test")
    pending = [tracer.start_span("late")]

    tracer.start_span("first").end()

    assert drawn(out) == ["first", "late"]
