"""A bus over RabbitMQ that is closed while it has something in hand."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from eventsource.bus.rabbitmq import BatchPublishError, RabbitMQEventBus
from eventsource.exceptions import NotConnectedError
from eventsource.testing.event_bus_subject import Gate
from eventsource.testing.events import Closed, Opened, opened
from services.rabbitmq_buses import bus_at, channel_at, consuming, eventually
from services.wires import Wire, wire_to

UNORDERLY = "did not end in good order"


@pytest.fixture
async def wire(rabbitmq_url: str) -> AsyncIterator[tuple[Wire, str]]:
    """A wire to the broker, and its near end."""
    async with wire_to(rabbitmq_url) as wire:
        yield wire


async def confirmed(bus: RabbitMQEventBus, number: int) -> None:
    """Wait until the broker has so many messages."""
    await eventually(lambda: asyncio.sleep(0, bus.stats.publish_confirms >= number), wanted=True)


@pytest.mark.parametrize("preserve_order", [True, False], ids=["in order", "at once"])
async def test_closing_lets_a_batch_finish(rabbitmq_url: str, door: UUID, preserve_order: bool) -> None:
    """Each of its events is there when that is done."""
    async with bus_at(rabbitmq_url, mandatory=False) as bus:
        publishing = asyncio.create_task(bus.publish_batch(opened(door, 300), preserve_order))
        await confirmed(bus, 1)

        await bus.shutdown()

        assert bus.stats.publish_confirms == 300
        assert (await publishing)["failed"] == 0


async def test_closing_lets_each_window_of_a_publication_finish(rabbitmq_url: str, door: UUID) -> None:
    """Also those that were not begun."""
    async with bus_at(rabbitmq_url, batch_size=1, mandatory=False) as bus:
        publishing = asyncio.create_task(bus.publish(opened(door, 300)))
        await confirmed(bus, 1)

        await bus.shutdown()

        assert bus.stats.publish_confirms == 300
        await publishing


@pytest.mark.parametrize("batch_size", [10, 3000], ids=["between windows", "within one"])
async def test_a_publication_that_is_cut_short_does_not_connect_again(
    wire: tuple[Wire, str], door: UUID, batch_size: int
) -> None:
    """It is told that the bus is gone, and that it may try again elsewhere."""
    line, url = wire
    async with bus_at(url, batch_size=batch_size, mandatory=False) as bus:
        publishing = asyncio.create_task(bus.publish(opened(door, 3000)))
        await confirmed(bus, 20)
        connected = line.connected

        await bus.shutdown(timeout=0)

        with pytest.raises(NotConnectedError, match="publishing it again is safe"):
            await publishing
        assert (bus.is_connected, line.connected) == (False, connected)


@pytest.mark.parametrize("preserve_order", [True, False], ids=["in order", "at once"])
async def test_a_batch_that_is_cut_short_does_not_connect_again(
    wire: tuple[Wire, str], door: UUID, preserve_order: bool
) -> None:
    """Not even if the bus may: its other events fail, and are counted."""
    line, url = wire
    async with bus_at(url, mandatory=False, shutdown_timeout=0) as bus:
        publishing = asyncio.create_task(bus.publish_batch(opened(door, 3000), preserve_order))
        await confirmed(bus, 20)
        connected = line.connected

        await bus.disconnect()

        with pytest.raises(BatchPublishError) as caught:
            await publishing
        assert {type(error) for error in caught.value.errors} == {NotConnectedError}
        assert (bus.is_connected, line.connected) == (False, connected)


async def test_a_handler_that_outlives_its_bus_publishes_nothing(rabbitmq_url: str, door: UUID) -> None:
    """It was cancelled, would not hear of it, and is not to open a connection that nobody closes."""
    cancelled, released = asyncio.Event(), asyncio.Event()
    outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async with bus_at(rabbitmq_url, mandatory=False) as bus:

        async def outlive(event: Opened) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                await released.wait()
                try:
                    await bus.publish([Closed(aggregate_id=door)])
                except NotConnectedError as error:
                    outcome.set_exception(error)

        bus.subscribe(Opened, outlive)
        await consuming(bus)
        await bus.publish(opened(door, 1))
        await eventually(lambda: asyncio.sleep(0, bus.stats.events_consumed), 1)

        await bus.shutdown(timeout=0)
        await cancelled.wait()
        released.set()

        with pytest.raises(NotConnectedError):
            await asyncio.wait_for(outcome, 20)
        assert not bus.is_connected


async def test_what_cannot_be_acknowledged_while_stopping_is_logged(
    wire: tuple[Wire, str], door: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    """It is going to be handled again, and somebody may wonder why."""
    line, url = wire
    async with bus_at(url) as bus:
        bus.subscribe(Opened, gate := Gate())
        await consuming(bus)
        await bus.publish(opened(door, 1))
        await gate.entered.wait()
        stopping = asyncio.create_task(bus.stop_consuming())
        await asyncio.sleep(0)

        line.cut()
        await eventually(lambda: asyncio.sleep(0, bus.is_connected), wanted=False)
        gate.open.set()
        await stopping

    assert UNORDERLY in caplog.text


async def test_a_dead_letter_that_cannot_be_kept_while_stopping_is_logged(
    rabbitmq_url: str, door: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    """The message stays in its queue, and comes again."""
    async with bus_at(rabbitmq_url, max_retries=0) as bus:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def refuse(event: Opened) -> None:
            begun.set()
            await go_on.wait()
            raise LookupError("no room")

        bus.subscribe(Opened, refuse)
        await consuming(bus)
        await bus.publish(opened(door, 1))
        await begun.wait()
        async with channel_at(rabbitmq_url) as channel:
            await channel.exchange_delete(bus.config.dlq_exchange_name)
            await channel.declare_exchange(bus.config.dlq_exchange_name, "fanout", durable=True)
        stopping = asyncio.create_task(bus.stop_consuming())
        await asyncio.sleep(0)

        go_on.set()
        await stopping

        assert (await bus.get_queue_info()).message_count == 1
    assert UNORDERLY in caplog.text
