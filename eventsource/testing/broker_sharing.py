# ruff: noqa: S101 - contracts assert, as tests do
"""Who gets a message."""

import asyncio
from collections import Counter
from uuid import UUID, uuid4

from eventsource.events.base import DomainEvent
from eventsource.testing.broker_subject import BrokerSubject, MakeBus, consuming, ended
from eventsource.testing.event_bus_subject import PATIENCE, Gate, Recorder
from eventsource.testing.events import Opened, opened


class SharingContract(BrokerSubject):
    """Groups: each gets all messages, and its members share them."""

    async def test_each_group_gets_every_event(self, make_bus: MakeBus, door: UUID) -> None:
        """In the order of its aggregate."""
        groups = [make_bus(consumer_group="billing"), make_bus(consumer_group="shipping")]
        recorders = [Recorder(), Recorder()]
        for bus, recorder in zip(groups, recorders, strict=True):
            bus.subscribe(Opened, recorder)
        await consuming(*groups)
        events: list[DomainEvent] = [*opened(door, 5)]

        await groups[0].publish(events)

        for recorder in recorders:
            assert await recorder.received(*events) == events

    async def test_the_members_of_a_group_share_the_events(self, make_bus: MakeBus) -> None:
        """Each event is handled by one of them, once."""
        members = [make_bus(), make_bus()]
        shared = Recorder()
        for bus in members:
            bus.subscribe(Opened, shared)
        await consuming(*members)
        doors = [uuid4() for _ in range(10)]
        events = [event for door in doors for event in opened(door, 3)]

        await members[0].publish(events)
        await shared.received(*events)
        for bus in members:
            await bus.shutdown()

        assert shared.counts == Counter(event.event_id for event in events)
        for door in doors:
            numbers = [
                event.number for event in shared.events if isinstance(event, Opened) and event.aggregate_id == door
            ]
            assert numbers == [1, 2, 3]

    async def test_a_bus_that_only_publishes_takes_no_message(self, make_bus: MakeBus) -> None:
        """Although it belongs to the group and has handlers."""
        publisher, consumer = make_bus(), make_bus()
        idle, busy = Recorder(), Recorder()
        publisher.subscribe(Opened, idle)
        consumer.subscribe(Opened, busy)
        await consuming(consumer)
        await publisher.connect()
        events: list[DomainEvent] = [event for _ in range(10) for event in opened(uuid4(), 1)]

        await publisher.publish(events)
        await busy.received(*events)

        assert (publisher.is_consuming, idle.events) == (False, [])

    async def test_what_a_member_leaves_unfinished_comes_to_the_next_one(self, make_bus: MakeBus, door: UUID) -> None:
        """A consumer that is cancelled while it handles an event has not settled it, nor what was to follow."""
        first, second = make_bus(), make_bus()
        gate, recorder = Gate(), Recorder()
        first.subscribe(Opened, gate)
        second.subscribe(Opened, recorder)
        await first.connect()
        consumption = first.start_consuming_in_background()
        await first.wait_until_consuming()
        events: list[DomainEvent] = [*opened(door, 2)]
        await first.publish(events)
        await asyncio.wait_for(gate.entered.wait(), PATIENCE)

        consumption.cancel()
        await ended(consumption)
        await consuming(second)

        assert await recorder.received(*events) == events
        assert gate.events == []
