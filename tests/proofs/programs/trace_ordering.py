"""
Takes an order as a web application does, while a forwarder publishes on RabbitMQ what is stored.

Usage: trace_ordering.py FILE RABBITMQ_URL EXCHANGE
"""

import asyncio
import sys
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.trace import SpanKind
from pydantic import BaseModel
from trace_events import OrderPlaced
from trace_exporting import switch_on

from eventsource import (
    AggregateRepository,
    DeclarativeAggregate,
    EventForwarder,
    RabbitMQEventBus,
    RabbitMQEventBusConfig,
    SQLiteCheckpointRepository,
    SQLiteEventStore,
    handles,
)


class Placed(BaseModel):
    article: str = ""


class Order(DeclarativeAggregate[Placed]):
    aggregate_type = "Order"

    def place(self, article: str) -> None:
        self.apply_event(OrderPlaced(aggregate_id=self.aggregate_id, article=article))

    @handles(OrderPlaced)
    def _on_placed(self, event: OrderPlaced) -> None:
        self._state = Placed(article=event.article)

    def _get_initial_state(self) -> Placed:
        return Placed()


async def post(orders: AggregateRepository[Order]) -> None:
    with trace.get_tracer("web").start_as_current_span("POST /orders", kind=SpanKind.SERVER):
        order = orders.create_new(uuid4())
        order.place("tea")
        await orders.save(order)


async def main(path: str, rabbitmq_url: str, exchange: str) -> None:
    config = RabbitMQEventBusConfig(rabbitmq_url=rabbitmq_url, exchange_name=exchange)
    async with (
        SQLiteEventStore(path) as store,
        SQLiteCheckpointRepository(path) as checkpoints,
        RabbitMQEventBus(config) as bus,
        EventForwarder(store, bus, checkpoints) as forwarder,
    ):
        await post(AggregateRepository(store, Order, "Order"))
        await forwarder.wait_for(timeout=60)


switch_on()
asyncio.run(main(*sys.argv[1:]))
