"""Projections that note how far they came: attempts, checkpoints, resets, and what is kept of failures."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from eventsource.bus.memory import InMemoryEventBus
from eventsource.events.base import DomainEvent
from eventsource.exceptions import CheckpointError, DatabaseError, ProjectionError
from eventsource.projections.base import CheckpointTrackingProjection
from eventsource.projections.checkpoints.in_memory import InMemoryCheckpointRepository
from eventsource.projections.checkpoints.operations import SaveCheckpoint
from eventsource.projections.dead_letters.in_memory import InMemoryDLQRepository
from eventsource.projections.dead_letters.operations import AddFailedEvent
from eventsource.retry import (
    ExponentialBackoffRetryPolicy,
    FilteredRetryPolicy,
    NoRetryPolicy,
    RetryConfig,
    RetryPolicy,
)
from eventsource.stores.in_memory import InMemoryEventStore
from eventsource.testing.events import DOOR, Closed, Opened, opened

LOGGER = "eventsource.projections.base"


def at_once(retries: int) -> RetryPolicy:
    """Try again so many times, without waiting noticeably."""
    return ExponentialBackoffRetryPolicy(RetryConfig(max_retries=retries, initial_delay=0.001, jitter=0.0))


class Visits(CheckpointTrackingProjection):
    """Remembers its events, after it has raised each of *failures* once."""

    def __init__(self, *failures: BaseException, **options: Any) -> None:
        super().__init__(**{"retry_policy": NoRetryPolicy(), **options})
        self.failures = list(failures)
        self.attempted = 0
        self.was_attempted = asyncio.Event()
        self.seen: list[DomainEvent] = []

    def subscribed_to(self) -> list[type[DomainEvent]]:
        return [Opened]

    async def _process_event(self, event: DomainEvent) -> None:
        self.attempted += 1
        self.was_attempted.set()
        if self.failures:
            raise self.failures.pop(0)
        self.seen.append(event)

    async def _truncate_read_models(self) -> None:
        self.seen.clear()


class Stubborn(InMemoryCheckpointRepository):
    """Refuses to note the first event."""

    refused = False

    async def _save_checkpoint(self, save: SaveCheckpoint) -> None:
        if not self.refused:
            self.refused = True
            raise CheckpointError("no room")
        await super()._save_checkpoint(save)


class Full(InMemoryDLQRepository):
    """Has no room for entries."""

    async def _add_failed_event(self, add: AddFailedEvent) -> int:
        raise DatabaseError("no room")


@pytest.fixture
def event() -> Opened:
    """An event."""
    (event,) = opened(uuid4(), 1)
    return event


def messages(caplog: pytest.LogCaptureFixture, level: int) -> Sequence[str]:
    return [each.getMessage() for each in caplog.records if each.name == LOGGER and each.levelno == level]


class TestCheckpoint:
    async def test_it_is_the_last_event_that_was_handled(self) -> None:
        """Each event moves it, and is counted."""
        visits = Visits()
        first, second = opened(uuid4(), 2)
        before = await visits.get_checkpoint()

        await visits.handle(first)
        await visits.handle(second)

        data = await visits.checkpoints.get_checkpoint_data("Visits")
        assert (before, await visits.get_checkpoint()) == (None, str(second.event_id))
        assert data
        assert (data.last_event_type, data.events_processed) == (second.event_type, 2)

    async def test_it_goes_by_the_projections_name(self, event: Opened) -> None:
        """So that projections can share a repository."""
        checkpoints = InMemoryCheckpointRepository()

        await Visits(checkpoint_repo=checkpoints, name="visits-v2").handle(event)

        assert [data.projection_name for data in await checkpoints.get_all_checkpoints()] == ["visits-v2"]

    async def test_it_moves_for_what_a_bus_delivers(self, event: Opened) -> None:
        """The projection is subscribed to what it says, and to nothing else."""
        visits, bus = Visits(), InMemoryEventBus()
        bus.subscribe_all(visits)

        await bus.publish([event, Closed(aggregate_id=event.aggregate_id)])

        assert (visits.seen, await visits.get_checkpoint()) == ([event], str(event.event_id))

    async def test_an_event_that_failed_does_not_move_it(self, event: Opened) -> None:
        """It stays where it was."""
        visits = Visits(ValueError("no such door"))

        with pytest.raises(ValueError, match="no such door"):
            await visits.handle(event)

        assert await visits.get_checkpoint() is None

    async def test_an_event_that_could_not_be_noted_is_handled_again(self, event: Opened) -> None:
        """A checkpoint that cannot be saved is a failed attempt."""
        visits = Visits(checkpoint_repo=Stubborn(), retry_policy=at_once(1))

        await visits.handle(event)

        assert (visits.seen, await visits.get_checkpoint()) == ([event, event], str(event.event_id))


class TestAttempts:
    async def test_there_are_as_many_as_the_policy_says(self, event: Opened) -> None:
        """Success ends them, and nothing is kept of the failures."""
        visits = Visits(ValueError("first"), ValueError("second"), retry_policy=at_once(2))

        await visits.handle(event)

        assert (visits.attempted, visits.seen) == (3, [event])
        assert await visits.dead_letters.get_failed_events(status=None) == []

    async def test_the_last_failure_reaches_the_caller_as_it_is(self, event: Opened) -> None:
        """The very same exception."""
        last = ValueError("second")
        visits = Visits(ValueError("first"), last, ValueError("third"), retry_policy=at_once(1))

        with pytest.raises(ValueError, match="second") as caught:
            await visits.handle(event)

        assert (caught.value is last, visits.attempted) == (True, 2)

    async def test_a_policy_may_look_at_the_error(self, event: Opened) -> None:
        """What it does not want to see again is not tried again."""
        policy = FilteredRetryPolicy(at_once(5), [ConnectionError])
        visits = Visits(ConnectionError("gone"), ValueError("no such door"), retry_policy=policy)

        with pytest.raises(ValueError, match="no such door"):
            await visits.handle(event)

        assert visits.attempted == 2

    async def test_cancelling_ends_them(self, event: Opened) -> None:
        """A caller that is cancelled is no failure of the event."""
        visits = Visits(ValueError("first"), retry_policy=ExponentialBackoffRetryPolicy(RetryConfig(1, 600.0, 600.0)))
        task = asyncio.create_task(visits.handle(event))
        await visits.was_attempted.wait()

        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert visits.attempted == 1
        assert await visits.dead_letters.get_failed_events() == []

    async def test_a_handler_that_is_cancelled_alone_has_failed(self, event: Opened) -> None:
        """It is tried again and kept like any other failure."""
        visits = Visits(asyncio.CancelledError(), asyncio.CancelledError(), retry_policy=at_once(1))

        with pytest.raises(ProjectionError, match="the handler was cancelled, but not its projection"):
            await visits.handle(event)

        (entry,) = await visits.dead_letters.get_failed_events()
        assert (visits.attempted, entry.error_type, entry.retry_count) == (2, "ProjectionError", 2)

    @pytest.mark.parametrize(
        ("options", "config"),
        [
            ({}, RetryConfig(2, 2.0, 60.0, 2.0, 0.1)),
            ({"MAX_RETRIES": 5, "RETRY_BACKOFF_BASE": 0.5}, RetryConfig(4, 0.5, 60.0, 2.0, 0.1)),
            ({"MAX_RETRIES": 0}, RetryConfig(0, 2.0, 60.0, 2.0, 0.1)),
            ({"RETRY_BACKOFF_BASE": 0}, RetryConfig(2, 0.001, 60.0, 2.0, 0.0)),
        ],
    )
    def test_the_class_says_how_many_if_no_policy_does(self, options: dict[str, Any], config: RetryConfig) -> None:
        """MAX_RETRIES counts all attempts; a base of 0 is next to no delay."""
        visits = type("Patient", (Visits,), options)(retry_policy=None)

        assert isinstance(visits.retry_policy, ExponentialBackoffRetryPolicy)
        assert visits.retry_policy.config == config


class TestLogLines:
    async def test_each_attempt_is_told_with_the_wait_that_follows(
        self, caplog: pytest.LogCaptureFixture, event: Opened
    ) -> None:
        """The last one with what became of the event."""
        visits = Visits(ValueError("first"), ValueError("second"), retry_policy=at_once(1))

        with caplog.at_level(logging.INFO, LOGGER), pytest.raises(ValueError, match="second"):
            await visits.handle(event)

        assert messages(caplog, logging.ERROR) == [
            f"Projection Visits failed to process event {event.event_id} (attempt 1/2): first",
            f"Projection Visits failed to process event {event.event_id} (attempt 2/2): second",
        ]
        assert messages(caplog, logging.INFO) == ["Retrying in 0.0 seconds..."]
        assert messages(caplog, logging.CRITICAL) == [
            f"Event {event.event_id} sent to DLQ after 2 attempts: "
            f"projection Visits failed on {event.event_type} with ValueError: second"
        ]

    async def test_the_values_are_there_for_machines_too(self, caplog: pytest.LogCaptureFixture, event: Opened) -> None:
        """The stack as well."""
        failure = ValueError("no such door")

        with caplog.at_level(logging.ERROR, LOGGER), pytest.raises(ValueError, match="no such door"):
            await Visits(failure).handle(event)

        record: Any = caplog.records[0]
        assert (record.projection, record.event_id, record.event_type, record.error) == (
            "Visits",
            str(event.event_id),
            event.event_type,
            "no such door",
        )
        assert record.exc_info[1] is failure

    async def test_an_event_that_could_not_be_kept_is_told(
        self, caplog: pytest.LogCaptureFixture, event: Opened
    ) -> None:
        """The caller learns what the handler raised, and not what the queue did."""
        visits = Visits(ValueError("no such door"), dlq_repo=Full())

        with caplog.at_level(logging.CRITICAL, LOGGER), pytest.raises(ValueError, match="no such door"):
            await visits.handle(event)

        assert messages(caplog, logging.CRITICAL) == [
            f"Failed to write event {event.event_id} to DLQ for projection Visits: no room"
        ]

    async def test_a_reset_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        """It is no everyday thing."""
        with caplog.at_level(logging.WARNING, LOGGER):
            await Visits(name="visits-v2").reset()

        assert messages(caplog, logging.WARNING) == ["Resetting projection visits-v2"]


class TestResetting:
    async def test_checkpoint_and_read_model_are_forgotten(self, event: Opened) -> None:
        """It is as if it had never seen an event."""
        visits = Visits()
        await visits.handle(event)

        await visits.reset()

        assert (visits.seen, await visits.get_checkpoint()) == ([], None)
        assert await visits.checkpoints.get_checkpoint_data("Visits") is None

    async def test_others_keep_theirs(self, event: Opened) -> None:
        """Though they share the repository."""
        checkpoints = InMemoryCheckpointRepository()
        visits, other = Visits(checkpoint_repo=checkpoints), Visits(checkpoint_repo=checkpoints, name="other")
        await visits.handle(event)
        await other.handle(event)

        await visits.reset()

        assert (await visits.get_checkpoint(), await other.get_checkpoint()) == (None, str(event.event_id))


class TestLagMetrics:
    async def test_there_are_none_before_the_first_event(self) -> None:
        """Nobody can tell."""
        assert await Visits().get_lag_metrics() is None

    async def test_only_the_events_it_wants_count(self) -> None:
        """A newer event of another class does not put it behind."""
        store = InMemoryEventStore()
        visits = Visits(checkpoint_repo=InMemoryCheckpointRepository(event_store=store))
        (event,) = opened(uuid4(), 1)
        await store.append_events(event.aggregate_id, DOOR, [event, Closed(aggregate_id=event.aggregate_id)], 0)
        await visits.handle(event)

        metrics = await visits.get_lag_metrics()

        assert metrics
        assert metrics.pop("last_processed_at")
        assert metrics == {
            "projection_name": "Visits",
            "last_event_id": str(event.event_id),
            "latest_event_id": str(event.event_id),
            "lag_seconds": 0.0,
            "events_processed": 1,
        }


def test_repositories_are_its_own_if_none_are_given() -> None:
    """Two projections share nothing by accident, and nobody makes spans for what is in memory only."""
    first, second = Visits(enable_tracing=True), Visits()

    assert first.checkpoints is not second.checkpoints
    assert first.dead_letters is not second.dead_letters
    assert (first.checkpoints.enable_tracing, first.dead_letters.enable_tracing) == (False, False)
