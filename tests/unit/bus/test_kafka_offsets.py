"""Up to where a partition of Kafka is settled."""

from hypothesis import given
from hypothesis import strategies as st

from eventsource.bus.kafka.offsets import Offsets


def begun(*numbers: int) -> Offsets:
    """Return offsets of which the messages with these numbers have come."""
    offsets = Offsets()
    for number in numbers:
        offsets.begin(number)
    return offsets


def test_nothing_is_settled_before_a_message_has_come() -> None:
    """There is nothing to commit."""
    assert Offsets().settled is None


def test_the_first_message_is_where_reading_would_begin_again() -> None:
    """It has come, and is not settled."""
    assert begun(7, 8).settled == 7


def test_reading_would_begin_behind_what_is_settled() -> None:
    """Kafka commits the next offset, not the last."""
    offsets = begun(7, 8)

    offsets.settle(7)

    assert offsets.settled == 8


def test_a_message_that_is_not_settled_holds_back_those_behind_it() -> None:
    """A member that takes over must not skip it."""
    offsets = begun(7, 8, 9)

    offsets.settle(8)
    offsets.settle(9)

    assert offsets.settled == 7


def test_the_last_missing_message_frees_all_behind_it() -> None:
    """They were settled before."""
    offsets = begun(7, 8, 9)
    offsets.settle(9)
    offsets.settle(8)

    offsets.settle(7)

    assert offsets.settled == 10


def test_offsets_without_a_message_hold_nobody_back() -> None:
    """Compaction and transactions leave gaps."""
    offsets = begun(7, 12)

    offsets.settle(7)
    offsets.settle(12)

    assert offsets.settled == 13


def test_the_span_is_how_far_reading_is_ahead() -> None:
    """It counts offsets, not messages: that is how much would be read again."""
    offsets = begun(7, 8, 20)

    offsets.settle(8)

    assert offsets.span == 14


def test_without_open_messages_there_is_no_span() -> None:
    """Neither before the first one nor behind the last."""
    offsets = begun(7)
    before = Offsets().span

    offsets.settle(7)

    assert (before, offsets.span) == (0, 0)


@given(st.data())
def test_nothing_is_skipped_and_nothing_is_held_back_for_nothing(data: st.DataObject) -> None:
    """Whatever the gaps and the order of settling: the first open message, or the one behind the last."""
    numbers = sorted(data.draw(st.sets(st.integers(0, 100), min_size=1, max_size=20)))
    order = data.draw(st.permutations(numbers))
    done = order[: data.draw(st.integers(0, len(order)))]
    offsets = begun(*numbers)

    for number in done:
        offsets.settle(number)

    waiting = [number for number in numbers if number not in done]
    behind = max((number + 1 for number in done if not waiting or number < waiting[0]), default=numbers[0])
    assert offsets.settled == behind
    assert offsets.span == (numbers[-1] - waiting[0] + 1 if waiting else 0)
