"""Loading, saving and executing: what a repository promises without snapshots."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from eventsource.aggregates import AggregateRepository, AggregateRoot
from eventsource.bus.memory import InMemoryEventBus
from eventsource.events.base import DomainEvent
from eventsource.exceptions import AggregateNotFoundError, OptimisticLockError
from eventsource.headers import current_headers
from eventsource.stores.in_memory import InMemoryEventStore
from eventsource.stores.operations import Append
from eventsource.stores.values import AppendResult


class Deposited(DomainEvent):
    aggregate_type: str = "Account"
    amount: int


class AccountState(BaseModel):
    balance: int


class Account(AggregateRoot[AccountState]):
    aggregate_type = "Account"

    def deposit(self, amount: int) -> None:
        self.apply_event(
            Deposited(aggregate_id=self.aggregate_id, aggregate_version=self.get_next_version(), amount=amount)
        )

    @property
    def balance(self) -> int:
        return self.state.balance if self.state else 0

    def _apply(self, event: DomainEvent) -> None:
        assert isinstance(event, Deposited)
        self._state = AccountState(balance=self.balance + event.amount)

    def _get_initial_state(self) -> AccountState:
        return AccountState(balance=0)


class GatedStore(InMemoryEventStore):
    """Stops each append at a gate, before or after the events are written."""

    def __init__(self, *, after: bool = False) -> None:
        super().__init__()
        self.after = after
        self.reached = asyncio.Event()
        self.gate = asyncio.Event()

    async def _append(self, append: Append) -> AppendResult:
        if not self.after:
            await self._stop()
        result = await super()._append(append)
        if self.after:
            await self._stop()
        return result

    async def _stop(self) -> None:
        self.reached.set()
        await self.gate.wait()


class Recorder:
    """A publisher that keeps what it is given."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.published: list[tuple[list[DomainEvent], Any]] = []
        self.failure = failure

    async def publish(self, events: list[DomainEvent], *, headers: Any = None) -> None:
        self.published.append((events, headers))
        if self.failure:
            raise self.failure


def repository_of(store: InMemoryEventStore, publisher: Any = None) -> AggregateRepository[Account]:
    return AggregateRepository(store, Account, "Account", publisher)


@pytest.fixture
def store() -> InMemoryEventStore:
    return InMemoryEventStore()


@pytest.fixture
def repository(store: InMemoryEventStore) -> AggregateRepository[Account]:
    return repository_of(store)


async def saved(repository: AggregateRepository[Account], *amounts: int) -> Account:
    account = repository.create_new(uuid4())
    for amount in amounts:
        account.deposit(amount)
    await repository.save(account)
    return account


class TestLoading:
    async def test_what_was_saved_is_loaded(self, repository: AggregateRepository[Account]) -> None:
        """With nothing left to save."""
        account = await saved(repository, 5, 7)

        loaded = await repository.load(account.aggregate_id)

        assert (loaded.balance, loaded.version, loaded.uncommitted_events) == (12, 2, [])

    @pytest.mark.parametrize("load", [AggregateRepository.load, AggregateRepository.get_or_raise])
    async def test_an_aggregate_without_events_is_not_found(
        self, repository: AggregateRepository[Account], load: Any
    ) -> None:
        """The error tells which one."""
        aggregate_id = uuid4()

        with pytest.raises(AggregateNotFoundError) as caught:
            await load(repository, aggregate_id)

        assert (caught.value.aggregate_id, caught.value.aggregate_type) == (aggregate_id, "Account")

    async def test_or_a_new_one_is_made(self, repository: AggregateRepository[Account]) -> None:
        """It is empty, and saved like any other."""
        account = await repository.load_or_create(uuid4())
        account.deposit(3)
        await repository.save(account)

        assert (await repository.load_or_create(account.aggregate_id)).balance == 3

    async def test_aggregates_of_another_type_are_not_found(
        self, store: InMemoryEventStore, repository: AggregateRepository[Account]
    ) -> None:
        """Even under the same id."""
        account = await saved(repository, 5)

        with pytest.raises(AggregateNotFoundError):
            await AggregateRepository(store, Account, "Savings").load(account.aggregate_id)

    async def test_creating_saves_nothing(self, repository: AggregateRepository[Account]) -> None:
        """The aggregate exists when its first event does."""
        account = repository.create_new(uuid4())

        assert not await repository.exists(account.aggregate_id)

    async def test_existence_and_version_are_those_of_the_stream(
        self, repository: AggregateRepository[Account]
    ) -> None:
        """An aggregate that nobody saved is at version 0."""
        account = await saved(repository, 5, 7)

        assert (await repository.exists(account.aggregate_id), await repository.get_version(uuid4())) == (True, 0)
        assert await repository.get_version(account.aggregate_id) == 2


class TestSaving:
    async def test_saved_events_wait_no_longer(self, repository: AggregateRepository[Account]) -> None:
        """Saving again appends nothing."""
        account = await saved(repository, 5)

        await repository.save(account)

        assert (account.uncommitted_events, await repository.get_version(account.aggregate_id)) == ([], 1)

    async def test_a_stale_aggregate_is_refused(self, repository: AggregateRepository[Account]) -> None:
        """Its events stay with it, and the stream is as the other writer left it."""
        account = await saved(repository, 5)
        stale = await repository.load(account.aggregate_id)
        account.deposit(1)
        await repository.save(account)
        stale.deposit(2)

        with pytest.raises(OptimisticLockError) as caught:
            await repository.save(stale)

        assert (caught.value.expected_version, caught.value.actual_version) == (1, 2)
        assert len(stale.uncommitted_events) == 1
        assert (await repository.load(account.aggregate_id)).balance == 6

    async def test_a_conflict_that_the_store_returns_is_an_error_too(self) -> None:
        """No store can make a save do nothing silently."""

        class Polite(InMemoryEventStore):
            async def _append(self, append: Append) -> AppendResult:
                return AppendResult.conflicted(4)

        account = Account(uuid4())
        account.deposit(1)

        with pytest.raises(OptimisticLockError) as caught:
            await repository_of(Polite()).save(account)

        assert (caught.value.actual_version, len(account.uncommitted_events)) == (4, 1)

    async def test_what_is_applied_during_a_save_is_not_lost(self) -> None:
        """It waits for the next save, which appends it and nothing else."""
        store, account = GatedStore(), Account(uuid4())
        repository = repository_of(store)
        account.deposit(1)
        saving = asyncio.create_task(repository.save(account))
        await store.reached.wait()

        account.deposit(2)
        store.gate.set()
        await saving

        assert [event.aggregate_version for event in account.uncommitted_events] == [2]
        await repository.save(account)
        assert (await repository.load(account.aggregate_id)).balance == 3

    @pytest.mark.parametrize("written", [False, True])
    async def test_a_cancelled_save_can_be_tried_again(self, written: bool) -> None:
        """Whether its events were written or not, they are there once in the end, and are published."""
        store, publisher, account = GatedStore(after=written), Recorder(), Account(uuid4())
        repository = repository_of(store, publisher)
        account.deposit(1)
        saving = asyncio.create_task(repository.save(account))
        await store.reached.wait()
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving

        store.gate.set()
        await repository.save(account)

        assert (account.uncommitted_events, await repository.get_version(account.aggregate_id)) == ([], 1)
        assert len(publisher.published) == 1

    async def test_a_plain_class_will_do_as_an_aggregate(self, store: InMemoryEventStore) -> None:
        """It needs five names and no base class."""

        class Counter:
            def __init__(self, aggregate_id: UUID) -> None:
                self.aggregate_id = aggregate_id
                self.version = 0
                self.uncommitted_events: list[DomainEvent] = []

            def load_from_history(self, events: list[DomainEvent]) -> None:
                self.version += len(events)

            def mark_events_as_committed(self) -> None:
                self.uncommitted_events = []

        repository: AggregateRepository[Any] = AggregateRepository(store, Counter, "Account")
        counter = repository.create_new(uuid4())
        counter.uncommitted_events, counter.version = [Deposited(aggregate_id=counter.aggregate_id, amount=1)], 1

        await repository.save(counter)

        assert ((await repository.load(counter.aggregate_id)).version, counter.uncommitted_events) == (1, [])


class TestPublishing:
    async def test_what_was_saved_is_published(self, store: InMemoryEventStore) -> None:
        """In one go, in the order of the events."""
        publisher, account = Recorder(), Account(uuid4())
        account.deposit(1)
        account.deposit(2)
        events = account.uncommitted_events

        await repository_of(store, publisher).save(account)

        assert publisher.published == [(events, None)]

    async def test_nothing_is_published_without_events(self, store: InMemoryEventStore) -> None:
        """A save that has nothing to do tells nobody."""
        publisher = Recorder()

        await repository_of(store, publisher).save(Account(uuid4()))

        assert publisher.published == []

    async def test_nothing_is_published_after_a_conflict(self, store: InMemoryEventStore) -> None:
        """It did not happen."""
        account = await saved(repository_of(store), 1)
        publisher, twin = Recorder(), Account(account.aggregate_id)
        twin.deposit(2)

        with pytest.raises(OptimisticLockError):
            await repository_of(store, publisher).save(twin)

        assert publisher.published == []

    async def test_an_error_while_publishing_reaches_the_caller(self, store: InMemoryEventStore) -> None:
        """The events are saved by then and do not wait any longer."""
        repository, account = repository_of(store, Recorder(ConnectionError("no broker"))), Account(uuid4())
        account.deposit(1)

        with pytest.raises(ConnectionError, match="no broker"):
            await repository.save(account)

        assert (account.uncommitted_events, await repository.get_version(account.aggregate_id)) == ([], 1)

    async def test_a_publisher_need_not_know_headers(self, store: InMemoryEventStore) -> None:
        """Unless there are some."""

        class Simple:
            published: list[DomainEvent] = []  # noqa: RUF012 - one publisher, one test

            async def publish(self, events: list[DomainEvent]) -> None:
                self.published.extend(events)

        publisher = Simple()

        await saved(repository_of(store, publisher), 1)

        assert len(publisher.published) == 1


class TestHeaders:
    async def test_they_are_kept_beside_the_events(
        self, store: InMemoryEventStore, repository: AggregateRepository[Account]
    ) -> None:
        """The store hands them out again."""
        account = Account(uuid4())
        account.deposit(1)

        await repository.save(account, headers={"request-id": "7"})

        (stored,) = await store.read_page()
        assert stored.headers == {"request-id": "7"}

    async def test_they_travel_with_the_events(self, store: InMemoryEventStore) -> None:
        """A handler of a bus finds them in hand."""
        bus, seen = InMemoryEventBus(), list[dict[str, str]]()
        bus.subscribe(Deposited, lambda event: seen.append(dict(current_headers())))
        account = Account(uuid4())
        account.deposit(1)

        await repository_of(store, bus).save(account, headers={"request-id": "7"})

        assert seen == [{"request-id": "7"}]

    async def test_wrong_ones_are_refused_before_anything_is_saved(
        self, repository: AggregateRepository[Account]
    ) -> None:
        """The events stay with the aggregate."""
        account = Account(uuid4())
        account.deposit(1)

        with pytest.raises(TypeError, match="headers must map strings to strings"):
            await repository.save(account, headers={"tries": 7})  # type: ignore[dict-item]

        assert (len(account.uncommitted_events), await repository.exists(account.aggregate_id)) == (1, False)


def test_a_repository_tells_what_it_was_made_of(store: InMemoryEventStore) -> None:
    """Everything but the factory can be read back."""
    publisher = Recorder()
    repository = AggregateRepository(store, Account, "Account", publisher, enable_tracing=False)

    assert (repository.event_store, repository.event_publisher) == (store, publisher)
    assert (repository.aggregate_type, repository.enable_tracing) == ("Account", False)
    assert (repository.snapshot_store, repository.snapshot_threshold, repository.snapshot_mode) == (None, None, "sync")
    assert (repository.has_snapshot_support, repository.pending_snapshot_count) == (False, 0)
