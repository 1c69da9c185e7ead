"""Whether a message is handled in the trace that it comes from, or in a new one with a link to it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from eventsource.testing.events import Opened
from eventsource_instrumentation import EventsourceInstrumentor
from eventsource_instrumentation.config import CONSUMER_CONTEXT
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.recording import RecordedSpans, Recording

CONSUME = "eventsource.event_bus.consume"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"00-{TRACE}-{SPAN}-00"
LATE = {"sent_at": datetime(2024, 5, 1, 12, tzinfo=UTC)}
AGAIN: list[dict[str, Any]] = [{"is_redelivered": True}, {"is_replayed": True}, LATE]


def ids(context: Any) -> tuple[str, str]:
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)


def is_child(span: ReadableSpan) -> bool:
    """Tell whether *span* belongs to the trace of its message, and not to one of its own with a link to it."""
    if span.parent is not None:
        assert (ids(span.parent), span.links) == ((TRACE, SPAN), ())
        return True
    assert [ids(link.context) for link in span.links] == [(TRACE, SPAN)]
    assert ids(span.context)[0] != TRACE
    return False


@pytest.fixture
def deliver(local: Any, door: UUID) -> Callable[..., Any]:
    """Lets a message be consumed that is fresh, or as it is told to be."""

    async def consume(traceparent: str = SAMPLED, headers: dict[str, str] | None = None, **facts: Any) -> None:
        message = local.message_of(Opened(aggregate_id=door), traceparent=traceparent, **(headers or {}))
        local.deliver(replace(message, **facts))
        await local.has_settled(1)

    return consume


class TestByItself:
    async def test_a_fresh_message_is_handled_in_its_trace(
        self, deliver: Callable[..., Any], eventsource_spans: RecordedSpans
    ) -> None:
        """One request, one trace."""
        await deliver()

        assert is_child(eventsource_spans.one(CONSUME))

    @pytest.mark.parametrize("facts", AGAIN, ids=["redelivered", "replayed", "old"])
    async def test_one_that_comes_late_or_again_has_a_link(
        self, facts: dict[str, Any], deliver: Callable[..., Any], eventsource_spans: RecordedSpans
    ) -> None:
        """A trace does not grow for ever."""
        await deliver(**facts)

        assert not is_child(eventsource_spans.one(CONSUME))

    async def test_one_of_an_unknown_age_is_fresh(
        self, deliver: Callable[..., Any], eventsource_spans: RecordedSpans
    ) -> None:
        """Nothing says otherwise."""
        await deliver(sent_at=None)

        assert is_child(eventsource_spans.one(CONSUME))

    @pytest.mark.parametrize(("limit", "expected"), [(50.0, False), (200.0, True)])
    async def test_how_old_it_may_be_can_be_said(
        self, limit: float, expected: bool, deliver: Callable[..., Any], recording: Recording
    ) -> None:
        """The limit is that of forwarded events."""
        with instrumented(tracer_provider=recording.spans.provider, parent_max_age=limit):
            await deliver(sent_at=datetime.now(UTC) - timedelta(seconds=100))

        assert is_child(recording.spans.one(CONSUME)) is expected

    async def test_what_handlers_do_is_in_the_new_trace(
        self, local: Any, deliver: Callable[..., Any], eventsource_spans: RecordedSpans
    ) -> None:
        """All of them."""
        local.subscribe(Opened, lambda event: None)

        await deliver(is_redelivered=True)

        assert {span.context.trace_id for span in eventsource_spans.finished} == {
            eventsource_spans.one(CONSUME).context.trace_id
        }
        assert len(eventsource_spans.finished) == 3

    @pytest.mark.parametrize("facts", [{}, {"is_redelivered": True}], ids=["child", "linked"])
    async def test_baggage_is_there_in_either_case(
        self, facts: dict[str, Any], local: Any, deliver: Callable[..., Any], eventsource_spans: RecordedSpans
    ) -> None:
        """It is about the message, and not about the trace."""
        found: list[object] = []
        local.subscribe(Opened, lambda event: found.append(baggage.get_baggage("user")))

        await deliver(headers={"baggage": "user=ann"}, **facts)

        assert found == ["ann"]

    @pytest.mark.parametrize("facts", [{}, *AGAIN], ids=["fresh", "redelivered", "replayed", "old"])
    async def test_a_bus_without_spans_hands_the_context_on_as_it_is(
        self, facts: dict[str, Any], local: Any, deliver: Callable[..., Any], eventsource_spans: RecordedSpans
    ) -> None:
        """There is nothing that could have a link."""
        found: list[tuple[str, str]] = []
        local.enable_tracing = False
        local.subscribe(Opened, lambda event: found.append(ids(trace.get_current_span().get_span_context())))

        await deliver(**facts)

        assert (found, eventsource_spans.names) == ([(TRACE, SPAN)], [])


class TestUnsampled:
    @pytest.fixture
    def provider(self, recording: Recording) -> Iterator[TracerProvider]:
        """The provider of the recording, which does as the parent does."""
        recording.spans.provider.sampler = ParentBased(ALWAYS_ON)
        with instrumented(tracer_provider=recording.spans.provider):
            yield recording.spans.provider

    async def test_it_stays_unsampled(
        self, provider: TracerProvider, local: Any, deliver: Callable[..., Any], recording: Recording
    ) -> None:
        """There are no spans, and whoever publishes from a handler says so as well."""
        flags: list[int] = []
        local.subscribe(Opened, lambda event: flags.append(trace.get_current_span().get_span_context().trace_flags))

        await deliver(UNSAMPLED)

        assert (recording.spans.names, flags) == ([], [0])

    async def test_there_is_no_link_to_what_was_not_recorded(
        self, provider: TracerProvider, deliver: Callable[..., Any], recording: Recording
    ) -> None:
        """It would lead nowhere; the new trace has a sampler of its own."""
        await deliver(UNSAMPLED, is_redelivered=True)

        span = recording.spans.one(CONSUME)
        assert (span.parent, span.links) == (None, ())


@pytest.mark.parametrize("facts", [{}, *AGAIN], ids=["fresh", "redelivered", "replayed", "old"])
class TestByChoice:
    @pytest.mark.parametrize(("choice", "expected"), [("parent", True), ("link", False)])
    async def test_it_is_the_same_for_all(
        self, choice: str, expected: bool, facts: dict[str, Any], deliver: Callable[..., Any], recording: Recording
    ) -> None:
        """Whatever the message has been through."""
        with instrumented(tracer_provider=recording.spans.provider, consumer_context=choice):
            await deliver(**facts)

        assert is_child(recording.spans.one(CONSUME)) is expected


class TestOption:
    @pytest.mark.parametrize(("value", "expected"), [("link", False), ("parent", True), ("", True)])
    async def test_by_environment_variable(
        self,
        value: str,
        expected: bool,
        deliver: Callable[..., Any],
        recording: Recording,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """One that is empty says nothing."""
        monkeypatch.setenv(CONSUMER_CONTEXT, value)

        with instrumented(tracer_provider=recording.spans.provider):
            await deliver()

        assert is_child(recording.spans.one(CONSUME)) is expected

    async def test_the_keyword_goes_before_the_variable(
        self, deliver: Callable[..., Any], recording: Recording, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """None, which leaves it to the message, is an answer too."""
        monkeypatch.setenv(CONSUMER_CONTEXT, "link")

        with instrumented(tracer_provider=recording.spans.provider, consumer_context=None):
            await deliver()

        assert is_child(recording.spans.one(CONSUME))

    async def test_nonsense_in_the_variable_is_ignored_with_a_warning(
        self,
        deliver: Callable[..., Any],
        recording: Recording,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A slip in the environment must not keep an application from starting."""
        monkeypatch.setenv(CONSUMER_CONTEXT, "child")

        with instrumented(tracer_provider=recording.spans.provider):
            await deliver()

        assert is_child(recording.spans.one(CONSUME))
        assert f"{CONSUMER_CONTEXT}='child' is ignored" in caplog.text

    @pytest.mark.parametrize("value", ["child", "", True, ["link"]])
    def test_nonsense_is_refused(self, value: Any, instrumentor: EventsourceInstrumentor) -> None:
        """The error says what there is."""
        with pytest.raises(ValueError, match="consumer_context must be 'parent' or 'link', not"):
            instrumentor.instrument(consumer_context=value)

        assert not instrumentor.is_instrumented_by_opentelemetry


class OneHeader(TextMapPropagator):
    """Writes context into a header of its own, as there are many."""

    def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> Context:
        trace_id, span_id = carrier["x-trace"].split("/")
        found = trace.SpanContext(int(trace_id, 16), int(span_id, 16), True, trace.TraceFlags(1))
        return trace.set_span_in_context(trace.NonRecordingSpan(found), context)

    def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
        raise NotImplementedError

    @property
    def fields(self) -> set[str]:
        return {"x-trace"}


@pytest.fixture
def other_propagator() -> Iterator[None]:
    """Have another form of context in messages."""
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(OneHeader())
    yield
    propagate.set_global_textmap(before)


@pytest.mark.parametrize(("facts", "expected"), [({}, True), ({"is_redelivered": True}, False)])
async def test_context_in_another_form_is_understood(
    facts: dict[str, Any],
    expected: bool,
    other_propagator: None,
    deliver: Callable[..., Any],
    eventsource_spans: RecordedSpans,
) -> None:
    """The global propagator reads it, for the parent and for the link."""
    await deliver("", headers={"x-trace": f"{TRACE}/{SPAN}"}, **facts)

    assert is_child(eventsource_spans.one(CONSUME)) is expected
