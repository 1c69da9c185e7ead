"""The state of an aggregate as JSON values, and finding out what type it is."""

from typing import Any, Generic, TypeVar
from uuid import uuid4

import pytest
from pydantic import BaseModel

from eventsource.aggregates.base import AggregateRoot
from eventsource.events.base import DomainEvent


class Added(DomainEvent):
    aggregate_type: str = "Basket"
    item: str = "tea"


class BasketState(BaseModel):
    items: list[str] = []


class Basket(AggregateRoot[BasketState]):
    def add(self, item: str) -> None:
        self.apply_event(Added(aggregate_id=self.aggregate_id, aggregate_version=self.get_next_version(), item=item))

    @property
    def items(self) -> list[str]:
        return list(self.state.items) if self.state else []

    def _apply(self, event: DomainEvent) -> None:
        assert isinstance(event, Added)
        self._state = self._state or self._get_initial_state()
        self._state.items.append(event.item)
        if event.item == "bomb":
            raise ValueError("boom")

    def _get_initial_state(self) -> BasketState:
        return BasketState(items=[])


StateOf = TypeVar("StateOf", bound=BasketState)


class Shelf(AggregateRoot[StateOf], Generic[StateOf]):
    def _apply(self, event: DomainEvent) -> None: ...


class BoxState(BasketState):
    lid: bool = True


class Box(Shelf[BoxState]):
    def _get_initial_state(self) -> BoxState:
        return BoxState()


class SmallBox(Box):
    pass


class Labelled:
    pass


class LabelledBasket(Labelled, Basket):
    pass


class Untyped(AggregateRoot):  # type: ignore[type-arg]
    def _apply(self, event: DomainEvent) -> None: ...

    def _get_initial_state(self) -> Any: ...


@pytest.fixture
def basket() -> Basket:
    return Basket(uuid4())


class TestSnapshotsOfState:
    def test_the_state_becomes_json_values_and_a_state_again(self, basket: Basket) -> None:
        """The restored aggregate is at the version that it is told."""
        basket.add("tea")
        restored = Basket(basket.aggregate_id)

        restored._restore_from_snapshot(basket._serialize_state(), 1)

        assert (restored.version, restored.items, restored.uncommitted_events) == (1, ["tea"], [])

    def test_no_state_is_an_empty_dictionary(self, basket: Basket) -> None:
        """And an empty dictionary is no state, at whatever version."""
        assert basket._serialize_state() == {}

        basket._restore_from_snapshot({}, 4)

        assert (basket.version, basket.state) == (4, None)

    def test_a_restored_aggregate_can_undo_a_failure(self, basket: Basket) -> None:
        """The state of the snapshot is where it goes back to."""
        basket._restore_from_snapshot({"items": ["tea"]}, 1)

        with pytest.raises(ValueError, match="boom"):
            basket.add("bomb")

        assert (basket.version, basket.items) == (1, ["tea"])

    @pytest.mark.parametrize(
        ("aggregate", "state"),
        [(Basket, BasketState), (Box, BoxState), (SmallBox, BoxState), (LabelledBasket, BasketState)],
    )
    def test_the_state_type_is_found_through_generic_bases(self, aggregate: Any, state: type[BaseModel]) -> None:
        """However far up it was written."""
        assert aggregate(uuid4())._get_state_type() is state

    def test_a_state_type_that_was_never_written_cannot_be_found(self) -> None:
        """The message says where to write it."""
        with pytest.raises(RuntimeError, match="Cannot determine state type of Untyped: write 'class X"):
            Untyped(uuid4())._get_state_type()
