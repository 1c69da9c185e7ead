"""Exercise 20-1, solved: a shopping cart that can be watched at work."""

import asyncio
import sys
from uuid import UUID, uuid4

from pydantic import BaseModel, Field

from eventsource import (
    AggregateRepository,
    DeclarativeAggregate,
    DomainEvent,
    InMemoryEventStore,
    handles,
    register_event,
)
from eventsource.observability import ATTR_AGGREGATE_ID, ATTR_VERSION, OTEL_AVAILABLE, TracingMixin


@register_event
class ItemAdded(DomainEvent):
    aggregate_type: str = "Cart"
    product: str
    quantity: int


@register_event
class ItemRemoved(DomainEvent):
    aggregate_type: str = "Cart"
    product: str


class CartState(BaseModel):
    items: dict[str, int] = Field(default_factory=dict)


class Cart(DeclarativeAggregate[CartState]):
    aggregate_type = "Cart"

    def _get_initial_state(self) -> CartState:
        return CartState()

    @property
    def items(self) -> dict[str, int]:
        return dict(self.state.items) if self.state else {}

    def add(self, product: str, quantity: int) -> None:
        version = self.get_next_version()
        self.apply_event(
            ItemAdded(aggregate_id=self.aggregate_id, aggregate_version=version, product=product, quantity=quantity)
        )

    def remove(self, product: str) -> None:
        if product not in self.items:
            raise LookupError(f"there is no {product} in the cart")
        version = self.get_next_version()
        self.apply_event(ItemRemoved(aggregate_id=self.aggregate_id, aggregate_version=version, product=product))

    @handles(ItemAdded)
    def _on_added(self, event: ItemAdded) -> None:
        items = self.items
        self._state = CartState(items=items | {event.product: items.get(event.product, 0) + event.quantity})

    @handles(ItemRemoved)
    def _on_removed(self, event: ItemRemoved) -> None:
        self._state = CartState(items={name: count for name, count in self.items.items() if name != event.product})


class CartService(TracingMixin):
    """What customers do with their carts, a span each."""

    def __init__(self, carts: AggregateRepository[Cart]) -> None:
        self._init_tracing(__name__)
        self._carts = carts

    async def add(self, cart_id: UUID, product: str, quantity: int = 1) -> None:
        attributes = {ATTR_AGGREGATE_ID: cart_id, "product.name": product, "product.quantity": quantity}
        with self._create_span_context("cart.add", attributes) as span:
            cart = await self._carts.load_or_create(cart_id)
            cart.add(product, quantity)
            await self._carts.save(cart)
            if span:
                span.set_attribute(ATTR_VERSION, cart.version)

    async def remove(self, cart_id: UUID, product: str) -> None:
        with self._create_span_context("cart.remove", {ATTR_AGGREGATE_ID: cart_id, "product.name": product}):
            await self._carts.execute(cart_id, lambda cart: cart.remove(product))

    async def items(self, cart_id: UUID) -> dict[str, int]:
        with self._create_span_context("cart.items", {ATTR_AGGREGATE_ID: cart_id}):
            return (await self._carts.load(cart_id)).items


async def shop() -> None:
    """Fill a cart, change one's mind, and ask for too much."""
    carts = CartService(AggregateRepository(InMemoryEventStore(), Cart, "Cart"))
    cart_id = uuid4()
    await carts.add(cart_id, "Teapot")
    await carts.add(cart_id, "Cup", 6)
    await carts.remove(cart_id, "Teapot")
    try:
        await carts.remove(cart_id, "Saucer")
    except LookupError as error:
        print(f"Refused: {error}")
    items = await carts.items(cart_id)
    print(f"Cart: {items}")
    print(f"Pieces: {sum(items.values())}")


def main() -> None:
    if not OTEL_AVAILABLE:
        print('This exercise needs telemetry: pip install "eventsource-py[telemetry]"')
        sys.exit(1)

    from opentelemetry import trace
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from eventsource_instrumentation import EventsourceInstrumentor
    from eventsource_instrumentation.console import TraceTreeExporter

    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "exercise-20-1"}))
    provider.add_span_processor(BatchSpanProcessor(TraceTreeExporter()))
    trace.set_tracer_provider(provider)
    EventsourceInstrumentor().instrument()
    try:
        asyncio.run(shop())
    finally:
        provider.shutdown()  # export what still waits in the batch


if __name__ == "__main__":
    main()
