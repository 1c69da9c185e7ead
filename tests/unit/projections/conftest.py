"""What the tests of projections share: a log to fill, a projection that notes what it gets, and runners in a hurry."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventsource.bus.interface import EventBus
from eventsource.events.base import DomainEvent
from eventsource.projections.base import CheckpointTrackingProjection
from eventsource.projections.checkpoints.in_memory import InMemoryCheckpointRepository
from eventsource.projections.checkpoints.operations import AcquireLease, SaveCheckpoint
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.projections.forwarding import EventForwarder
from eventsource.projections.operations import Project
from eventsource.projections.runner import ProjectionRunner
from eventsource.retry import NoRetryPolicy, RetryConfig
from eventsource.stores.in_memory import InMemoryEventStore
from eventsource.stores.interface import EventStore
from eventsource.stores.operations import GetGlobalPosition, ReadPage
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import ExpectedVersion, StoredEvent
from eventsource.testing.events import DOOR, Opened

Do = Callable[[Any], Awaitable[None]]

LONG = 3600.0
AT_MOST = 20.0
"""Seconds after which a test has failed; none takes so long."""

IN_A_HURRY: dict[str, Any] = {
    "poll_interval": 0.02,
    "lease_seconds": 0.3,
    "lag_interval": LONG,
    "restart_backoff": RetryConfig(initial_delay=0.001, max_delay=0.001, jitter=0.0),
}
"""How runners are made here."""


class Recorder(CheckpointTrackingProjection):
    """Does with each event what it is told, and then notes it, as its read model."""

    def __init__(self, do: Do | None, wanted: list[type[DomainEvent]], **options: Any) -> None:
        super().__init__(**options)
        self.events: list[DomainEvent] = []
        self.begun: list[int] = []
        self.replays: list[bool] = []
        self.truncations = 0
        self._do = do
        self._wanted = wanted

    @property
    def numbers(self) -> list[int]:
        """Which events are in the read model."""
        return [getattr(event, "number", 0) for event in self.events]

    def subscribed_to(self) -> list[type[DomainEvent]]:
        return self._wanted

    async def _project(self, project: Project) -> None:
        self.replays.append(project.replay)
        await super()._project(project)

    async def _process_event(self, event: DomainEvent) -> None:
        self.begun.append(getattr(event, "number", 0))
        if self._do is not None:
            await self._do(event)
        self.events.append(event)

    async def _truncate_read_models(self) -> None:
        self.events.clear()
        self.truncations += 1


class Gate:
    """Holds up whoever comes first, until it is opened."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, event: DomainEvent) -> None:
        """Wait here."""
        self.reached.set()
        await self.opened.wait()


class ShakyStore(InMemoryEventStore):
    """A store that fails on demand: *error* is what its reads raise; *afterwards* is done once the end is looked up."""

    error: BaseException | None = None
    failures = 0
    afterwards: Callable[[], Awaitable[object]] | None = None

    async def _read_page(self, read: ReadPage) -> Any:
        self._fail()
        return await super()._read_page(read)

    async def _get_global_position(self, get: GetGlobalPosition) -> int:
        self._fail()
        head, afterwards, self.afterwards = await super()._get_global_position(get), self.afterwards, None
        if afterwards is not None:
            await afterwards()
        return head

    def _fail(self) -> None:
        if self.error is not None:
            self.failures += 1
            raise self.error


class ShakyCheckpoints(InMemoryCheckpointRepository):
    """Checkpoints that note what is saved, and fail on demand: what a save or the lease raises."""

    def __init__(self) -> None:
        super().__init__()
        self.saves: list[int | None] = []
        self.error: BaseException | None = None
        self.lease_error: BaseException | None = None
        self.failures = 0
        self.leasings = 0
        self.leader: str | None = None

    async def _save_checkpoint(self, save: SaveCheckpoint) -> None:
        self._fail(self.error)
        await super()._save_checkpoint(save)
        self.saves.append(save.position)

    async def _acquire_lease(self, acquire: AcquireLease) -> CheckpointData | None:
        self.leasings += 1
        self._fail(self.lease_error)
        data = await super()._acquire_lease(acquire)
        self.leader = acquire.owner if data else self.leader
        return data

    def _fail(self, error: BaseException | None) -> None:
        if error is not None:
            self.failures += 1
            raise error


@pytest.fixture
def door() -> UUID:
    """The id of the aggregate that all events are of."""
    return uuid4()


@pytest.fixture
async def store() -> ShakyStore:
    """A store in memory without events."""
    return ShakyStore()


@pytest.fixture
def checkpoints() -> ShakyCheckpoints:
    """Checkpoints in memory."""
    return ShakyCheckpoints()


@pytest.fixture
async def gate() -> Gate:
    """A gate that is shut."""
    return Gate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist yet."""
    return tmp_path / "events.db"


@pytest.fixture
async def on_file(path: Path) -> AsyncIterator[SQLiteEventStore]:
    """An open store in a file, without events."""
    async with SQLiteEventStore(path) as store:
        yield store


@pytest.fixture
def sql(path: Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Do with the file what somebody else might do to it."""

    def execute(statement: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    return execute


@pytest.fixture
def append(door: UUID) -> Callable[..., Awaitable[int]]:
    """Append events, of which a number makes one, and return the position of the last."""

    async def append_to(store: EventStore, *what: int | DomainEvent, headers: dict[str, str] | None = None) -> int:
        events = [Opened(aggregate_id=door, number=each) if isinstance(each, int) else each for each in what]
        result = await store.append_events(door, DOOR, events, ExpectedVersion.ANY, headers=headers)
        return result.global_position

    return append_to


@pytest.fixture
def stored(store: ShakyStore, append: Callable[..., Awaitable[int]]) -> Callable[[int], Awaitable[StoredEvent]]:
    """Append one event more and return it as it is stored."""

    async def append_one(number: int) -> StoredEvent:
        position = await append(store, number)
        return (await store.read_page())[position - 1]

    return append_one


@pytest.fixture
def recorder(checkpoints: ShakyCheckpoints) -> Callable[..., Recorder]:
    """Make a projection that wants what was opened, and does with an event what it is told; it tries once."""

    def make(do: Do | None = None, wanted: list[type[DomainEvent]] | None = None, **options: Any) -> Recorder:
        defaults = {"checkpoint_repo": checkpoints, "retry_policy": NoRetryPolicy(), "name": "recorder"}
        return Recorder(do, wanted or [Opened], **{**defaults, **options})

    return make


@pytest.fixture
def runner_of(store: ShakyStore) -> Callable[..., ProjectionRunner]:
    """Make a runner that looks often and begins again soon."""

    def make(projection: Any, log: EventStore | None = None, **options: Any) -> ProjectionRunner:
        defaults = {
            "poll_interval": 0.02,
            "lease_seconds": 15.0,
            "lag_interval": LONG,
            "restart_backoff": RetryConfig(initial_delay=0.001, max_delay=0.001, jitter=0.0),
        }
        return ProjectionRunner(log or store, projection, **{**defaults, **options})

    return make


@pytest.fixture
def forwarder_of(store: ShakyStore, checkpoints: ShakyCheckpoints) -> Callable[..., EventForwarder]:
    """Make a forwarder that looks often and begins again soon."""

    def make(bus: EventBus, log: EventStore | None = None, **options: Any) -> EventForwarder:
        return EventForwarder(log or store, bus, checkpoints, **{**IN_A_HURRY, **options})

    return make


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Wait until something is so."""

    async def wait(is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(AT_MOST):
            while not is_so():  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.001)

    return wait
