"""Saves that overlap, that are cancelled, or whose versions do not count up: no event is lost, none is torn."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

from eventsource.aggregates import AggregateRepository, AggregateRoot
from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry
from eventsource.exceptions import DuplicateEventError
from eventsource.stores.in_memory import InMemoryEventStore
from eventsource.stores.interface import EventStore
from eventsource.stores.operations import Append
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import AppendResult


class Noted(DomainEvent):
    aggregate_type: str = "Notebook"
    text: str


class NotebookState(BaseModel):
    texts: list[str]


class Notebook(AggregateRoot[NotebookState]):
    aggregate_type = "Notebook"

    def note(self, text: str) -> Noted:
        event = Noted(aggregate_id=self.aggregate_id, aggregate_version=self.get_next_version(), text=text)
        self.apply_event(event)
        return event

    def _apply(self, event: DomainEvent) -> None:
        assert isinstance(event, Noted)
        self._state = NotebookState(texts=[*(self.state.texts if self.state else []), event.text])

    def _get_initial_state(self) -> NotebookState:
        return NotebookState(texts=[])


class Uncounted(Notebook):
    validate_versions = False


class Publisher:
    """Keeps the texts of what it is given, call by call."""

    def __init__(self) -> None:
        self.published: list[list[str]] = []
        self.failure: Exception | None = None

    async def publish(self, events: list[DomainEvent], *, headers: Any = None) -> None:
        self.published.append([event.text for event in events if isinstance(event, Noted)])
        if self.failure:
            raise self.failure


class HeldStore(InMemoryEventStore):
    """Holds the first append, before or after it is written, until it is let go."""

    def __init__(self, *, written: bool = False) -> None:
        super().__init__()
        self.written = written
        self.appends: list[list[str]] = []
        self.held = asyncio.Event()
        self.release = asyncio.Event()

    async def _append(self, append: Append) -> AppendResult:
        self.appends.append([event.text for event in append.events if isinstance(event, Noted)])
        if len(self.appends) > 1:
            return await super()._append(append)
        if not self.written:
            await self._hold()
        result = await super()._append(append)
        if self.written:
            await self._hold()
        return result

    async def _hold(self) -> None:
        self.held.set()
        await self.release.wait()


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


@pytest.fixture
def notebook() -> Notebook:
    return Notebook(uuid4())


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SQLiteEventStore]:
    registry = EventRegistry()
    registry.register(Noted)
    async with SQLiteEventStore(tmp_path / "events.db", registry) as store:
        yield store


def repository_of(store: EventStore, publisher: Publisher | None = None) -> AggregateRepository[Notebook]:
    return AggregateRepository(store, Notebook, "Notebook", publisher)


async def texts_in(store: EventStore, notebook: Notebook) -> list[str]:
    stream = await store.get_events(notebook.aggregate_id, "Notebook")
    return [event.text for event in stream.events if isinstance(event, Noted)]


async def cancelled_save(store: HeldStore, repository: AggregateRepository[Notebook], notebook: Notebook) -> None:
    """Save *notebook* and give up while the store holds the append."""
    saving = asyncio.create_task(repository.save(notebook))
    held = asyncio.create_task(store.held.wait())
    await asyncio.wait([saving, held], return_when="FIRST_COMPLETED")
    saving.cancel()
    await asyncio.wait([saving])
    assert saving.cancelled()


class TestOverlappingSaves:
    @pytest.mark.parametrize("written", [False, True])
    async def test_the_later_of_two_saves_takes_nothing_that_was_applied_since(
        self, notebook: Notebook, written: bool
    ) -> None:
        """Both saved the same event; when the second to end returns, the newer event still waits."""
        store = HeldStore(written=written)
        repository = repository_of(store)
        notebook.note("first")
        held = asyncio.create_task(repository.save(notebook))
        await store.held.wait()

        await repository.save(notebook)
        second = notebook.note("second")
        store.release.set()
        await held

        assert notebook.uncommitted_events == [second]
        await repository.save(notebook)
        assert await texts_in(store, notebook) == ["first", "second"]

    async def test_a_save_that_was_overtaken_takes_nothing_that_was_applied_since(self, notebook: Notebook) -> None:
        """The second save took along the first one's event and a newer one; one that is newer still waits."""
        store = HeldStore()
        repository = repository_of(store)
        notebook.note("first")
        held = asyncio.create_task(repository.save(notebook))
        await store.held.wait()

        notebook.note("second")
        await repository.save(notebook)
        third = notebook.note("third")
        store.release.set()
        await held

        assert notebook.uncommitted_events == [third]
        await repository.save(notebook)
        assert await texts_in(store, notebook) == ["first", "second", "third"]

    async def test_a_save_that_is_refused_keeps_its_events(self, notebook: Notebook) -> None:
        """An append of known and new events together is refused; the new one waits for the next save."""
        store = HeldStore(written=True)
        repository = repository_of(store)
        notebook.note("first")
        held = asyncio.create_task(repository.save(notebook))
        await store.held.wait()
        second = notebook.note("second")

        with pytest.raises(DuplicateEventError):
            await repository.save(notebook)
        store.release.set()
        await held

        assert notebook.uncommitted_events == [second]
        await repository.save(notebook)
        assert await texts_in(store, notebook) == ["first", "second"]


class TestCancelledSaves:
    @pytest.mark.parametrize("written", [False, True])
    async def test_more_events_may_follow_a_cancelled_save(
        self, notebook: Notebook, publisher: Publisher, written: bool
    ) -> None:
        """Whether the cancelled ones had been written or not, all are stored and published, each once."""
        store = HeldStore(written=written)
        repository = repository_of(store, publisher)
        notebook.note("first")
        await cancelled_save(store, repository, notebook)

        notebook.note("second")
        await repository.save(notebook)

        assert await texts_in(store, notebook) == ["first", "second"]
        assert (publisher.published, notebook.uncommitted_events) == ([["first", "second"]], [])
        assert (await repository.load(notebook.aggregate_id)).version == 2

    async def test_more_events_may_follow_a_cancelled_save_in_a_file(
        self, sqlite: SQLiteEventStore, notebook: Notebook, publisher: Publisher
    ) -> None:
        """An append that is on its way to the disk is written, though nobody waits for it."""
        repository = repository_of(sqlite, publisher)
        notebook.note("first")
        saving = asyncio.create_task(repository.save(notebook))
        await asyncio.sleep(0)
        saving.cancel()
        await asyncio.wait([saving])

        notebook.note("second")
        await repository.save(notebook)

        assert saving.cancelled()
        assert await texts_in(sqlite, notebook) == ["first", "second"]
        assert (publisher.published, notebook.uncommitted_events) == ([["first", "second"]], [])

    async def test_more_events_may_follow_a_save_cancelled_in_a_files_queue(
        self, sqlite: SQLiteEventStore, notebook: Notebook, publisher: Publisher
    ) -> None:
        """An append that was still queued is dropped, and written with the next save."""
        repository, other = repository_of(sqlite, publisher), Notebook(uuid4())
        other.note("other")
        notebook.note("first")
        running = asyncio.create_task(repository_of(sqlite).save(other))
        saving = asyncio.create_task(repository.save(notebook))
        await asyncio.sleep(0)
        saving.cancel()
        await running
        was_written = await sqlite.get_stream_version(notebook.aggregate_id, "Notebook")

        notebook.note("second")
        await repository.save(notebook)

        assert (saving.cancelled(), was_written) == (True, 0)
        assert await texts_in(sqlite, notebook) == ["first", "second"]
        assert publisher.published == [["first", "second"]]

    async def test_a_save_may_be_cancelled_twice(self, notebook: Notebook, publisher: Publisher) -> None:
        """What was added between the two waits for the third."""
        store = HeldStore(written=True)
        repository = repository_of(store, publisher)
        notebook.note("first")
        await cancelled_save(store, repository, notebook)
        notebook.note("second")
        store.appends.clear()
        store.held.clear()
        await cancelled_save(store, repository, notebook)

        await repository.save(notebook)

        assert await texts_in(store, notebook) == ["first", "second"]
        assert publisher.published == [["first", "second"]]

    async def test_once_the_doubt_is_over_events_are_saved_together(
        self, notebook: Notebook, publisher: Publisher
    ) -> None:
        """The events in doubt are saved, though the publisher refused them; the next save is one append."""
        store = HeldStore(written=True)
        repository = repository_of(store, publisher)
        notebook.note("first")
        await cancelled_save(store, repository, notebook)
        publisher.failure = ConnectionError("no broker")
        with pytest.raises(ConnectionError):
            await repository.save(notebook)
        publisher.failure = None
        notebook.note("second")
        notebook.note("third")

        await repository.save(notebook)

        assert store.appends[-1] == ["second", "third"]

    async def test_events_that_another_save_has_stored_leave_no_doubt(self, notebook: Notebook) -> None:
        """A save that is cancelled after it was overtaken changes nothing."""
        store = HeldStore()
        repository = repository_of(store)
        notebook.note("first")
        overtaken = asyncio.create_task(repository.save(notebook))
        await store.held.wait()
        await repository.save(notebook)
        overtaken.cancel()
        await asyncio.wait([overtaken])
        notebook.note("second")
        notebook.note("third")

        await repository.save(notebook)

        assert store.appends[-1] == ["second", "third"]

    async def test_events_that_were_taken_back_leave_no_doubt(self, notebook: Notebook) -> None:
        """Who clears the events after a cancelled save has the next ones saved together."""
        store = HeldStore()
        repository = repository_of(store)
        notebook.note("first")
        await cancelled_save(store, repository, notebook)
        (first,) = notebook.clear_uncommitted_events()
        await store.append_events(notebook.aggregate_id, "Notebook", [first], 0)
        notebook.note("second")
        notebook.note("third")

        await repository.save(notebook)

        assert store.appends[-1] == ["second", "third"]


class TestVersionsThatDoNotCountUp:
    @pytest.mark.parametrize("versions", [(1, 1), (1, 1, 1), (2, 1), (4, 3, 2, 1), (1, 1, 1, 1, 1)], ids=str)
    async def test_they_are_refused(self, versions: tuple[int, ...]) -> None:
        """The version that the stream would have to be at is below 0; nothing is written or published."""
        store, publisher, notebook = InMemoryEventStore(), Publisher(), Uncounted(uuid4())
        for version in versions:
            notebook.apply_event(
                Noted(aggregate_id=notebook.aggregate_id, aggregate_version=version, text=str(version))
            )

        with pytest.raises(ValueError, match="their versions do not count up"):
            await repository_of(store, publisher).save(notebook)

        assert (await store.get_event_count(), publisher.published) == (0, [])
        assert len(notebook.uncommitted_events) == len(versions)

    async def test_versions_that_count_up_are_saved(self) -> None:
        """Without the check of each event too."""
        store, notebook = InMemoryEventStore(), Uncounted(uuid4())
        notebook.note("first")
        notebook.note("second")

        await repository_of(store).save(notebook)

        assert await texts_in(store, notebook) == ["first", "second"]
