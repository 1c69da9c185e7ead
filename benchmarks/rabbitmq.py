"""Publishing to RabbitMQ and consuming from it, against aio-pika by hand."""

import asyncio
from functools import partial
from uuid import uuid4

import aio_pika

from benchmarks.brokers import EVENTS, PAUSE, SLOW_EVENTS, Counting, sample
from benchmarks.measuring import Figure, compared, stopwatch
from benchmarks.sample import Deposited
from benchmarks.services import RabbitMQ, find
from eventsource import RabbitMQEventBus, RabbitMQEventBusConfig

WINDOW = 100
PREFETCH = 100


async def run() -> list[Figure]:
    """Compare the bus with confirmations that are gathered, and with a loop that awaits each handler."""
    url = find(RabbitMQ)
    figures = await compared(
        {"publish, 5,000 events at once": partial(_publish, url), "raw pipelining": partial(_send, url)},
        "raw pipelining",
    )
    for what, events, pause in (
        ("handlers that do nothing", EVENTS, 0.0),
        (f"handlers that wait {PAUSE * 1000:g} ms", SLOW_EVENTS, PAUSE),
    ):
        ways = {"lanes": partial(_consume, url, events, pause), "raw loop": partial(_loop, url, events, pause)}
        figures += await compared(ways, "raw loop", f"consuming, {what}: ")
    return figures


async def _publish(url: str) -> float:
    events = sample(EVENTS)
    async with RabbitMQEventBus(_config(url)) as bus:
        await bus.bind_event_type(Deposited)
        with stopwatch() as watch:
            await bus.publish(events)
        await _remove(url, bus)
    return watch.seconds / EVENTS


async def _send(url: str) -> float:
    """Publish the same bodies, mandatory, persistent and confirmed, so many at a time."""
    events = sample(EVENTS)
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(on_return_raises=True)
        exchange = await channel.declare_exchange(f"benchmark-{uuid4().hex}", "topic", durable=True)
        queue = await channel.declare_queue(exchange.name, durable=True)
        await queue.bind(exchange, "#")
        with stopwatch() as watch:
            for start in range(0, EVENTS, WINDOW):
                await asyncio.gather(
                    *(exchange.publish(_message(event), "deposited") for event in events[start : start + WINDOW])
                )
        await queue.delete(if_empty=False)
        await exchange.delete()
    return watch.seconds / EVENTS


async def _consume(url: str, events: int, pause: float) -> float:
    counting = Counting(events, pause)
    async with RabbitMQEventBus(_config(url)) as bus:
        await bus.bind_event_type(Deposited)
        await bus.publish(sample(events))
        bus.subscribe(Deposited, counting)
        with stopwatch() as watch:
            bus.start_consuming_in_background()
            await counting.done.wait()
        await _remove(url, bus)
    return watch.seconds / events


async def _loop(url: str, events: int, pause: float) -> float:
    """Read each message as an event, await the handler, and acknowledge."""
    counting = Counting(events, pause)
    async with RabbitMQEventBus(_config(url)) as bus:
        await bus.bind_event_type(Deposited)
        await bus.publish(sample(events))
        with stopwatch() as watch:
            async with await aio_pika.connect(url) as connection:
                channel = await connection.channel()
                await channel.set_qos(PREFETCH)
                queue = await channel.get_queue(bus.config.queue_name)
                async with queue.iterator() as messages:
                    async for message in messages:
                        await counting.handle(Deposited.model_validate_json(message.body))
                        await message.ack()
                        if counting.done.is_set():
                            break
        await _remove(url, bus)
    return watch.seconds / events


async def _remove(url: str, bus: RabbitMQEventBus) -> None:
    """Leave nothing behind."""
    await bus.stop_consuming()
    config = bus.config
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for queue in (config.queue_name, config.dlq_queue_name):
            await channel.queue_delete(queue)
        for exchange in (config.exchange_name, config.dlq_exchange_name):
            await channel.exchange_delete(exchange)


def _message(event: Deposited) -> aio_pika.Message:
    return aio_pika.Message(
        event.model_dump_json().encode(),
        message_id=str(event.event_id),
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


def _config(url: str) -> RabbitMQEventBusConfig:
    return RabbitMQEventBusConfig(
        rabbitmq_url=url, exchange_name=f"benchmark-{uuid4().hex}", prefetch_count=PREFETCH, max_concurrency=PREFETCH
    )
