"""Ids of events."""

from uuid import RFC_4122

from eventsource.events.identity import time_ordered_id


def test_an_id_is_a_uuid_of_version_7() -> None:
    """Other software recognises what it is."""
    event_id = time_ordered_id()

    assert (event_id.version, event_id.variant) == (7, RFC_4122)


def test_ids_are_unique_within_a_moment() -> None:
    """Random bits tell apart what was made at the same time."""
    ids = [time_ordered_id() for _ in range(10_000)]

    assert len(set(ids)) == 10_000


def test_ids_are_in_the_order_of_time(monkeypatch) -> None:
    """An index of them grows at its end: within a millisecond too, down to a 4096th of it."""
    moments = iter(range(1_700_000_000_000_000_000, 1_700_000_000_003_000_000, 250))
    monkeypatch.setattr("time.time_ns", lambda: next(moments))

    ids = [time_ordered_id() for _ in range(12_000)]

    assert ids == sorted(ids)
