"""What the metrics of projections count and measure, whether their events come one by one or as a transaction."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import pytest

from eventsource import (
    DeclarativeProjection,
    DLQRepository,
    EventStore,
    InMemoryDLQRepository,
    PostgreSQLProjection,
    ProjectionRunner,
    SQLiteEventStore,
    SQLiteProjection,
    handles,
)
from eventsource.projections.dead_letters.operations import AddFailedEvent
from eventsource.retry import ExponentialBackoffRetryPolicy, RetryConfig
from eventsource.testing.events import Opened
from eventsource_instrumentation.recording import MetricPoint, RecordedMetrics

DURATION = "eventsource.projection.handle.duration"
DEAD_LETTERS = "eventsource.dlq.events"
OPENINGS = {"eventsource.projection.name": "openings"}
OPENED = {**OPENINGS, "eventsource.event.type": "eventsource.testing.Opened"}
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
THREE_TIMES = ExponentialBackoffRetryPolicy(
    RetryConfig(max_retries=2, initial_delay=0.001, max_delay=0.001, jitter=0.0)
)

Append: TypeAlias = Callable[..., Awaitable[int]]
CatchUp: TypeAlias = Callable[[], Awaitable[None]]


class StuckError(Exception):
    """What the handlers raise."""


def check(event: Opened) -> None:
    if event.number == 2:
        raise StuckError


class Plain(DeclarativeProjection):
    @handles(Opened)
    async def on_opened(self, event: Opened) -> None:
        check(event)

    async def _truncate_read_models(self) -> None:
        """There is none."""


class InSQLite(SQLiteProjection):
    @handles(Opened)
    def on_opened(self, connection: sqlite3.Connection, event: Opened) -> None:
        check(event)

    def _empty_tables(self, connection: sqlite3.Connection) -> None:
        """There are none."""


class InPostgreSQL(PostgreSQLProjection):
    @handles(Opened)
    async def on_opened(self, connection: asyncpg.Connection, event: Opened) -> None:
        check(event)

    async def _empty_tables(self, connection: asyncpg.Connection) -> None:
        """There are none."""


class Lost(InMemoryDLQRepository):
    """Fails to keep anything."""

    async def _add_failed_event(self, add: AddFailedEvent) -> int:
        raise OSError("the disk is full")


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SQLiteEventStore]:
    """Where the events are."""
    async with SQLiteEventStore(tmp_path / "doors.db") as log:
        yield log


@pytest.fixture(params=[Plain, InSQLite, InPostgreSQL])
async def projection(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Plain | InSQLite | InPostgreSQL]:
    """One of each kind, which tries three times; the second event is too much for it."""
    options: dict[str, Any] = {"retry_policy": THREE_TIMES, "name": "openings"}
    if request.param is Plain:
        yield Plain(**options)
        return
    if request.param is InSQLite:
        made = InSQLite(tmp_path / "doors.db", **options)
    else:
        made = request.getfixturevalue("in_postgresql")(InPostgreSQL, **options)
    async with made as projection:
        yield projection


@pytest.fixture
def catch_up(log: EventStore, projection: Any, runner_of: Callable[..., ProjectionRunner]) -> CatchUp:
    """Lets a runner bring the projection up to date, and stops it."""

    async def run() -> None:
        async with runner_of(projection, log) as runner:
            await runner.wait_for(timeout=20)

    return run


def counts(metrics: RecordedMetrics) -> dict[Any, int]:
    """Return how many attempts were measured, by the error that they ended with."""
    return {point.attributes.get("error.type"): point.count for point in metrics.named(DURATION)}


class TestDurations:
    async def test_each_event_that_is_handled_takes_time(
        self, log: EventStore, append: Append, catch_up: CatchUp, eventsource_metrics: RecordedMetrics
    ) -> None:
        """Once."""
        await append(1, log)
        await append(1, log)

        await catch_up()

        (point,) = eventsource_metrics.named(DURATION)
        assert (point.attributes, point.count) == (OPENED, 2)
        assert (point.unit, point.boundaries) == ("s", SECONDS)
        assert point.value > 0

    async def test_each_attempt_that_fails_takes_time(
        self, log: EventStore, append: Append, catch_up: CatchUp, eventsource_metrics: RecordedMetrics
    ) -> None:
        """With its error, and what is handled before and after it is measured once all the same."""
        await append(5, log)

        await catch_up()

        assert counts(eventsource_metrics) == {None: 4, "StuckError": 3}
        (failed,) = eventsource_metrics.named(DURATION, {"error.type": "StuckError"})
        assert failed.attributes == {**OPENED, "error.type": "StuckError"}

    async def test_a_replay_is_not_measured(
        self,
        log: EventStore,
        append: Append,
        projection: Any,
        runner_of: Callable[..., ProjectionRunner],
        eventsource_metrics: RecordedMetrics,
    ) -> None:
        """A rebuild would bury what the application feels; what comes after it is measured again."""
        await append(3, log)
        async with runner_of(projection, log) as runner:
            await runner.wait_for(timeout=20)
            before = counts(eventsource_metrics)
            await runner.rebuild()
            replayed = counts(eventsource_metrics)
            await runner.wait_for(await append(1, log), timeout=20)

        assert replayed == before == {None: 2, "StuckError": 3}
        assert counts(eventsource_metrics) == {None: 3, "StuckError": 3}

    async def test_another_try_of_a_dead_letter_is_not_measured(
        self,
        log: EventStore,
        append: Append,
        projection: Any,
        catch_up: CatchUp,
        eventsource_metrics: RecordedMetrics,
    ) -> None:
        """Somebody does that by hand."""
        await append(2, log)
        await catch_up()
        before = counts(eventsource_metrics)

        await projection.retry_dead_letters()

        assert counts(eventsource_metrics) == before == {None: 1, "StuckError": 3}

    async def test_events_from_a_bus_take_time_too(
        self, projection: Any, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """They pass the same door."""
        await projection.handle(Opened(aggregate_id=door))

        assert counts(eventsource_metrics) == {None: 1}

    @pytest.mark.usefixtures("log")
    async def test_nothing_to_handle_takes_no_time(
        self, catch_up: CatchUp, eventsource_metrics: RecordedMetrics
    ) -> None:
        """There is no series without an event."""
        await catch_up()

        assert eventsource_metrics.named(DURATION) == []


class TestDeadLetters:
    async def test_each_is_counted_once(
        self, log: EventStore, append: Append, catch_up: CatchUp, eventsource_metrics: RecordedMetrics
    ) -> None:
        """However often it was attempted, with what the last attempt raised."""
        await append(3, log)

        await catch_up()

        (point,) = eventsource_metrics.named(DEAD_LETTERS)
        assert point == MetricPoint(DEAD_LETTERS, "{event}", {**OPENINGS, "error.type": "StuckError"}, 1)

    async def test_those_from_a_bus_are_counted_too(
        self, projection: Any, door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """The caller sees the error, and the counter has it."""
        with pytest.raises(StuckError):
            await projection.handle(Opened(aggregate_id=door, number=2))

        assert eventsource_metrics.total(DEAD_LETTERS, OPENINGS) == 1

    async def test_what_was_handled_in_the_end_is_none(
        self, log: EventStore, append: Append, catch_up: CatchUp, eventsource_metrics: RecordedMetrics
    ) -> None:
        """Nor is any other event."""
        await append(1, log)

        await catch_up()

        assert eventsource_metrics.named(DEAD_LETTERS) == []

    async def test_a_retry_that_fails_is_none(
        self, log: EventStore, append: Append, projection: Any, catch_up: CatchUp, eventsource_metrics: RecordedMetrics
    ) -> None:
        """It is the same dead letter as before."""
        await append(2, log)
        await catch_up()

        (result,) = await projection.retry_dead_letters()

        assert (result.outcome, eventsource_metrics.total(DEAD_LETTERS, OPENINGS)) == ("failed", 1)

    @pytest.mark.parametrize("kind", [InMemoryDLQRepository, Lost])
    async def test_what_could_not_be_kept_is_none(
        self, kind: type[DLQRepository], door: UUID, eventsource_metrics: RecordedMetrics
    ) -> None:
        """It is not among the dead letters."""
        projection = Plain(dlq_repo=kind(), retry_policy=THREE_TIMES, name="openings")

        with pytest.raises(StuckError):
            await projection.handle(Opened(aggregate_id=door, number=2))

        assert eventsource_metrics.total(DEAD_LETTERS) == (0 if kind is Lost else 1)


class TestSwitches:
    async def test_a_projection_that_wants_no_metrics_has_none(
        self, log: EventStore, append: Append, projection: Any, catch_up: CatchUp, eventsource_metrics: RecordedMetrics
    ) -> None:
        """Whoever leads it through the log."""
        projection.enable_metrics = False
        await append(1, log)

        await catch_up()

        assert eventsource_metrics.named(DURATION) == []

    async def test_a_projection_without_spans_has_metrics(
        self,
        log: EventStore,
        append: Append,
        projection: Any,
        runner_of: Callable[..., ProjectionRunner],
        eventsource_metrics: RecordedMetrics,
    ) -> None:
        """Nor does it matter that its runner has none."""
        await append(1, log)

        async with runner_of(projection, log, enable_tracing=False) as runner:
            await runner.wait_for(timeout=20)

        assert counts(eventsource_metrics) == {None: 1}
