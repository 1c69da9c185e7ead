"""The table of a class's handlers, its checks, and what happens to the rest."""

import logging
from typing import Any
from uuid import uuid4

import pytest

from eventsource.events.base import DomainEvent
from eventsource.exceptions import UnhandledEventError
from eventsource.handlers import HandlerRegistry, handles
from eventsource.handlers.registry import handlers_of


class Opened(DomainEvent):
    aggregate_type: str = "Door"


class OpenedWide(Opened):
    pass


class Shut(DomainEvent):
    aggregate_type: str = "Door"


class Doors:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    @handles(Opened)
    async def on_opened(self, event: Opened) -> None:
        self.calls.append(("opened", event))

    @handles(Shut)
    async def on_shut(self, context: Any, event: Shut) -> None:
        self.calls.append(("shut", context, event))

    async def unmarked(self, event: Opened) -> None: ...


class FrontDoors(Doors):
    @handles(Opened)
    async def on_front_opened(self, event: Opened) -> None:
        self.calls.append(("front", event))


class Renovated(Doors):
    @handles(OpenedWide)
    async def on_opened(self, event: Opened) -> None:
        self.calls.append(("wide", event))


def opened() -> Opened:
    return Opened(aggregate_id=uuid4())


class TestTable:
    def test_the_marked_methods_are_found(self) -> None:
        """And no other ones."""
        names = {info.event_type: info.handler_name for info in HandlerRegistry(Doors()).get_all_handlers()}

        assert names == {Opened: "on_opened", Shut: "on_shut"}

    def test_it_answers_by_event_class(self) -> None:
        """A class without a handler has none."""
        registry = HandlerRegistry(Doors())

        assert (registry.has_handler(Opened), registry.has_handler(OpenedWide)) == (True, False)
        assert registry.get_handler(OpenedWide) is None

    def test_it_lists_what_is_handled(self) -> None:
        """Whoever subscribes needs to know."""
        registry = HandlerRegistry(Doors())

        assert (registry.get_subscribed_events(), registry.handler_count) == ([Opened, Shut], 2)

    def test_it_knows_its_owner(self) -> None:
        """The handlers are bound to it."""
        doors = Doors()

        assert HandlerRegistry(doors).owner is doors

    def test_a_handler_tells_how_it_is_called(self) -> None:
        """Parameters are counted without self."""
        info = HandlerRegistry(Doors()).get_handler(Shut)

        assert info is not None
        assert (info.is_async, info.param_count, info.handler_name) == (True, 2, "on_shut")

    def test_inherited_handlers_count(self) -> None:
        """A subclass adds to what its base handles."""
        assert HandlerRegistry(FrontDoors()).has_handler(Shut)

    def test_the_handler_of_the_derived_class_wins(self) -> None:
        """Under another name too."""
        info = HandlerRegistry(FrontDoors()).get_handler(Opened)

        assert info is not None
        assert info.handler_name == "on_front_opened"

    def test_an_overridden_method_handles_what_the_override_says(self) -> None:
        """The mark of the method that it hides is gone with it."""
        registry = HandlerRegistry(Renovated())

        assert set(registry.get_subscribed_events()) == {OpenedWide, Shut}

    def test_handlers_of_a_mixin_count(self) -> None:
        """The order of the bases decides, as it does for methods."""

        class Loud:
            @handles(Opened)
            async def ring(self, event: Opened) -> None: ...

        class Bell(Loud, Doors):
            pass

        assert handlers_of(Bell)[Opened].handler_name == "ring"

    def test_two_handlers_of_one_event_are_refused(self) -> None:
        """Which one would be called could only be guessed."""

        class Twice:
            @handles(Opened)
            async def first(self, event: Opened) -> None: ...

            @handles(Opened)
            async def second(self, event: Opened) -> None: ...

        with pytest.raises(ValueError, match="Twice handles Opened twice, in first and in second"):
            HandlerRegistry(Twice())


class TestValidation:
    def test_a_handler_that_is_not_async_is_refused(self) -> None:
        """It would block everything else."""

        class Blocking:
            @handles(Opened)
            def on_opened(self, event: Opened) -> None: ...

        with pytest.raises(ValueError, match=r"Blocking\.on_opened must be async"):
            HandlerRegistry(Blocking())

    async def test_it_may_be_allowed(self) -> None:
        """Then it is called where it is."""

        class Plain(Doors):
            @handles(Opened)
            def at_once(self, event: Opened) -> None:
                self.calls.append(("at once",))

        plain = Plain()

        await HandlerRegistry(plain, require_async=False).dispatch(opened())

        assert plain.calls == [("at once",)]

    def test_a_handler_without_parameters_is_refused(self) -> None:
        """It could not see the event."""

        class Blind:
            @handles(Opened)
            async def on_opened(self) -> None: ...

        with pytest.raises(ValueError, match=r"Blind\.on_opened takes 0 arguments besides self"):
            HandlerRegistry(Blind())

    def test_a_handler_with_three_parameters_is_refused(self) -> None:
        """Nobody would fill the third."""

        class Greedy:
            @handles(Opened)
            async def on_opened(self, context: Any, event: Opened, more: int) -> None: ...

        with pytest.raises(ValueError, match=r"Greedy\.on_opened takes 3 arguments besides self"):
            HandlerRegistry(Greedy())

    def test_checking_can_be_left_out(self) -> None:
        """For a table that is only looked at."""

        class Blocking:
            @handles(Opened)
            def on_opened(self, event: Opened) -> None: ...

        assert HandlerRegistry(Blocking(), validate_on_init=False).handler_count == 1

    def test_an_unknown_mode_is_refused(self) -> None:
        """A typing error would otherwise be taken for ignore."""
        with pytest.raises(ValueError, match="unregistered_event_handling is 'explode'"):
            HandlerRegistry(Doors(), unregistered_event_handling="explode")  # type: ignore[arg-type]


class TestDispatch:
    async def test_the_handler_is_given_the_event(self) -> None:
        """And the answer tells that there was one."""
        doors, event = Doors(), opened()

        handled = await HandlerRegistry(doors).dispatch(event)

        assert (handled, doors.calls) == (True, [("opened", event)])

    async def test_a_handler_with_two_parameters_is_given_the_context_first(self) -> None:
        """A connection, say."""
        doors, event = Doors(), Shut(aggregate_id=uuid4())

        await HandlerRegistry(doors).dispatch(event, "connection")

        assert doors.calls == [("shut", "connection", event)]

    async def test_an_event_is_matched_by_its_exact_class(self) -> None:
        """The handler of a base class does not see its subclasses."""
        doors = Doors()

        handled = await HandlerRegistry(doors).dispatch(OpenedWide(aggregate_id=uuid4()))

        assert (handled, doors.calls) == (False, [])

    async def test_what_a_handler_raises_reaches_the_caller(self) -> None:
        """Dispatching swallows nothing."""

        class Failing:
            @handles(Opened)
            async def on_opened(self, event: Opened) -> None:
                raise KeyError("door")

        with pytest.raises(KeyError, match="door"):
            await HandlerRegistry(Failing()).dispatch(opened())


class TestUnhandledEvents:
    async def test_they_are_ignored_by_default(self, caplog: pytest.LogCaptureFixture) -> None:
        """Without a word."""
        with caplog.at_level(logging.WARNING, "eventsource.handlers.registry"):
            handled = await HandlerRegistry(Doors()).dispatch(OpenedWide(aggregate_id=uuid4()))

        assert (handled, caplog.records) == (False, [])

    async def test_they_may_be_warned_of(self, caplog: pytest.LogCaptureFixture) -> None:
        """The warning says who handles what, for people and for machines."""
        event = OpenedWide(aggregate_id=uuid4())

        await HandlerRegistry(Doors(), unregistered_event_handling="warn").dispatch(event)

        (record,) = caplog.records
        assert record.getMessage() == (
            "No handler registered for event type OpenedWide in Doors. Available handlers: Opened, Shut"
        )
        assert (vars(record)["event_id"], vars(record)["handler_class"]) == (str(event.event_id), "Doors")

    async def test_they_may_be_errors(self) -> None:
        """The error carries what the message says."""
        event = OpenedWide(aggregate_id=uuid4())

        with pytest.raises(UnhandledEventError) as caught:
            await HandlerRegistry(Doors(), unregistered_event_handling="error").dispatch(event)

        error = caught.value
        assert (error.event_type, error.event_id) == ("OpenedWide", event.event_id)
        assert (error.handler_class, error.available_handlers) == ("Doors", ["Opened", "Shut"])
