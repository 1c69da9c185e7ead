# ruff: noqa: S101 - contracts assert, as tests do
"""Who gets an event from a bus."""

from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import pytest

from eventsource.bus.interface import EventBus
from eventsource.events.base import DomainEvent
from eventsource.testing.event_bus_subject import EventBusSubject, Recorder
from eventsource.testing.events import Closed, Opened, OpenedWide, opened


class Subscriber(Recorder):
    """A handler that names the classes that it wants."""

    def subscribed_to(self) -> list[type[DomainEvent]]:
        """Return two classes."""
        return [Opened, Closed]


class SyncHandler:
    """An object whose ``handle`` is a plain function."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def handle(self, event: DomainEvent) -> None:
        """Remember *event*."""
        self._recorder.record(event)


class CallableObject:
    """An object that is called like a function."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __call__(self, event: DomainEvent) -> Awaitable[None]:
        """Return what remembers *event* when it is awaited."""
        return self._recorder.handle(event)


class SubscribingContract(EventBusSubject):
    """Subscriptions: by exact class, to every event, taken back one at a time."""

    async def test_an_event_goes_to_the_handlers_of_its_class(self, bus: EventBus, door: UUID) -> None:
        """Handlers of other classes do not see it."""
        of_opened, of_closed = Recorder(), Recorder()
        bus.subscribe(Opened, of_opened)
        bus.subscribe(Closed, of_closed)
        event, last = Opened(aggregate_id=door), Closed(aggregate_id=door)

        await bus.publish([event, last])

        assert await of_closed.received(last) == [last]
        assert await of_opened.received(event) == [event]

    async def test_a_class_is_matched_exactly(self, bus: EventBus, door: UUID) -> None:
        """A handler of a class does not get the events of its subclasses, nor one of DomainEvent any."""
        of_parent, of_child, of_root = Recorder(), Recorder(), Recorder()
        bus.subscribe(Opened, of_parent)
        bus.subscribe(OpenedWide, of_child)
        bus.subscribe(DomainEvent, of_root)
        child, parent = OpenedWide(aggregate_id=door), Opened(aggregate_id=door)

        await bus.publish([child, parent])

        assert await of_child.received(child) == [child]
        assert await of_parent.received(parent) == [parent]
        assert of_root.events == []

    async def test_a_handler_may_want_every_event(self, bus: EventBus, door: UUID) -> None:
        """It gets all of them, in the order of their publication."""
        recorder = Recorder()
        bus.subscribe_to_all_events(recorder)
        events: list[DomainEvent] = [
            Opened(aggregate_id=door),
            Closed(aggregate_id=door),
            OpenedWide(aggregate_id=door),
        ]

        await bus.publish(events)

        assert await recorder.received(*events) == events

    async def test_a_subscriber_names_what_it_wants(self, bus: EventBus, door: UUID) -> None:
        """subscribe_all subscribes it to each class that it names, and to no other."""
        subscriber = Subscriber()
        bus.subscribe_all(subscriber)
        first, unwanted, last = Opened(aggregate_id=door), OpenedWide(aggregate_id=door), Closed(aggregate_id=door)

        await bus.publish([first, unwanted, last])

        assert await subscriber.received(first, last) == [first, last]
        assert bus.get_subscriber_count() == 2

    async def test_whatever_handles_events_may_be_subscribed(self, bus: EventBus, door: UUID) -> None:
        """Functions, methods and objects, asynchronous or not."""
        recorders = [Recorder() for _ in range(6)]

        async def function(event: DomainEvent) -> None:
            recorders[0].record(event)

        handlers: list[Any] = [
            function,
            recorders[1].record,
            recorders[2].handle,
            recorders[3],
            SyncHandler(recorders[4]),
            CallableObject(recorders[5]),
        ]
        for handler in handlers:
            bus.subscribe(Opened, handler)
        (event,) = opened(door, 1)

        await bus.publish([event])

        for recorder in recorders:
            assert await recorder.received(event) == [event]

    async def test_a_handler_subscribed_twice_handles_twice(self, bus: EventBus, door: UUID) -> None:
        """One unsubscription takes back one of the two."""
        recorder = Recorder()
        bus.subscribe(Opened, recorder)
        bus.subscribe(Opened, recorder)
        first, second, last = opened(door, 3)

        await bus.publish([first])
        await recorder.received(first, first)
        bus.unsubscribe(Opened, recorder)
        await bus.publish([second, last])

        assert await recorder.received(last) == [first, first, second, last]

    async def test_an_unsubscribed_method_gets_nothing_more(self, bus: EventBus, door: UUID) -> None:
        """A method of an object is the same handler whenever it is named; that of another object is not."""
        gone, stays = Recorder(), Recorder()
        bus.subscribe(Opened, stays.handle)
        bus.subscribe(Opened, gone.handle)

        assert bus.unsubscribe(Opened, gone.handle) is True
        (event,) = opened(door, 1)
        await bus.publish([event])

        assert await stays.received(event) == [event]
        assert gone.events == []
        assert bus.unsubscribe(Opened, gone.handle) is False

    async def test_a_method_that_wanted_every_event_is_unsubscribed(self, bus: EventBus, door: UUID) -> None:
        """As with handlers of one class, one subscription is taken back."""
        gone, stays = Recorder(), Recorder()
        bus.subscribe_to_all_events(gone.handle)
        bus.subscribe_to_all_events(stays)

        assert bus.unsubscribe_from_all_events(gone.handle) is True
        (event,) = opened(door, 1)
        await bus.publish([event])

        assert await stays.received(event) == [event]
        assert gone.events == []
        assert bus.unsubscribe_from_all_events(gone.handle) is False

    async def test_what_was_never_subscribed_cannot_be_unsubscribed(self, bus: EventBus) -> None:
        """A subscription to one class is none to another, nor to every event."""
        recorder = Recorder()
        bus.subscribe(Opened, recorder)

        assert bus.unsubscribe(Closed, recorder) is False
        assert bus.unsubscribe_from_all_events(recorder) is False
        assert bus.get_subscriber_count(Opened) == 1

    async def test_subscriptions_are_counted(self, bus: EventBus) -> None:
        """Those of every event are counted apart, and all can be taken back at once."""
        recorder = Recorder()
        bus.subscribe(Opened, recorder)
        bus.subscribe(Opened, recorder)
        bus.subscribe(Closed, recorder)
        bus.subscribe_to_all_events(recorder)

        counted = bus.get_subscriber_count(Opened), bus.get_subscriber_count(), bus.get_wildcard_subscriber_count()
        bus.clear_subscribers()

        assert counted == (2, 3, 1)
        assert (bus.get_subscriber_count(), bus.get_wildcard_subscriber_count()) == (0, 0)

    async def test_what_cannot_handle_events_is_refused(self, bus: EventBus) -> None:
        """Neither an object without ``handle`` nor the name of a class makes a subscription."""
        wrong: Any = "Opened"

        with pytest.raises(TypeError):
            bus.subscribe(Opened, wrong)
        with pytest.raises(TypeError):
            bus.subscribe(wrong, Recorder())
        with pytest.raises(TypeError):
            bus.subscribe_to_all_events(wrong)

        assert (bus.get_subscriber_count(), bus.get_wildcard_subscriber_count()) == (0, 0)
