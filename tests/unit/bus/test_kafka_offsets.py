"""Up to where a partition of Kafka is settled, and when it is full."""

import asyncio

from aiokafka import ConsumerRecord, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from eventsource.bus.kafka.offsets import Offsets
from eventsource.bus.kafka.partitions import Partition


def begun(*numbers: int) -> Offsets:
    """Return offsets of which the messages with these numbers have come."""
    offsets = Offsets()
    for number in numbers:
        offsets.begin(number)
    return offsets


def record(offset: int) -> ConsumerRecord:
    return ConsumerRecord("topic", 0, offset, 0, 0, b"key", b"value", None, 3, 5, ())


def partition(span: int, *offsets: int) -> Partition:
    """Return a partition of which the messages at *offsets* were fetched."""
    partition = Partition(TopicPartition("topic", 0), span)
    partition.add(map(record, offsets))
    return partition


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


def test_a_partition_is_full_once_it_spans_as_much_as_it_may() -> None:
    """Whatever was settled in between: all of it would be read again."""
    full = partition(4, 7, 8, 9, 10)

    full.offsets.settle(9)

    assert full.is_full
    assert not partition(4, 7, 8, 9).is_full


def test_a_full_partition_has_room_again_at_half_of_that() -> None:
    """Not before, or it would be paused again at once."""
    full = partition(4, 7, 8, 9, 10)
    rooms = []

    for offset in (7, 8):
        full.offsets.settle(offset)
        rooms.append(full.has_room)

    assert rooms == [False, True]


def test_a_partition_of_one_message_at_a_time_has_room_when_it_is_settled() -> None:
    """Half of one is none."""
    full = partition(1, 7)
    before = full.is_full, full.has_room

    full.offsets.settle(7)

    assert (before, full.has_room) == ((True, False), True)


def test_what_was_fetched_and_not_settled_is_not_committed() -> None:
    """The group's place is there already."""
    assert partition(9, 7, 8).uncommitted is None


def test_what_is_settled_is_committed_once() -> None:
    """Until more is."""
    one = partition(9, 7, 8)
    one.offsets.settle(7)
    before = one.uncommitted

    one.committed = before

    assert (before, one.uncommitted) == (8, None)


async def test_messages_are_given_out_in_their_order() -> None:
    """Whoever asks before they are there waits."""
    one = partition(9, 7)
    first = await one.next()
    waiting = asyncio.create_task(one.next())
    await asyncio.sleep(0)

    one.add([record(8), record(9)])

    assert [first.offset, (await waiting).offset, (await one.next()).offset] == [7, 8, 9]
