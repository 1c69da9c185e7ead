"""While it is on, users' own methods are what they were."""

import copy
import inspect
import pickle
import weakref
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from eventsource import DeclarativeProjection, InMemoryEventStore, handles
from eventsource.testing.events import DOOR, Opened, opened
from eventsource_instrumentation.recording import RecordedSpans


class Ledger(InMemoryEventStore):
    """A store of a user's."""

    async def audit(self, door: UUID, *, strict: bool = False) -> int:
        """Count."""
        return await self.get_stream_version(door, DOOR)


class Register(DeclarativeProjection):
    """A projection of a user's."""

    def __init__(self) -> None:
        super().__init__(enable_tracing=True)
        self.seen: list[UUID] = []

    @handles(Opened)
    async def on_opened(self, event: Opened) -> None:
        self.seen.append(event.event_id)


METHODS = (Ledger.audit, Ledger.append_events, Register.on_opened, Register.handle)
SIGNATURES = {method.__qualname__: (inspect.signature(method), method.__doc__) for method in METHODS}
FUNCTIONS = {method.__qualname__: method for method in METHODS}


@pytest.mark.usefixtures("eventsource_spans")
class TestWhileOn:
    def test_methods_are_the_very_functions(self) -> None:
        """With their signatures and docstrings."""
        now = (Ledger.audit, Ledger.append_events, Register.on_opened, Register.handle)

        assert all(FUNCTIONS[method.__qualname__] is method for method in now)
        assert {each.__qualname__: (inspect.signature(each), each.__doc__) for each in now} == SIGNATURES

    @pytest.mark.parametrize("name", ["audit", "append_events"])
    async def test_bound_methods_can_be_pickled(self, name: str, door: UUID) -> None:
        """Task queues do that."""
        ledger = Ledger()
        await ledger.append_events(door, DOOR, opened(door, 2), 0)

        method = pickle.loads(pickle.dumps(getattr(ledger, name)))

        assert method.__func__ is getattr(Ledger, name)
        assert await method.__self__.audit(door) == 2

    @pytest.mark.parametrize("name", ["audit", "append_events"])
    async def test_bound_methods_can_be_copied(self, name: str, door: UUID) -> None:
        """Deeply, together with their objects."""
        ledger = Ledger()

        method = copy.deepcopy(getattr(ledger, name))

        assert type(method) is type(ledger.audit)
        assert method.__func__ is getattr(Ledger, name)

    @pytest.mark.parametrize("name", ["audit", "append_events"])
    def test_bound_methods_can_be_held_weakly(self, name: str) -> None:
        """Such a reference lives as long as its object."""
        ledger = Ledger()

        reference = weakref.WeakMethod(getattr(ledger, name))

        assert reference() == getattr(ledger, name)
        del ledger
        assert reference() is None

    def test_they_are_coroutine_functions(self) -> None:
        """Frameworks look at that."""
        assert all(inspect.iscoroutinefunction(method) for method in (Ledger.audit, Register.handle))


async def test_a_handler_in_a_copy_is_observed_too(door: UUID, eventsource_spans: RecordedSpans) -> None:
    """A bound method that went through pickle leads through the door as well."""
    register = Register()
    handle: Callable[..., Any] = copy.deepcopy(register).handle

    await handle(opened(door, 1)[0])

    assert eventsource_spans.names == ["eventsource.projection.handler", "eventsource.projection.handle"]
    assert register.seen == []
