# ruff: noqa: S101 - contracts assert, as tests do
"""Beginning to consume, and what is counted meanwhile."""

import asyncio
import logging
from uuid import UUID

import pytest

from eventsource.bus.broker import BrokerEventBus
from eventsource.events.base import DomainEvent
from eventsource.exceptions import EventBusError, NotConnectedError
from eventsource.testing.broker_subject import (
    SOON,
    BrokerSubject,
    Failing,
    MakeBus,
    busy_and_idle,
    consuming,
    ended,
    idle,
)
from eventsource.testing.event_bus_subject import PATIENCE, Recorder
from eventsource.testing.events import Opened, opened


class ConsumingContract(BrokerSubject):
    """Consuming: begun once, told when it fails, cancelled when that is wanted."""

    async def test_a_consumer_goes_on_where_it_stopped(self, make_bus: MakeBus, door: UUID) -> None:
        """What was handled does not come again, and what was published meanwhile is not lost."""
        bus = make_bus()
        recorder = Recorder()
        bus.subscribe(Opened, recorder)
        await consuming(bus)
        events: list[DomainEvent] = [*opened(door, 4)]
        await bus.publish(events[:2])
        await recorder.received(*events[:2])

        await bus.stop_consuming()
        was_consuming = bus.is_consuming
        await bus.publish(events[2:])
        await consuming(bus)

        assert not was_consuming
        assert await recorder.received(*events) == events

    async def test_a_consumer_that_stops_finishes_what_is_in_hand(self, make_bus: MakeBus, door: UUID) -> None:
        """It is settled when that is done, so that nobody gets it again."""
        event, last = opened(door, 2)
        (first, gate), (second, recorder) = await busy_and_idle(make_bus, [event])

        stopping = asyncio.create_task(first.stop_consuming())
        await idle()
        gate.open.set()
        await ended(stopping)
        await consuming(second)
        await second.publish([last])

        assert await recorder.received(last) == [last]
        assert gate.events == [event]

    async def test_a_bus_consumes_once(self, make_bus: MakeBus, door: UUID, caplog: pytest.LogCaptureFixture) -> None:
        """Starting it again is told, and changes nothing."""
        bus = make_bus()
        recorder = Recorder()
        bus.subscribe(Opened, recorder)
        await consuming(bus)
        (event,) = opened(door, 1)

        with caplog.at_level(logging.WARNING):
            await asyncio.wait_for(bus.start_consuming(), PATIENCE)
        with pytest.raises(RuntimeError, match="consuming already"):
            bus.start_consuming_in_background()
        await bus.publish([event])

        assert await recorder.received(event) == [event]
        assert any("consuming already" in record.message for record in caplog.records)

    async def test_a_cancelled_consumer_is_cancelled(self, make_bus: MakeBus) -> None:
        """Whoever awaits start_consuming is not told that it has ended well."""
        bus = make_bus()
        await bus.connect()
        consumption = asyncio.create_task(bus.start_consuming())
        await asyncio.sleep(0)
        await bus.wait_until_consuming()

        consumption.cancel()
        await ended(consumption)

        assert (consumption.cancelled(), bus.is_consuming) == (True, False)

    async def test_a_consumer_that_is_stopped_ends_well(self, make_bus: MakeBus) -> None:
        """Whoever awaits start_consuming goes on."""
        bus = make_bus()
        await bus.connect()
        consumption = asyncio.create_task(bus.start_consuming())
        await asyncio.sleep(0)
        await bus.wait_until_consuming()

        await bus.stop_consuming()
        await ended(consumption)

        assert (consumption.cancelled(), consumption.exception()) == (False, None)

    async def test_what_keeps_a_consumer_from_beginning_is_told(self, hopeless_bus: BrokerEventBus) -> None:
        """To whoever has started it, and to whoever waits until it consumes."""
        consumption = hopeless_bus.start_consuming_in_background()

        with pytest.raises(EventBusError) as told:
            await hopeless_bus.wait_until_consuming()
        await ended(consumption)

        assert consumption.exception() is told.value
        assert not hopeless_bus.is_consuming

    async def test_nobody_waits_for_a_consumer_that_was_not_started(self, make_bus: MakeBus) -> None:
        """Whoever does is told."""
        bus = make_bus()
        await bus.connect()

        with pytest.raises(NotConnectedError, match="start_consuming_in_background"):
            await bus.wait_until_consuming()

    async def test_what_happens_is_counted(self, make_bus: MakeBus, door: UUID) -> None:
        """Messages once, however often they were tried; attempts that failed apart."""
        bus = make_bus(max_retries=1, retry_base_delay=SOON)
        poisonous, healed, well = opened(door, 3)
        handler = Failing({poisonous.event_id: 2, healed.event_id: 1})
        bus.subscribe(Opened, handler)
        await consuming(bus)

        await bus.publish([poisonous, healed, well])
        await handler.received(healed, well)
        await bus.stop_consuming()
        counted = bus.get_stats_dict()

        wanted = {
            "events_published": 3,
            "events_consumed": 3,
            "events_processed_success": 2,
            "events_processed_failed": 1,
            "messages_sent_to_dlq": 1,
            "handler_errors": 3,
            "publish_errors": 0,
            "connection_errors": 0,
            "reconnections": 0,
        }
        assert {name: counted[name] for name in wanted} == wanted
        moments = ("connected_at", "last_publish_at", "last_consume_at", "last_error_at")
        assert all(isinstance(counted[name], str) for name in moments)
