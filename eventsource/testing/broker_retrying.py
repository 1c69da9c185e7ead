# ruff: noqa: S101 - contracts assert, as tests do
"""Trying again what has failed."""

import asyncio
from uuid import UUID, uuid4

from eventsource.events.base import DomainEvent
from eventsource.testing.broker_subject import SOON, BrokerSubject, Failing, HeaderRecorder, MakeBus, consuming
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import Opened, opened


class RetryingContract(BrokerSubject):
    """Retries: in their place, in this group alone, and without harm to other aggregates."""

    async def test_the_order_of_an_aggregate_holds_while_events_fail(self, make_bus: MakeBus) -> None:
        """What follows a failed event waits until that is handled."""
        bus = make_bus(retry_base_delay=SOON, max_retries=2)
        doors = [uuid4() for _ in range(3)]
        by_door: dict[UUID, list[DomainEvent]] = {door: [*opened(door, 5)] for door in doors}
        events = [event for position in zip(*by_door.values(), strict=True) for event in position]
        handler = Failing({event.event_id: number % 3 for number, event in enumerate(events)})
        bus.subscribe(Opened, handler)
        await consuming(bus)

        await bus.publish(events)
        handled = await handler.received(*events)

        for door in doors:
            assert [event for event in handled if event.aggregate_id == door] == by_door[door]

    async def test_other_aggregates_go_on_while_one_fails(self, make_bus: MakeBus, door: UUID) -> None:
        """Their events are handled before the failed one is."""
        bus = make_bus(retry_base_delay=SOON, max_retries=100)
        recorder = Recorder()
        others: list[DomainEvent] = [event for _ in range(20) for event in opened(uuid4(), 1)]
        (waiting,) = opened(door, 1)

        async def handle(event: DomainEvent) -> None:
            if event == waiting and len(recorder.events) < len(others):
                raise LookupError("the others have to be there first")
            recorder.record(event)

        bus.subscribe(Opened, handle)
        await consuming(bus)

        await bus.publish([waiting, *others])

        assert (await recorder.received(waiting))[-1] == waiting

    async def test_another_attempt_is_made_with_the_handlers_that_failed(self, make_bus: MakeBus, door: UUID) -> None:
        """Those that have handled the event are not called again."""
        bus = make_bus(retry_base_delay=SOON, max_retries=3)
        event, last = opened(door, 2)
        handlers = [Failing({event.event_id: times}) for times in (0, 2, 1, 0)]
        for handler in handlers:
            bus.subscribe(Opened, handler)
        await consuming(bus)

        await bus.publish([event, last])
        for handler in handlers:
            await handler.received(event, last)

        assert [handler.attempts.count(event) for handler in handlers] == [1, 3, 2, 1]

    async def test_a_handler_that_keeps_failing_does_no_harm_to_the_others(self, make_bus: MakeBus, door: UUID) -> None:
        """They have handled the event before it becomes a dead letter."""
        bus = make_bus(retry_base_delay=SOON, max_retries=1)
        event, last = opened(door, 2)
        before, failing, after = Recorder(), Failing({event.event_id: 2}), Recorder()
        for handler in (before, failing, after):
            bus.subscribe(Opened, handler)
        await consuming(bus)

        await bus.publish([event, last])
        await failing.received(last)

        assert (before.events[0], after.events[0], failing.attempts) == (event, event, [event, event, last])

    async def test_each_attempt_has_the_headers(self, make_bus: MakeBus, door: UUID) -> None:
        """A handler that is called again finds them as before."""
        bus = make_bus(retry_base_delay=SOON, max_retries=1)
        (event,) = opened(door, 1)
        recorder, failing = HeaderRecorder(), Failing({event.event_id: 1})

        async def handle(event: DomainEvent) -> None:
            await recorder.handle(event)
            await failing.handle(event)

        bus.subscribe(Opened, handle)
        await consuming(bus)

        await bus.publish([event], headers={"request-id": "r-1"})
        await failing.received(event)

        assert [headers.get("request-id") for headers in recorder.headers] == ["r-1", "r-1"]

    async def test_a_failure_does_not_concern_other_groups(self, make_bus: MakeBus, door: UUID) -> None:
        """They are not given the event again."""
        failing_bus = make_bus(consumer_group="failing", retry_base_delay=SOON, max_retries=2)
        other_bus = make_bus(consumer_group="other")
        first, last = opened(door, 2)
        failing, other = Failing({first.event_id: 2}), Recorder()
        failing_bus.subscribe(Opened, failing)
        other_bus.subscribe(Opened, other)
        await consuming(failing_bus, other_bus)

        await other_bus.publish([first])
        await failing.received(first)
        await other_bus.publish([last])

        assert await other.received(last) == [first, last]

    async def test_a_handler_that_is_cancelled_by_itself_has_failed(self, make_bus: MakeBus, door: UUID) -> None:
        """It is called again, ends neither the consumer nor the attempt of others, and is counted."""
        bus = make_bus(retry_base_delay=SOON, max_retries=1)
        recorder, other = Recorder(), Recorder()
        attempts: list[DomainEvent] = []

        async def handle(event: DomainEvent) -> None:
            attempts.append(event)
            if not other.events:
                raise asyncio.CancelledError
            recorder.record(event)

        bus.subscribe(Opened, handle)
        bus.subscribe(Opened, other)
        await consuming(bus)
        (event,) = opened(door, 1)

        await bus.publish([event])

        assert await recorder.received(event) == [event]
        assert (attempts, other.events) == ([event, event], [event])
        assert (bus.is_consuming, bus.get_stats_dict()["handler_errors"]) == (True, 1)
