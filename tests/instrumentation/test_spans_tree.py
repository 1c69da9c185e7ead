"""How the spans hang together."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from opentelemetry import trace

from eventsource import AggregateRepository, InMemoryEventBus, InMemoryEventStore, InMemorySnapshotStore
from eventsource.testing.events import DOOR, Opened, opened
from eventsource_instrumentation.operations import TABLE
from eventsource_instrumentation.recording import RecordedSpans

SAVE = "eventsource.repository.save"
APPEND = "eventsource.event_store.append_events"


async def test_every_span_of_the_table_is_emitted(
    tour: Callable[[trace.Tracer], Awaitable[None]], eventsource_spans: RecordedSpans
) -> None:
    """Whoever does everything sees every span, and no other."""
    await tour(eventsource_spans.provider.get_tracer("here"))

    names = [name for row in TABLE.values() for name in row.spans]
    assert set(eventsource_spans.names) == {*names, "batch"}


async def test_from_a_save_down_to_a_projection(
    store: InMemoryEventStore,
    doors_in: Callable[..., AggregateRepository[Any]],
    new_door: Callable[[int], Any],
    openings: Callable[..., Any],
    eventsource_spans: RecordedSpans,
) -> None:
    """One trace shows the whole way, each step once."""
    bus = InMemoryEventBus()
    bus.subscribe_all(openings(enable_tracing=True))

    await doors_in(store, event_publisher=bus).save(new_door(1))

    down_to_the_handler = [
        SAVE,
        "eventsource.event_bus.publish",
        "eventsource.event_bus.dispatch",
        "eventsource.event_bus.handle",
        "eventsource.projection.handle",
        "eventsource.projection.handler",
    ]
    assert eventsource_spans.chain(eventsource_spans.one("eventsource.projection.handler")) == down_to_the_handler
    assert eventsource_spans.chain(eventsource_spans.one(APPEND)) == [SAVE, APPEND]
    assert sorted(eventsource_spans.names) == sorted([*down_to_the_handler, APPEND])
    assert len({span.context.trace_id for span in eventsource_spans.finished}) == 1


async def test_from_a_load_down_to_the_stores(
    store: InMemoryEventStore,
    snapshots: InMemorySnapshotStore,
    doors_in: Callable[..., AggregateRepository[Any]],
    new_door: Callable[[int], Any],
    eventsource_spans: RecordedSpans,
) -> None:
    """First the snapshot is looked for, then the stream is read."""
    await doors_in(store, snapshot_store=snapshots).load_or_create(new_door(0).aggregate_id)

    get, read, load = eventsource_spans.finished
    assert eventsource_spans.chain(get) == ["eventsource.repository.load", "eventsource.snapshot.get"]
    assert eventsource_spans.chain(read) == ["eventsource.repository.load", "eventsource.event_store.get_events"]
    assert load.name == "eventsource.repository.load"


async def test_the_applications_span_is_the_parent(
    store: InMemoryEventStore, door: UUID, eventsource_spans: RecordedSpans
) -> None:
    """Whatever is current where an operation begins."""
    with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
        await store.append_events(door, DOOR, opened(door, 1), 0)

    assert eventsource_spans.chain(eventsource_spans.one(APPEND)) == ["request", APPEND]


async def test_operations_side_by_side_do_not_mix(store: InMemoryEventStore, eventsource_spans: RecordedSpans) -> None:
    """Each task has its own current span."""
    tracer = eventsource_spans.provider.get_tracer("here")

    async def request(door: UUID) -> None:
        with tracer.start_as_current_span("request", attributes={"eventsource.aggregate.id": str(door)}):
            await asyncio.sleep(0)
            await store.append_events(door, DOOR, opened(door, 1), 0)

    await asyncio.gather(*(request(UUID(int=number)) for number in range(1, 20)))

    for append in eventsource_spans.named(APPEND):
        parent = eventsource_spans.parent_of(append)
        assert parent is not None
        assert (parent.attributes or {})["eventsource.aggregate.id"] == (append.attributes or {})[
            "eventsource.aggregate.id"
        ]


async def test_nothing_is_current_afterwards(
    doors: AggregateRepository[Any], new_door: Callable[[int], Any], eventsource_spans: RecordedSpans
) -> None:
    """What the caller does next is no part of the operation."""
    await doors.save(new_door(1))

    assert trace.get_current_span() is trace.INVALID_SPAN


class TestComponentsThatWantNoSpans:
    async def test_they_have_none(self, door: UUID, eventsource_spans: RecordedSpans) -> None:
        """The switch is the component's."""
        store = InMemoryEventStore(enable_tracing=False)

        await store.append_events(door, DOOR, opened(door, 1), 0)

        assert eventsource_spans.names == []

    async def test_the_ambient_context_travels_through_them(
        self,
        store: InMemoryEventStore,
        doors_in: Callable[..., AggregateRepository[Any]],
        new_door: Callable[[int], Any],
        eventsource_spans: RecordedSpans,
    ) -> None:
        """What is below them is the child of what is above."""
        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            await doors_in(store, enable_tracing=False).save(new_door(1))

        assert eventsource_spans.chain(eventsource_spans.one(APPEND)) == ["request", APPEND]

    async def test_messages_carry_the_ambient_context(self, door: UUID, eventsource_spans: RecordedSpans) -> None:
        """A bus without spans of its own does not break the trace."""
        bus = InMemoryEventBus(enable_tracing=False)
        seen: list[int] = []
        bus.subscribe(Opened, lambda event: seen.append(trace.get_current_span().get_span_context().span_id))

        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request") as request:
            await bus.publish(opened(door, 1))

        assert seen == [request.get_span_context().span_id]
        assert eventsource_spans.names == ["request"]
