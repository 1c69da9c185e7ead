"""
Waits for an order on RabbitMQ, and tells Kafka of the parcel.

Usage: trace_shipping.py RABBITMQ_URL EXCHANGE KAFKA_ADDRESS TOPIC_PREFIX

Lines: one when it consumes.
"""

import asyncio
import sys
from uuid import uuid4

from trace_events import OrderPlaced, ParcelSent
from trace_exporting import switch_on

from eventsource import EventBus, KafkaEventBus, KafkaEventBusConfig, RabbitMQEventBus, RabbitMQEventBusConfig


class Shipping:
    def __init__(self, parcels: EventBus) -> None:
        self._parcels = parcels
        self.done = asyncio.Event()

    async def handle(self, order: OrderPlaced) -> None:
        parcel = ParcelSent(aggregate_id=uuid4(), article=order.article).with_causation(order)
        await self._parcels.publish([parcel])
        self.done.set()


async def main(rabbitmq_url: str, exchange: str, kafka_address: str, topic_prefix: str) -> None:
    async with (
        KafkaEventBus(KafkaEventBusConfig(bootstrap_servers=kafka_address, topic_prefix=topic_prefix)) as parcels,
        RabbitMQEventBus(RabbitMQEventBusConfig(rabbitmq_url=rabbitmq_url, exchange_name=exchange)) as orders,
    ):
        shipping = Shipping(parcels)
        orders.subscribe(OrderPlaced, shipping)
        orders.start_consuming_in_background()
        await orders.wait_until_consuming()
        sys.stdout.write("consuming\n")
        sys.stdout.flush()
        await shipping.done.wait()


switch_on()
asyncio.run(main(*sys.argv[1:]))
