"""What is seen of a projection in PostgreSQL: its pages, also those that are undone and repeated."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from eventsource import PostgreSQLEventStore, PostgreSQLProjection, ProjectionRunner, handles
from eventsource.retry import NoRetryPolicy
from eventsource.testing.events import DOOR, Opened, opened
from eventsource_instrumentation.recording import RecordedMetrics, RecordedSpans

APPEND = "eventsource.event_store.append_events"
CATCH_UP = "eventsource.projection.catch_up"
HANDLER = "eventsource.projection.handler"
ADD = "eventsource.dlq.add"
DURATION = "eventsource.projection.handle.duration"

Handle = Callable[[asyncpg.Connection], Awaitable[object]]


class Openings(PostgreSQLProjection):
    """Notes which openings it has handled, and the span of each; the second one may come to grief."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, retry_policy=NoRetryPolicy(), name="openings", **options)
        self.current: list[int] = []
        self.at_the_second: list[Handle] = []

    @handles(Opened)
    async def on_opened(self, connection: asyncpg.Connection, event: Opened) -> None:
        self.current.append(trace.get_current_span().get_span_context().span_id)
        if event.number == 2 and self.at_the_second:
            await self.at_the_second.pop()(connection)


async def fail(connection: asyncpg.Connection) -> None:
    raise ValueError("jammed")


async def lose(connection: asyncpg.Connection) -> None:
    """Lose the connection."""
    await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


async def go_on(connection: asyncpg.Connection) -> None:
    """Go on after an error of the database, which leaves the transaction unusable."""
    with suppress(asyncpg.DivisionByZeroError):
        await connection.execute("SELECT 1 / 0")


@pytest.fixture
async def log(in_postgresql: Callable[..., Any]) -> AsyncIterator[PostgreSQLEventStore]:
    """Where the events are."""
    async with in_postgresql(PostgreSQLEventStore) as log:
        yield log


@pytest.fixture
async def projection(in_postgresql: Callable[..., Any]) -> AsyncIterator[Openings]:
    """What follows them, with spans of its own."""
    async with in_postgresql(Openings, enable_tracing=True) as projection:
        yield projection


@pytest.fixture
def catch_up(
    log: PostgreSQLEventStore, runner_of: Callable[..., ProjectionRunner]
) -> Callable[[Openings], Awaitable[None]]:
    """Lets a runner bring a projection up to date, and stops it."""

    async def run(projection: Openings) -> None:
        async with runner_of(projection, log) as runner:
            await runner.wait_for(timeout=20)

    return run


CatchUp = Callable[[Openings], Awaitable[None]]


async def append(log: PostgreSQLEventStore, door: UUID, count: int) -> None:
    await log.append_events(door, DOOR, opened(door, count), 0)


def of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def lease(projection: Openings) -> object:
    """Return until when the runner's lease lasts; each renewal moves that."""
    return await projection.fetch(f'SELECT lease_expires_at FROM "{projection.options.schema}".projection_checkpoints')


def measured(metrics: RecordedMetrics) -> dict[Any, int]:
    """Return how many attempts were measured, by the error that they ended with."""
    return {point.attributes.get("error.type"): point.count for point in metrics.named(DURATION)}


class TestPage:
    async def test_it_is_a_span_without_a_parent_and_linked_to_its_appends(
        self,
        log: PostgreSQLEventStore,
        projection: Openings,
        catch_up: CatchUp,
        door: UUID,
        eventsource_spans: RecordedSpans,
    ) -> None:
        """By what was stored beside each event."""
        await append(log, door, 2)
        other = UUID(int=7)
        await append(log, other, 1)

        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            await catch_up(projection)

        page = eventsource_spans.one(CATCH_UP)
        assert (page.kind, page.parent, page.status.is_unset) == (SpanKind.CONSUMER, None, True)
        assert of(page) == {
            "eventsource.projection.name": "openings",
            "eventsource.event.count": 3,
            "eventsource.from_position": 0,
            "eventsource.to_position": 3,
            "eventsource.projection.replay": False,
        }
        appends = [span.context.span_id for span in eventsource_spans.named(APPEND)]
        assert [link.context.span_id for link in page.links] == appends

    async def test_each_handler_is_a_span_in_it(
        self,
        log: PostgreSQLEventStore,
        projection: Openings,
        catch_up: CatchUp,
        door: UUID,
        eventsource_spans: RecordedSpans,
    ) -> None:
        """Current while it runs; there is no other one, not even for the checkpoint."""
        await append(log, door, 3)
        eventsource_spans.clear()

        await catch_up(projection)

        handlers = eventsource_spans.named(HANDLER)
        assert eventsource_spans.names == [HANDLER, HANDLER, HANDLER, CATCH_UP]
        assert [eventsource_spans.chain(each) for each in handlers] == [[CATCH_UP, HANDLER]] * 3
        assert [each.context.span_id for each in handlers] == projection.current
        assert {of(each)["eventsource.handler.name"] for each in handlers} == {"Openings.on_opened"}

    async def test_unless_it_is_asked_for_the_page_is_the_only_span(
        self,
        log: PostgreSQLEventStore,
        in_postgresql: Callable[..., Any],
        catch_up: CatchUp,
        door: UUID,
        eventsource_spans: RecordedSpans,
    ) -> None:
        """With a dead letter in it, too; it is current in the handlers."""
        await append(log, door, 3)
        eventsource_spans.clear()
        async with in_postgresql(Openings) as projection:
            projection.at_the_second = [fail, fail]
            await catch_up(projection)

        assert eventsource_spans.names == [CATCH_UP]
        assert set(projection.current) == {eventsource_spans.one(CATCH_UP).context.span_id}


class TestUndone:
    async def test_an_event_that_fails_has_the_others_handled_again(
        self,
        log: PostgreSQLEventStore,
        projection: Openings,
        catch_up: CatchUp,
        door: UUID,
        eventsource_spans: RecordedSpans,
        eventsource_metrics: RecordedMetrics,
    ) -> None:
        """Each call of a handler is a span of the one page; what was undone is measured once all the same."""
        await append(log, door, 3)
        projection.at_the_second = [fail]

        await catch_up(projection)

        calls = [
            (of(each)["eventsource.event.id"], of(each).get("error.type")) for each in eventsource_spans.named(HANDLER)
        ]
        first, second, third = [str(each.event.event_id) async for each in log.read_all()]
        assert len(eventsource_spans.named(CATCH_UP)) == 1
        assert calls == [(first, None), (second, "ValueError"), (first, None), (third, None)]
        assert measured(eventsource_metrics) == {None: 2, "ValueError": 1}

    async def test_the_dead_letter_is_in_the_page_and_counted_once(
        self,
        log: PostgreSQLEventStore,
        projection: Openings,
        catch_up: CatchUp,
        door: UUID,
        schema: str,
        eventsource_spans: RecordedSpans,
        eventsource_metrics: RecordedMetrics,
    ) -> None:
        """A span of the repository's, with the database, for the projection's own wants spans."""
        await append(log, door, 3)
        projection.at_the_second = [fail]

        await catch_up(projection)

        span = eventsource_spans.one(ADD)
        assert eventsource_spans.chain(span) == [CATCH_UP, ADD]
        assert (of(span)["db.system.name"], of(span)["db.namespace"].partition("|")[2]) == ("postgresql", schema)
        assert eventsource_metrics.total("eventsource.dlq.events", {"error.type": "ValueError"}) == 1

    async def test_a_transaction_that_became_unusable_is_measured_once(
        self,
        log: PostgreSQLEventStore,
        projection: Openings,
        catch_up: CatchUp,
        door: UUID,
        eventsource_spans: RecordedSpans,
        eventsource_metrics: RecordedMetrics,
    ) -> None:
        """All of it is undone, its events are handled one by one, and the one that did it is the dead letter."""
        await append(log, door, 3)
        projection.at_the_second = [go_on, go_on]

        await catch_up(projection)

        _, second, _ = [str(each.event.event_id) async for each in log.read_all()]
        assert len(projection.current) > 3
        assert of(eventsource_spans.one(ADD))["eventsource.event.id"] == second
        assert measured(eventsource_metrics) == {None: 2, "DatabaseError": 1}

    async def test_a_lost_connection_fails_the_page_and_is_measured_once(
        self,
        log: PostgreSQLEventStore,
        projection: Openings,
        catch_up: CatchUp,
        door: UUID,
        eventsource_spans: RecordedSpans,
        eventsource_metrics: RecordedMetrics,
    ) -> None:
        """The next attempt is another page, in another trace."""
        await append(log, door, 3)
        projection.at_the_second = [lose]

        await catch_up(projection)

        failed, done = eventsource_spans.named(CATCH_UP)
        assert (failed.status.status_code, of(failed)["error.type"]) == (StatusCode.ERROR, "DatabaseError")
        assert "eventsource.to_position" not in of(failed)
        assert (done.status.is_unset, done.context.trace_id == failed.context.trace_id) == (True, False)
        assert measured(eventsource_metrics) == {None: 3}


class TestStandingStill:
    async def test_polling_and_leasing_are_no_spans(
        self,
        projection: Openings,
        log: PostgreSQLEventStore,
        runner_of: Callable[..., ProjectionRunner],
        eventsource_spans: RecordedSpans,
    ) -> None:
        """However long nothing comes, and whatever is current where the runner was started."""
        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            async with runner_of(projection, log, lease_seconds=0.03, lag_interval=0.01) as runner:
                await runner.wait_for(timeout=20)
                async with asyncio.timeout(20):
                    leased = await lease(projection)
                    while await lease(projection) == leased:  # noqa: ASYNC110 - nobody announces it
                        await asyncio.sleep(0.005)

        assert eventsource_spans.names == ["request"]

    async def test_the_lag_is_what_there_is_to_handle(
        self,
        projection: Openings,
        log: PostgreSQLEventStore,
        runner_of: Callable[..., ProjectionRunner],
        until: Callable[[Callable[[], object]], Awaitable[None]],
        door: UUID,
        eventsource_metrics: RecordedMetrics,
    ) -> None:
        """None in the end, and the events that came while it rested before that."""

        def lag() -> list[float]:
            return [point.value for point in eventsource_metrics.named("eventsource.projection.lag")]

        async with runner_of(projection, log, lag_interval=0.01) as runner:
            await runner.wait_for(timeout=20)
            runner.pause()
            await append(log, door, 3)
            await until(lambda: lag() == [3])
            runner.resume()
            await until(lambda: lag() == [0])

        assert lag() == []
