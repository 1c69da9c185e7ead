"""The application's own spans: `TracingMixin` and `traced`."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from pydantic import BaseModel, ValidationError

from eventsource import InMemoryEventStore
from eventsource.observability import TracingMixin, traced
from eventsource.testing.events import DOOR, opened
from eventsource_instrumentation import EventsourceInstrumentor
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.recording import RecordedSpans, Recording

APPEND = "eventsource.event_store.append_events"
SECRET = "4929 1234"


class Service(TracingMixin):
    """Does something in every way that there is."""

    def __init__(self, enable_tracing: bool = True) -> None:
        self._init_tracing("the.service", enable_tracing)
        self.store = InMemoryEventStore()
        self.closed = False

    @traced("service.plain", {"flavour": "plain"})
    def plain(self, number: int, *, factor: int = 2) -> int:
        """Multiply."""
        return number * factor

    @traced("service.asynchronous")
    async def asynchronous(self, door: UUID) -> int:
        """Append."""
        return (await self.store.append_events(door, DOOR, opened(door, 1), 0)).new_version

    @traced("service.failing")
    async def failing(self, error: BaseException) -> None:
        raise error

    @traced("service.iterating")
    async def iterating(self, door: UUID, steps: int) -> AsyncIterator[int]:
        """Append, step by step."""
        try:
            for version in range(steps):
                await self.store.append_events(door, DOOR, opened(door, 1), version)
                yield version
        finally:
            self.closed = True


class Counting(TracerProvider):
    """A provider that notes for whom it makes tracers."""

    def __init__(self) -> None:
        super().__init__(shutdown_on_exit=False)
        self.asked: list[str] = []

    def get_tracer(self, instrumenting_module_name: str, *args: Any, **kwargs: Any) -> Tracer:
        self.asked.append(instrumenting_module_name)
        return super().get_tracer(instrumenting_module_name, *args, **kwargs)


class Beginnings(SpanProcessor):
    """Notes which spans have begun."""

    def __init__(self, begun: list[str]) -> None:
        self._begun = begun

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        self._begun.append(span.name)


@pytest.fixture
def service() -> Service:
    """A service that wants spans."""
    return Service()


class TestMixin:
    def test_a_span_around_a_block(self, service: Service, eventsource_spans: RecordedSpans) -> None:
        """It is current inside, of the tracer that the object has named, and ends with the block."""
        with service._create_span_context("service.work", {"size": 3}) as span:
            assert trace.get_current_span() is span
            span.set_attribute("more", True)

        recorded = eventsource_spans.one("service.work")
        assert recorded.kind is SpanKind.INTERNAL
        assert dict(recorded.attributes or {}) == {"size": 3, "more": True}
        assert recorded.instrumentation_scope is not None
        assert recorded.instrumentation_scope.name == "the.service"
        assert trace.get_current_span() is trace.INVALID_SPAN

    def test_an_object_without_a_tracer_name_is_named_for_its_module(self, eventsource_spans: RecordedSpans) -> None:
        """Some set the one switch by hand."""

        class Bare(TracingMixin):
            _enable_tracing = True

        with Bare()._create_span_context("bare.work"):
            pass

        scope = eventsource_spans.one("bare.work").instrumentation_scope
        assert scope is not None
        assert scope.name == __name__

    def test_objects_of_one_name_share_a_tracer(self) -> None:
        """Making one is dear, and an SDK may keep each."""
        provider = Counting()

        with instrumented(tracer_provider=provider):
            for _ in range(3):
                with Service()._create_span_context("service.work"):
                    pass

        assert provider.asked.count("the.service") == 1

    def test_a_span_begins_with_its_block(self, service: Service, recording: Recording) -> None:
        """Not when the context manager is made, which may be long before."""
        begun: list[str] = []
        recording.spans.provider.add_span_processor(Beginnings(begun))

        with instrumented(tracer_provider=recording.spans.provider):
            block = service._create_span_context("service.work")
            before = list(begun)
            with block:
                inside = list(begun)

        assert (before, inside) == ([], ["service.work"])

    def test_a_block_that_is_never_entered_has_no_span(self, service: Service, recording: Recording) -> None:
        """None begins that nobody would end."""
        begun: list[str] = []
        recording.spans.provider.add_span_processor(Beginnings(begun))

        with instrumented(tracer_provider=recording.spans.provider):
            service._create_span_context("service.work")

        assert (begun, recording.spans.names) == ([], [])

    @pytest.mark.parametrize("arguments", [{}, {"name": "service.work", "size": 3}])
    def test_wrong_arguments_are_refused_as_without_instrumentation(
        self, arguments: dict[str, Any], service: Service, instrumentor: EventsourceInstrumentor
    ) -> None:
        """By the same error at the same place."""
        with pytest.raises(TypeError) as without:
            service._create_span_context(**arguments)

        with instrumented(), pytest.raises(TypeError) as caught:
            service._create_span_context(**arguments)

        assert str(caught.value) == str(without.value)
        assert "TracingMixin._create_span_context()" in str(caught.value)

    def test_an_object_that_wants_none_has_none(self, eventsource_spans: RecordedSpans) -> None:
        """The block is given None, as it is without instrumentation."""
        with Service(enable_tracing=False)._create_span_context("service.work") as span:
            assert span is None

        assert eventsource_spans.names == []

    async def test_an_object_that_wants_none_lets_the_context_through(
        self, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """What is inside is the child of what is outside."""
        with Service()._create_span_context("outer"), Service(enable_tracing=False)._create_span_context("middle"):
            await InMemoryEventStore().append_events(door, DOOR, opened(door, 1), 0)

        assert eventsource_spans.chain(eventsource_spans.one(APPEND)) == ["outer", APPEND]

    def test_an_exception_is_recorded_and_comes_out(self, service: Service, eventsource_spans: RecordedSpans) -> None:
        """As on the library's own spans."""
        error = KeyError("mine")

        with pytest.raises(KeyError) as caught, service._create_span_context("service.work"):
            raise error

        span = eventsource_spans.one("service.work")
        assert caught.value is error
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "'mine'")
        assert (span.attributes or {})["error.type"] == "KeyError"
        assert [event.name for event in span.events] == ["exception"]

    def test_invalid_input_is_not_quoted(self, service: Service, eventsource_spans: RecordedSpans) -> None:
        """As on the library's own spans."""

        class Card(BaseModel):
            number: int

        with pytest.raises(ValidationError), service._create_span_context("service.work"):
            Card.model_validate({"number": SECRET})

        assert SECRET not in eventsource_spans.one("service.work").to_json()

    async def test_cancellation_is_no_failure(self, service: Service, eventsource_spans: RecordedSpans) -> None:
        """As on the library's own spans."""
        with pytest.raises(asyncio.CancelledError):
            await service.failing(asyncio.CancelledError())

        span = eventsource_spans.one("service.failing")
        assert (span.status.status_code, span.events) == (StatusCode.UNSET, ())
        assert (span.attributes or {})["error.type"] == "CancelledError"


class Colour(Enum):
    RED = "red"


class Size(StrEnum):
    BIG = "big"


class Level(IntEnum):
    TOP = 3


ID = UUID(int=7)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("text", "text"),
        (True, True),
        (1.5, 1.5),
        (ID, str(ID)),
        (NOON, "2024-05-01 12:00:00+00:00"),
        (date(2024, 5, 1), "2024-05-01"),
        (Decimal("1.10"), "1.10"),
        (Colour.RED, "Colour.RED"),
        (Size.BIG, "big"),
        (Level.TOP, 3),
        ({"a": 1}, "{'a': 1}"),
        ([ID, ID], (str(ID), str(ID))),
        ((1, 2), (1, 2)),
        ([], ()),
        (b"\x00", "b'\\x00'"),
        ([1, "a"], ("1", "a")),
    ],
)
def test_attributes_that_a_span_cannot_have_become_text(
    value: object,
    shown: object,
    service: Service,
    eventsource_spans: RecordedSpans,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ids, moments and amounts are what applications have; nobody is warned about them."""
    with service._create_span_context("service.work", {"value": value}):
        pass

    assert dict(eventsource_spans.one("service.work").attributes or {}) == {"value": shown}
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


def test_attributes_without_a_value_are_left_out(service: Service, eventsource_spans: RecordedSpans) -> None:
    """None says nothing."""
    with service._create_span_context("service.work", {"tenant": None}):
        pass

    assert dict(eventsource_spans.one("service.work").attributes or {}) == {}


class TestTraced:
    def test_a_plain_method(self, service: Service, eventsource_spans: RecordedSpans) -> None:
        """With the attributes that the decorator was given."""
        assert service.plain(3, factor=4) == 12

        assert dict(eventsource_spans.one("service.plain").attributes or {}) == {"flavour": "plain"}

    async def test_a_coroutine(self, service: Service, door: UUID, eventsource_spans: RecordedSpans) -> None:
        """What it awaits is inside its span."""
        assert await service.asynchronous(door) == 1

        assert eventsource_spans.chain(eventsource_spans.one(APPEND)) == ["service.asynchronous", APPEND]

    async def test_a_failing_coroutine(self, service: Service, eventsource_spans: RecordedSpans) -> None:
        """The caller gets the very exception."""
        error = RuntimeError("the hinge is broken")

        with pytest.raises(RuntimeError) as caught:
            await service.failing(error)

        assert caught.value is error
        assert eventsource_spans.one("service.failing").status.description == "the hinge is broken"

    async def test_an_object_that_wants_none_has_none(self, door: UUID, eventsource_spans: RecordedSpans) -> None:
        """The methods work as if they were not decorated."""
        service = Service(enable_tracing=False)

        assert service.plain(3) == 6
        assert [version async for version in service.iterating(door, 2)] == [0, 1]
        assert set(eventsource_spans.names) == {APPEND}


class TestTracedGenerators:
    async def test_all_steps_are_inside_one_span(
        self, service: Service, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """From the first to the last."""
        assert [version async for version in service.iterating(door, 3)] == [0, 1, 2]

        span = eventsource_spans.one("service.iterating")
        assert [eventsource_spans.parent_of(each) for each in eventsource_spans.named(APPEND)] == [span] * 3
        assert span.status.status_code is StatusCode.UNSET

    async def test_the_consumer_is_not_inside_it(
        self, service: Service, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """What it does between two steps belongs to its own span."""
        tracer = eventsource_spans.provider.get_tracer("here")

        with tracer.start_as_current_span("consumer") as consumer:
            current = [trace.get_current_span() async for _ in service.iterating(door, 2)]

        assert current == [consumer, consumer]
        assert eventsource_spans.chain(eventsource_spans.named(APPEND)[1]) == ["consumer", "service.iterating", APPEND]

    async def test_leaving_early_ends_the_span(
        self,
        service: Service,
        door: UUID,
        eventsource_spans: RecordedSpans,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The generator is closed, nothing is logged, and the context is as before."""
        before = otel_context.get_current()

        async with aclosing(service.iterating(door, 3)) as steps:  # type: ignore[type-var]
            async for _ in steps:
                break

        assert service.closed
        span = eventsource_spans.one("service.iterating")
        assert (span.status.status_code, span.events, dict(span.attributes or {})) == (StatusCode.UNSET, (), {})
        assert otel_context.get_current() is before
        assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []

    async def test_one_that_is_finished_by_another_task_does_no_harm(
        self,
        service: Service,
        door: UUID,
        eventsource_spans: RecordedSpans,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """As the event loop does with generators that were left half-way."""
        steps: Any = service.iterating(door, 3)
        await anext(steps)

        await asyncio.create_task(steps.aclose())

        assert service.closed
        assert len(eventsource_spans.named("service.iterating")) == 1
        assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []

    async def test_two_at_once_do_not_mix(self, service: Service, eventsource_spans: RecordedSpans) -> None:
        """Each step runs inside the span of its own generator."""
        one: Any = service.iterating(UUID(int=1), 2)
        two: Any = service.iterating(UUID(int=2), 2)

        for steps in (one, two, one, two):
            await anext(steps)
        await one.aclose()
        await two.aclose()

        parents = [eventsource_spans.parent_of(each) for each in eventsource_spans.named(APPEND)]
        assert [parents.count(each) for each in eventsource_spans.named("service.iterating")] == [2, 2]
