"""The bus within the process."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from eventsource.bus.memory import InMemoryEventBus
from eventsource.events.base import DomainEvent
from eventsource.testing import EventBusContract
from eventsource.testing.event_bus_subject import Gate, Recorder
from eventsource.testing.events import Closed, Opened, opened


@pytest.fixture
async def bus() -> AsyncIterator[InMemoryEventBus]:
    async with InMemoryEventBus() as bus:
        yield bus


class TestContract(EventBusContract):
    @pytest.fixture
    async def bus(self) -> AsyncIterator[InMemoryEventBus]:
        async with InMemoryEventBus() as bus:
            yield bus


def refuse(event: DomainEvent) -> None:
    raise LookupError("no room")


async def test_publish_returns_when_all_is_handled(bus: InMemoryEventBus, door: UUID) -> None:
    """One event is done with before the next one begins."""
    recorder = Recorder()

    async def slow(event: DomainEvent) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        recorder.record(event)

    bus.subscribe(Opened, slow)
    bus.subscribe_to_all_events(recorder)
    first, second = opened(door, 2)

    await bus.publish([first, second])

    assert recorder.events == [first, first, second, second]


async def test_the_handlers_of_an_event_run_at_once(bus: InMemoryEventBus, door: UUID) -> None:
    """Each may wait for the others."""
    barrier = asyncio.Barrier(3)

    async def meet(event: DomainEvent) -> None:
        await barrier.wait()

    bus.subscribe(Opened, meet)
    bus.subscribe(Opened, meet)
    bus.subscribe_to_all_events(meet)

    async with asyncio.timeout(10):
        await bus.publish(opened(door, 1))

    assert bus.get_stats()["handlers_invoked"] == 3


async def test_what_happens_is_counted(bus: InMemoryEventBus, door: UUID) -> None:
    """Handlers are counted as they succeed or fail; events also when nobody wants them."""
    bus.subscribe(Opened, Recorder())
    bus.subscribe(Opened, refuse)

    await bus.publish([*opened(door, 2), Closed(aggregate_id=door)])
    await bus.publish(opened(door, 1), background=True)
    await bus.shutdown()

    assert bus.get_stats() == {
        "events_published": 4,
        "handlers_invoked": 3,
        "handler_errors": 3,
        "background_tasks_created": 1,
        "background_tasks_completed": 1,
    }


async def test_the_counts_are_a_copy(bus: InMemoryEventBus) -> None:
    """Nobody changes them from outside."""
    bus.get_stats().clear()

    assert bus.get_stats()["events_published"] == 0


async def test_a_failure_is_logged(bus: InMemoryEventBus, door: UUID, caplog: pytest.LogCaptureFixture) -> None:
    """The line names handler, event and error, and carries the traceback."""
    bus.subscribe(Opened, refuse)
    (event,) = opened(door, 1)

    await bus.publish([event])

    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert line.getMessage() == f"Handler refuse failed processing {event.event_type}: no room"
    assert line.name == "eventsource.bus.memory"
    assert line.exc_info
    assert line.exc_info[0] is LookupError
    assert (line.__dict__["handler"], line.__dict__["event_id"]) == ("refuse", str(event.event_id))


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "beside another handler"])
async def test_a_handler_that_raises_cancelled_has_failed(bus: InMemoryEventBus, door: UUID, others: int) -> None:
    """Nobody cancelled the publisher, so it goes on."""
    recorder = Recorder()

    async def give_up(event: DomainEvent) -> None:
        raise asyncio.CancelledError

    bus.subscribe(Opened, give_up)
    for _ in range(others):
        bus.subscribe(Opened, recorder)
    bus.subscribe(Closed, recorder)
    last = Closed(aggregate_id=door)

    await bus.publish([*opened(door, 1), last])

    assert recorder.events[-1] == last
    assert bus.get_stats()["handler_errors"] == 1


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "beside another handler"])
async def test_a_cancelled_publisher_cancels_its_handlers(bus: InMemoryEventBus, door: UUID, others: int) -> None:
    """They run within the publication, which ends there: later events are not handled."""
    gate = Gate()
    for _ in range(1 + others):
        bus.subscribe(Opened, gate)
    publishing = asyncio.create_task(bus.publish(opened(door, 2)))
    await gate.entered.wait()

    publishing.cancel()
    await asyncio.wait([publishing])
    gate.open.set()

    assert publishing.cancelled()
    assert gate.events == []
    assert (bus.get_stats()["events_published"], bus.get_stats()["handler_errors"]) == (1, 0)


async def test_publications_in_the_background_are_counted(bus: InMemoryEventBus, door: UUID) -> None:
    """Until they are done."""
    gate = Gate()
    bus.subscribe(Opened, gate)
    (event,) = opened(door, 1)
    await bus.publish([event], background=True)
    before = bus.get_background_task_count()

    gate.open.set()
    await bus.shutdown()

    assert (before, bus.get_background_task_count()) == (1, 0)
    assert gate.events == [event]


async def test_a_late_publication_is_cancelled_with_a_warning(
    bus: InMemoryEventBus, door: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    """After the time-out nothing of it runs on."""
    gate = Gate()
    bus.subscribe(Opened, gate)
    await bus.publish(opened(door, 1), background=True)
    await gate.entered.wait()

    try:
        async with asyncio.timeout(10):
            await bus.shutdown(timeout=0)
    finally:
        gate.open.set()

    assert bus.get_background_task_count() == 0
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "Event bus shutdown: 1 task(s) did not complete within timeout"
    ]


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "beside another handler"])
async def test_shutdown_waits_for_the_publications_of_other_tasks(
    bus: InMemoryEventBus, door: UUID, others: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Also for those in the foreground, for the events that they have not come to yet, too."""
    gate, recorder = Gate(), Recorder()
    bus.subscribe(Opened, gate)
    for _ in range(others):
        bus.subscribe(Opened, recorder)
    events = opened(door, 2)
    publishing = asyncio.create_task(bus.publish(events))
    await gate.entered.wait()

    closing = asyncio.create_task(bus.shutdown())
    for _ in range(5):
        await asyncio.sleep(0)
    was_closed = closing.done()
    gate.open.set()
    await closing
    handled = list(gate.events)
    await publishing

    assert (was_closed, handled) == (False, events)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_late_publication_of_another_task_is_not_cancelled(
    bus: InMemoryEventBus, door: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    """That task is its publisher's, who hears nothing of the shutdown; a warning tells of it."""
    gate = Gate()
    bus.subscribe(Opened, gate)
    events = opened(door, 2)
    publishing = asyncio.create_task(bus.publish(events))
    await gate.entered.wait()

    await bus.shutdown(timeout=0)
    was_published = publishing.done()
    gate.open.set()
    await publishing

    assert (was_published, gate.events) == (False, events)
    assert caplog.messages[-1] == "Event bus shutdown: 1 task(s) did not complete within timeout"


async def test_a_handler_that_swallows_cancellation_is_left_behind(
    bus: InMemoryEventBus, door: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shutting down ends all the same, and the handler when it pleases."""
    monkeypatch.setattr("eventsource.bus.memory._GRACE", 0.01)
    entered, refused, released = (asyncio.Event() for _ in range(3))

    async def insist(event: DomainEvent) -> None:
        entered.set()
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                refused.set()

    bus.subscribe(Opened, insist)
    await bus.publish(opened(door, 1), background=True)
    await entered.wait()

    try:
        async with asyncio.timeout(10):
            await bus.shutdown(timeout=0)
        left = bus.get_background_task_count()
    finally:
        released.set()
    await bus.shutdown()

    assert (refused.is_set(), left, bus.get_background_task_count()) == (True, 1, 0)


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "beside another handler"])
@pytest.mark.parametrize("inner", [False, True], ids=["inner in the foreground", "inner in the background"])
@pytest.mark.parametrize("outer", [False, True], ids=["outer in the foreground", "outer in the background"])
async def test_a_handler_may_shut_the_bus_down(
    bus: InMemoryEventBus, door: UUID, outer: bool, inner: bool, others: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits neither for its own publication nor for those that wait for it, however deep it is within them."""
    shut_down = asyncio.Event()

    async def publish_on(event: DomainEvent) -> None:
        await bus.publish([Closed(aggregate_id=door)], background=inner)

    async def shut(event: DomainEvent) -> None:
        await bus.shutdown()
        shut_down.set()

    for event_class, handler in ((Opened, publish_on), (Closed, shut)):
        bus.subscribe(event_class, handler)
        for _ in range(others):
            bus.subscribe(event_class, Recorder())

    async with asyncio.timeout(10):
        await bus.publish(opened(door, 1), background=outer)
        await shut_down.wait()

    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_publication_cancelled_before_it_began_is_not_waited_for(
    bus: InMemoryEventBus, door: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted as done, though none of its handlers was called."""
    recorder, before = Recorder(), asyncio.all_tasks()
    bus.subscribe(Opened, recorder)
    await bus.publish(opened(door, 1), background=True)
    (task,) = asyncio.all_tasks() - before

    task.cancel()
    async with asyncio.timeout(10):
        await bus.shutdown()

    assert (recorder.events, bus.get_stats()["background_tasks_completed"]) == ([], 1)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_handler_unsubscribed_meanwhile_still_gets_the_event_in_hand(bus: InMemoryEventBus, door: UUID) -> None:
    """Who handles an event is settled when its turn comes."""
    recorder = Recorder()

    def leave(event: DomainEvent) -> None:
        bus.unsubscribe(Opened, recorder)

    bus.subscribe(Opened, leave)
    bus.subscribe(Opened, recorder)
    first, second = opened(door, 2)

    await bus.publish([first, second])

    assert recorder.events == [first]


def test_threads_may_subscribe_at_once() -> None:
    """No subscription is lost or taken back twice."""
    bus = InMemoryEventBus()
    recorder = Recorder()

    def subscribe_and_unsubscribe(number: int) -> bool:
        bus.subscribe(Opened, recorder)
        bus.subscribe(Closed, recorder)
        return bus.unsubscribe(Closed, recorder)

    with ThreadPoolExecutor(8) as threads:
        unsubscribed = list(threads.map(subscribe_and_unsubscribe, range(400)))

    assert all(unsubscribed)
    assert (bus.get_subscriber_count(Opened), bus.get_subscriber_count(Closed)) == (400, 0)


async def test_subscriptions_are_logged(bus: InMemoryEventBus, caplog: pytest.LogCaptureFixture) -> None:
    """By the names of handler and class."""
    caplog.set_level(logging.INFO, "eventsource.bus.memory")
    recorder = Recorder()

    bus.subscribe(Opened, recorder.handle)
    bus.subscribe_to_all_events(refuse)
    bus.unsubscribe(Opened, recorder.handle)

    assert [record.getMessage() for record in caplog.records] == [
        "Registered handler Recorder.handle for Opened",
        "Registered wildcard handler refuse",
        "Unsubscribed handler Recorder.handle from Opened",
    ]
