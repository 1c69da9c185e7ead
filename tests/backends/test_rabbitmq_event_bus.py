"""The event bus over RabbitMQ keeps the promises of all buses, and those of buses over brokers."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from aio_pika import Message

from eventsource.bus.rabbitmq import DLQMessage, RabbitMQEventBus
from eventsource.testing import BrokerContract, DeadLetterSeen, EventBusContract
from eventsource.testing.broker_subject import DeadLetters, MakeBus, PublishRaw, Replay
from services.rabbitmq_buses import bus_at, channel_at, configured, consuming

DELAYS = {"retry_max_delay": 0.1}


class TestEventBusContract(EventBusContract):
    @pytest.fixture
    async def bus(self, rabbitmq_url: str) -> AsyncIterator[RabbitMQEventBus]:
        async with bus_at(rabbitmq_url, max_retries=0) as bus:
            yield await consuming(bus)


class TestBrokerContract(BrokerContract):
    @pytest.fixture
    async def make_bus(self, rabbitmq_url: str) -> AsyncIterator[MakeBus]:
        exchange = f"test-{uuid4()}"
        made: list[RabbitMQEventBus] = []

        def make(**fields: Any) -> RabbitMQEventBus:
            options = {"exchange_name": exchange, **DELAYS, **fields}
            made.append(bus := RabbitMQEventBus(configured(rabbitmq_url, **options)))
            return bus

        yield make
        for bus in made:
            await bus.shutdown()
        async with channel_at(rabbitmq_url) as channel:
            for bus in made:
                await channel.queue_delete(bus.config.queue_name)
                await channel.queue_delete(bus.config.dlq_queue_name)
            await channel.exchange_delete(exchange)
            await channel.exchange_delete(f"{exchange}_dlq")

    @pytest.fixture
    async def hopeless_bus(self, make_bus: MakeBus, rabbitmq_url: str) -> Any:
        bus: Any = make_bus()
        async with channel_at(rabbitmq_url) as channel:
            await channel.declare_queue(bus.config.queue_name, durable=False)
        return bus

    @pytest.fixture
    def dead_letters(self) -> DeadLetters:
        async def read(bus: Any) -> list[DeadLetterSeen]:
            return [seen(message) for message in await bus.get_dlq_messages()]

        return read

    @pytest.fixture
    def replay(self) -> Replay:
        async def replay(bus: Any, letter: DeadLetterSeen) -> None:
            assert await bus.replay_dlq_message(letter.message_id)

        return replay

    @pytest.fixture
    def publish_raw(self, rabbitmq_url: str) -> PublishRaw:
        async def publish(bus: Any, body: bytes, headers: dict[str, str]) -> None:
            async with channel_at(rabbitmq_url) as channel:
                exchange = await channel.get_exchange(bus.config.exchange_name)
                await exchange.publish(Message(body, headers={**headers}), "somebody.else")

        return publish


def seen(message: DLQMessage) -> DeadLetterSeen:
    return DeadLetterSeen(
        message_id=message.message_id,
        event_type=message.event_type,
        error_type=str(message.dlq_error_type),
        reason=str(message.dlq_reason),
        retry_count=message.dlq_retry_count if message.dlq_retry_count is not None else -1,
        headers={name: value for name, value in message.headers.items() if isinstance(value, str)},
        body=message.body.encode(),
    )
