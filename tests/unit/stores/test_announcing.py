"""Waking those who follow a log: what wakes them, from where, and what is left behind."""

import asyncio
import gc
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventsource.exceptions import DuplicateEventError, ForeignEventError, OptimisticLockError, SerializationError
from eventsource.stores.announcing import Wake, announce_append, woken_by_appends
from eventsource.stores.in_memory import InMemoryEventStore
from eventsource.stores.interface import EventStore
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, Opened, opened

LONG = 30.0


@contextmanager
def following(log: Any) -> Iterator[Wake]:
    """Let appends to *log* wake somebody, who is returned."""
    wake = Wake()
    with woken_by_appends(log, wake):
        yield wake


async def is_woken(wake: Wake) -> bool:
    """Tell, without waiting."""
    return await wake.wait(0)


async def append_one(store: EventStore) -> None:
    (event,) = opened(uuid4(), 1)
    await store.append_events(event.aggregate_id, DOOR, [event], 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist yet."""
    return tmp_path / "events.db"


@pytest.fixture
async def on_file(path: Path) -> AsyncIterator[SQLiteEventStore]:
    async with SQLiteEventStore(path) as store:
        yield store


@pytest.fixture
async def in_memory() -> InMemoryEventStore:
    return InMemoryEventStore()


@pytest.fixture(params=["in_memory", "on_file"])
def store(request: pytest.FixtureRequest, in_memory: EventStore, on_file: EventStore) -> EventStore:
    """A store of each kind."""
    return {"in_memory": in_memory, "on_file": on_file}[request.param]


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def strict_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in its debug mode: it stands no call from another thread but those that are meant for that."""
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    yield loop
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


class TestWake:
    async def test_nothing_wakes_by_itself(self) -> None:
        """Waiting ends with the time that was given for it."""
        assert not await Wake().wait(0)
        assert not await Wake().wait(0.001)

    async def test_whoever_waits_is_woken(self) -> None:
        """All who do, at once."""
        wake = Wake()
        waiting = [asyncio.create_task(wake.wait(LONG)) for _ in range(2)]
        await asyncio.sleep(0)

        wake.now()

        assert await asyncio.gather(*waiting) == [True, True]

    async def test_whoever_comes_later_is_woken_too(self) -> None:
        """What happens between reading and waiting is not missed."""
        wake = Wake()

        wake.now()

        assert [await is_woken(wake), await is_woken(wake)] == [True, True]

    async def test_what_was_before_is_forgotten_when_it_is_cleared(self) -> None:
        """What comes after that counts again."""
        wake = Wake()
        wake.now()

        wake.clear()
        before = await is_woken(wake)
        wake.now()

        assert (before, await is_woken(wake)) == (False, True)

    async def test_a_waiter_can_be_cancelled(self) -> None:
        """That is neither being woken nor having waited long enough."""
        waiting = asyncio.create_task(Wake().wait(LONG))
        await asyncio.sleep(0)

        waiting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await waiting

    def test_another_thread_may_wake(self, strict_loop: asyncio.AbstractEventLoop) -> None:
        """The loop is told so as other threads have to."""

        async def wait() -> bool:
            wake = Wake()
            waiting = asyncio.create_task(wake.wait(LONG))
            await asyncio.sleep(0)
            await asyncio.to_thread(wake.now)
            return await waiting

        assert strict_loop.run_until_complete(wait())

    def test_waking_for_a_loop_that_stands_still_counts_when_it_goes_on(self) -> None:
        """Another loop of the same thread is another loop."""
        first = asyncio.new_event_loop()
        wake = first.run_until_complete(made())

        asyncio.run(waking(wake))

        assert first.run_until_complete(wake.wait(LONG))
        first.close()

    def test_nobody_is_woken_when_the_loop_is_closed(self) -> None:
        """It is no error either: whoever appends has nothing to do with it."""
        wake = asyncio.run(made())

        wake.now()
        asyncio.run(waking(wake))

    def test_a_loop_that_closes_while_it_is_told_is_no_error(self) -> None:
        """It does so in a thread of its own, at any moment."""
        loop = ClosingLoop()
        wake = loop.run_until_complete(made())

        wake.now()

        assert loop.is_closed()


class TestFollowing:
    async def test_all_who_follow_a_log_are_woken(self) -> None:
        """One append is enough for all of them."""
        with following("log") as one, following("log") as other:
            announce_append("log")

            assert [await is_woken(one), await is_woken(other)] == [True, True]

    async def test_who_follows_another_log_is_not(self) -> None:
        """Logs are told apart by being equal or not."""
        with following(("log", 1)) as one, following(("log", 2)) as other:
            announce_append(("log", 1))

            assert [await is_woken(one), await is_woken(other)] == [True, False]

    async def test_several_logs_may_wake_the_same(self) -> None:
        """Who follows two is woken by either, and by the one that is left."""
        wake = Wake()
        with woken_by_appends("first", wake):
            with woken_by_appends("second", wake):
                announce_append("second")
                by_second = await is_woken(wake)
            wake.clear()
            announce_append("second")
            by_one_left = await is_woken(wake)
            announce_append("first")
            by_first = await is_woken(wake)

        assert (by_second, by_one_left, by_first) == (True, False, True)

    async def test_behind_the_block_nobody_is_woken(self) -> None:
        """Neither by its end nor by what is appended then."""
        with following("log") as wake:
            pass

        announce_append("log")

        assert not await is_woken(wake)

    async def test_who_is_left_goes_on_following(self) -> None:
        """The end of one block is not that of another."""
        with following("log") as wake:
            with following("log"):
                pass
            announce_append("log")

            assert await is_woken(wake)

    async def test_an_error_ends_the_following_too(self) -> None:
        """And goes on its way."""
        wake = Wake()

        with pytest.raises(ZeroDivisionError), woken_by_appends("log", wake):
            raise ZeroDivisionError
        announce_append("log")

        assert not await is_woken(wake)

    async def test_nothing_is_kept_alive(self) -> None:
        """Neither the log nor whoever followed it."""
        log = InMemoryEventStore()
        with following(log) as wake:
            await append_one(log)
        seen = weakref.ref(log), weakref.ref(wake)

        del log, wake
        gc.collect()

        assert [each() for each in seen] == [None, None]

    def test_threads_come_and_go_at_the_same_log(self, eager_threads: None) -> None:
        """Whoever comes or leaves takes no other one away."""
        threads, rounds = 4, 20_000
        barrier = Barrier(threads)

        def come_and_go(wake: Wake) -> None:
            barrier.wait()
            for _ in range(rounds):
                with woken_by_appends("log", wake):
                    pass

        with ThreadPoolExecutor(threads) as pool:
            outcomes = [pool.submit(come_and_go, asyncio.run(made())) for _ in range(threads)]

        assert [each.exception() for each in outcomes] == [None] * threads


class TestAppending:
    async def test_an_append_wakes_who_follows_the_log(self, store: EventStore) -> None:
        """Who is woken finds the event there."""
        with following(store.log) as wake:
            waiting = asyncio.create_task(wake.wait(LONG))
            await append_one(store)
            woken = await waiting

        assert (woken, len(await store.read_page())) == (True, 1)

    async def test_an_empty_append_wakes_nobody(self, store: EventStore) -> None:
        """There is nothing new to be read."""
        with following(store.log) as wake:
            await store.append_events(uuid4(), DOOR, [], 0)

            assert not await is_woken(wake)

    @pytest.mark.parametrize(
        ("refusal", "events", "expected_version"),
        [
            (OptimisticLockError, opened(UUID(int=1), 1), 5),
            (ForeignEventError, opened(UUID(int=2), 1), 0),
            (DuplicateEventError, opened(UUID(int=1), 1) * 2, 0),
            (TypeError, [None], 0),
        ],
        ids=["conflict", "foreign", "duplicate", "no event"],
    )
    async def test_a_refused_append_wakes_nobody(
        self, store: EventStore, refusal: type[Exception], events: Any, expected_version: int
    ) -> None:
        """Nothing was written, whoever refused it."""
        with following(store.log) as wake:
            with pytest.raises(refusal):
                await store.append_events(UUID(int=1), DOOR, events, expected_version)

            assert not await is_woken(wake)

    async def test_what_cannot_be_written_wakes_nobody(self, on_file: SQLiteEventStore) -> None:
        """The backend refused it."""
        event = Opened(aggregate_id=uuid4(), metadata={"value": object()})

        with following(on_file.log) as wake:
            with pytest.raises(SerializationError):
                await on_file.append_events(event.aggregate_id, DOOR, [event], 0)

            assert not await is_woken(wake)

    async def test_reading_wakes_nobody(self, store: EventStore) -> None:
        """Or followers would wake one another for ever."""
        await append_one(store)

        with following(store.log) as wake:
            await store.read_page()
            await store.get_global_position()

            assert not await is_woken(wake)


class TestLogs:
    async def test_a_store_in_memory_is_a_log_of_its_own(self, in_memory: InMemoryEventStore) -> None:
        """Two of them have nothing in common."""
        with following(InMemoryEventStore().log) as wake:
            await append_one(in_memory)

            assert not await is_woken(wake)

    async def test_a_private_database_in_memory_is_a_log_of_its_own(self) -> None:
        """Though all of them have the same name."""
        async with SQLiteEventStore(":memory:") as one, SQLiteEventStore(":memory:") as other:
            with following(one.log) as wake, following(other.log) as other_wake:
                await append_one(one)

                assert [await is_woken(wake), await is_woken(other_wake)] == [True, False]

    async def test_stores_on_one_file_share_its_log(self, on_file: SQLiteEventStore, path: Path) -> None:
        """However they name and open it, before they are opened too."""
        link = path.with_name("link.db")
        link.symlink_to(path)
        others = SQLiteEventStore(path), SQLiteEventStore(link), SQLiteEventStore(str(path), busy_timeout=77)

        for other in others:
            with following(other.log) as wake:
                await append_one(on_file)

                assert await is_woken(wake)

    async def test_stores_on_other_files_do_not(self, on_file: SQLiteEventStore, path: Path) -> None:
        """A file is known by where it is, not by its last name."""
        path.with_name("elsewhere").mkdir()
        other = SQLiteEventStore(path.with_name("elsewhere") / path.name)

        with following(other.log) as wake, following(SQLiteEventStore(":memory:").log) as private:
            await append_one(on_file)

            assert [await is_woken(wake), await is_woken(private)] == [False, False]

    async def test_a_relative_path_is_that_of_the_opening(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The log stays the same, wherever the process is by then."""
        path.with_name("elsewhere").mkdir()
        monkeypatch.chdir(path.parent)
        async with SQLiteEventStore(path.name) as store:
            with following(SQLiteEventStore(path).log) as wake:
                monkeypatch.chdir(path.with_name("elsewhere"))
                await append_one(store)

                assert await is_woken(wake)

    async def test_an_append_in_another_thread_wakes_who_waits_here(
        self, on_file: SQLiteEventStore, path: Path
    ) -> None:
        """That thread has an event loop and a store of its own, on the same file."""

        async def append_elsewhere() -> None:
            async with SQLiteEventStore(path) as store:
                await append_one(store)

        with following(on_file.log) as wake:
            waiting = asyncio.create_task(wake.wait(LONG))
            await asyncio.sleep(0)
            await asyncio.to_thread(lambda: asyncio.run(append_elsewhere()))
            woken = await waiting

        assert (woken, len(await on_file.read_page())) == (True, 1)


class ClosingLoop(asyncio.SelectorEventLoop):
    """A loop that is closed in the very moment in which another thread tells it something."""

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> asyncio.Handle:
        self.close()
        return super().call_soon_threadsafe(*args, **kwargs)


async def made() -> Wake:
    return Wake()


async def waking(wake: Wake) -> None:
    wake.now()
