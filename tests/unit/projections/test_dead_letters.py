"""Dead letters of projections: what is kept of an event, and what comes of trying it again."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventsource.bus.memory import InMemoryEventBus
from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry, EventTypeNotFoundError, register_event
from eventsource.exceptions import ProjectionError, SerializationError
from eventsource.handlers import handles
from eventsource.headers import current_headers
from eventsource.projections.base import DeclarativeProjection
from eventsource.projections.dead_letters.in_memory import InMemoryDLQRepository
from eventsource.projections.dead_letters.values import DLQEntry
from eventsource.retry import DEFAULT_RETRY_POLICY, NoRetryPolicy
from eventsource.testing.events import NOON, Measured, Opened, opened

OLD = '{{"event_id": "{0}", "event_type": "Painted", "aggregate_type": "Door", "aggregate_id": "{0}", "colour": "red"}}'


class Painted(DomainEvent):
    event_type: str = "Painted"
    event_version: int = 2
    aggregate_type: str = "Door"
    shade: str


class Loose(DomainEvent):
    """An event that a store in memory takes, though not every value of it has a JSON form."""

    aggregate_type: str = "Door"
    value: Any = None


class Visits(DeclarativeProjection):
    """Remembers its events and their headers, and is broken until it is mended."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"retry_policy": NoRetryPolicy(), **options})
        self.failure: BaseException | None = ValueError("no such door")
        self.seen: list[DomainEvent] = []
        self.headers: list[dict[str, str]] = []

    async def record(self, event: DomainEvent) -> None:
        self.headers.append(dict(current_headers()))
        if self.failure is not None:
            raise self.failure
        self.seen.append(event)

    @handles(Opened)
    async def on_opened(self, event: Opened) -> None:
        await self.record(event)

    @handles(Measured)
    async def on_measured(self, event: Measured) -> None:
        await self.record(event)

    @handles(Painted)
    async def on_painted(self, event: Painted) -> None:
        await self.record(event)

    @handles(Loose)
    async def on_loose(self, event: Loose) -> None:
        await self.record(event)

    async def fail_on(self, *events: DomainEvent) -> list[int]:
        """Fail on each of *events* and return the ids of the entries."""
        for event in events:
            with pytest.raises(type(self.failure)):
                await self.handle(event)
        return [entry.id for entry in await self.dead_letters.get_failed_events(oldest_first=True)]

    async def entry(self, dlq_id: int) -> DLQEntry:
        entry = await self.dead_letters.get_failed_event_by_id(dlq_id)
        assert entry
        return entry


@pytest.fixture
def visits() -> Visits:
    return Visits()


@pytest.fixture
def event() -> Opened:
    (event,) = opened(uuid4(), 1)
    return event


class TestWhatIsKept:
    async def test_an_event_is_kept_with_the_reason(self, visits: Visits, event: Opened) -> None:
        """All that somebody needs who sees to it."""
        (dlq_id,) = await visits.fail_on(event)

        entry = await visits.entry(dlq_id)
        assert (entry.event_id, entry.event_type, entry.projection_name) == (event.event_id, event.event_type, "Visits")
        assert (entry.error_message, entry.error_type) == ("no such door", "ValueError")
        assert (entry.retry_count, entry.status) == (1, "failed")
        assert "in record" in (entry.error_stacktrace or "")

    async def test_what_stood_beside_it_is_kept(self, visits: Visits, event: Opened) -> None:
        """The headers of the message that a bus delivered."""
        bus = InMemoryEventBus()
        bus.subscribe_all(visits)

        await bus.publish([event], headers={"request": "7"})

        (entry,) = await visits.dead_letters.get_failed_events()
        assert entry.headers == {"request": "7"}

    @pytest.mark.parametrize(
        "value",
        [object(), {1: object()}, "half \ud83d", {"\ud83d": 1}, float("nan"), b"\xff", {(1, 2): 3}],
        ids=["an object", "in a dict", "half a character", "half a key", "not a number", "bytes", "a tuple as key"],
    )
    async def test_an_event_that_cannot_be_written_is_kept_all_the_same(self, visits: Visits, value: object) -> None:
        """As well as it can be shown, for it must not be forgotten."""
        event = Loose(aggregate_id=uuid4(), value=value)

        (dlq_id,) = await visits.fail_on(event)

        entry = await visits.entry(dlq_id)
        assert (entry.event_id, entry.error_message) == (event.event_id, "no such door")
        assert str(event.event_id) in entry.event_data

    async def test_an_error_without_a_message_is_kept(self, visits: Visits, event: Opened) -> None:
        """Its class tells something."""
        visits.failure = KeyError()

        (dlq_id,) = await visits.fail_on(event)

        entry = await visits.entry(dlq_id)
        assert (entry.error_message, entry.error_type) == ("", "KeyError")


class TestTryingAgain:
    async def test_what_is_handled_is_resolved(self, visits: Visits, event: Opened) -> None:
        """The handler is given the event as it was, and the entry says thanks to what it is resolved."""
        (dlq_id,) = await visits.fail_on(event)
        visits.failure = None

        result = await visits.retry_dead_letter(dlq_id)

        entry = await visits.entry(dlq_id)
        assert (result.dlq_id, result.outcome, result.event_id, result.error) == (
            dlq_id,
            "resolved",
            event.event_id,
            None,
        )
        assert (visits.seen, entry.status, entry.resolved_by) == ([event], "resolved", "retry")

    async def test_an_event_of_all_kinds_of_fields_comes_back_equal(self, visits: Visits) -> None:
        """Nothing is lost in the queue."""
        event = Measured(aggregate_id=uuid4(), occurred_at=NOON, key=b"\x00", measured_at=NOON, tags=frozenset({"a"}))
        (dlq_id,) = await visits.fail_on(event)
        visits.failure = None

        await visits.retry_dead_letter(dlq_id)

        assert visits.seen == [event]

    async def test_what_fails_again_says_with_what(self, visits: Visits, event: Opened) -> None:
        """The entry has the newest reason, counts the attempt, and keeps when it began."""
        (dlq_id,) = await visits.fail_on(event)
        before = await visits.entry(dlq_id)
        visits.failure = KeyError("locked")

        result = await visits.retry_dead_letter(dlq_id)

        entry = await visits.entry(dlq_id)
        assert (result.outcome, result.error) == ("failed", visits.failure)
        assert (entry.status, entry.error_type, entry.retry_count) == ("failed", "KeyError", 2)
        assert (entry.first_failed_at, entry.event_data) == (before.first_failed_at, before.event_data)

    async def test_each_is_tried_once(self, event: Opened) -> None:
        """Whoever asks decides when to ask again, and not the retry policy."""
        dead_letters = InMemoryDLQRepository()
        (dlq_id,) = await Visits(dlq_repo=dead_letters).fail_on(event)
        patient = Visits(dlq_repo=dead_letters, retry_policy=DEFAULT_RETRY_POLICY)

        await patient.retry_dead_letter(dlq_id)

        assert len(patient.headers) == 1

    async def test_the_checkpoint_stays_where_it_is(self, visits: Visits, event: Opened) -> None:
        """The event lies behind it."""
        (dlq_id,) = await visits.fail_on(event)
        visits.failure = None

        await visits.retry_dead_letter(dlq_id)

        assert await visits.get_checkpoint() is None

    async def test_its_headers_are_current_in_the_handler(self, visits: Visits, event: Opened) -> None:
        """Those that were kept, and after a second failure too."""
        dlq_id = await visits.dead_letters.add_failed_event(
            event.event_id,
            "Visits",
            event.event_type,
            event.model_dump_json(),
            ValueError(),
            headers={"request": "7"},
        )

        await visits.retry_dead_letter(dlq_id)
        await visits.retry_dead_letter(dlq_id)

        assert visits.headers == [{"request": "7"}] * 2
        assert dict(current_headers()) == {}

    async def test_an_entry_that_was_deleted_meanwhile_is_kept_again_as_it_was(self, event: Opened) -> None:
        """Data and headers are those of the entry that was tried."""

        class Clearing(Visits):
            async def record(self, event: DomainEvent) -> None:
                await dead_letters.clear()
                raise ValueError("still")

        dead_letters = InMemoryDLQRepository()
        visits, data = Clearing(dlq_repo=dead_letters, name="Visits"), event.model_dump_json()
        dlq_id = await dead_letters.add_failed_event(
            event.event_id, "Visits", event.event_type, data, ValueError(), 1, headers={"request": "7"}
        )

        await visits.retry_dead_letter(dlq_id)

        (entry,) = await dead_letters.get_failed_events()
        assert (entry.id > dlq_id, entry.headers, entry.retry_count) == (True, {"request": "7"}, 2)
        assert entry.event_data == data

    async def test_what_was_resolved_before_is_not_handled_again(self, visits: Visits, event: Opened) -> None:
        """By whomever."""
        (dlq_id,) = await visits.fail_on(event)
        await visits.dead_letters.mark_resolved(dlq_id, "ann")
        visits.failure = None

        result = await visits.retry_dead_letter(dlq_id)

        assert (result.outcome, result.event_id, visits.seen) == ("resolved before", event.event_id, [])
        assert (await visits.entry(dlq_id)).resolved_by == "ann"

    async def test_what_was_being_retried_is_tried_again(self, visits: Visits, event: Opened) -> None:
        """Whoever was at it may have died."""
        (dlq_id,) = await visits.fail_on(event)
        await visits.dead_letters.mark_retrying(dlq_id)
        visits.failure = None

        assert (await visits.retry_dead_letter(dlq_id)).outcome == "resolved"

    @pytest.mark.parametrize("name", ["Visits", "other"])
    async def test_an_entry_that_it_does_not_have_is_unknown(self, event: Opened, name: str) -> None:
        """There is none of that id, or it is another projection's."""
        dead_letters = InMemoryDLQRepository()
        await Visits(dlq_repo=dead_letters, name="other").fail_on(event)
        visits = Visits(dlq_repo=dead_letters, name=name)

        result = await visits.retry_dead_letter(1 if name == "Visits" else 2)

        assert (result.outcome, result.event_id, visits.headers) == ("unknown", None, [])

    async def test_a_handler_that_is_cancelled_alone_has_failed(self, visits: Visits, event: Opened) -> None:
        """It is no cancellation of whoever asked."""
        (dlq_id,) = await visits.fail_on(event)
        visits.failure = asyncio.CancelledError()

        result = await visits.retry_dead_letter(dlq_id)

        assert (result.outcome, type(result.error)) == ("failed", ProjectionError)
        assert (await visits.entry(dlq_id)).status == "failed"


class TestTryingAllAgain:
    async def test_they_are_tried_in_the_order_in_which_they_failed(self, visits: Visits) -> None:
        """Whatever the order of their listing is."""
        events = opened(uuid4(), 3)
        ids = await visits.fail_on(*events)
        visits.failure = None

        results = await visits.retry_dead_letters()

        assert [(result.dlq_id, result.outcome) for result in results] == [(dlq_id, "resolved") for dlq_id in ids]
        assert visits.seen == events

    async def test_the_oldest_come_first_if_there_is_a_limit(self, visits: Visits) -> None:
        """And no more than that."""
        events = opened(uuid4(), 3)
        await visits.fail_on(*events)
        visits.failure = None

        results = await visits.retry_dead_letters(2)

        assert ([result.outcome for result in results], visits.seen) == (["resolved"] * 2, events[:2])

    async def test_one_that_fails_again_does_not_hold_up_the_others(self, visits: Visits) -> None:
        """Each has its own result."""
        first, second, third = opened(uuid4(), 3)
        await visits.fail_on(first, second, third)

        class Mended(Visits):
            async def record(self, event: DomainEvent) -> None:
                self.failure = ValueError("still") if event == second else None
                await super().record(event)

        mended = Mended(dlq_repo=visits.dead_letters, name="Visits")

        results = await mended.retry_dead_letters()

        assert [result.outcome for result in results] == ["resolved", "failed", "resolved"]
        assert mended.seen == [first, third]

    async def test_those_of_others_and_the_resolved_are_left_alone(self, event: Opened) -> None:
        """Though they are in the same repository."""
        dead_letters = InMemoryDLQRepository()
        other, visits = Visits(dlq_repo=dead_letters, name="other"), Visits(dlq_repo=dead_letters)
        await other.fail_on(event)
        *_, dlq_id = await visits.fail_on(event)
        await dead_letters.mark_resolved(dlq_id, "ann")
        visits.failure = None

        assert (await visits.retry_dead_letters(), visits.seen) == ([], [])


@pytest.fixture
def registry() -> EventRegistry:
    """Knows `Painted`, and how to read it as it was written when it had a colour."""
    registry = EventRegistry()
    register_event(Painted, registry=registry, upcast={1: lambda data: {**data, "shade": data["colour"]}})
    return registry


async def keep(visits: Visits, event_id: UUID, data: str, event_type: str = "Painted") -> int:
    return await visits.dead_letters.add_failed_event(event_id, "Visits", event_type, data, ValueError("no such door"))


class TestReadingWhatIsKept:
    async def test_an_old_version_becomes_todays(self, visits: Visits, registry: EventRegistry) -> None:
        """What lay in the queue when the class was changed is carried forward."""
        event_id, visits.failure = uuid4(), None
        dlq_id = await keep(visits, event_id, OLD.format(event_id))

        result = await visits.retry_dead_letter(dlq_id, event_registry=registry)

        assert result.outcome == "resolved"
        assert [(each.event_version, each.shade) for each in visits.seen if isinstance(each, Painted)] == [(2, "red")]

    async def test_all_are_read_with_the_registry_that_is_given(self, visits: Visits, registry: EventRegistry) -> None:
        """The default one does not know how the event was written."""
        event_id, visits.failure = uuid4(), None
        await keep(visits, event_id, OLD.format(event_id))

        unread = await visits.retry_dead_letters()
        read = await visits.retry_dead_letters(event_registry=registry)

        assert [[each.outcome for each in results] for results in (unread, read)] == [["unreadable"], ["resolved"]]

    async def test_an_unknown_type_is_unreadable(self, visits: Visits) -> None:
        """The result says why, and the entry waits for somebody who knows it."""
        event_id, visits.failure = uuid4(), None
        dlq_id = await keep(visits, event_id, OLD.format(event_id), "Varnished")

        result = await visits.retry_dead_letter(dlq_id)

        assert (result.outcome, result.event_id, type(result.error)) == ("unreadable", event_id, EventTypeNotFoundError)
        assert (await visits.entry(dlq_id)).status == "failed"

    @pytest.mark.parametrize("data", ["{", "", "null", "[]", "7", '{"aggregate_id": 5}', '{"event_version": "x"}'])
    async def test_what_is_no_such_event_is_unreadable(self, visits: Visits, data: str) -> None:
        """Nothing is tried, and the entry stays as it is."""
        event_id, visits.failure = uuid4(), None
        dlq_id = await keep(visits, event_id, data, "eventsource.testing.Opened")
        before = await visits.entry(dlq_id)

        result = await visits.retry_dead_letter(dlq_id)

        assert (result.outcome, result.event_id, type(result.error)) == ("unreadable", event_id, SerializationError)
        assert (await visits.entry(dlq_id), visits.headers) == (before, [])

    async def test_what_an_upcaster_raises_is_unreadable(self, visits: Visits, registry: EventRegistry) -> None:
        """It is a fault of the conversion, and not of the handler."""
        event_id = uuid4()
        dlq_id = await keep(visits, event_id, OLD.format(event_id).replace("colour", "hue"))

        result = await visits.retry_dead_letter(dlq_id, event_registry=registry)

        assert (result.outcome, visits.headers) == ("unreadable", [])
        assert "cannot be upcast: KeyError" in str(result.error)
