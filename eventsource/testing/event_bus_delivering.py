# ruff: noqa: S101 - contracts assert, as tests do
"""How a bus hands an event to its handlers."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from eventsource.bus.interface import EventBus
from eventsource.events.base import DomainEvent
from eventsource.headers import current_headers
from eventsource.testing.event_bus_subject import PATIENCE, EventBusSubject, Gate, Recorder
from eventsource.testing.events import NEPAL, NOON, Closed, Measured, Opened, opened

NO_LISTS: dict[str, Callable[[DomainEvent], Any]] = {
    "the event alone": lambda event: event,
    "an event and None": lambda event: [event, None],
    "an event as a dictionary": lambda event: [event, event.to_dict()],
    "text": lambda event: "events",
}


class HeaderRecorder(Recorder):
    """A handler that remembers the headers that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[str | None] = []

    async def handle(self, event: DomainEvent) -> None:
        """Remember the header before and after a pause."""
        before = current_headers().get("request-id")
        await asyncio.sleep(0)
        self.headers += [before, current_headers().get("request-id")]
        self.record(event)


class Failing:
    """A handler that cannot handle anything."""

    async def handle(self, event: DomainEvent) -> None:
        """Raise."""
        raise LookupError(f"no room for {event.event_id}")


class DeliveringContract(EventBusSubject):
    """Delivery: in order, with headers, and without harm to others."""

    async def test_events_of_an_aggregate_come_in_order(self, bus: EventBus, door: UUID) -> None:
        """Within one publication and from one to the next."""
        recorder = Recorder()
        bus.subscribe(Opened, recorder)
        events: list[DomainEvent] = [*opened(door, 50)]

        await bus.publish(events[:20])
        for event in events[20:]:
            await bus.publish([event])

        assert await recorder.received(*events) == events

    async def test_an_event_arrives_as_it_was_published(self, bus: EventBus, door: UUID) -> None:
        """Whatever way it took, it equals what was published."""
        recorder = Recorder()
        bus.subscribe(Measured, recorder)
        event = Measured(
            aggregate_id=door,
            aggregate_version=7,
            measured_at=NOON.astimezone(NEPAL),
            key=b"\x00\xff",
            text="Tür \u0000",
        )

        await bus.publish([event])

        assert await recorder.received(event) == [event]

    async def test_publishing_nothing_does_nothing(self, bus: EventBus, door: UUID) -> None:
        """No handler is called."""
        recorder = Recorder()
        bus.subscribe_to_all_events(recorder)
        (event,) = opened(door, 1)

        await bus.publish([])
        await bus.publish([event])

        assert await recorder.received(event) == [event]

    async def test_any_iterable_of_events_may_be_published(self, bus: EventBus, door: UUID) -> None:
        """A generator is published whole and in its order."""
        recorder = Recorder()
        bus.subscribe(Opened, recorder)
        events: list[DomainEvent] = [*opened(door, 3)]
        generated: Any = (event for event in events)

        await bus.publish(generated)

        assert await recorder.received(*events) == events

    @pytest.mark.parametrize("background", [False, True])
    @pytest.mark.parametrize("wrong", NO_LISTS.values(), ids=NO_LISTS)
    async def test_what_is_no_list_of_events_is_not_published(
        self, bus: EventBus, door: UUID, wrong: Callable[[DomainEvent], Any], background: bool
    ) -> None:
        """The publisher is told, and no handler sees any part of it."""
        recorder = Recorder()
        bus.subscribe_to_all_events(recorder)
        refused, event = opened(door, 2)

        with pytest.raises(TypeError):
            await bus.publish(wrong(refused), background)
        await bus.publish([event])

        assert await recorder.received(event) == [event]

    async def test_an_event_that_nobody_wants_harms_nobody(self, bus: EventBus, door: UUID) -> None:
        """It is published all the same, and the next one is handled."""
        recorder = Recorder()
        bus.subscribe(Opened, recorder)
        (event,) = opened(door, 1)

        await bus.publish([Closed(aggregate_id=door), event])

        assert await recorder.received(event) == [event]

    async def test_a_handler_sees_the_headers_of_its_event(self, bus: EventBus, door: UUID) -> None:
        """All handlers of an event do, for as long as they have it in hand; events without headers have none."""
        of_class, of_all = HeaderRecorder(), HeaderRecorder()
        bus.subscribe(Opened, of_class)
        bus.subscribe_to_all_events(of_all)
        first, second, third = opened(door, 3)

        await bus.publish([first], headers={"request-id": "r-1"})
        await bus.publish([second], headers={"request-id": "r-2"})
        await bus.publish([third])

        for recorder in (of_class, of_all):
            await recorder.received(first, second, third)
            assert recorder.headers == ["r-1", "r-1", "r-2", "r-2", None, None]

    async def test_a_publisher_sees_no_headers_afterwards(self, bus: EventBus, door: UUID) -> None:
        """Headers are in the hand of handlers alone."""
        recorder = Recorder()
        bus.subscribe(Opened, recorder)
        (event,) = opened(door, 1)

        await bus.publish([event], headers={"request-id": "r-1"})
        await recorder.received(event)

        assert dict(current_headers()) == {}

    async def test_headers_that_are_no_strings_are_refused(self, bus: EventBus, door: UUID) -> None:
        """A header is a string with a string for a name; nothing is published."""
        recorder = Recorder()
        bus.subscribe(Opened, recorder)
        wrong: Any = {"attempt": 1}
        refused, event = opened(door, 2)

        with pytest.raises(TypeError, match="headers"):
            await bus.publish([refused], headers=wrong)
        await bus.publish([event])

        assert await recorder.received(event) == [event]

    async def test_a_failing_handler_harms_nobody(self, bus: EventBus, door: UUID) -> None:
        """The publisher does not hear of it; other handlers get this event, and all get the next one."""
        before, after, of_all = Recorder(), Recorder(), Recorder()
        bus.subscribe(Opened, before)
        bus.subscribe(Opened, Failing())
        bus.subscribe(Opened, after)
        bus.subscribe_to_all_events(of_all)
        first, second = opened(door, 2)

        await bus.publish([first])
        await bus.publish([second])

        for recorder in (before, after, of_all):
            await recorder.received(first, second)

    async def test_a_lone_failing_handler_harms_nobody(self, bus: EventBus, door: UUID) -> None:
        """The event after the one that it failed on is handled."""
        recorder = Recorder()
        bus.subscribe(Opened, Failing())
        bus.subscribe(Closed, recorder)
        last = Closed(aggregate_id=door)

        await bus.publish([*opened(door, 1), last])

        assert await recorder.received(last) == [last]

    async def test_a_handler_may_publish(self, bus: EventBus, door: UUID) -> None:
        """What one handler publishes comes to the handlers of that."""
        recorder = Recorder()
        consequence = Closed(aggregate_id=door)

        async def react(event: DomainEvent) -> None:
            await bus.publish([consequence])

        bus.subscribe(Opened, react)
        bus.subscribe(Closed, recorder)

        await bus.publish(opened(door, 1))

        assert await recorder.received(consequence) == [consequence]

    async def test_a_background_publication_waits_for_no_handler(self, bus: EventBus, door: UUID) -> None:
        """It returns while the event is still in hand, and the event is handled all the same."""
        gate = Gate()
        bus.subscribe(Opened, gate)
        (event,) = opened(door, 1)

        await bus.publish([event], background=True)

        assert gate.events == []
        gate.open.set()
        assert await gate.received(event) == [event]

    async def test_a_background_publication_has_its_headers(self, bus: EventBus, door: UUID) -> None:
        """Headers travel with the events, whoever waits for them."""
        recorder = HeaderRecorder()
        bus.subscribe(Opened, recorder)
        (event,) = opened(door, 1)

        await bus.publish([event], background=True, headers={"request-id": "r-1"})
        await recorder.received(event)

        assert recorder.headers == ["r-1", "r-1"]

    async def test_a_cancelled_publisher_leaves_a_sound_bus(self, bus: EventBus, door: UUID) -> None:
        """Cancellation reaches whoever publishes, and the next publication is handled."""
        gate, recorder = Gate(), Recorder()
        bus.subscribe(Opened, gate)
        bus.subscribe(Closed, recorder)
        last = Closed(aggregate_id=door)
        publishing = asyncio.create_task(bus.publish(opened(door, 1)))
        await asyncio.wait([publishing, asyncio.create_task(gate.entered.wait())], return_when="FIRST_COMPLETED")
        was_done = publishing.done()

        publishing.cancel()
        await asyncio.wait([publishing], timeout=PATIENCE)
        gate.open.set()
        await bus.publish([last])

        assert publishing.cancelled() or was_done
        assert await recorder.received(last) == [last]
