"""Doors to observe, a tour through everything that can be done with them, and telemetry to switch on and off."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TypeAlias
from uuid import UUID, uuid4

import pytest
from opentelemetry.trace import Tracer
from pydantic import BaseModel

from eventsource import (
    AggregateRepository,
    DeclarativeAggregate,
    DeclarativeProjection,
    InMemoryEventBus,
    InMemoryEventStore,
    InMemorySnapshotStore,
    handles,
)
from eventsource.testing.events import DOOR, Opened
from eventsource_instrumentation import EventsourceInstrumentor
from eventsource_instrumentation.recording import Recording


class DoorState(BaseModel):
    openings: int = 0


class Door(DeclarativeAggregate[DoorState]):
    aggregate_type = DOOR

    def open(self) -> None:
        self.apply_event(Opened(aggregate_id=self.aggregate_id, aggregate_version=self.get_next_version()))

    @handles(Opened)
    def _on_opened(self, event: Opened) -> None:
        self._state = DoorState(openings=event.aggregate_version)

    def _get_initial_state(self) -> DoorState:
        return DoorState()


class Openings(DeclarativeProjection):
    """Counts."""

    count = 0

    @handles(Opened)
    async def on_opened(self, event: Opened) -> None:
        self.count += 1


NewDoor: TypeAlias = Callable[[int], Door]
Tour: TypeAlias = Callable[[Tracer], Awaitable[None]]


@pytest.fixture
def door() -> UUID:
    """The id of a door to which nothing has happened."""
    return uuid4()


@pytest.fixture
def new_door() -> NewDoor:
    """Makes a door that was opened so many times and is not saved yet."""

    def make(openings: int) -> Door:
        made = Door(uuid4())
        for _ in range(openings):
            made.open()
        return made

    return make


@pytest.fixture
def store() -> InMemoryEventStore:
    """Where the events are."""
    return InMemoryEventStore()


@pytest.fixture
def snapshots() -> InMemorySnapshotStore:
    """Where the snapshots are."""
    return InMemorySnapshotStore()


@pytest.fixture
def doors_in() -> Callable[..., AggregateRepository[Door]]:
    """Makes a repository of doors in a store; its options are those of `AggregateRepository`."""
    return partial(AggregateRepository, aggregate_factory=Door, aggregate_type=DOOR)


@pytest.fixture
def doors(store: InMemoryEventStore) -> AggregateRepository[Door]:
    """The repository of doors, with neither publisher nor snapshots."""
    return AggregateRepository(store, Door, DOOR)


@pytest.fixture
def openings() -> Callable[..., Openings]:
    """Makes a projection that counts openings; its options are those of `DeclarativeProjection`."""
    return Openings


@pytest.fixture
def tour(
    store: InMemoryEventStore, snapshots: InMemorySnapshotStore, door: UUID, new_door: NewDoor
) -> Callable[[Tracer], Awaitable[None]]:
    """Does everything once that there is to be observed."""

    async def go(tracer: Tracer) -> None:
        async with InMemoryEventBus() as bus:
            bus.subscribe_all(Openings(enable_tracing=True))
            doors = AggregateRepository(store, Door, DOOR, bus, snapshots)
            made = new_door(1)
            await doors.save(made)
            snapshot = await doors.create_snapshot(made)
            await doors.load(made.aggregate_id)
            await doors.exists(made.aggregate_id)
        await snapshots.snapshot_exists(snapshot.aggregate_id, DOOR)
        await snapshots.delete_snapshot(snapshot.aggregate_id, DOOR)
        await snapshots.delete_snapshots_by_type(DOOR)
        with tracer.start_as_current_span("batch"):
            await store.read_page()
            await store.read_page(str(door))

    return go


@pytest.fixture
def recording() -> Iterator[Recording]:
    """Providers to instrument with, and what they record."""
    recording = Recording()
    yield recording
    recording.shutdown()


@pytest.fixture
def instrumentor() -> Iterator[EventsourceInstrumentor]:
    """The switch; it is off at the beginning and in the end."""
    instrumentor = EventsourceInstrumentor()
    was_on = instrumentor.is_instrumented_by_opentelemetry
    if was_on:
        instrumentor.uninstrument()
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()
    if was_on:
        instrumentor.instrument()
