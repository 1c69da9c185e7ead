# ruff: noqa: S101 - contracts assert, as tests do
"""How a bus comes to its end."""

import asyncio
from uuid import UUID

import pytest

from eventsource.bus.interface import EventBus
from eventsource.events.base import DomainEvent
from eventsource.exceptions import NotConnectedError
from eventsource.testing.event_bus_subject import PATIENCE, EventBusSubject, Gate, Recorder
from eventsource.testing.events import Opened, opened


class ClosingContract(EventBusSubject):
    """Shutting down: what is in hand is finished, nothing more is accepted."""

    async def test_nothing_is_published_after_shutdown(self, bus: EventBus, door: UUID) -> None:
        """The publisher is told, in the background too; no handler is called."""
        recorder = Recorder()
        bus.subscribe(Opened, recorder)
        await bus.shutdown()

        with pytest.raises(NotConnectedError):
            await bus.publish(opened(door, 1))
        with pytest.raises(RuntimeError):
            await bus.publish(opened(door, 1), background=True)

        assert recorder.events == []

    async def test_shutting_down_again_does_nothing(self, bus: EventBus) -> None:
        """Whoever comes second finds it done."""
        await bus.shutdown()
        await bus.shutdown()

        with pytest.raises(NotConnectedError):
            await bus.publish([])

    async def test_shutdown_waits_for_what_is_in_hand(self, bus: EventBus, door: UUID) -> None:
        """An event that a handler has begun with is handled to its end."""
        gate = Gate()
        bus.subscribe(Opened, gate)
        (event,) = opened(door, 1)
        await bus.publish([event], background=True)
        await asyncio.wait_for(gate.entered.wait(), PATIENCE)

        closing = asyncio.create_task(bus.shutdown(PATIENCE))
        await asyncio.sleep(0)
        was_closed = closing.done()
        gate.open.set()
        await closing

        assert not was_closed
        assert gate.events == [event]

    async def test_shutdown_waits_no_longer_than_it_is_told(self, bus: EventBus, door: UUID) -> None:
        """A handler that does not end cannot hold it up."""
        gate = Gate()
        bus.subscribe(Opened, gate)
        await bus.publish(opened(door, 1), background=True)
        await asyncio.wait_for(gate.entered.wait(), PATIENCE)

        await asyncio.wait_for(bus.shutdown(0.01), PATIENCE)

        assert gate.events == []

    @pytest.mark.parametrize("others", [0, 1], ids=["alone", "beside another handler"])
    async def test_a_handler_may_shut_the_bus_down(self, bus: EventBus, door: UUID, others: int) -> None:
        """Shutdown does not wait for the handler that asks for it, nor is that one cancelled."""
        recorder = Recorder()

        async def close(event: DomainEvent) -> None:
            await bus.shutdown(PATIENCE)
            recorder.record(event)

        bus.subscribe(Opened, close)
        for _ in range(others):
            bus.subscribe(Opened, Recorder())
        (event,) = opened(door, 1)

        await bus.publish([event], background=True)

        async with asyncio.timeout(PATIENCE / 2):
            assert await recorder.received(event) == [event]

    async def test_a_bus_is_shut_down_at_the_end_of_its_block(self, bus: EventBus, door: UUID) -> None:
        """Leaving ``async with`` finishes what was published."""
        recorder = Recorder()
        bus.subscribe(Opened, recorder)
        (event,) = opened(door, 1)

        async with bus as entered:
            await entered.publish([event], background=True)
            await recorder.received(event)

        with pytest.raises(NotConnectedError):
            await bus.publish([event])
