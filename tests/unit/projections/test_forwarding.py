"""Forwarding: everything that is in the log is published, in order, with its headers, and nothing before its time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any
from uuid import UUID

import pytest

from eventsource.bus.interface import EventBus
from eventsource.bus.memory import InMemoryEventBus
from eventsource.bus.operations import Dispatch, Publish
from eventsource.exceptions import NotConnectedError, SerializationError
from eventsource.headers import current_headers
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.forwarding import EventForwarder
from eventsource.retry import RetryConfig
from eventsource.stores.in_memory import InMemoryEventStore
from eventsource.stores.interface import EventStore
from eventsource.stores.operations import ReadPage
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import Closed, Opened

Append = Callable[..., Awaitable[int]]
ForwarderOf = Callable[..., EventForwarder]
Until = Callable[[Callable[[], object]], Awaitable[None]]

AT_MOST = 20.0

request: ContextVar[str] = ContextVar("request", default="none")


class Bus(EventBus):
    """Carries one publication at a time, and notes each; *failures* are what the next ones raise."""

    def __init__(self, *failures: BaseException) -> None:
        super().__init__()
        self.failures = list(failures)
        self.published: list[tuple[list[int], dict[str, str]]] = []
        self.requests: set[str] = set()
        self.under_way = self.most_under_way = 0

    @property
    def numbers(self) -> list[int]:
        """The events that were published, in order."""
        return [number for numbers, _ in self.published for number in numbers]

    async def shutdown(self, timeout: float = 30.0) -> None:
        """There is nothing to finish."""

    async def _publish(self, publish: Publish) -> None:
        self.requests.add(request.get())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self._carry(publish)
        finally:
            self.under_way -= 1
        numbers = [getattr(event, "number", 0) for event in publish.events]
        self.published.append((numbers, dict(publish.headers or {})))

    async def _carry(self, publish: Publish) -> None:
        if self.failures:
            raise self.failures.pop(0)

    async def _dispatch(self, dispatch: Dispatch) -> None: ...


class TestWhatIsPublished:
    async def test_everything_in_the_order_of_the_log(
        self, store: EventStore, append: Append, forwarder_of: ForwarderOf
    ) -> None:
        """What was there before it started, and what is appended meanwhile."""
        bus = Bus()
        await append(store, 1, 2)

        async with forwarder_of(bus) as forwarder:
            await forwarder.wait_for(2, AT_MOST)
            await append(store, 3)
            await forwarder.wait_for(3, AT_MOST)

        assert bus.numbers == [1, 2, 3]

    async def test_events_of_equal_headers_that_follow_one_another_go_together(
        self, store: EventStore, append: Append, forwarder_of: ForwarderOf
    ) -> None:
        """One publication for each run of them, with their headers."""
        bus = Bus()
        await append(store, 1, headers={"request": "a"})
        await append(store, 2, 3, headers={"request": "a"})
        await append(store, 4)
        last = await append(store, 5, headers={"request": "a"})

        async with forwarder_of(bus) as forwarder:
            await forwarder.wait_for(last, AT_MOST)

        assert bus.published == [([1, 2, 3], {"request": "a"}), ([4], {}), ([5], {"request": "a"})]

    async def test_one_publication_at_a_time(
        self, store: EventStore, append: Append, forwarder_of: ForwarderOf
    ) -> None:
        """To a bus that carries no more."""
        bus = Bus()
        for number in range(1, 9):
            last = await append(store, number, headers={"request": str(number)})

        async with forwarder_of(bus) as forwarder:
            await forwarder.wait_for(last, AT_MOST)

        assert (bus.most_under_way, bus.numbers) == (1, list(range(1, 9)))

    async def test_handlers_find_the_stored_headers(
        self, store: EventStore, append: Append, forwarder_of: ForwarderOf
    ) -> None:
        """As if whoever appended the event had published it."""
        found: list[dict[str, str]] = []

        async def note(event: Opened) -> None:
            found.append(dict(current_headers()))

        async with InMemoryEventBus() as bus:
            bus.subscribe(Opened, note)
            last = await append(store, 1, headers={"request": "7"})
            async with forwarder_of(bus) as forwarder:
                await forwarder.wait_for(last, AT_MOST)

        assert found == [{"request": "7"}]

    async def test_only_the_classes_that_are_wanted(
        self, store: EventStore, append: Append, door: UUID, forwarder_of: ForwarderOf
    ) -> None:
        """The checkpoint passes the others."""
        bus = Bus()
        last = await append(
            store, Closed(aggregate_id=door), 1, Closed(aggregate_id=door), 2, Closed(aggregate_id=door)
        )

        async with forwarder_of(bus, event_types=[Opened]) as forwarder:
            await forwarder.wait_for(last, AT_MOST)

        assert bus.numbers == [1, 2]

    async def test_nothing_that_is_current_elsewhere(self, append: Append, forwarder_of: ForwarderOf) -> None:
        """A publication runs in an empty context: neither that of whoever starts it, nor that of the page."""

        class Leaving(InMemoryEventStore):
            async def _read_page(self, read: ReadPage) -> Any:
                request.set("page")
                return await super()._read_page(read)

        bus, store, token = Bus(), Leaving(), request.set("start")
        try:
            async with forwarder_of(bus, store) as forwarder:
                await forwarder.wait_for(await append(store, 1), AT_MOST)
        finally:
            request.reset(token)

        assert bus.requests == {"none"}


class TestCheckpoint:
    async def test_it_goes_on_from_there(
        self, store: EventStore, checkpoints: CheckpointRepository, append: Append, forwarder_of: ForwarderOf
    ) -> None:
        """Another forwarder of the name publishes what is new."""
        first, second = Bus(), Bus()
        last = await append(store, 1, 2)
        async with forwarder_of(first) as forwarder:
            await forwarder.wait_for(last, AT_MOST)

        last = await append(store, 3)
        async with forwarder_of(second) as forwarder:
            await forwarder.wait_for(last, AT_MOST)

        assert (first.numbers, second.numbers) == ([1, 2], [3])
        assert await checkpoints.get_position("forwarder") == last

    async def test_it_goes_by_the_name(
        self, store: EventStore, checkpoints: CheckpointRepository, append: Append, forwarder_of: ForwarderOf
    ) -> None:
        """Forwarders to several buses know nothing of one another."""
        first, second = Bus(), Bus()
        last = await append(store, 1)

        async with forwarder_of(first, name="first") as one, forwarder_of(second, name="second") as other:
            await one.wait_for(last, AT_MOST)
            await other.wait_for(last, AT_MOST)

        assert (first.numbers, second.numbers) == ([1], [1])
        assert [data.projection_name for data in await checkpoints.get_all_checkpoints()] == ["first", "second"]

    async def test_it_is_saved_when_a_page_is_published(
        self, store: EventStore, checkpoints: CheckpointRepository, append: Append, forwarder_of: ForwarderOf
    ) -> None:
        """A crash repeats a page at most, however seldom a projection would save."""
        saved: list[int | None] = []

        class Asking(Bus):
            async def _carry(self, publish: Publish) -> None:
                saved.append(await checkpoints.get_position("forwarder"))

        last = await append(store, 1, 2, 3, 4, 5)
        async with forwarder_of(Asking(), batch_size=2, checkpoint_interval=3600) as forwarder:
            await forwarder.wait_for(last, AT_MOST)

        assert saved == [0, 2, 4]


class TestFailures:
    @pytest.mark.parametrize("failure", [ConnectionError("gone"), asyncio.CancelledError()], ids=["error", "cancelled"])
    async def test_what_was_not_published_is_published_again(
        self, store: EventStore, append: Append, forwarder_of: ForwarderOf, failure: BaseException
    ) -> None:
        """A publication that a driver has cancelled is no success either."""
        bus = Bus(failure)
        last = await append(store, 1, 2)

        async with forwarder_of(bus) as forwarder:
            await forwarder.wait_for(last, AT_MOST)

        assert bus.numbers == [1, 2]

    async def test_the_checkpoint_does_not_move(
        self,
        store: EventStore,
        checkpoints: CheckpointRepository,
        append: Append,
        forwarder_of: ForwarderOf,
        until: Until,
    ) -> None:
        """However often it fails; the reason can be asked for."""
        bus = Bus(*[ConnectionError("gone")] * 3)
        await append(store, 1, headers={"request": "a"})
        last = await append(store, 2, headers={"request": "b"})
        slow = RetryConfig(initial_delay=600, max_delay=600)

        async with forwarder_of(bus, restart_backoff=slow) as forwarder:
            await until(lambda: forwarder.failure)

            assert (str(forwarder.failure), bus.published) == ("gone", [])
            assert await checkpoints.get_position("forwarder") == 0 < last

    async def test_nothing_is_missing_after_it(
        self, store: EventStore, append: Append, forwarder_of: ForwarderOf
    ) -> None:
        """The page begins again: what came before the failure is published twice, in order."""

        class Once(Bus):
            async def _carry(self, publish: Publish) -> None:
                if publish.headers == {"request": "b"}:
                    await super()._carry(publish)

        bus = Once(ConnectionError("gone"))
        await append(store, 1, headers={"request": "a"})
        await append(store, 2, headers={"request": "b"})
        last = await append(store, 3, headers={"request": "c"})

        async with forwarder_of(bus) as forwarder:
            await forwarder.wait_for(last, AT_MOST)

        assert bus.numbers == [1, 1, 2, 3]

    async def test_a_bus_that_was_shut_down_is_a_failure(
        self, store: EventStore, append: Append, forwarder_of: ForwarderOf, until: Until
    ) -> None:
        """Events are not taken for published because nobody took them."""
        bus = InMemoryEventBus()
        await bus.shutdown()
        await append(store, 1)

        async with forwarder_of(bus) as forwarder:
            await until(lambda: forwarder.failure)

            assert isinstance(forwarder.failure, NotConnectedError)

    async def test_an_event_that_cannot_be_read_stops_it(
        self,
        on_file: SQLiteEventStore,
        sql: Callable[..., Any],
        append: Append,
        forwarder_of: ForwarderOf,
        until: Until,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Loudly, after what comes before it; what comes later goes out when it can be read."""
        bus = Bus()
        last = await append(on_file, 1, 2, 3)
        ((payload,),) = sql("SELECT payload FROM events WHERE global_position = 2")
        sql("UPDATE events SET payload = '{' WHERE global_position = 2")

        async with forwarder_of(bus, on_file) as forwarder:
            await until(lambda: forwarder.failure)
            failure, before = forwarder.failure, bus.numbers
            sql("UPDATE events SET payload = ? WHERE global_position = 2", payload)
            await forwarder.wait_for(last, AT_MOST)

        assert (type(failure), before, bus.numbers) == (SerializationError, [1], [1, 2, 3])
        assert "Projection forwarder failed and begins again" in caplog.text


class TestRunning:
    async def test_of_two_one_is_active(self, store: EventStore, append: Append, forwarder_of: ForwarderOf) -> None:
        """The other one takes over when it ends; nothing is published twice."""
        first, second = Bus(), Bus()
        active, idle = forwarder_of(first), forwarder_of(second)
        await active.start()
        await active.wait_for(await append(store, 1), AT_MOST)
        async with idle:
            last = await append(store, 2)
            await idle.wait_for(last, AT_MOST)
            assert (active.is_active, idle.is_active) == (True, False)

            await active.stop()
            await idle.wait_for(await append(store, 3), AT_MOST)

        assert (first.numbers, second.numbers) == ([1, 2], [3])

    @pytest.mark.parametrize("wrong", ["bus", "checkpoints"])
    def test_something_else_is_refused(self, store: EventStore, checkpoints: CheckpointRepository, wrong: str) -> None:
        """At construction."""
        parts: dict[str, Any] = {"bus": Bus(), "checkpoints": checkpoints, wrong: object()}

        with pytest.raises(TypeError, match=wrong):
            EventForwarder(store, **parts)
