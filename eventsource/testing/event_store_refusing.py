# ruff: noqa: S101 - contracts assert, as tests do
"""What an event store refuses at the door, before anything is written or read."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from uuid import UUID

import pytest

from eventsource.stores.interface import EventStore
from eventsource.testing.event_store_subject import EventStoreSubject, assert_empty, ids
from eventsource.testing.events import DOOR, NOON, Opened, opened

Use: TypeAlias = Callable[[Any, UUID], Awaitable[object]]

NO_LISTS: dict[str, Callable[[Opened], Any]] = {
    "the event alone": lambda event: event,
    "an event and None": lambda event: [event, None],
    "an event as a dictionary": lambda event: [event, event.to_dict()],
    "an event class": lambda event: [event, Opened],
    "lists of events": lambda event: [[event]],
    "text": lambda event: "events",
    "nothing at all": lambda event: None,
}
LOOKUPS: dict[str, tuple[str, Use]] = {
    "get_events of a text": ("aggregate_id", lambda store, door: store.get_events(str(door), DOOR)),
    "get_events of a class": ("aggregate_type", lambda store, door: store.get_events(door, Opened)),
    "get_events from a text": ("from_version", lambda store, door: store.get_events(door, DOOR, "0")),
    "get_events from a day": ("from_timestamp", lambda store, door: store.get_events(door, DOOR, 0, NOON.date())),
    "get_events to a text": ("to_timestamp", lambda store, door: store.get_events(door, to_timestamp="2024-05-01")),
    "get_events_by_type of nothing": ("aggregate_type", lambda store, door: store.get_events_by_type(None)),
    "get_events_by_type of a text": ("tenant_id", lambda store, door: store.get_events_by_type(DOOR, str(door))),
    "get_events_by_type from a text": (
        "from_timestamp",
        lambda store, door: store.get_events_by_type(DOOR, from_timestamp="2024-05-01"),
    ),
    "read_page as a dictionary says": ("options", lambda store, door: store.read_page(options={"limit": 1})),
    "read_all as a dictionary says": ("options", lambda store, door: anext(store.read_all({"limit": 1}))),
    "read_stream as a dictionary says": ("options", lambda store, door: anext(store.read_stream(str(door), {}))),
    "event_exists of a text": ("event_id", lambda store, door: store.event_exists(str(door))),
    "event_exists of an event": ("event_id", lambda store, door: store.event_exists(Opened(aggregate_id=door))),
    "get_stream_version of a text": ("aggregate_id", lambda store, door: store.get_stream_version(str(door), DOOR)),
    "get_stream_version of nothing": ("aggregate_type", lambda store, door: store.get_stream_version(door, None)),
}


class RefusingContract(EventStoreSubject):
    """Arguments of a wrong type: a TypeError that names them, never a wrong answer."""

    async def test_any_iterable_of_events_may_be_appended(self, store: EventStore, door: UUID) -> None:
        """A generator is stored whole and in its order."""
        events = opened(door, 3)
        generated: Any = (event for event in events)

        result = await store.append_events(door, DOOR, generated, 0)

        assert result.new_version == 3
        assert ids((await store.get_events(door, DOOR)).events) == ids([*events])

    @pytest.mark.parametrize("wrong", NO_LISTS.values(), ids=NO_LISTS)
    async def test_what_is_no_list_of_events_is_not_appended(
        self, store: EventStore, door: UUID, wrong: Callable[[Opened], Any]
    ) -> None:
        """One thing that is no event keeps out the whole append."""
        with pytest.raises(TypeError):
            await store.append_events(door, DOOR, wrong(Opened(aggregate_id=door)), 0)

        await assert_empty(store, door)

    async def test_a_single_event_is_not_taken_for_a_list(self, store: EventStore, door: UUID) -> None:
        """The error says how to write it."""
        event: Any = Opened(aggregate_id=door)

        with pytest.raises(TypeError, match=r"write \[event\]"):
            await store.append_events(door, DOOR, event, 0)

    @pytest.mark.parametrize("wrong", [None, "0", 0.0], ids=repr)
    async def test_an_expectation_that_is_no_integer_is_refused(
        self, store: EventStore, door: UUID, wrong: Any
    ) -> None:
        """Nothing stands for ANY but ANY itself."""
        with pytest.raises(TypeError, match="expected_version"):
            await store.append_events(door, DOOR, opened(door, 1), wrong)

        await assert_empty(store, door)

    @pytest.mark.parametrize(("name", "use"), LOOKUPS.values(), ids=LOOKUPS)
    async def test_a_look_up_by_something_else_is_refused(
        self, store: EventStore, door: UUID, name: str, use: Use
    ) -> None:
        """What was found could only be wrong; the error names the argument."""
        await store.append_events(door, DOOR, opened(door, 1), 0)

        with pytest.raises(TypeError, match=f"{name} must be "):
            await use(store, door)
