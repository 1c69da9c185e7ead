# ruff: noqa: S101 - contracts assert, as tests do
"""How a bus over a broker comes to its end, or pauses."""

import asyncio
from uuid import UUID

import pytest

from eventsource.events.base import DomainEvent
from eventsource.exceptions import NotConnectedError
from eventsource.testing.broker_subject import BrokerSubject, MakeBus, busy_and_idle, consuming, ended, idle
from eventsource.testing.event_bus_subject import PATIENCE, Recorder
from eventsource.testing.events import Opened, opened


class EndingContract(BrokerSubject):
    """Disconnecting: what was accepted is published, what is in hand is settled."""

    async def test_what_shutdown_has_finished_comes_to_nobody_again(self, make_bus: MakeBus, door: UUID) -> None:
        """The event in hand is handled and settled before the bus disconnects."""
        event, last = opened(door, 2)
        (first, gate), (second, recorder) = await busy_and_idle(make_bus, [event])

        closing = asyncio.create_task(first.shutdown(PATIENCE))
        await idle()
        gate.open.set()
        await ended(closing)
        await consuming(second)
        await second.publish([last])

        assert await recorder.received(last) == [last]
        assert gate.events == [event]

    async def test_what_shutdown_cannot_finish_comes_to_the_next_member(self, make_bus: MakeBus, door: UUID) -> None:
        """A handler that takes too long is cancelled, and its event is not settled."""
        events: list[DomainEvent] = [*opened(door, 2)]
        (first, gate), (second, recorder) = await busy_and_idle(make_bus, events)

        await asyncio.wait_for(first.shutdown(0.01), PATIENCE)
        await consuming(second)

        assert await recorder.received(*events) == events
        assert gate.events == []

    async def test_no_other_handler_is_called_when_the_time_is_over(self, make_bus: MakeBus, door: UUID) -> None:
        """Not even if the one that is cancelled makes an error of that."""
        bus = make_bus()
        entered, other = asyncio.Event(), Recorder()

        async def stubborn(event: DomainEvent) -> None:
            entered.set()
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                raise ConnectionError("the database has gone") from None

        bus.subscribe(Opened, stubborn)
        bus.subscribe(Opened, other)
        await consuming(bus)
        await bus.publish(opened(door, 1))
        await asyncio.wait_for(entered.wait(), PATIENCE)

        await asyncio.wait_for(bus.shutdown(0.01), PATIENCE)

        assert other.events == []

    async def test_shutdown_waits_for_what_is_published_in_the_background(self, make_bus: MakeBus, door: UUID) -> None:
        """None of it is lost."""
        publisher, consumer = make_bus(), make_bus()
        recorder = Recorder()
        consumer.subscribe(Opened, recorder)
        await consuming(consumer)
        await publisher.connect()
        events: list[DomainEvent] = [*opened(door, 50)]

        for event in events:
            await publisher.publish([event], background=True)
        await publisher.shutdown()

        assert await recorder.received(*events) == events
        assert publisher.get_stats_dict()["events_published"] == len(events)

    async def test_a_bus_that_was_shut_down_stays_so(self, make_bus: MakeBus) -> None:
        """It can neither be connected nor consume again."""
        bus = make_bus()
        await consuming(bus)
        await bus.shutdown()

        with pytest.raises(NotConnectedError):
            await bus.connect()
        with pytest.raises(NotConnectedError):
            await bus.start_consuming()

        assert (bus.is_connected, bus.is_consuming) == (False, False)

    async def test_a_bus_may_be_connected_again(self, make_bus: MakeBus, door: UUID) -> None:
        """It goes on where it was when it was disconnected."""
        bus = make_bus()
        recorder = Recorder()
        bus.subscribe(Opened, recorder)
        await consuming(bus)
        first, second = opened(door, 2)
        await bus.publish([first])
        await recorder.received(first)

        await bus.disconnect()
        was_up = bus.is_connected or bus.is_consuming
        await consuming(bus)
        await bus.publish([second])

        assert not was_up
        assert await recorder.received(second) == [first, second]

    async def test_a_bus_that_never_connected_can_be_shut_down(self, make_bus: MakeBus) -> None:
        """There is nothing to wait for."""
        bus = make_bus()

        await asyncio.wait_for(bus.shutdown(), PATIENCE)

        assert not bus.is_connected
