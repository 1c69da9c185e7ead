"""What the metrics of an event store in PostgreSQL count and measure, also of appends that share a call."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventsource import DatabaseError, OptimisticLockError, PostgreSQLEventStore
from eventsource.testing.events import DOOR, opened
from eventsource_instrumentation.recording import MetricPoint, RecordedMetrics

STORE = "eventsource.event_store"
POSTGRESQL = {"db.system.name": "postgresql"}
DOOR_IN_POSTGRESQL = {**POSTGRESQL, "eventsource.aggregate.type": DOOR}


@pytest.fixture
async def log(in_postgresql: Callable[..., Any]) -> AsyncIterator[PostgreSQLEventStore]:
    """Where the events are."""
    async with in_postgresql(PostgreSQLEventStore) as log:
        yield log


async def test_each_append_that_shares_a_call_is_measured(
    log: PostgreSQLEventStore, eventsource_metrics: RecordedMetrics
) -> None:
    """By itself, and so are its events; neither address nor schema is among the attributes."""
    ids = [uuid4() for _ in range(5)]

    await asyncio.gather(*(log.append_events(each, DOOR, opened(each, 2), 0) for each in ids))

    (duration,) = eventsource_metrics.named(f"{STORE}.append.duration")
    assert (duration.attributes, duration.count) == (DOOR_IN_POSTGRESQL, 5)
    of_type = {**DOOR_IN_POSTGRESQL, "eventsource.event.type": "eventsource.testing.Opened"}
    appended = MetricPoint(f"{STORE}.events.appended", "{event}", of_type, 10)
    assert eventsource_metrics.named(f"{STORE}.events.appended") == [appended]


async def test_one_that_conflicts_in_a_shared_call_is_counted_alone(
    log: PostgreSQLEventStore, eventsource_metrics: RecordedMetrics
) -> None:
    """With its error; the others have none."""
    ids = [uuid4() for _ in range(5)]
    expected = [0, 0, 0, 7, 0]

    appends = [log.append_events(each, DOOR, opened(each, 1), at) for each, at in zip(ids, expected, strict=True)]
    await asyncio.gather(*appends, return_exceptions=True)

    durations = eventsource_metrics.named(f"{STORE}.append.duration")
    counts = {point.attributes.get("error.type"): point.count for point in durations}
    assert counts == {None: 4, OptimisticLockError.__name__: 1}
    assert eventsource_metrics.total(f"{STORE}.conflicts", DOOR_IN_POSTGRESQL) == 1
    assert eventsource_metrics.total(f"{STORE}.events.appended") == 4


async def test_what_the_database_refuses_is_no_conflict(
    log: PostgreSQLEventStore, door: UUID, eventsource_metrics: RecordedMetrics
) -> None:
    """It is measured with its error, and nothing was appended."""
    with pytest.raises(DatabaseError):
        await log.append_events(door, DOOR, opened(door, 1, event_version=2**70), 0)

    (duration,) = eventsource_metrics.named(f"{STORE}.append.duration")
    assert duration.attributes == {**DOOR_IN_POSTGRESQL, "error.type": "DatabaseError"}
    assert eventsource_metrics.names == {f"{STORE}.append.duration"}


async def test_each_way_to_read_is_measured(
    log: PostgreSQLEventStore, door: UUID, eventsource_metrics: RecordedMetrics
) -> None:
    """With the system that was read from."""
    await log.get_events(door)
    await log.read_page(str(door))
    await log.read_page()

    assert [point.attributes for point in eventsource_metrics.named(f"{STORE}.read.duration")] == [
        {**POSTGRESQL, "db.operation.name": name} for name in ("get_events", "read_stream", "read_all")
    ]
