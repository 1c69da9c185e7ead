"""Executing a command: load, run, save, and again after a conflict."""

import asyncio
from uuid import uuid4

import pytest
from pydantic import BaseModel

from eventsource.aggregates import AggregateRepository, AggregateRoot
from eventsource.events.base import DomainEvent
from eventsource.exceptions import AggregateNotFoundError, OptimisticLockError
from eventsource.stores.in_memory import InMemoryEventStore


class Counted(DomainEvent):
    aggregate_type: str = "Counter"
    by: int


class CounterState(BaseModel):
    total: int


class Counter(AggregateRoot[CounterState]):
    aggregate_type = "Counter"

    def count(self, by: int = 1) -> None:
        self.apply_event(Counted(aggregate_id=self.aggregate_id, aggregate_version=self.get_next_version(), by=by))

    @property
    def total(self) -> int:
        return self.state.total if self.state else 0

    def _apply(self, event: DomainEvent) -> None:
        assert isinstance(event, Counted)
        self._state = CounterState(total=self.total + event.by)

    def _get_initial_state(self) -> CounterState:
        return CounterState(total=0)


class Interference:
    """A second writer, who is faster for the first *times* that a command runs."""

    def __init__(self, repository: AggregateRepository[Counter], times: int) -> None:
        self.repository = repository
        self.times = times
        self.runs = 0

    async def __call__(self, counter: Counter) -> None:
        self.runs += 1
        counter.count(1)
        if self.runs <= self.times:
            rival = await self.repository.load(counter.aggregate_id)
            rival.count(100)
            await self.repository.save(rival)


@pytest.fixture
def store() -> InMemoryEventStore:
    return InMemoryEventStore()


@pytest.fixture
def repository(store: InMemoryEventStore) -> AggregateRepository[Counter]:
    return AggregateRepository(store, Counter, "Counter")


@pytest.fixture
async def counter(repository: AggregateRepository[Counter]) -> Counter:
    counter = repository.create_new(uuid4())
    counter.count(0)
    await repository.save(counter)
    return counter


async def test_a_command_changes_the_saved_aggregate(
    repository: AggregateRepository[Counter], counter: Counter
) -> None:
    """The aggregate that comes back is as it was saved."""
    changed = await repository.execute(counter.aggregate_id, lambda each: each.count(5))

    assert (changed.total, changed.uncommitted_events) == (5, [])
    assert (await repository.load(counter.aggregate_id)).total == 5


async def test_a_command_may_be_asynchronous(repository: AggregateRepository[Counter], counter: Counter) -> None:
    """It is awaited before its events are saved."""

    async def command(each: Counter) -> None:
        await asyncio.sleep(0)
        each.count(5)

    assert (await repository.execute(counter.aggregate_id, command)).total == 5


async def test_after_a_conflict_the_command_sees_what_the_other_wrote(
    repository: AggregateRepository[Counter], counter: Counter
) -> None:
    """Both changes are there in the end, each once."""
    command = Interference(repository, times=1)

    changed = await repository.execute(counter.aggregate_id, command)

    assert (changed.total, command.runs) == (101, 2)


async def test_writers_who_meet_all_succeed(repository: AggregateRepository[Counter], counter: Counter) -> None:
    """Those who lose the race come after it."""
    meeting, met = asyncio.Barrier(3), set[str]()

    async def count(name: str) -> None:
        async def command(each: Counter) -> None:
            each.count()
            if name not in met:
                met.add(name)
                await meeting.wait()

        await repository.execute(counter.aggregate_id, command, attempts=20)

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(count(name))

    assert (await repository.load(counter.aggregate_id)).total == 3


@pytest.mark.parametrize("attempts", [1, 2])
async def test_it_gives_up_after_the_last_attempt(
    repository: AggregateRepository[Counter], counter: Counter, attempts: int
) -> None:
    """The conflict reaches the caller, and nothing of the command was saved."""
    command = Interference(repository, times=99)

    with pytest.raises(OptimisticLockError):
        await repository.execute(counter.aggregate_id, command, attempts)

    assert command.runs == attempts
    assert (await repository.load(counter.aggregate_id)).total == attempts * 100


async def test_it_tries_three_times_by_default(repository: AggregateRepository[Counter], counter: Counter) -> None:
    """That is enough for most."""
    command = Interference(repository, times=99)

    with pytest.raises(OptimisticLockError):
        await repository.execute(counter.aggregate_id, command)

    assert command.runs == 3


async def test_an_error_of_the_command_is_no_conflict(
    repository: AggregateRepository[Counter], counter: Counter
) -> None:
    """It reaches the caller at once, and nothing is saved."""
    runs: list[None] = []

    def command(each: Counter) -> None:
        runs.append(None)
        each.count(5)
        raise ValueError("overdrawn")

    with pytest.raises(ValueError, match="overdrawn"):
        await repository.execute(counter.aggregate_id, command)

    assert (len(runs), await repository.get_version(counter.aggregate_id)) == (1, 1)


async def test_a_conflict_after_the_save_is_not_this_commands(
    store: InMemoryEventStore, repository: AggregateRepository[Counter], counter: Counter
) -> None:
    """When a publisher meets a conflict of its own, the command has run and is not run again."""
    runs: list[None] = []

    class Conflicting:
        async def publish(self, events: list[DomainEvent]) -> None:
            raise OptimisticLockError(uuid4(), 3, 4)

    def command(each: Counter) -> None:
        runs.append(None)
        each.count(5)

    with pytest.raises(OptimisticLockError):
        await AggregateRepository(store, Counter, "Counter", Conflicting()).execute(counter.aggregate_id, command)

    assert (len(runs), (await repository.load(counter.aggregate_id)).total) == (1, 5)


async def test_a_conflict_that_the_command_met_elsewhere_is_not_this_aggregates(
    repository: AggregateRepository[Counter], counter: Counter
) -> None:
    """Whatever the command raises reaches the caller at once, with no advice to try more often."""
    runs: list[None] = []

    def command(each: Counter) -> None:
        runs.append(None)
        each.count(5)
        raise OptimisticLockError(uuid4(), 3, 4)

    with pytest.raises(OptimisticLockError) as caught:
        await repository.execute(counter.aggregate_id, command)

    assert (len(runs), getattr(caught.value, "__notes__", [])) == (1, [])


async def test_the_last_conflict_says_how_often_it_was_tried(
    repository: AggregateRepository[Counter], counter: Counter
) -> None:
    """Whoever reads the traceback learns what to change."""
    with pytest.raises(OptimisticLockError) as caught:
        await repository.execute(counter.aggregate_id, Interference(repository, times=99), 2)

    assert caught.value.__notes__ == ["execute made 2 attempts; attempts=... allows more"]


async def test_an_unknown_aggregate_is_not_created(repository: AggregateRepository[Counter]) -> None:
    """A command is for what there is."""
    with pytest.raises(AggregateNotFoundError):
        await repository.execute(uuid4(), lambda each: each.count())


async def test_headers_are_kept_beside_the_events(
    store: InMemoryEventStore, repository: AggregateRepository[Counter], counter: Counter
) -> None:
    """As save does it."""
    await repository.execute(counter.aggregate_id, lambda each: each.count(), headers={"request-id": "7"})

    newest = (await store.read_page())[-1]
    assert newest.headers == {"request-id": "7"}


async def test_no_attempt_at_all_makes_no_sense(repository: AggregateRepository[Counter]) -> None:
    """The caller is told so."""
    with pytest.raises(ValueError, match="attempts must be 1 or more, not 0"):
        await repository.execute(uuid4(), lambda each: each.count(), attempts=0)
