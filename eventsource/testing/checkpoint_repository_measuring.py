# ruff: noqa: S101 - contracts assert, as tests do
"""What a checkpoint repository promises about how far a projection is behind."""

from datetime import timedelta
from uuid import uuid4

import pytest

from eventsource.events.base import DomainEvent
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.checkpoints.values import LagMetrics
from eventsource.testing.checkpoint_repository_subject import VISITS, CheckpointRepositorySubject, FastEventStore
from eventsource.testing.events import DOOR, Closed, Opened, OpenedWide


class MeasuringContract(CheckpointRepositorySubject):
    """The lag is the time between the last event that was handled and the newest one that counts."""

    async def test_a_projection_that_has_not_begun_has_no_lag(
        self, checkpoints: CheckpointRepository, event_store: FastEventStore, event: Opened
    ) -> None:
        """Neither before the first time nor after a reset."""
        await append(event_store, event)
        await checkpoints.acquire_lease(VISITS, "ann", 60)

        before = await checkpoints.get_lag_metrics(VISITS)
        await checkpoints.save_position(VISITS, 1, event.event_id, event.event_type)
        await checkpoints.reset_checkpoint(VISITS, replay_until=1)

        assert (before, await checkpoints.get_lag_metrics(VISITS)) == (None, None)

    async def test_without_events_nobody_is_behind(self, checkpoints: CheckpointRepository, event: Opened) -> None:
        """An empty store has no newest event; what was handled is told as text."""
        await checkpoints.update_checkpoint(VISITS, event.event_id, event.event_type)

        lag = await checkpoints.get_lag_metrics(VISITS)

        data = await checkpoints.get_checkpoint_data(VISITS)
        assert data
        assert data.last_processed_at
        assert lag == LagMetrics(VISITS, str(event.event_id), None, 0.0, 1, data.last_processed_at.isoformat())

    async def test_who_handled_the_newest_event_is_not_behind(
        self, checkpoints: CheckpointRepository, event_store: FastEventStore, event: Opened
    ) -> None:
        """Whatever the clocks say."""
        await append(event_store, event)
        await checkpoints.save_position(VISITS, 1, event.event_id, event.event_type)

        lag = await checkpoints.get_lag_metrics(VISITS)

        assert lag
        assert (lag.last_event_id, lag.latest_event_id) == (str(event.event_id), str(event.event_id))
        assert lag.lag_seconds == 0.0

    async def test_who_has_a_newer_event_to_handle_is_behind(
        self, checkpoints: CheckpointRepository, event_store: FastEventStore, event: Opened
    ) -> None:
        """By the seconds between handling the last event and storing the newest, to a tenth."""
        newer = Opened(aggregate_id=event.aggregate_id)
        await checkpoints.save_position(VISITS, 1, event.event_id, event.event_type)
        await append(event_store, event, newer)

        lag = await checkpoints.get_lag_metrics(VISITS)

        assert lag
        assert (lag.last_event_id, lag.latest_event_id) == (str(event.event_id), str(newer.event_id))
        assert event_store.ahead.total_seconds() <= lag.lag_seconds < 2 * event_store.ahead.total_seconds()
        assert lag.lag_seconds == round(lag.lag_seconds, 1)

    async def test_nobody_is_ahead(
        self, checkpoints: CheckpointRepository, event_store: FastEventStore, event: Opened
    ) -> None:
        """Clocks that disagree make no lag below 0."""
        event_store.ahead = timedelta(seconds=-90)
        await append(event_store, event, Opened(aggregate_id=event.aggregate_id))
        await checkpoints.save_position(VISITS, 1, event.event_id, event.event_type)

        lag = await checkpoints.get_lag_metrics(VISITS)

        assert lag
        assert lag.lag_seconds == 0.0

    async def test_who_noted_no_event_is_not_behind(
        self, checkpoints: CheckpointRepository, event_store: FastEventStore, event: Opened
    ) -> None:
        """A position alone tells no time to count from; the newest event is told nevertheless."""
        await append(event_store, event)
        await checkpoints.save_position(VISITS, 0, None, None, events=0)

        assert await checkpoints.get_lag_metrics(VISITS) == LagMetrics(VISITS, latest_event_id=str(event.event_id))

    @pytest.mark.parametrize(
        ("classes", "newest"),
        [([Opened], 0), ([Closed], 1), ((Opened, Closed), 1), ([OpenedWide], None), ([], None), (None, 1)],
        ids=["one", "another", "both", "one that nobody stored", "none", "all"],
    )
    async def test_only_events_of_the_given_classes_count(
        self,
        checkpoints: CheckpointRepository,
        event_store: FastEventStore,
        event: Opened,
        classes: list[type[DomainEvent]] | None,
        newest: int | None,
    ) -> None:
        """The newest of those is what the projection is compared with."""
        events: list[DomainEvent] = [event, Closed(aggregate_id=event.aggregate_id)]
        await append(event_store, *events)
        await checkpoints.update_checkpoint(VISITS, uuid4(), Opened.__name__)

        lag = await checkpoints.get_lag_metrics(VISITS, classes)

        assert lag
        assert lag.latest_event_id == (None if newest is None else str(events[newest].event_id))

    async def test_names_of_classes_are_refused(self, checkpoints: CheckpointRepository, event: Opened) -> None:
        """Events count by their class, not by what that is called."""
        await checkpoints.update_checkpoint(VISITS, event.event_id, event.event_type)

        with pytest.raises(TypeError, match="event_types must be a collection of event classes"):
            await checkpoints.get_lag_metrics(VISITS, ["Opened"])  # type: ignore[list-item]


async def append(store: FastEventStore, *events: DomainEvent) -> None:
    """Append *events* of one aggregate to its empty stream."""
    await store.append_events(events[0].aggregate_id, DOOR, events, 0)
