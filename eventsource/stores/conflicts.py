"""What an append that could not be written amounts to: a repeat, a duplicate or a conflict."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from eventsource.exceptions import DuplicateEventError, OptimisticLockError
from eventsource.stores.operations import Append
from eventsource.stores.values import AppendResult


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """Where an event that is to be appended stands already; it is known by its id, whatever its content."""

    aggregate_id: UUID
    aggregate_type: str
    version: int
    global_position: int


def judge_refused(append: Append, known: Mapping[UUID, KnownEvent], actual_version: int) -> AppendResult:
    """
    Return the result of an *append* that repeats exactly what stands in its stream.

    Args:
        append: The append that the store could not write.
        known: Those of its events that are stored anywhere, by id.
        actual_version: The version of its stream.

    Raises:
        DuplicateEventError: If an event is known elsewhere, in another order, or only some are known.
        OptimisticLockError: If none is known: the stream has moved.
    """
    if not known:
        raise OptimisticLockError(append.aggregate_id, append.expected_version, actual_version)
    first = known.get(append.events[0].event_id)
    for offset, event in enumerate(append.events):
        _check_repeats(append, event.event_id, known.get(event.event_id), first, offset)
    last = known[append.events[-1].event_id]
    return replace(AppendResult.successful(last.version, last.global_position), repeated=True)


def _check_repeats(
    append: Append, event_id: UUID, known: KnownEvent | None, first: KnownEvent | None, offset: int
) -> None:
    if known is None:
        message = (
            "is new, but other events of the same append are stored already: "
            "append the new ones alone, or reload the aggregate and retry"
        )
        raise DuplicateEventError(event_id, message)
    if (known.aggregate_id, known.aggregate_type) != (append.aggregate_id, append.aggregate_type):
        where = f"{known.aggregate_type} {known.aggregate_id}"
        raise DuplicateEventError(event_id, f"is stored already, in the stream of {where}: give it an id of its own")
    if first is None or known.version != first.version + offset:
        message = f"is stored already as version {known.version}, and not in the order of this append"
        raise DuplicateEventError(event_id, message)
