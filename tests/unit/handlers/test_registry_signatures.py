"""What the signature of a handler tells: how it is called, and whether it expects another event."""

import datetime  # noqa: F401 - a name that annotations below are looked up by
import logging
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import pytest

from eventsource.aggregates import DeclarativeAggregate
from eventsource.events.base import DomainEvent
from eventsource.handlers import HandlerRegistry, handles
from eventsource.handlers.registry import handlers_of


class Opened(DomainEvent):
    aggregate_type: str = "Door"


class OpenedWide(Opened):
    pass


class Shut(DomainEvent):
    aggregate_type: str = "Door"


TShut = TypeVar("TShut", bound=Shut)


def handler_of(annotation: Any) -> type:
    """Return a class that handles `OpenedWide` by a method whose parameter has *annotation*."""

    @handles(OpenedWide)
    async def on_opened(self: Any, event: Any) -> None: ...

    on_opened.__annotations__["event"] = annotation
    return type("Doors", (), {"on_opened": on_opened})


class HasNumber(Protocol):
    """What handlers of several events may ask for."""

    number: int


class TestAnnotations:
    @pytest.mark.parametrize(
        "annotation", [Shut, int, "Shut", "datetime.datetime"], ids=["class", "other", "name", "dotted name"]
    )
    def test_one_of_another_event_is_warned_of(self, caplog: pytest.LogCaptureFixture, annotation: Any) -> None:
        """Copied from another handler, most likely; the line says which and what it handles."""
        handlers_of(handler_of(annotation))

        assert caplog.messages == [
            f"Doors.on_opened handles OpenedWide, but its parameter is annotated as {annotation}"
        ]
        assert (caplog.records[0].name, caplog.records[0].levelno) == ("eventsource.handlers.registry", logging.WARNING)

    @pytest.mark.parametrize(
        "annotation",
        [
            OpenedWide,
            Opened,
            DomainEvent,
            object,
            Any,
            Opened | Shut,
            TShut,
            "OpenedWide",
            "Opened",
            "events.OpenedWide",
            "DomainEvent",
            "Any",
            "typing.Any",
            "Opened | Shut",
            "events.OpenedWide | events.Shut",
            "list[OpenedWide]",
            HasNumber,
            "HasNumber",
            "elsewhere.Opened",
        ],
        ids=str,
    )
    def test_one_that_may_be_right_is_no_warning(self, caplog: pytest.LogCaptureFixture, annotation: Any) -> None:
        """The class, a base of it, their names, and what nobody can tell from here."""
        handlers_of(handler_of(annotation))

        assert caplog.messages == []

    def test_none_is_no_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        """Annotations are optional."""

        class Doors:
            @handles(Opened)
            async def on_opened(self, event):  # type: ignore[no-untyped-def]
                pass

        assert handlers_of(Doors)[Opened].param_count == 1
        assert caplog.messages == []

    def test_that_of_the_event_counts(self, caplog: pytest.LogCaptureFixture) -> None:
        """What stands before it is the context's, what is given by keyword anybody's."""

        class Doors:
            @handles(Opened)
            async def on_opened(self, context: int, event: Opened, *, strict: bool = False) -> None: ...

        handlers_of(Doors)

        assert caplog.messages == []


class TestParameters:
    async def test_those_given_by_keyword_are_not_counted(self) -> None:
        """They keep their defaults."""
        seen: list[tuple[DomainEvent, bool]] = []

        class Doors:
            @handles(Opened)
            async def on_opened(self, event: Opened, *, strict: bool = False, **more: int) -> None:
                seen.append((event, strict))

        registry, event = HandlerRegistry(Doors()), Opened(aggregate_id=uuid4())

        await registry.dispatch(event, "context")

        assert seen == [(event, False)]

    def test_an_aggregate_does_not_count_them_either(self) -> None:
        """Its handlers take the event alone."""

        class Door(DeclarativeAggregate[Any]):
            @handles(Opened)
            def _on_opened(self, event: Opened, *, strict: bool = False) -> None:
                self.strict = strict

            def _get_initial_state(self) -> Any: ...

        door = Door(uuid4())

        door.apply_event(Opened(aggregate_id=door.aggregate_id))

        assert (door.version, door.strict) == (1, False)


def test_any_number_of_arguments_is_one() -> None:
    """Such a handler is given the event."""

    class Doors:
        @handles(Opened)
        async def on_opened(self, *events: Opened) -> None: ...

    assert handlers_of(Doors)[Opened].param_count == 1


def test_what_must_be_given_by_keyword_is_counted() -> None:
    """Nobody would give it, so the handler is refused before its first event."""

    class Doors:
        @handles(Opened)
        async def on_opened(self, event: Opened, context: object, *, database: object) -> None: ...

    with pytest.raises(ValueError, match="takes 3 arguments besides self"):
        HandlerRegistry(Doors())
