"""Doors to observe, a tour through everything that can be done with them, and telemetry to switch on and off."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import pytest
from opentelemetry.trace import Tracer
from pydantic import BaseModel

from eventsource import (
    AggregateRepository,
    DeclarativeAggregate,
    DeclarativeProjection,
    EventForwarder,
    EventStore,
    ExpectedVersion,
    InMemoryCheckpointRepository,
    InMemoryDLQRepository,
    InMemoryEventBus,
    InMemoryEventStore,
    InMemorySnapshotStore,
    ProjectionRunner,
    handles,
)
from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.retry import RetryConfig
from eventsource.testing.events import DOOR, Opened, opened
from eventsource_instrumentation import EventsourceInstrumentor
from eventsource_instrumentation.recording import Recording
from services.brokers import BROKERS, Broker
from services.fixtures import do_without
from services.in_process import LocalBus

THEIRS = {
    "rabbitmq": ("aio_pika", "AioPikaInstrumentor"),
    "kafka": ("aiokafka", "AIOKafkaInstrumentor"),
    "postgresql": ("asyncpg", "AsyncPGInstrumentor"),
}
"""Modules and names of what OpenTelemetry has to instrument drivers with, by the system that is driven."""


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
def local_bus() -> Callable[..., LocalBus]:
    """Makes a bus over a broker within the process; it may be told how often to try a message again."""
    return LocalBus


@pytest.fixture
async def local(local_bus: Callable[..., LocalBus]) -> AsyncIterator[LocalBus]:
    """A bus over a broker within the process that consumes."""
    async with local_bus() as bus:
        await bus.consume()
        yield bus


@pytest.fixture(params=BROKERS)
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    """A real broker, and what is to be seen there by its driver alone."""
    kind = BROKERS[request.param]
    async with kind(request.getfixturevalue(kind.address)) as broker:
        yield broker


@pytest.fixture
def checkpoints() -> InMemoryCheckpointRepository:
    """How far each projection has come."""
    return InMemoryCheckpointRepository()


@pytest.fixture
def dead_letters() -> InMemoryDLQRepository:
    """What no projection could handle."""
    return InMemoryDLQRepository()


@pytest.fixture
def in_postgresql(postgresql_dsn: str, schema: str) -> Callable[..., Any]:
    """Makes a store of any kind in a schema of the test's own; its options are those of its class."""

    def make(kind: Callable[..., Any], **options: Any) -> Any:
        return kind(postgresql_dsn, options=PostgreSQLOptions(schema=schema), **options)

    return make


@pytest.fixture
def append(store: InMemoryEventStore, door: UUID) -> Callable[..., Awaitable[int]]:
    """Appends so many events at once, each with the fields given, and returns the position of the last."""

    async def append_to(count: int, log: EventStore = store, **fields: Any) -> int:
        result = await log.append_events(door, DOOR, opened(door, count, **fields), ExpectedVersion.ANY)
        return result.global_position

    return append_to


@pytest.fixture
def runner_of(store: InMemoryEventStore) -> Callable[..., ProjectionRunner]:
    """Makes a runner that looks often, begins again soon, and looks up its lag when it starts."""

    def make(projection: Any, log: EventStore = store, **options: Any) -> ProjectionRunner:
        defaults = {
            "poll_interval": 0.02,
            "lag_interval": 3600.0,
            "restart_backoff": RetryConfig(initial_delay=0.001, max_delay=0.001, jitter=0.0),
        }
        return ProjectionRunner(log, projection, **{**defaults, **options})

    return make


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Waits until something is so."""

    async def wait(is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not is_so():  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.001)

    return wait


@pytest.fixture
def tour(
    store: InMemoryEventStore,
    snapshots: InMemorySnapshotStore,
    checkpoints: InMemoryCheckpointRepository,
    dead_letters: InMemoryDLQRepository,
    door: UUID,
    new_door: NewDoor,
) -> Callable[[Tracer], Awaitable[None]]:
    """Does everything once that there is to be observed."""

    async def go(tracer: Tracer) -> None:
        doors = AggregateRepository(store, Door, DOOR, snapshot_store=snapshots)
        made = new_door(1)
        await doors.save(made)
        snapshot = await doors.create_snapshot(made)
        await doors.load(made.aggregate_id)
        await doors.exists(made.aggregate_id)
        await snapshots.snapshot_exists(snapshot.aggregate_id, DOOR)
        await snapshots.delete_snapshot(snapshot.aggregate_id, DOOR)
        await snapshots.delete_snapshots_by_type(DOOR)
        await _forward(store)
        await _consume(door)
        await _use_dead_letters(dead_letters, door)
        with tracer.start_as_current_span("batch"):
            await store.read_page()
            await store.read_page(str(door))
            await _use_checkpoints(checkpoints, door)

    return go


async def _forward(store: InMemoryEventStore) -> None:
    bus = InMemoryEventBus()
    bus.subscribe_all(Openings(enable_tracing=True))
    async with bus, EventForwarder(store, bus, InMemoryCheckpointRepository(enable_tracing=False)) as forwarder:
        await forwarder.wait_for(timeout=20)


async def _consume(door: UUID) -> None:
    async with LocalBus() as bus:
        await bus.consume()
        bus.deliver(bus.message_of(Opened(aggregate_id=door)))
        await bus.has_settled(1)


async def _use_checkpoints(checkpoints: InMemoryCheckpointRepository, event_id: UUID) -> None:
    await checkpoints.update_checkpoint("openings", event_id, "Opened")
    await checkpoints.save_position("openings", 1, event_id, "Opened")
    await checkpoints.get_position("openings")
    await checkpoints.get_all_checkpoints()
    await checkpoints.reset_checkpoint("openings")


async def _use_dead_letters(dead_letters: InMemoryDLQRepository, event_id: UUID) -> None:
    entry_id = await dead_letters.add_failed_event(event_id, "openings", "Opened", {}, ValueError("stuck"), 3)
    await dead_letters.get_failed_events("openings")
    await dead_letters.get_failed_event_by_id(entry_id)
    await dead_letters.mark_retrying(entry_id)
    await dead_letters.mark_resolved(entry_id, "hand")
    await dead_letters.get_failure_stats()
    await dead_letters.get_projection_failure_counts()
    await dead_letters.delete_resolved_events()


@pytest.fixture
def recording() -> Iterator[Recording]:
    """Providers to instrument with, and what they record."""
    recording = Recording()
    yield recording
    recording.shutdown()


@pytest.fixture
def their_instrumentor(recording: Recording) -> Callable[[str], AbstractContextManager[None]]:
    """Instruments the driver of a system with what OpenTelemetry has for it, for a block."""

    @contextmanager
    def instrument(system: str) -> Iterator[None]:
        name, cls = THEIRS[system]
        try:
            module = importlib.import_module(f"opentelemetry.instrumentation.{name}")
        except ModuleNotFoundError:
            do_without(f"opentelemetry-instrumentation-{name.replace('_', '-')} is not installed")
        instrumentor = getattr(module, cls)()
        # The lowest version of theirs would do without a warning only with older drivers than ours.
        instrumentor.instrument(tracer_provider=recording.spans.provider, skip_dep_check=True)
        try:
            yield
        finally:
            instrumentor.uninstrument()

    return instrument


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
