"""
Keeps a read model of the parcels that Kafka tells of, and ends with the first one; it knows nothing of telemetry.

Usage: trace_tracking.py KAFKA_ADDRESS TOPIC_PREFIX

Lines: one when it consumes.
"""

import asyncio
import sys
from uuid import UUID

from trace_events import ParcelSent

from eventsource import DeclarativeProjection, KafkaEventBus, KafkaEventBusConfig, handles


class Parcels(DeclarativeProjection):
    def __init__(self) -> None:
        super().__init__(enable_tracing=True)
        self.articles: dict[UUID, str] = {}
        self.done = asyncio.Event()

    @handles(ParcelSent)
    async def on_sent(self, event: ParcelSent) -> None:
        self.articles[event.aggregate_id] = event.article
        self.done.set()


async def main(kafka_address: str, topic_prefix: str) -> None:
    config = KafkaEventBusConfig(
        bootstrap_servers=kafka_address, topic_prefix=topic_prefix, consumer_group=topic_prefix
    )
    async with KafkaEventBus(config) as bus:
        parcels = Parcels()
        bus.subscribe_all(parcels)
        bus.start_consuming_in_background()
        await bus.wait_until_consuming()
        sys.stdout.write("consuming\n")
        sys.stdout.flush()
        await parcels.done.wait()


asyncio.run(main(*sys.argv[1:]))
