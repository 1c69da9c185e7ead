"""An event-sourced shop on a SQLite file, or on PostgreSQL, with its read models, traces and metrics."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from pydantic import BaseModel

import eventsource
from eventsource import (
    AggregateRepository,
    CheckpointRepository,
    DeclarativeAggregate,
    DeclarativeProjection,
    DomainEvent,
    EventForwarder,
    EventStore,
    InMemoryEventBus,
    ProjectionRunner,
    SnapshotStore,
    SQLiteCheckpointRepository,
    SQLiteEventStore,
    SQLiteSnapshotStore,
    handles,
    register_event,
)
from eventsource.observability import TracingMixin
from eventsource_instrumentation import EventsourceInstrumentor
from eventsource_instrumentation.console import TraceTreeExporter
from eventsource_instrumentation.recording import RecordedMetrics

PATIENCE = 60.0
"""Seconds after which something must have failed."""


@register_event
class Stocked(DomainEvent):
    """Pieces came in."""

    aggregate_type: str = "Article"
    name: str
    pieces: int


@register_event
class Sold(DomainEvent):
    """Pieces went out."""

    aggregate_type: str = "Article"
    name: str
    pieces: int
    customer: str


class Stock(BaseModel):
    """What is known of an article."""

    name: str = ""
    pieces: int = 0


class SoldOutError(Exception):
    """There are not enough pieces."""


class Article(DeclarativeAggregate[Stock]):
    """One kind of goods, of which no more can be sold than there is."""

    aggregate_type = "Article"

    def _get_initial_state(self) -> Stock:
        return Stock()

    def stock(self, name: str, pieces: int) -> None:
        """Take *pieces* in."""
        self.apply_event(
            Stocked(aggregate_id=self.aggregate_id, aggregate_version=self.get_next_version(), name=name, pieces=pieces)
        )

    def sell(self, pieces: int, customer: str) -> None:
        """Sell *pieces* to *customer*."""
        state = self.state or self._get_initial_state()
        if pieces > state.pieces:
            message = f"{customer} wants {pieces} x {state.name}, but there are {state.pieces}"
            raise SoldOutError(message)
        self.apply_event(
            Sold(
                aggregate_id=self.aggregate_id,
                aggregate_version=self.get_next_version(),
                name=state.name,
                pieces=pieces,
                customer=customer,
            )
        )

    @handles(Stocked)
    def _on_stocked(self, event: Stocked) -> None:
        pieces = self.state.pieces if self.state else 0
        self._state = Stock(name=event.name, pieces=pieces + event.pieces)

    @handles(Sold)
    def _on_sold(self, event: Sold) -> None:
        if self.state:
            self._state = self.state.model_copy(update={"pieces": self.state.pieces - event.pieces})


class Sales(DeclarativeProjection):
    """How many pieces of each article were sold, by the sale, so that a sale that comes twice counts once."""

    def __init__(self) -> None:
        super().__init__(enable_tracing=True)
        self._pieces: dict[UUID, tuple[str, int]] = {}

    def of(self, name: str) -> int:
        """Return how many pieces of an article were sold."""
        return sum(pieces for article, pieces in self._pieces.values() if article == name)

    @handles(Sold)
    async def _on_sold(self, event: Sold) -> None:
        self._pieces[event.event_id] = event.name, event.pieces


class Meeting:
    """Two customers who look at the shelf before either of them buys."""

    def __init__(self) -> None:
        self._looking = 0
        self._both = asyncio.Event()

    async def wait(self) -> None:
        """Return when both have looked; whoever looks again need not wait."""
        self._looking += 1
        if self._looking == 2:
            self._both.set()
        await self._both.wait()


class Shop(TracingMixin):
    """What customers see."""

    def __init__(self, articles: AggregateRepository[Article]) -> None:
        self._init_tracing(__name__)
        self._articles = articles

    async def open(self, name: str, pieces: int) -> UUID:
        """Put a new article on the shelf."""
        with self._create_span_context("shop.open", {"article": name}):
            article = self._articles.create_new(uuid4())
            article.stock(name, pieces)
            await self._articles.save(article)
            return article.aggregate_id

    async def order(
        self, article_id: UUID, pieces: int, customer: str, *, think: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Sell to a customer, who may *think* before deciding; again if somebody else was quicker."""

        async def sell(article: Article) -> None:
            if think:
                await think()
            article.sell(pieces, customer)

        with self._create_span_context("shop.order", {"customer": customer}):
            await self._articles.execute(article_id, sell)


class Stores(NamedTuple):
    """What the shop keeps, and where."""

    events: EventStore
    snapshots: SnapshotStore
    checkpoints: CheckpointRepository


@asynccontextmanager
async def in_sqlite(file: Path) -> AsyncIterator[Stores]:
    """Keep everything in a file."""
    async with (
        SQLiteEventStore(file) as events,
        SQLiteSnapshotStore(file) as snapshots,
        SQLiteCheckpointRepository(file) as checkpoints,
    ):
        yield Stores(events, snapshots, checkpoints)


@asynccontextmanager
async def in_postgresql(address: str, **options: Any) -> AsyncIterator[Stores]:
    """Keep everything in PostgreSQL; `main` has the one line that says where."""
    how = eventsource.PostgreSQLOptions(**options)
    async with (
        eventsource.PostgreSQLEventStore(address, options=how) as events,
        eventsource.PostgreSQLSnapshotStore(address, options=how) as snapshots,
        eventsource.PostgreSQLCheckpointRepository(address, options=how) as checkpoints,
    ):
        yield Stores(events, snapshots, checkpoints)


async def trade(events: EventStore, snapshots: SnapshotStore) -> None:
    """Run the shop for a moment."""
    articles = AggregateRepository(events, Article, "Article", snapshot_store=snapshots, snapshot_threshold=3)
    shop = Shop(articles)
    print("An article is put on the shelf.")
    tea = await shop.open("Tea", 10)
    print("\nTwo customers order at once: one of them meets a conflict and is tried again.")
    meeting = Meeting()
    await asyncio.gather(shop.order(tea, 2, "Ada", think=meeting.wait), shop.order(tea, 1, "Grace", think=meeting.wait))
    print("\nThe next order finds a snapshot, and replays nothing.")
    await shop.order(tea, 4, "Edsger")
    print("\nThe last one wants more than there is.")
    try:
        await shop.order(tea, 5, "Barbara")
    except SoldOutError as error:
        print(f"Refused: {error}")


async def send_receipts(events: EventStore, checkpoints: CheckpointRepository) -> None:
    """Publish the sales that are in the log, each in the trace of its order."""
    print("\nReceipts are sent by a bus, which is given what is in the log: the traces of the orders go on.")
    async with InMemoryEventBus() as bus:
        bus.subscribe(Sold, lambda sold: print(f"Receipt: {sold.pieces} x {sold.name} for {sold.customer}"))
        async with EventForwarder(events, bus, checkpoints, name="receipts", event_types=[Sold]) as forwarder:
            await forwarder.wait_for()


async def report(events: EventStore, metrics: RecordedMetrics) -> None:
    """Bring the read model up to date, and show the metrics."""
    sales = Sales()
    async with ProjectionRunner(events, sales, checkpoint_interval=0, lag_interval=0.1) as runner:
        runner.pause()
        await wait_until(lambda: runner.lag is not None)
        lag = metrics.total("eventsource.projection.lag")
        print(f"\nThe read model is {lag:g} events behind at most: positions count, whether it wants the event or not.")
        print("It catches up, on the sales: one page, with links to where they come from.")
        runner.resume()
        await runner.wait_for()
        await wait_until(lambda: runner.lag is not None and runner.lag.events == 0)
        print(f"\nSold: {sales.of('Tea')} x Tea, position: {runner.position}")
        print("\nMetrics")
        show(metrics)


async def wait_until(true: Callable[[], bool]) -> None:
    """Return as soon as *true* says so."""
    while not true():  # noqa: ASYNC110 - the lag is looked up every now and then, and tells nobody
        await asyncio.sleep(0.01)


def show(metrics: RecordedMetrics) -> None:
    """Print what was counted and measured."""
    for point in sorted(metrics.points, key=lambda each: each.name):
        value = f"{point.value:g}"
        if point.unit == "s" and point.boundaries:
            value = f"{point.count} x {point.value / point.count * 1000:.2f} ms"
        labels = " ".join(f"{name.removeprefix('eventsource.')}={text!s}" for name, text in point.attributes.items())
        print(f"{point.name:<42} {value:>14}  {labels}")


async def run(stores: AbstractAsyncContextManager[Stores], metrics: RecordedMetrics) -> None:
    """Trade, and then look at what the log has."""
    async with asyncio.timeout(PATIENCE), stores as (events, snapshots, checkpoints):
        await trade(events, snapshots)
        await send_receipts(events, checkpoints)
        await report(events, metrics)


def main() -> None:
    """Switch telemetry on and run the shop."""
    traces, metrics = TracerProvider(), RecordedMetrics()
    traces.add_span_processor(SimpleSpanProcessor(TraceTreeExporter()))
    EventsourceInstrumentor().instrument(tracer_provider=traces, meter_provider=metrics.provider)
    with TemporaryDirectory() as directory:
        stores = in_sqlite(Path(directory, "shop.db"))
        asyncio.run(run(stores, metrics))


if __name__ == "__main__":
    main()
