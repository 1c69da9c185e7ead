"""Aggregates: state that is rebuilt from events and changed by applying new ones."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin
from uuid import UUID

import pydantic_core
from pydantic import BaseModel

from eventsource.events.base import DomainEvent
from eventsource.exceptions import EventVersionError
from eventsource.handlers.registry import (
    HandlerInfo,
    UnregisteredEventHandling,
    check_synchronous,
    check_unregistered_event_handling,
    handlers_of,
    report_unhandled,
)
from eventsource.types import TState

logger = logging.getLogger(__name__)

TAggregate = TypeVar("TAggregate", bound="AggregateRoot[Any]")


class AggregateRoot(Generic[TState], ABC):
    """
    A consistency boundary; subclasses apply events to ``self._state`` in `_apply`.

    ``schema_version`` is that of the state in snapshots. With ``validate_versions`` off, a new event
    with an unexpected version is accepted with a warning.
    """

    aggregate_type: ClassVar[str] = "Unknown"
    schema_version: ClassVar[int] = 1
    validate_versions: ClassVar[bool] = True

    snapshot_version: int = 0
    """The version of the newest snapshot that this object was restored from or saved as."""

    events_in_doubt: int = 0
    """How many of the oldest uncommitted events may be stored already, because saving them was cancelled."""

    def __init__(self, aggregate_id: UUID) -> None:
        self._aggregate_id = aggregate_id
        self._version = 0
        self._state: TState | None = None
        self._uncommitted_events: list[DomainEvent] = []
        self._committed_state: TState | None = None

    @property
    def aggregate_id(self) -> UUID:
        """The id of this aggregate."""
        return self._aggregate_id

    @property
    def version(self) -> int:
        """How many events made this state; 0 when new."""
        return self._version

    @property
    def state(self) -> TState | None:
        """The state; None before any event."""
        return self._state

    @property
    def uncommitted_events(self) -> list[DomainEvent]:
        """The new events that are not saved yet, as a list of the caller's own."""
        return list(self._uncommitted_events)

    @property
    def pending_events(self) -> list[DomainEvent]:
        """The same as `uncommitted_events`."""
        return self.uncommitted_events

    @property
    def has_uncommitted_events(self) -> bool:
        """Whether there are new events to save."""
        return bool(self._uncommitted_events)

    def apply_event(self, event: DomainEvent, is_new: bool = True) -> None:
        """
        Apply *event*; a new one is also kept to be saved.

        All or nothing: if `_apply` raises, version, state and uncommitted events are as before. To hold that
        also for states changed in place, the state is copied once, before the first event that is not saved yet; of
        history (*is_new* false) a state that was changed in place before the error stays so.

        Raises:
            EventVersionError: If a new event does not carry the next version.
        """
        if not is_new:
            self._advance(event)
            return
        self._check_version(event)
        if not self._uncommitted_events:
            self._committed_state = deepcopy(self._state)
        try:
            self._advance(event)
        except BaseException:
            self._state = self._replayed(self._uncommitted_events)
            raise
        self._uncommitted_events.append(event)

    def load_from_history(self, events: Iterable[DomainEvent]) -> None:
        """Apply *events* that were saved before."""
        for event in events:
            self._advance(event)

    def get_next_version(self) -> int:
        """Return the version that the next new event must carry."""
        return self._version + 1

    def mark_events_as_committed(self, count: int | None = None) -> None:
        """Forget the uncommitted events, or the *count* oldest of them, because they are saved."""
        saved = len(self._uncommitted_events) if count is None else count
        pending = self._uncommitted_events[saved:]
        self._committed_state = self._replayed(self._uncommitted_events[:saved]) if pending else None
        self._uncommitted_events = pending
        self.events_in_doubt = max(self.events_in_doubt - saved, 0)

    def clear_uncommitted_events(self) -> list[DomainEvent]:
        """Forget the uncommitted events and return them."""
        events = self.uncommitted_events
        self.mark_events_as_committed()
        return events

    @abstractmethod
    def _apply(self, event: DomainEvent) -> None:
        """Set ``self._state`` to what it is after *event*."""

    @abstractmethod
    def _get_initial_state(self) -> TState:
        """Return the state of an aggregate to which nothing has happened."""

    def _raise_event(self, event: DomainEvent) -> None:
        self.apply_event(event)

    def _serialize_state(self) -> dict[str, Any]:
        return self._state.model_dump(mode="json", round_trip=True) if self._state is not None else {}

    def _restore_from_snapshot(self, state: dict[str, Any], version: int) -> None:
        if state:
            self._state = _validated(self._get_state_type(), state)
        self._version = version

    def _get_state_type(self) -> type[TState]:
        for cls in type(self).__mro__:
            for base in getattr(cls, "__orig_bases__", ()):
                for argument in get_args(base) if issubclass(get_origin(base) or object, AggregateRoot) else ():
                    if isinstance(argument, type) and issubclass(argument, BaseModel):
                        return argument  # type: ignore[return-value]
        raise RuntimeError(
            f"Cannot determine state type of {type(self).__name__}: "
            "write 'class X(AggregateRoot[XState])' or override _get_state_type"
        )

    def _check_version(self, event: DomainEvent) -> None:
        expected, actual = self.get_next_version(), event.aggregate_version
        if actual == expected:
            return
        if self.validate_versions:
            raise EventVersionError(expected, actual, event.event_id, self._aggregate_id)
        logger.warning(
            "Version mismatch (validation disabled): expected %d, got %d for aggregate %s",
            expected,
            actual,
            self._aggregate_id,
            extra={
                "aggregate_id": str(self._aggregate_id),
                "expected_version": expected,
                "actual_version": actual,
                "event_id": str(event.event_id),
            },
        )

    def _advance(self, event: DomainEvent) -> None:
        version, state = self._version, self._state
        self._version = event.aggregate_version
        try:
            self._apply(event)
        except BaseException:
            self._version, self._state = version, state
            raise

    def _replayed(self, events: Iterable[DomainEvent]) -> TState | None:
        """Return the state after *events* on top of what was committed; the attributes of this object stay."""
        attributes = dict(vars(self))
        self._state = deepcopy(self._committed_state)
        try:
            self.load_from_history(events)
            return self._state
        finally:
            vars(self).clear()
            vars(self).update(attributes)

    def __eq__(self, other: object) -> bool:
        return self._aggregate_id == other._aggregate_id if isinstance(other, AggregateRoot) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._aggregate_id)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(id={self._aggregate_id}, version={self._version}, "
            f"uncommitted={len(self._uncommitted_events)})"
        )


def _validated(state_type: type[TState], values: dict[str, Any]) -> TState:
    try:
        json = pydantic_core.to_json(values)
    except (pydantic_core.PydanticSerializationError, UnicodeError):  # `_serialize_state` was overridden
        return state_type.model_validate(values)
    return state_type.model_validate_json(json, by_alias=True, by_name=True)


class DeclarativeAggregate(AggregateRoot[TState], ABC):
    """An aggregate whose events are applied by methods marked with ``@handles(Event)`` that take ``(event)``."""

    unregistered_event_handling: ClassVar[UnregisteredEventHandling] = "ignore"
    _handlers: ClassVar[Mapping[type[DomainEvent], HandlerInfo]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_unregistered_event_handling(cls, cls.unregistered_event_handling)
        cls._handlers = handlers_of(cls)
        check_synchronous(cls, cls._handlers.values(), ("event",), "an aggregate applies its events at once")

    def _apply(self, event: DomainEvent) -> None:
        info = self._handlers.get(type(event))
        if info is None:
            report_unhandled(self, event, self.unregistered_event_handling, self._handlers)
        else:
            info.handler(self, event)
