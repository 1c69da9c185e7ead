"""How exceptions show: on spans, on metrics, and not at all to the caller."""

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import context as otel_context
from opentelemetry.trace import StatusCode

from eventsource import (
    AggregateRepository,
    DomainEvent,
    InMemoryEventBus,
    InMemoryEventStore,
    OptimisticLockError,
)
from eventsource.observability import TracingMixin, traced
from eventsource.stores.operations import Append
from eventsource.testing.events import DOOR, Opened, opened
from eventsource_instrumentation.recording import RecordedSpans, Recording

APPEND = "eventsource.event_store.append_events"
SAVE = "eventsource.repository.save"


class Failing(InMemoryEventStore):
    """Fails to append, always with the same exception."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    async def _append(self, append: Append) -> Any:
        raise self._error


class Stuck(InMemoryEventStore):
    """Never finishes an append."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = asyncio.Event()

    async def _append(self, append: Append) -> Any:
        self.entered.set()
        await asyncio.Event().wait()


async def test_an_error_is_on_every_span_that_it_leaves(
    doors_in: Callable[..., AggregateRepository[Any]],
    new_door: Callable[[int], Any],
    eventsource_spans: RecordedSpans,
) -> None:
    """Status with the message only, the class as error.type, and one event, on the inner span and on the outer."""
    with pytest.raises(RuntimeError):
        await doors_in(Failing(RuntimeError("the hinge is broken"))).save(new_door(1))

    for span in (eventsource_spans.one(APPEND), eventsource_spans.one(SAVE)):
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "the hinge is broken")
        assert (span.attributes or {})["error.type"] == "RuntimeError"
        (event,) = span.events
        assert event.name == "exception"
        assert (event.attributes or {})["exception.type"] == "RuntimeError"
        assert (event.attributes or {})["exception.message"] == "the hinge is broken"
        assert "in _append" in str((event.attributes or {})["exception.stacktrace"])


async def test_the_caller_sees_the_very_exception(door: UUID, eventsource_spans: RecordedSpans) -> None:
    """The same object, with its arguments, cause and notes as they were."""
    error = RuntimeError("the hinge is broken")
    error.__cause__ = cause = OSError("rust")
    error.add_note("oil it")

    with pytest.raises(RuntimeError) as caught:
        await Failing(error).append_events(door, DOOR, opened(door, 1), 0)

    assert caught.value is error
    assert (error.args, error.__cause__, error.__notes__) == (("the hinge is broken",), cause, ["oil it"])


async def test_an_exception_that_cannot_be_shown_is_recorded_all_the_same(
    door: UUID, eventsource_spans: RecordedSpans
) -> None:
    """By its class, which is all that can be had."""

    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    with pytest.raises(UnspeakableError):
        await Failing(UnspeakableError()).append_events(door, DOOR, opened(door, 1), 0)

    span = eventsource_spans.one(APPEND)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "UnspeakableError")
    assert (span.attributes or {})["error.type"] == "UnspeakableError"
    (event,) = span.events
    assert (event.name, (event.attributes or {})["exception.message"]) == ("exception", "UnspeakableError")


async def test_success_has_neither_error_nor_status(
    store: InMemoryEventStore, door: UUID, eventsource_telemetry: Recording
) -> None:
    """An attribute without meaning is absent, not empty."""
    await store.append_events(door, DOOR, opened(door, 1), 0)

    span = eventsource_telemetry.spans.one(APPEND)
    assert span.status.status_code is StatusCode.UNSET
    assert span.events == ()
    assert "error.type" not in (span.attributes or {})
    assert not [point for point in eventsource_telemetry.metrics.points if "error.type" in point.attributes]


async def test_the_metric_has_the_same_error_type(
    store: InMemoryEventStore, door: UUID, eventsource_telemetry: Recording
) -> None:
    """So that one leads to the other."""
    with pytest.raises(OptimisticLockError):
        await store.append_events(door, DOOR, opened(door, 1), 5)

    attributes = eventsource_telemetry.spans.one(APPEND).attributes or {}
    (duration,) = eventsource_telemetry.metrics.named("eventsource.event_store.append.duration")
    assert attributes["error.type"] == duration.attributes["error.type"] == "OptimisticLockError"


async def test_a_failing_handler_is_an_error_of_its_own_span_only(door: UUID, eventsource_spans: RecordedSpans) -> None:
    """The bus catches what a handler raises, so nothing has gone wrong above it."""

    def fail(event: DomainEvent) -> None:
        raise RuntimeError("the hinge is broken")

    bus = InMemoryEventBus()
    bus.subscribe(Opened, fail)

    await bus.publish(opened(door, 1))

    failed = {span.name: span.status.status_code for span in eventsource_spans.finished}
    assert failed == {
        "eventsource.event_bus.handle": StatusCode.ERROR,
        "eventsource.event_bus.dispatch": StatusCode.UNSET,
        "eventsource.event_bus.publish": StatusCode.UNSET,
    }


class TestInterruptions:
    async def test_a_cancelled_operation_has_not_failed(self, door: UUID, eventsource_telemetry: Recording) -> None:
        """Its span ends and says what happened, without status and exception event."""
        store = Stuck()
        task = asyncio.create_task(store.append_events(door, DOOR, opened(door, 1), 0))
        await store.entered.wait()

        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        span = eventsource_telemetry.spans.one(APPEND)
        assert span.status.status_code is StatusCode.UNSET
        assert span.events == ()
        assert (span.attributes or {})["error.type"] == "CancelledError"
        (duration,) = eventsource_telemetry.metrics.named("eventsource.event_store.append.duration")
        assert duration.attributes["error.type"] == "CancelledError"

    async def test_a_coroutine_that_is_closed_early_leaves_no_context(
        self, door: UUID, eventsource_spans: RecordedSpans, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What was current before is current again."""
        before = otel_context.get_current()
        append = Stuck().append_events(door, DOOR, opened(door, 1), 0)
        append.send(None)
        inside = otel_context.get_current()

        append.close()

        assert otel_context.get_current() is before is not inside
        assert eventsource_spans.names == [APPEND]
        assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []

    async def test_a_coroutine_that_is_closed_early_has_no_error_type(
        self, door: UUID, eventsource_telemetry: Recording
    ) -> None:
        """Neither its span nor its metric: whoever closes it may do so."""
        append = Stuck().append_events(door, DOOR, opened(door, 1), 0)
        append.send(None)

        append.close()

        assert "error.type" not in (eventsource_telemetry.spans.one(APPEND).attributes or {})
        (duration,) = eventsource_telemetry.metrics.named("eventsource.event_store.append.duration")
        assert "error.type" not in duration.attributes

    async def test_a_coroutine_may_be_closed_where_it_never_ran(
        self, door: UUID, eventsource_spans: RecordedSpans, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The garbage collector does that, in whatever context it happens to run."""
        append = Stuck().append_events(door, DOOR, opened(door, 1), 0)
        copy_context().run(append.send, None)
        before = otel_context.get_current()

        append.close()

        assert otel_context.get_current() is before
        assert eventsource_spans.names == [APPEND]
        assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


async def test_nothing_keeps_the_operation_alive(
    store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
) -> None:
    """Exporters may hold spans for long, and events are big."""
    (event,) = opened(door, 1)
    kept = weakref.ref(event)
    await store.append_events(door, DOOR, [event], 0)
    await store.clear()

    del event
    gc.collect()

    assert eventsource_spans.names == [APPEND]
    assert kept() is None


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Nothing is freed but what nobody refers to."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector", "eventsource_telemetry")
class TestNothingGoesRound:
    """What a failed call held is freed as soon as its caller lets the error go."""

    async def test_a_failed_operation(self, store: InMemoryEventStore, door: UUID) -> None:
        """Its events, here."""
        (event,) = opened(door, 1)
        kept = weakref.ref(event)

        with suppress(OptimisticLockError):
            await store.append_events(door, DOOR, [event], 9)
        del event

        assert kept() is None

    def test_a_failed_block_of_the_applications(self) -> None:
        """What its function had in hand."""

        class Service(TracingMixin):
            def __init__(self) -> None:
                self._init_tracing("here")

            @traced("service.work")
            def work(self, thing: object) -> None:
                raise KeyError("mine")

        (event,) = opened(UUID(int=1), 1)
        kept = weakref.ref(event)

        with suppress(KeyError):
            Service().work(event)
        del event

        assert kept() is None
