"""The errors: their facts, their words, and their way through pickle and copy."""

import copy
import pickle
from datetime import UTC, datetime
from uuid import UUID

import pytest

from eventsource import exceptions
from eventsource.exceptions import (
    AggregateNotFoundError,
    BrokerConnectionError,
    CheckpointConflictError,
    CheckpointError,
    DatabaseError,
    DeserializationError,
    DuplicateEventError,
    EventBusError,
    EventNotFoundError,
    EventSourceError,
    EventStoreError,
    EventVersionError,
    ForeignEventError,
    MessageTooLargeError,
    NotConnectedError,
    OptimisticLockError,
    ProjectionError,
    PublishError,
    PublishTimeoutError,
    RebuildError,
    SerializationError,
    UnhandledEventError,
    UnreadableEvent,
    UnroutableError,
)
from eventsource.snapshots import (
    SnapshotDeserializationError,
    SnapshotError,
    SnapshotNotFoundError,
    SnapshotSchemaVersionError,
)

ONE, TWO = UUID(int=1), UUID(int=2)
UNREADABLE = UnreadableEvent(ONE, "Placed", 7, datetime(2024, 5, 1, 12, tzinfo=UTC), "{")

ERRORS = [
    EventSourceError("something"),
    NotConnectedError("closed"),
    EventStoreError("store"),
    DatabaseError("database"),
    EventBusError("bus"),
    BrokerConnectionError("unreachable"),
    DeserializationError("no JSON"),
    PublishError("refused", ONE),
    PublishTimeoutError("not confirmed", ONE),
    UnroutableError("no queue", ONE),
    MessageTooLargeError("2 MB", ONE),
    CheckpointError("checkpoint"),
    CheckpointConflictError("Totals", "is at 5, not at 3"),
    RebuildError("totals", "Totals"),
    OptimisticLockError(ONE, 3, 5),
    DuplicateEventError(ONE, "stands twice"),
    ForeignEventError(ONE, "Order 1", "Order 2"),
    EventNotFoundError(ONE),
    EventVersionError(3, 5, ONE, TWO),
    AggregateNotFoundError(ONE, "Order"),
    SerializationError("Placed", "no JSON"),
    SerializationError("Placed", "no JSON", unreadable=UNREADABLE),
    ProjectionError("Totals", ONE, "division by zero"),
    UnhandledEventError("Placed", ONE, "Order", ["Paid", "Shipped"]),
    SnapshotError("unusable"),
    SnapshotDeserializationError(ONE, "Order", None, "no JSON"),
    SnapshotSchemaVersionError(ONE, "Order", 1, 2),
    SnapshotNotFoundError(ONE, "Order"),
]

FACTS = [
    (OptimisticLockError(ONE, 3, 5), {"aggregate_id": ONE, "expected_version": 3, "actual_version": 5}),
    (DuplicateEventError(ONE, "stands twice"), {"event_id": ONE}),
    (ForeignEventError(ONE, "A 1", "A 2"), {"event_id": ONE, "belongs_to": "A 1", "appended_to": "A 2"}),
    (EventNotFoundError(ONE), {"event_id": ONE}),
    (
        EventVersionError(3, 5, ONE, TWO),
        {"expected_version": 3, "actual_version": 5, "event_id": ONE, "aggregate_id": TWO},
    ),
    (AggregateNotFoundError(ONE, "Order"), {"aggregate_id": ONE, "aggregate_type": "Order"}),
    (AggregateNotFoundError(ONE), {"aggregate_id": ONE, "aggregate_type": None}),
    (
        SerializationError("Placed", "no JSON"),
        {"event_type": "Placed", "message": "no JSON", "unreadable": None},
    ),
    (
        SerializationError("Placed", "no JSON", unreadable=UNREADABLE),
        {"event_type": "Placed", "message": "no JSON", "unreadable": UNREADABLE},
    ),
    (CheckpointConflictError("Totals", "is at 5, not at 3"), {"projection_name": "Totals"}),
    (ProjectionError("Totals", ONE, "broke"), {"projection_name": "Totals", "event_id": ONE}),
    (RebuildError("totals", "Totals"), {"projection_name": "totals", "projection_class": "Totals"}),
    (PublishError("refused", ONE), {"event_id": ONE}),
    (PublishError("refused"), {"event_id": None}),
    (
        UnhandledEventError("Placed", ONE, "Order", ["Paid"]),
        {"event_type": "Placed", "event_id": ONE, "handler_class": "Order", "available_handlers": ["Paid"]},
    ),
]

MESSAGES = [
    (
        OptimisticLockError(ONE, 3, 5),
        f"the stream of aggregate {ONE} is at version 5, expected 3; reload the aggregate and retry",
    ),
    (EventNotFoundError(ONE), f"Event not found: {ONE}"),
    (AggregateNotFoundError(ONE), f"Aggregate not found: {ONE}"),
    (AggregateNotFoundError(ONE, "Order"), f"Aggregate of type Order not found: {ONE}"),
    (SerializationError("Placed", "no JSON"), "Serialization error for Placed: no JSON"),
    (ProjectionError("Totals", ONE, "broke"), f"Projection Totals failed on event {ONE}: broke"),
]


def name_of(error: EventSourceError) -> str:
    return type(error).__name__


def test_every_error_of_the_module_is_tested_here() -> None:
    """An error that is added gets its tests too."""
    defined = {each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, Exception)}

    assert defined <= {type(error) for error in ERRORS}


@pytest.mark.parametrize(("error", "facts"), FACTS, ids=str)
def test_an_error_carries_its_facts(error: EventSourceError, facts: dict[str, object]) -> None:
    """Programs need not parse the message."""
    assert vars(error) == facts


@pytest.mark.parametrize(("error", "message"), MESSAGES, ids=str)
def test_an_error_has_the_words_that_people_know(error: EventSourceError, message: str) -> None:
    """Alerts and searches rely on them."""
    assert str(error) == message


@pytest.mark.parametrize("error", ERRORS, ids=name_of)
def test_every_error_is_one_of_the_library(error: EventSourceError) -> None:
    """One except clause catches them all."""
    assert isinstance(error, EventSourceError)


@pytest.mark.parametrize("error", ERRORS, ids=name_of)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling(error: EventSourceError, protocol: int) -> None:
    """Message, arguments and facts cross process boundaries."""
    twin = pickle.loads(pickle.dumps(error, protocol))

    assert (type(twin), str(twin), twin.args, vars(twin)) == (type(error), str(error), error.args, vars(error))


@pytest.mark.parametrize("error", ERRORS, ids=name_of)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_an_error_can_be_copied(error: EventSourceError, duplicate: type) -> None:
    """Tools that keep errors for later may copy them."""
    twin = duplicate(error)

    assert (type(twin), str(twin), vars(twin)) == (type(error), str(error), vars(error))


def test_the_notes_of_an_error_survive_pickling() -> None:
    """What was added on the way up is not lost."""
    error = EventNotFoundError(ONE)
    error.add_note("It was asked for by the report.")

    assert pickle.loads(pickle.dumps(error)).__notes__ == ["It was asked for by the report."]


def test_what_a_copy_is_told_does_not_reach_the_original() -> None:
    """The facts are copied, not shared."""
    error = EventNotFoundError(ONE)

    copy.copy(error).event_id = TWO

    assert error.event_id == ONE


@pytest.mark.parametrize(("expected", "words"), [(0, "expected 0 (no stream);"), (-2, "expected an existing stream;")])
def test_a_conflict_puts_special_expectations_into_words(expected: int, words: str) -> None:
    """A bare -2 would tell nobody anything."""
    assert words in str(OptimisticLockError(ONE, expected, 5))


def test_a_wrong_version_names_both_versions_both_ids_and_the_remedy() -> None:
    """Everything needed to find the line that built the event."""
    message = str(EventVersionError(3, 5, ONE, TWO))

    assert all(fact in message for fact in ("version 5", "version 3", str(ONE), str(TWO), "get_next_version()"))


@pytest.mark.parametrize(("available", "words"), [(["Paid", "Shipped"], "handles Paid, Shipped:"), ([], "none:")])
def test_an_unhandled_event_error_lists_what_is_handled(available: list[str], words: str) -> None:
    """A typing error in a decorator shows at once."""
    assert words in str(UnhandledEventError("Placed", ONE, "Order", available))


@pytest.mark.parametrize("error", [DuplicateEventError(ONE, "stands twice"), ForeignEventError(ONE, "A 1", "A 2")])
def test_a_refused_append_is_a_value_error_that_says_so(error: EventSourceError) -> None:
    """Nothing was appended, and the caller can tell."""
    assert isinstance(error, ValueError)
    assert "nothing was appended" in str(error)


def test_a_checkpoint_conflict_names_the_projection_and_says_that_nothing_moved() -> None:
    """Whoever catches errors of checkpoints catches it too."""
    error = CheckpointConflictError("Totals", "is at 5, not at 3")

    assert isinstance(error, CheckpointError)
    assert str(error) == "the checkpoint of projection 'Totals' is at 5, not at 3; it was not moved"


def test_not_connected_is_a_runtime_error() -> None:
    """People catch it as such."""
    assert isinstance(NotConnectedError("closed"), RuntimeError)


def test_a_broken_snapshot_is_explained_by_what_broke_it() -> None:
    """Without a message of its own, the kind of the original error tells."""
    message = str(SnapshotDeserializationError(ONE, "Order", ValueError("no JSON")))

    assert "ValueError while restoring the state" in message
