"""How what was written as an old version of an event is carried forward."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry
from eventsource.events.upcasting import Upcaster, check_upcasters, upcast


def noting(version: int) -> Upcaster:
    """Return a step that notes from which version it started."""

    def step(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "steps": [*data.get("steps", []), version]}

    return step


class TestChains:
    @given(st.data())
    def test_every_version_takes_each_step_that_is_left_once(self, data: st.DataObject) -> None:
        """The steps are those from the written version to today's, in their order."""
        current = data.draw(st.integers(2, 12))
        oldest = data.draw(st.integers(1, current - 1))
        written = data.draw(st.integers(oldest, current))
        upcasters = {version: noting(version) for version in range(oldest, current)}

        check_upcasters("Grown", current, upcasters)
        carried = upcast({"event_version": written}, upcasters)

        assert carried.get("steps", []) == list(range(written, current))
        assert carried["event_version"] == current

    @given(st.sets(st.integers(-3, 10), min_size=1), st.integers(1, 10))
    def test_what_registration_accepts_leads_to_the_current_version(self, versions: set[int], current: int) -> None:
        """There is no chain that is accepted and stops half-way."""
        upcasters = {version: noting(version) for version in versions}

        try:
            check_upcasters("Grown", current, upcasters)
        except ValueError:
            return

        carried = [upcast({"event_version": version}, upcasters)["event_version"] for version in versions]
        assert set(carried) == {current}

    def test_data_without_a_version_is_version_one(self) -> None:
        """Other writers may have left it out."""
        assert upcast({}, {1: noting(1)}) == {"steps": [1], "event_version": 2}

    @given(st.integers(1, 12), st.integers(1, 6), st.integers(-3, 30))
    def test_a_version_that_no_step_knows_is_refused(self, oldest: int, steps: int, written: int) -> None:
        """What is carried forward ends at today's version, or is not carried at all."""
        upcasters = {version: noting(version) for version in range(oldest, oldest + steps)}
        current = oldest + steps

        if oldest <= written <= current:
            assert upcast({"event_version": written}, upcasters)["event_version"] == current
        else:
            with pytest.raises(ValueError, match=f"of version {written}, but only versions {oldest} to {current}"):
                upcast({"event_version": written}, upcasters)

    def test_a_step_need_not_count_the_version(self) -> None:
        """The version is counted for it, even if it says otherwise."""
        assert upcast({"event_version": 1}, {1: lambda _: {"event_version": 9}}) == {"event_version": 2}

    def test_what_was_given_stays_as_it_was(self) -> None:
        """Carrying forward makes new values."""
        data = {"event_version": 1}

        upcast(data, {1: noting(1)})

        assert data == {"event_version": 1}

    def test_what_raises_reaches_the_caller(self) -> None:
        """Nothing is swallowed here."""
        with pytest.raises(KeyError, match="colour"):
            upcast({}, {1: lambda data: data["colour"]})


class TestRegistration:
    @pytest.mark.parametrize("versions", [{1}, {1, 3}, {2}, {1, 2, 3, 4}, {4}, {0, 1, 2, 3}])
    def test_a_chain_that_does_not_lead_to_the_current_version_is_refused(self, versions: set[int]) -> None:
        """Of version 4, the steps must be an unbroken run that ends in 3."""
        with pytest.raises(ValueError, match="its event_version is 4"):
            check_upcasters("Grown", 4, {version: noting(version) for version in versions})

    @pytest.mark.parametrize("versions", [set(), {3}, {2, 3}, {1, 2, 3}])
    def test_a_chain_may_begin_at_any_version(self, versions: set[int]) -> None:
        """Versions that were never stored need no step."""
        check_upcasters("Grown", 4, {version: noting(version) for version in versions})

    def test_the_message_says_what_is_needed(self) -> None:
        """The gap is found at import, with advice."""
        with pytest.raises(ValueError, match=r"upcasters of Grown start from the versions \[1\].*event_version to 2"):
            check_upcasters("Grown", 3, {1: noting(1)})

    def test_a_refused_chain_registers_nothing(self) -> None:
        """An event that cannot be read is not there at all."""

        class Grown(DomainEvent):
            aggregate_type: str = "Tree"
            event_version: int = 3

        registry = EventRegistry()

        with pytest.raises(ValueError, match="upcasters of Grown"):
            registry.register(Grown, upcast={1: noting(1)})

        assert "Grown" not in registry
