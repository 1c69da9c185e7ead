"""What undoing and committing leave of an aggregate besides its state."""

import gc
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from eventsource.aggregates.base import AggregateRoot
from eventsource.events.base import DomainEvent


class Added(DomainEvent):
    aggregate_type: str = "Basket"
    item: str


class ReplayedState(BaseModel):
    items: list[str]


class Counting(AggregateRoot[ReplayedState]):
    """Counts what it applies, beside its state."""

    def __init__(self, aggregate_id: UUID) -> None:
        super().__init__(aggregate_id)
        self.applied = 0

    def add(self, item: str) -> None:
        self.apply_event(Added(aggregate_id=self.aggregate_id, aggregate_version=self.get_next_version(), item=item))

    def _apply(self, event: DomainEvent) -> None:
        assert isinstance(event, Added)
        self._state = self._state or self._get_initial_state()
        self._state.items.append(event.item)
        if event.item == "bomb":
            raise ValueError("boom")
        self.applied += 1

    def _get_initial_state(self) -> ReplayedState:
        return ReplayedState(items=[])


@pytest.fixture
def basket() -> Counting:
    basket = Counting(uuid4())
    basket.add("tea")
    basket.add("milk")
    return basket


def states() -> list[Any]:
    gc.collect()
    return [each for each in gc.get_objects() if type(each) is ReplayedState]


def test_undoing_counts_no_event_again(basket: Counting) -> None:
    """What a subclass keeps beside the state is not told of events that it knows."""
    with pytest.raises(ValueError, match="boom"):
        basket.add("bomb")

    assert (basket.applied, basket.version, basket.state) == (2, 2, ReplayedState(items=["tea", "milk"]))


def test_committing_a_part_counts_no_event_again(basket: Counting) -> None:
    """Working out the committed state is nothing that happens to the aggregate."""
    basket.mark_events_as_committed(1)

    assert (basket.applied, basket.version, basket.state) == (2, 2, ReplayedState(items=["tea", "milk"]))


def test_a_saved_aggregate_keeps_one_state() -> None:
    """The copy to go back to is let go with the events that it was for."""
    basket = Counting(uuid4())
    basket.add("tea")
    basket.mark_events_as_committed()
    basket.add("milk")
    before = len(states())

    basket.mark_events_as_committed()

    assert (before, states()) == (2, [basket.state])


class Tally(AggregateRoot[BaseModel]):
    """Applies events by a table of its own bound methods, and counts how often."""

    def __init__(self, aggregate_id: UUID) -> None:
        super().__init__(aggregate_id)
        self.applied = 0
        self._appliers = {DomainEvent: self._count}

    def _get_initial_state(self) -> BaseModel:
        return Total()

    def _apply(self, event: DomainEvent) -> None:
        self._appliers[DomainEvent](event)
        self.applied += 1

    def _count(self, event: DomainEvent) -> None:
        if event.actor_id == "nobody":
            raise ValueError("refused")
        self._state = Total(total=getattr(self._state, "total", 0) + 1)


class Total(BaseModel):
    total: int = 0


def tallied(tally: Tally, **fields: Any) -> DomainEvent:
    return DomainEvent(
        aggregate_id=tally.aggregate_id, aggregate_type="Tally", aggregate_version=tally.get_next_version(), **fields
    )


def test_an_aggregate_with_a_table_of_its_bound_methods_is_rolled_back() -> None:
    """They lead to the aggregate itself, and never to a copy of it."""
    tally = Tally(uuid4())
    tally.apply_event(tallied(tally))

    with pytest.raises(ValueError, match="refused"):
        tally.apply_event(tallied(tally, actor_id="nobody"))

    assert (tally.state, tally.version, tally.applied) == (Total(total=1), 1, 1)


def test_such_an_aggregate_keeps_its_state_when_some_events_are_committed() -> None:
    """Working out what was committed leaves everything else as it is."""
    tally = Tally(uuid4())
    for _ in range(2):
        tally.apply_event(tallied(tally))

    tally.mark_events_as_committed(1)

    assert (tally.state, tally.version, tally.applied) == (Total(total=2), 2, 2)
