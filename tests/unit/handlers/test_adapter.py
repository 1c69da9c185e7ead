"""Calling whatever was subscribed, naming it, and finding it again."""

import functools
from typing import Any
from uuid import uuid4

import pytest

from eventsource.events.base import DomainEvent
from eventsource.handlers.adapter import HandlerAdapter, get_handler_name


class Opened(DomainEvent):
    aggregate_type: str = "Door"


class Doors:
    """Collects what it is given, in many ways."""

    seen_by_class: list[DomainEvent] = []  # noqa: RUF012 - what the class method collects

    def __init__(self) -> None:
        self.seen: list[DomainEvent] = []

    async def handle(self, event: DomainEvent) -> None:
        self.seen.append(event)

    async def on_opened(self, event: DomainEvent) -> None:
        self.seen.append(event)

    def on_opened_at_once(self, event: DomainEvent) -> None:
        self.seen.append(event)

    def on_opened_later(self, event: DomainEvent) -> Any:
        return self.on_opened(event)

    @classmethod
    def of_class(cls, event: DomainEvent) -> None:
        cls.seen_by_class.append(event)

    @staticmethod
    def of_nobody(event: DomainEvent) -> None: ...


class Special(Doors):
    pass


class Called:
    def __init__(self) -> None:
        self.seen: list[DomainEvent] = []

    async def __call__(self, event: DomainEvent) -> None:
        self.seen.append(event)


class Both(Doors):
    def __call__(self, event: DomainEvent) -> None:
        raise AssertionError("handle was to be called")


class Proxy:
    """Has handle, as an attribute rather than a method."""

    def __init__(self, handler: Any) -> None:
        self.handle = handler


def on_opened(event: DomainEvent, more: int = 0) -> None: ...


@pytest.fixture
def event() -> Opened:
    return Opened(aggregate_id=uuid4())


class TestNames:
    @pytest.mark.parametrize(
        ("handler", "name"),
        [
            (on_opened, "on_opened"),
            (Doors().on_opened, "Doors.on_opened"),
            (Special().on_opened, "Special.on_opened"),
            (Doors.of_class, "Doors.of_class"),
            (Special.of_class, "Special.of_class"),
            (Doors.of_nobody, "Doors.of_nobody"),
            (Doors(), "Doors.handle"),
            (Doors().handle, "Doors.handle"),
            (Called(), "Called.__call__"),
            (functools.partial(on_opened, more=1), "on_opened"),
            (functools.partial(functools.partial(Doors().on_opened)), "Doors.on_opened"),
            ([].append, "list.append"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_handler_is_named_as_people_call_it(self, handler: Any, name: str) -> None:
        """The name stands in logs, spans and metrics."""
        assert (get_handler_name(handler), HandlerAdapter(handler).name) == (name, name)

    def test_a_lambda_is_named_for_its_place(self) -> None:
        """Its qualified name tells at least where it stands."""
        assert get_handler_name(lambda event: None).endswith("test_a_lambda_is_named_for_its_place.<locals>.<lambda>")


class TestCalling:
    @pytest.mark.parametrize("method", ["handle", "on_opened", "on_opened_at_once", "on_opened_later"])
    async def test_a_bound_method_is_called(self, event: Opened, method: str) -> None:
        """It may be asynchronous, or not, or return something to await."""
        doors = Doors()

        await HandlerAdapter(getattr(doors, method)).handle(event)

        assert doors.seen == [event]

    @pytest.mark.parametrize("kind", [Doors, Called, Both])
    async def test_an_object_is_called(self, event: Opened, kind: Any) -> None:
        """Its handle method comes before its being callable."""
        handler = kind()

        await HandlerAdapter(handler).handle(event)

        assert handler.seen == [event]

    async def test_a_plain_function_is_called(self, event: Opened) -> None:
        """So is anything that can be called with an event."""
        seen: list[DomainEvent] = []

        await HandlerAdapter(seen.append).handle(event)

        assert seen == [event]

    async def test_a_partial_is_called(self, event: Opened) -> None:
        """What was given before the event is passed on."""
        seen: dict[str, DomainEvent] = {}

        await HandlerAdapter(functools.partial(seen.setdefault, "door")).handle(event)

        assert seen == {"door": event}

    async def test_a_class_method_is_called(self, event: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
        """It belongs to the class and needs no object."""
        monkeypatch.setattr(Doors, "seen_by_class", [])

        await HandlerAdapter(Doors.of_class).handle(event)

        assert Doors.seen_by_class == [event]

    async def test_a_handle_attribute_is_called(self, event: Opened) -> None:
        """A method is not needed, any callable will do."""
        doors = Doors()

        await HandlerAdapter(Proxy(doors.on_opened)).handle(event)

        assert doors.seen == [event]

    async def test_what_a_handler_raises_reaches_the_caller(self, event: Opened) -> None:
        """The adapter swallows nothing."""

        async def fail(event: DomainEvent) -> None:
            raise KeyError("door")

        with pytest.raises(KeyError, match="door"):
            await HandlerAdapter(fail).handle(event)

    @pytest.mark.parametrize("wrong", [object(), None, "on_opened", Proxy(None)], ids=["object", "none", "name", "bad"])
    def test_what_cannot_handle_is_refused(self, wrong: Any) -> None:
        """A mistake is found at subscription, not at the first event."""
        with pytest.raises(TypeError, match="is no event handler"):
            HandlerAdapter(wrong)

    @pytest.mark.parametrize("wrong", [Doors, Special, Both])
    def test_a_class_is_not_taken_for_its_objects(self, wrong: Any) -> None:
        """Its handle method lacks an object, and calling it would make one; the error says what to subscribe."""
        with pytest.raises(TypeError, match="is a class: subscribe an object of it"):
            HandlerAdapter(wrong)

    async def test_a_class_without_handle_is_a_callable_like_others(self, event: Opened) -> None:
        """A dataclass of a read model, say, may be made of each event."""
        made: list[DomainEvent] = []

        class Row:
            def __init__(self, event: DomainEvent) -> None:
                made.append(event)

        await HandlerAdapter(Row).handle(event)

        assert made == [event]


class TestIdentity:
    @pytest.mark.parametrize("method", ["handle", "on_opened", "of_class"])
    def test_a_bound_method_is_found_again(self, method: str) -> None:
        """Each access makes another object for the same method of the same object."""
        doors = Doors()

        first, second = HandlerAdapter(getattr(doors, method)), HandlerAdapter(getattr(doors, method))

        assert (first == second, hash(first) == hash(second)) == (True, True)

    def test_a_method_of_a_builtin_is_found_again(self) -> None:
        """The append of a list is a handler that people use in tests."""
        seen: list[DomainEvent] = []

        assert HandlerAdapter(seen.append) == HandlerAdapter(seen.append)

    def test_methods_of_two_lists_are_two_handlers(self) -> None:
        """Even if the lists are equal."""
        first: list[DomainEvent] = []
        second: list[DomainEvent] = []

        assert HandlerAdapter(first.append) != HandlerAdapter(second.append)

    def test_two_methods_of_a_list_are_two_handlers(self) -> None:
        """The list alone does not make the handler."""
        seen: list[Any] = []

        assert HandlerAdapter(seen.append) != HandlerAdapter(seen.extend)

    def test_methods_of_two_objects_are_two_handlers(self) -> None:
        """Also of objects that are equal."""
        assert HandlerAdapter(Doors().on_opened) != HandlerAdapter(Doors().on_opened)

    def test_two_methods_of_an_object_are_two_handlers(self) -> None:
        """The object alone does not make the handler."""
        doors = Doors()

        assert HandlerAdapter(doors.on_opened) != HandlerAdapter(doors.handle)

    def test_an_object_and_its_method_are_two_handlers(self) -> None:
        """What was subscribed is what is unsubscribed."""
        doors = Doors()

        assert HandlerAdapter(doors) != HandlerAdapter(doors.handle)

    @pytest.mark.parametrize(
        "handler", [on_opened, Doors(), functools.partial(on_opened)], ids=["function", "object", "partial"]
    )
    def test_any_other_handler_equals_itself(self, handler: Any) -> None:
        """Functions, objects and partials are what they are."""
        assert HandlerAdapter(handler) == HandlerAdapter(handler)

    def test_equal_objects_are_two_handlers(self) -> None:
        """Equality of the handlers themselves does not count, so they need no hash."""

        class Value:
            __hash__ = None  # type: ignore[assignment]

            def __eq__(self, other: object) -> bool:
                return True

            def handle(self, event: DomainEvent) -> None: ...

        assert len({HandlerAdapter(Value()), HandlerAdapter(Value())}) == 2

    def test_an_adapter_is_not_its_handler(self) -> None:
        """The original is at hand for whoever wants it."""
        adapter = HandlerAdapter(on_opened)

        assert adapter != on_opened
        assert adapter.original is on_opened
