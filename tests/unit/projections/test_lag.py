"""What is told of a lag."""

from datetime import UTC, datetime, timedelta

import pytest

from eventsource.projections.lag import Lag

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


def test_there_are_as_many_events_to_handle_as_positions() -> None:
    """At most: there may be gaps, and events that nobody wants."""
    assert Lag(head=10, checkpoint=4, oldest_at=YESTERDAY).events == 6


def test_without_an_event_that_waits_there_is_no_lag() -> None:
    """Wherever the checkpoint is."""
    lag = Lag(head=10, checkpoint=4)

    assert (lag.events, lag.seconds) == (0, 0.0)


def test_a_checkpoint_ahead_of_the_log_is_no_negative_lag() -> None:
    """Both are looked up one after the other."""
    assert Lag(head=3, checkpoint=4, oldest_at=YESTERDAY).events == 0


def test_it_grows_older_by_itself() -> None:
    """Seconds count until whoever asks."""
    lag = Lag(head=1, checkpoint=0, oldest_at=YESTERDAY)

    assert lag.seconds >= timedelta(days=1).total_seconds()


def test_an_event_from_the_future_is_not_negative() -> None:
    """Clocks differ."""
    assert Lag(head=1, checkpoint=0, oldest_at=datetime.now(UTC) + timedelta(hours=1)).seconds == 0.0


def test_for_who_has_handled_everything_by_now_there_is_none() -> None:
    """Though nobody has looked since."""
    lag = Lag(head=10, checkpoint=4, oldest_at=YESTERDAY).at(10)

    assert (lag.checkpoint, lag.events, lag.seconds) == (10, 0, 0.0)


def test_for_who_has_handled_a_part_by_now_there_is_less() -> None:
    """It is as old as it was: who knows which event is the oldest."""
    assert Lag(head=10, checkpoint=4, oldest_at=YESTERDAY).at(7) == Lag(head=10, checkpoint=7, oldest_at=YESTERDAY)


def test_for_who_is_not_as_far_as_what_is_saved_it_stays() -> None:
    """Somebody has handled that."""
    lag = Lag(head=10, checkpoint=4, oldest_at=YESTERDAY)

    assert lag.at(3) == lag


@pytest.mark.parametrize("name", ["head", "checkpoint", "oldest_at"])
def test_it_is_a_value(name: str) -> None:
    """Whoever has one may keep it."""
    with pytest.raises(AttributeError):
        setattr(Lag(1, 1), name, 5)
