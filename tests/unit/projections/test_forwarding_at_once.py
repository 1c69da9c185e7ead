"""Forwarding to a bus that carries several publications at once: those of one aggregate go one after another."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar
from uuid import UUID, uuid4

import pytest

from eventsource.bus.interface import EventBus
from eventsource.bus.operations import Dispatch, Publish
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.forwarding import EventForwarder
from eventsource.retry import RetryConfig
from eventsource.stores.interface import EventStore
from eventsource.stores.values import ExpectedVersion
from eventsource.testing.events import DOOR, Opened

Append = Callable[..., Awaitable[int]]
ForwarderOf = Callable[..., EventForwarder]
Until = Callable[[Callable[[], object]], Awaitable[None]]

AT_MOST = 20.0


class WideBus(EventBus):
    """Carries several publications at once: each waits until it is let go, by the number of its first event."""

    concurrent_publications: ClassVar[int] = 4

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []
        self.most_under_way = 0
        self.waiting: dict[int, asyncio.Future[None]] = {}

    async def shutdown(self, timeout: float = 30.0) -> None:
        """There is nothing to finish."""

    async def _publish(self, publish: Publish) -> None:
        numbers = [getattr(event, "number", 0) for event in publish.events]
        self.waiting[numbers[0]] = asyncio.get_running_loop().create_future()
        self.most_under_way = max(self.most_under_way, len(self.waiting))
        try:
            await self.waiting[numbers[0]]
        finally:
            del self.waiting[numbers[0]]
        self.numbers += numbers

    async def _dispatch(self, dispatch: Dispatch) -> None: ...

    async def let_go(self, number: int, failure: BaseException | None = None) -> None:
        """Let the publication that begins with this event succeed, or fail, and whoever waits for it go on."""
        if failure is None:
            self.waiting[number].set_result(None)
        else:
            self.waiting[number].set_exception(failure)
        for _ in range(10):
            await asyncio.sleep(0)


async def append_each(store: EventStore, *events: tuple[int, UUID]) -> int:
    """Append each number to its aggregate, all with headers of their own, and return the last position."""
    position = 0
    for number, door in events:
        event = Opened(aggregate_id=door, number=number)
        headers = {"request": str(number)}
        result = await store.append_events(door, DOOR, [event], ExpectedVersion.ANY, headers=headers)
        position = result.global_position
    return position


async def test_those_of_one_aggregate_go_one_after_another(
    store: EventStore, forwarder_of: ForwarderOf, until: Until
) -> None:
    """Those of others overtake them."""
    bus, door, gate = WideBus(), uuid4(), uuid4()
    last = await append_each(store, (1, door), (2, door), (3, gate), (4, gate))

    async with forwarder_of(bus) as forwarder:
        await until(lambda: len(bus.waiting) == 2)
        assert sorted(bus.waiting) == [1, 3]
        for number in (3, 4, 1, 2):
            await bus.let_go(number)
        await forwarder.wait_for(last, AT_MOST)

    assert bus.numbers == [3, 4, 1, 2]


async def test_as_many_as_the_bus_says_are_under_way(
    store: EventStore, forwarder_of: ForwarderOf, until: Until
) -> None:
    """The next one begins when one is done, in whatever order they finish."""
    bus = WideBus()
    last = await append_each(store, *((number, uuid4()) for number in range(1, 9)))

    async with forwarder_of(bus) as forwarder:
        await until(lambda: len(bus.waiting) == 4)
        for number in (4, 3, 2, 1, 8, 7, 6, 5):
            await bus.let_go(number)
        await forwarder.wait_for(last, AT_MOST)

    assert (bus.most_under_way, bus.numbers) == (4, [4, 3, 2, 1, 8, 7, 6, 5])


@pytest.mark.parametrize("failure", [ConnectionError("gone"), asyncio.CancelledError()], ids=["error", "cancelled"])
async def test_a_failure_lets_no_later_one_of_its_aggregate_out(
    store: EventStore,
    checkpoints: CheckpointRepository,
    forwarder_of: ForwarderOf,
    until: Until,
    failure: BaseException,
) -> None:
    """And the checkpoint stays, though those of others have succeeded."""
    bus, door = WideBus(), uuid4()
    await append_each(store, (1, door), (2, uuid4()), (3, door))
    slow = RetryConfig(initial_delay=600, max_delay=600)

    async with forwarder_of(bus, restart_backoff=slow) as forwarder:
        await until(lambda: len(bus.waiting) == 2)
        await bus.let_go(2)
        await bus.let_go(1, failure)
        await until(lambda: forwarder.failure)

        assert (type(forwarder.failure), bus.numbers, bus.waiting) == (type(failure), [2], {})
        assert await checkpoints.get_position("forwarder") == 0


async def test_stopping_waits_for_those_under_way(
    store: EventStore, checkpoints: CheckpointRepository, forwarder_of: ForwarderOf, until: Until
) -> None:
    """What was published is not published again by the next one."""
    bus = WideBus()
    last = await append_each(store, (1, uuid4()), (2, uuid4()))
    forwarder = forwarder_of(bus)
    await forwarder.start()
    await until(lambda: len(bus.waiting) == 2)

    stopping = asyncio.create_task(forwarder.stop())
    await bus.let_go(2)
    await bus.let_go(1)
    await stopping

    assert (bus.numbers, await checkpoints.get_position("forwarder")) == ([2, 1], last)


class TestInTheMidstOfAPage:
    async def test_a_stop_lets_nothing_more_out(
        self, store: EventStore, checkpoints: CheckpointRepository, forwarder_of: ForwarderOf, until: Until
    ) -> None:
        """What was under way is finished, and the checkpoint is behind it."""
        bus = WideBus()
        await append_each(store, *((number, uuid4()) for number in range(1, 9)))
        forwarder = forwarder_of(bus)
        await forwarder.start()
        await until(lambda: len(bus.waiting) == 4)

        stopping = asyncio.create_task(forwarder.stop())
        for number in (4, 3, 2, 1):
            await bus.let_go(number)
        await stopping

        assert (bus.numbers, await checkpoints.get_position("forwarder")) == ([4, 3, 2, 1], 4)

    async def test_the_next_one_goes_on_behind_what_was_published(
        self, store: EventStore, forwarder_of: ForwarderOf, until: Until
    ) -> None:
        """Nothing is published twice, and nothing is left out."""
        bus = WideBus()
        last = await append_each(store, *((number, uuid4()) for number in range(1, 7)))
        forwarder = forwarder_of(bus)
        await forwarder.start()
        await until(lambda: len(bus.waiting) == 4)
        stopping = asyncio.create_task(forwarder.stop())
        for number in (1, 2, 3, 4):
            await bus.let_go(number)
        await stopping

        async with forwarder_of(bus) as successor:
            await until(lambda: len(bus.waiting) == 2)
            await bus.let_go(5)
            await bus.let_go(6)
            await successor.wait_for(last, AT_MOST)

        assert bus.numbers == [1, 2, 3, 4, 5, 6]

    async def test_a_pause_takes_effect(
        self, store: EventStore, checkpoints: CheckpointRepository, forwarder_of: ForwarderOf, until: Until
    ) -> None:
        """Until it is over; then it goes on where it was."""
        bus = WideBus()
        last = await append_each(store, *((number, uuid4()) for number in range(1, 7)))

        async with forwarder_of(bus) as forwarder:
            await until(lambda: len(bus.waiting) == 4)
            forwarder.pause()
            for number in (1, 2, 3, 4):
                await bus.let_go(number)
            await until(lambda: forwarder.position == 4)
            paused = list(bus.waiting), await checkpoints.get_position("forwarder")
            forwarder.resume()
            await until(lambda: len(bus.waiting) == 2)
            await bus.let_go(5)
            await bus.let_go(6)
            await forwarder.wait_for(last, AT_MOST)

        assert (paused, bus.numbers) == (([], 4), [1, 2, 3, 4, 5, 6])

    async def test_a_lost_lease_lets_nothing_more_out(
        self, store: EventStore, checkpoints: CheckpointRepository, forwarder_of: ForwarderOf, until: Until
    ) -> None:
        """The rest is the other one's."""
        bus = WideBus()
        await append_each(store, *((number, uuid4()) for number in range(1, 9)))

        async with forwarder_of(bus, lease_seconds=0.05) as forwarder:
            await until(lambda: len(bus.waiting) == 4)
            await checkpoints.release_lease("forwarder", checkpoints.leader)  # type: ignore[attr-defined]
            await checkpoints.acquire_lease("forwarder", "somebody", 3600.0)
            leasings = checkpoints.leasings  # type: ignore[attr-defined]
            await until(lambda: checkpoints.leasings > leasings)  # type: ignore[attr-defined]
            for number in (1, 2, 3, 4):
                await bus.let_go(number)
            await until(lambda: not forwarder.is_active)

            assert (bus.numbers, bus.waiting) == ([1, 2, 3, 4], {})
            assert await checkpoints.get_position("forwarder") == 0


async def test_its_lag_is_what_is_not_published(
    store: EventStore, append: Append, forwarder_of: ForwarderOf, until: Until
) -> None:
    """Seen while the bus is in the way."""
    bus = WideBus()
    await append(store, 1, 2)

    async with forwarder_of(bus, lag_interval=0.01) as forwarder:
        await until(lambda: forwarder.lag and forwarder.lag.events == 2 and bus.waiting)
        await bus.let_go(1)
        await until(lambda: forwarder.lag and forwarder.lag.events == 0)
