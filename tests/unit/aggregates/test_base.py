"""Aggregates: state made of events, new events, and all or nothing."""

import logging
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from eventsource.aggregates.base import AggregateRoot
from eventsource.events.base import DomainEvent
from eventsource.exceptions import EventVersionError


class Added(DomainEvent):
    aggregate_type: str = "Basket"
    item: str = "tea"


class Replaced(DomainEvent):
    aggregate_type: str = "Basket"
    item: str = "tea"


class BasketState(BaseModel):
    items: list[str] = []


class Basket(AggregateRoot[BasketState]):
    """Changes its state in place when something is added, and replaces it otherwise."""

    aggregate_type = "Basket"

    def add(self, item: str) -> None:
        self.apply_event(Added(aggregate_id=self.aggregate_id, aggregate_version=self.get_next_version(), item=item))

    def replace(self, item: str) -> None:
        self._raise_event(
            Replaced(aggregate_id=self.aggregate_id, aggregate_version=self.get_next_version(), item=item)
        )

    @property
    def items(self) -> list[str]:
        return list(self.state.items) if self.state else []

    def _apply(self, event: DomainEvent) -> None:
        assert isinstance(event, Added | Replaced)
        if isinstance(event, Replaced) or self._state is None:
            self._state = self._get_initial_state()
        self._state.items.append(event.item)
        if event.item == "bomb":
            raise ValueError("boom")

    def _get_initial_state(self) -> BasketState:
        return BasketState(items=[])


class Lenient(Basket):
    validate_versions = False


def history(aggregate_id: UUID, *items: str) -> list[DomainEvent]:
    return [
        Added(aggregate_id=aggregate_id, aggregate_version=number, item=item) for number, item in enumerate(items, 1)
    ]


def facts(basket: Basket) -> tuple[Any, ...]:
    return basket.version, basket.items, basket.uncommitted_events


@pytest.fixture
def basket() -> Basket:
    return Basket(uuid4())


class TestNewAggregates:
    def test_nothing_has_happened_to_it(self, basket: Basket) -> None:
        """Version 0, no state, nothing to save."""
        assert (basket.version, basket.state, basket.uncommitted_events) == (0, None, [])
        assert (basket.get_next_version(), basket.has_uncommitted_events) == (1, False)

    def test_it_has_the_id_that_it_was_given(self) -> None:
        """The id is known before anything is saved."""
        aggregate_id = uuid4()

        assert Basket(aggregate_id).aggregate_id == aggregate_id

    def test_the_class_says_what_it_is(self) -> None:
        """The defaults of a class that says nothing."""
        assert (AggregateRoot.aggregate_type, AggregateRoot.schema_version) == ("Unknown", 1)
        assert AggregateRoot.validate_versions is True


class TestNewEvents:
    def test_a_new_event_changes_the_state_and_waits_to_be_saved(self, basket: Basket) -> None:
        """Both at once."""
        basket.add("tea")

        assert (basket.version, basket.items, len(basket.uncommitted_events)) == (1, ["tea"], 1)
        assert basket.has_uncommitted_events

    def test_new_events_wait_in_their_order(self, basket: Basket) -> None:
        """Raising is applying."""
        basket.add("tea")
        basket.replace("milk")

        assert [type(event) for event in basket.uncommitted_events] == [Added, Replaced]

    def test_pending_events_are_the_uncommitted_ones(self, basket: Basket) -> None:
        """Two names for one thing."""
        basket.add("tea")

        assert basket.pending_events == basket.uncommitted_events

    @pytest.mark.parametrize("name", ["uncommitted_events", "pending_events"])
    def test_the_list_is_the_callers_own(self, basket: Basket, name: str) -> None:
        """Emptying it loses nothing."""
        basket.add("tea")

        getattr(basket, name).clear()

        assert len(getattr(basket, name)) == 1


class TestVersions:
    @pytest.mark.parametrize("version", [1, 3, 7])
    def test_a_new_event_must_carry_the_next_version(self, basket: Basket, version: int) -> None:
        """Neither a version that was there nor one that leaves a gap."""
        basket.add("tea")
        before = facts(basket)
        event = Added(aggregate_id=basket.aggregate_id, aggregate_version=version)

        with pytest.raises(EventVersionError) as caught:
            basket.apply_event(event)

        error = caught.value
        assert (error.expected_version, error.actual_version, error.event_id) == (2, version, event.event_id)
        assert facts(basket) == before

    def test_the_check_can_be_switched_off(self, caplog: pytest.LogCaptureFixture) -> None:
        """The version of the event counts then, and a warning tells."""
        basket = Lenient(uuid4())

        with caplog.at_level(logging.WARNING, "eventsource.aggregates.base"):
            basket.apply_event(Added(aggregate_id=basket.aggregate_id, aggregate_version=5))

        assert (basket.version, len(basket.uncommitted_events)) == (5, 1)
        assert caplog.messages[0].startswith("Version mismatch (validation disabled): expected 1, got 5")

    def test_the_right_version_is_no_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        """There is nothing to tell."""
        with caplog.at_level(logging.WARNING, "eventsource.aggregates.base"):
            Lenient(uuid4()).add("tea")

        assert caplog.records == []

    def test_history_is_not_checked(self, basket: Basket) -> None:
        """What is stored has happened, gaps and all."""
        basket.apply_event(Added(aggregate_id=basket.aggregate_id, aggregate_version=9), is_new=False)

        assert (basket.version, basket.uncommitted_events) == (9, [])


class TestHistory:
    def test_it_makes_the_state(self, basket: Basket) -> None:
        """Nothing of it waits to be saved again."""
        basket.load_from_history(history(basket.aggregate_id, "tea", "milk"))

        assert facts(basket) == (2, ["tea", "milk"], [])

    def test_it_may_come_from_an_iterator(self, basket: Basket) -> None:
        """Long streams need not be in memory at once."""
        basket.load_from_history(iter(history(basket.aggregate_id, "tea")))

        assert basket.version == 1

    def test_new_events_follow_on_it(self, basket: Basket) -> None:
        """The next version is counted from it."""
        basket.load_from_history(history(basket.aggregate_id, "tea"))

        basket.add("milk")

        assert (basket.version, basket.items, len(basket.uncommitted_events)) == (2, ["tea", "milk"], 1)


class TestAllOrNothing:
    @pytest.mark.parametrize("loaded", [(), ("tea",), ("tea", "milk")])
    @pytest.mark.parametrize("pending", [(), ("honey",), ("honey", "lemon")])
    @pytest.mark.parametrize("explode", [Basket.add, Basket.replace])
    def test_an_event_that_fails_leaves_no_trace(
        self, basket: Basket, loaded: tuple[str, ...], pending: tuple[str, ...], explode: Any
    ) -> None:
        """Even if it had changed the state in place before it failed."""
        basket.load_from_history(history(basket.aggregate_id, *loaded))
        for item in pending:
            basket.add(item)
        before = facts(basket)

        with pytest.raises(ValueError, match="boom"):
            explode(basket, "bomb")

        assert facts(basket) == before

    def test_work_goes_on_after_a_failure(self, basket: Basket) -> None:
        """The next event takes the version that the failed one would have had."""
        basket.add("tea")
        with pytest.raises(ValueError, match="boom"):
            basket.add("bomb")

        basket.add("milk")

        assert (basket.version, basket.items, len(basket.uncommitted_events)) == (2, ["tea", "milk"], 2)

    def test_it_holds_after_a_save_too(self, basket: Basket) -> None:
        """What was saved in the meantime is not undone."""
        basket.add("tea")
        basket.mark_events_as_committed()
        basket.add("milk")

        with pytest.raises(ValueError, match="boom"):
            basket.add("bomb")

        assert basket.items == ["tea", "milk"]

    def test_it_holds_after_a_part_was_saved(self, basket: Basket) -> None:
        """The state of the events that still wait is kept as well."""
        for item in ("tea", "milk", "honey"):
            basket.add(item)
        basket.mark_events_as_committed(2)

        with pytest.raises(ValueError, match="boom"):
            basket.add("bomb")

        assert (basket.version, basket.items, len(basket.uncommitted_events)) == (3, ["tea", "milk", "honey"], 1)

    def test_an_interruption_is_undone_as_well(self) -> None:
        """Not only errors can come from _apply."""

        class Interrupted(Basket):
            def _apply(self, event: DomainEvent) -> None:
                super()._apply(event)
                if self.items == ["tea", "milk"]:
                    raise KeyboardInterrupt

        basket = Interrupted(uuid4())
        basket.add("tea")

        with pytest.raises(KeyboardInterrupt):
            basket.add("milk")

        assert (basket.version, basket.items) == (1, ["tea"])

    def test_an_old_event_that_fails_does_not_count(self, basket: Basket) -> None:
        """The version is that of the last event that was applied."""
        with pytest.raises(ValueError, match="boom"):
            basket.load_from_history(history(basket.aggregate_id, "tea", "bomb"))

        assert basket.version == 1

    @given(st.lists(st.sampled_from(["add", "replace", "fail", "save", "save one"]), max_size=12))
    def test_whatever_happens_the_state_is_that_of_the_events(self, steps: list[str]) -> None:
        """Replaying all events that were accepted gives the same aggregate."""
        basket, saved = Basket(uuid4()), list[DomainEvent]()
        for number, step in enumerate(steps):
            if step == "add":
                basket.add(str(number))
            elif step == "replace":
                basket.replace(str(number))
            elif step == "fail":
                with pytest.raises(ValueError, match="boom"):
                    basket.add("bomb")
            else:
                count = None if step == "save" else 1
                saved += basket.uncommitted_events[:count]
                basket.mark_events_as_committed(count)

        replayed = Basket(basket.aggregate_id)
        replayed.load_from_history([*saved, *basket.uncommitted_events])
        assert (basket.version, basket.items) == (replayed.version, replayed.items)


class TestCommitting:
    def test_committed_events_wait_no_longer(self, basket: Basket) -> None:
        """Version and state stay."""
        basket.add("tea")

        basket.mark_events_as_committed()

        assert facts(basket) == (1, ["tea"], [])

    def test_only_the_oldest_may_be_committed(self, basket: Basket) -> None:
        """What came in the meantime still waits."""
        for item in ("tea", "milk", "honey"):
            basket.add(item)
        newest = basket.uncommitted_events[-1]

        basket.mark_events_as_committed(2)

        assert facts(basket) == (3, ["tea", "milk", "honey"], [newest])

    def test_clearing_hands_the_events_out(self, basket: Basket) -> None:
        """For people who save them by themselves."""
        basket.add("tea")
        waiting = basket.uncommitted_events

        cleared = basket.clear_uncommitted_events()

        assert (cleared, basket.uncommitted_events) == (waiting, [])


class TestIdentity:
    def test_aggregates_of_one_id_are_equal(self) -> None:
        """Whatever has happened to either."""
        first = Basket(uuid4())
        second = Lenient(first.aggregate_id)
        second.add("tea")

        assert (first == second, len({first, second})) == (True, 1)

    def test_aggregates_of_two_ids_differ(self) -> None:
        """However alike they are."""
        assert Basket(uuid4()) != Basket(uuid4())

    def test_an_aggregate_is_not_its_id(self, basket: Basket) -> None:
        """Only aggregates are compared."""
        assert basket != basket.aggregate_id

    def test_repr_tells_id_version_and_what_waits(self, basket: Basket) -> None:
        """Enough to find it and to see whether it was saved."""
        basket.add("tea")

        assert repr(basket) == f"Basket(id={basket.aggregate_id}, version=1, uncommitted=1)"
