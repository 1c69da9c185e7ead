"""The door of every component, and the guard over the methods that lead to it."""

import functools
from typing import Any, final

import pytest

from eventsource.bus.interface import EventBus
from eventsource.bus.memory import InMemoryEventBus
from eventsource.component import Component, implemented_by
from eventsource.projections.base import CheckpointTrackingProjection, DeclarativeProjection
from eventsource.projections.checkpoints.in_memory import InMemoryCheckpointRepository
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.dead_letters.in_memory import InMemoryDLQRepository
from eventsource.projections.dead_letters.interface import DLQRepository
from eventsource.projections.sqlite import SQLiteProjection
from eventsource.stores.in_memory import InMemoryEventStore
from eventsource.stores.interface import EventStore


class Lamp(Component):
    @final
    @implemented_by("_switch")
    async def switch(self, state: bool) -> str:
        return await self._perform(self._switch, state)

    @final
    async def describe(self) -> str:
        return "a lamp"

    async def _switch(self, state: bool) -> str:
        return "on" if state else "off"


async def test_an_operation_reaches_its_hook_and_its_result_the_caller() -> None:
    """The door adds nothing and takes nothing away."""
    assert await Lamp().switch(True) == "on"


async def test_what_the_hook_raises_reaches_the_caller() -> None:
    """The very same exception comes out."""
    blown = RuntimeError("the bulb has blown")

    class Broken(Lamp):
        async def _switch(self, state: bool) -> str:
            raise blown

    with pytest.raises(RuntimeError) as caught:
        await Broken().switch(True)

    assert caught.value is blown


def test_components_may_be_observed_unless_they_say_otherwise() -> None:
    """Both switches are on by default, for the class and the object."""
    assert (Lamp.enable_tracing, Lamp().enable_metrics) == (True, True)


class TestFinalMethods:
    def test_overriding_one_names_the_hook_to_implement(self) -> None:
        """The author of a backend is told at import what to write instead."""
        with pytest.raises(TypeError, match=r"Bulb overrides Lamp\.switch, which is final; implement the hook _switch"):

            class Bulb(Lamp):
                async def switch(self, state: bool) -> str:  # type: ignore[misc]
                    return "on"

    def test_overriding_one_without_a_hook_is_refused_too(self) -> None:
        """There is nothing to do instead."""
        with pytest.raises(TypeError, match=r"Lamp\.describe, which is final; leave it as it is"):

            class Bulb(Lamp):
                async def describe(self) -> str:  # type: ignore[misc]
                    return "a bulb"

    def test_the_door_itself_cannot_be_overridden(self) -> None:
        """An observer must be able to rely on it."""
        with pytest.raises(TypeError, match=r"Component\._perform, which is final"):

            class Bulb(Lamp):
                async def _perform(self, hook: Any, operation: Any) -> Any:  # type: ignore[misc]
                    return await hook(operation)

    def test_a_mixin_cannot_override_one_either(self) -> None:
        """It counts which method would be called, not who wrote it."""

        class Switching:
            async def switch(self, state: bool) -> str:
                return "on"

        with pytest.raises(TypeError, match=r"Bulb overrides Lamp\.switch"):

            class Bulb(Switching, Lamp):  # type: ignore[misc]
                pass

    def test_an_attribute_cannot_stand_in_for_one(self) -> None:
        """Whatever hides the method is refused."""
        with pytest.raises(TypeError, match=r"Bulb overrides Lamp\.switch"):

            class Bulb(Lamp):
                switch = None  # type: ignore[assignment]

    def test_a_mixin_that_comes_last_hides_nothing(self) -> None:
        """Its method would never be called."""

        class Switching:
            async def switch(self, state: bool) -> str:
                return "on"

        class Bulb(Lamp, Switching):
            pass

        assert Bulb.switch is Lamp.switch

    async def test_hooks_and_new_methods_are_free(self) -> None:
        """Everything that is not final may be overridden, in the subclass of a subclass too."""

        class Bulb(Lamp):
            async def _switch(self, state: bool) -> str:
                return "bright" if state else "dark"

        class Candle(Bulb):
            async def light(self) -> str:
                return await self.switch(True)

        assert await Candle().light() == "bright"

    def test_a_wrapper_around_the_method_is_no_override(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Subclasses may be defined while an observer has wrapped the door."""

        @functools.wraps(Component._perform)
        async def wrapper(self: Component, hook: Any, operation: Any) -> Any:
            return await hook(operation)

        monkeypatch.setattr(Lamp, "_perform", wrapper)

        class Bulb(Lamp):
            pass

        assert issubclass(Bulb, Lamp)

    @pytest.mark.parametrize(
        ("port", "method", "hook"),
        [
            (EventStore, "append_events", "_append"),
            (InMemoryEventStore, "read_all", "_read_page"),
            (EventBus, "publish", "_publish"),
            (InMemoryEventBus, "publish", "_publish"),
            (CheckpointTrackingProjection, "handle", "_process_event"),
            (DeclarativeProjection, "handle", "_process_event"),
            (SQLiteProjection, "handle", "_process_event"),
            (CheckpointRepository, "save_position", "_save_checkpoint"),
            (InMemoryCheckpointRepository, "get_lag_metrics", "_get_checkpoint"),
            (DLQRepository, "add_failed_event", "_add_failed_event"),
            (InMemoryDLQRepository, "mark_resolved", "_mark_resolved"),
        ],
    )
    def test_the_ports_guard_their_public_methods(self, port: type, method: str, hook: str) -> None:
        """Backends and users' subclasses alike are told the hook."""
        with pytest.raises(TypeError, match=f"implement the hook {hook} instead"):
            type("Backend", (port,), {method: lambda self: None})
