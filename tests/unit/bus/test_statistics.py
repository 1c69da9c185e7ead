"""What a bus over a broker counts."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import pytest

from eventsource.bus.statistics import BrokerStats

NOTES: dict[str, tuple[Callable[[BrokerStats], None], dict[str, int], str | None]] = {
    "a publication": (lambda stats: stats.note_published(3), {"events_published": 3}, "last_publish_at"),
    "a failed one": (BrokerStats.note_publish_error, {"publish_errors": 1}, "last_error_at"),
    "a delivery": (BrokerStats.note_consumed, {"events_consumed": 1}, "last_consume_at"),
    "a failed attempt": (BrokerStats.note_handler_error, {"handler_errors": 1}, "last_error_at"),
    "a dead letter": (BrokerStats.note_dead_letter, {"messages_sent_to_dlq": 1}, None),
    "a lost connection": (BrokerStats.note_connection_error, {"connection_errors": 1}, "last_error_at"),
}


@pytest.mark.parametrize(("note", "counts", "moment"), NOTES.values(), ids=NOTES)
def test_what_happens_is_counted(
    note: Callable[[BrokerStats], None], counts: dict[str, int], moment: str | None
) -> None:
    """One count goes up, and the moment is kept, in UTC; all else is as before."""
    stats, untouched = BrokerStats(), asdict(BrokerStats())
    before = datetime.now(UTC)

    note(stats)

    changed = {name: value for name, value in asdict(stats).items() if value != untouched[name]}
    if moment is not None:
        assert before <= changed.pop(moment) <= datetime.now(UTC)
    assert changed == counts


def test_counts_are_shown_by_name() -> None:
    """Times are text."""
    stats = BrokerStats(events_published=2, connected_at=datetime(2024, 5, 1, 12, tzinfo=UTC))

    shown = stats.as_dict()

    assert (shown["events_published"], shown["handler_errors"]) == (2, 0)
    assert (shown["connected_at"], shown["last_error_at"]) == ("2024-05-01T12:00:00+00:00", None)


def test_the_counts_of_a_backend_are_shown_too() -> None:
    """Whatever it adds."""

    @dataclass(slots=True)
    class Stats(BrokerStats):
        returns: int = 0

    assert Stats(returns=4).as_dict()["returns"] == 4
