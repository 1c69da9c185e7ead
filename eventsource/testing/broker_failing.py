# ruff: noqa: S101 - contracts assert, as tests do
"""What becomes of messages that cannot be handled."""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from eventsource.bus.broker import BrokerEventBus
from eventsource.bus.messages import Received
from eventsource.bus.operations import Consume
from eventsource.testing.broker_subject import (
    SOON,
    BrokerSubject,
    DeadLetters,
    Failing,
    MakeBus,
    PublishRaw,
    Replay,
    consuming,
)
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import Opened, opened

ALWAYS = 1000


def consumed_by(bus: BrokerEventBus, monkeypatch: pytest.MonkeyPatch) -> list[Received]:
    """Return a list that is going to have the message of each attempt, as whoever observes *bus* sees them."""
    messages: list[Received] = []
    perform = bus._perform

    async def observe(hook: Callable[[Any], Awaitable[Any]], operation: Any) -> Any:
        if isinstance(operation, Consume):
            messages.append(operation.message)
        return await perform(hook, operation)

    monkeypatch.setattr(bus, "_perform", observe)
    return messages


class FailingContract(BrokerSubject):
    """Dead letters: kept with what went wrong, out of the others' way, and replayed to their group alone."""

    async def test_what_fails_too_often_becomes_a_dead_letter(
        self, make_bus: MakeBus, dead_letters: DeadLetters, door: UUID
    ) -> None:
        """With what went wrong, and with headers and body as they were published."""
        bus = make_bus(retry_base_delay=SOON, max_retries=2)
        event, last = opened(door, 2)
        handler = Failing({event.event_id: ALWAYS})
        bus.subscribe(Opened, handler)
        await consuming(bus)

        await bus.publish([event], headers={"request-id": "r-1"})
        await bus.publish([last])
        await handler.received(last)
        (letter,) = await dead_letters(bus)

        assert handler.attempts == [event, event, event, last]
        assert (letter.error_type, letter.retry_count) == ("LookupError", 2)
        assert letter.reason == f"no room for {event.event_id}"
        assert (letter.message_id, letter.event_type) == (str(event.event_id), event.event_type)
        assert letter.headers["request-id"] == "r-1"
        assert letter.headers["aggregate_id"] == str(door)
        assert Opened.model_validate(json.loads(letter.body)) == event

    async def test_the_next_event_is_handled_after_the_dead_letter(
        self, make_bus: MakeBus, dead_letters: DeadLetters, door: UUID
    ) -> None:
        """A poisonous event does not hold up its aggregate, and is safe before that goes on."""
        bus = make_bus(max_retries=0)
        event, following = opened(door, 2)
        handler = Failing({event.event_id: ALWAYS})
        seen: list[str | None] = []

        async def look(event: Opened) -> None:
            seen.extend(letter.message_id for letter in await dead_letters(bus))
            await handler.handle(event)

        bus.subscribe(Opened, look)
        await consuming(bus)

        await bus.publish([event, following])
        await handler.received(following)

        assert seen == [str(event.event_id)]

    async def test_without_dead_letters_an_event_is_dropped_with_a_warning(
        self, make_bus: MakeBus, door: UUID, caplog: pytest.LogCaptureFixture
    ) -> None:
        """And the next one is handled."""
        bus = make_bus(max_retries=0, enable_dlq=False)
        event, following = opened(door, 2)
        handler = Failing({event.event_id: ALWAYS})
        bus.subscribe(Opened, handler)
        await consuming(bus)

        with caplog.at_level(logging.WARNING):
            await bus.publish([event, following])
            await handler.received(following)

        (warning,) = [record for record in caplog.records if "dropping failed message" in record.message]
        assert (warning.levelname, vars(warning)["message_id"]) == ("WARNING", str(event.event_id))
        assert bus.get_stats_dict()["messages_sent_to_dlq"] == 0

    async def test_what_cannot_be_read_is_a_dead_letter_at_once(
        self, make_bus: MakeBus, dead_letters: DeadLetters, publish_raw: PublishRaw, door: UUID
    ) -> None:
        """Whatever keeps it from being read: trying again is of no use, and the rest is handled."""
        bus = make_bus(retry_base_delay=SOON, max_retries=2)
        recorder = Recorder()
        bus.subscribe(Opened, recorder)
        await consuming(bus)
        (event,) = opened(door, 1)
        body = event.model_dump_json().encode()
        lane = {"aggregate_id": str(door), "request-id": "r-1"}
        unreadable = [
            (b"no JSON", {**lane, "event_type": event.event_type}),
            (body, {**lane, "event_type": "Unheard"}),
            (body, lane),
        ]

        for message in unreadable:
            await publish_raw(bus, *message)
        await bus.publish([event])
        await recorder.received(event)
        letters = await dead_letters(bus)

        assert [letter.body for letter in letters] == [body for body, _ in unreadable]
        assert [(letter.error_type, letter.retry_count) for letter in letters] == [("DeserializationError", 0)] * 3
        assert [letter.headers["request-id"] for letter in letters] == ["r-1"] * 3
        assert recorder.events == [event]
        assert bus.get_stats_dict()["handler_errors"] == 3

    async def test_a_message_without_aggregate_harms_nobody(
        self, make_bus: MakeBus, publish_raw: PublishRaw, door: UUID
    ) -> None:
        """What is readable is handled, whoever has published it."""
        bus = make_bus(max_retries=0)
        recorder = Recorder()
        bus.subscribe(Opened, recorder)
        await consuming(bus)
        foreign, event = opened(door, 2)

        await publish_raw(bus, b"", {})
        await publish_raw(bus, foreign.model_dump_json().encode(), {"event_type": foreign.event_type})
        await bus.publish([event])

        await recorder.received(foreign, event)

    async def test_a_replayed_dead_letter_is_handled_by_its_group_alone(
        self, make_bus: MakeBus, dead_letters: DeadLetters, replay: Replay, door: UUID
    ) -> None:
        """The handlers find its headers as they were; other groups do not see it again."""
        bus, other_bus = make_bus(consumer_group="failing", max_retries=0), make_bus(consumer_group="other")
        event, last = opened(door, 2)
        handler, other = Failing({event.event_id: 1}), Recorder()
        bus.subscribe(Opened, handler)
        other_bus.subscribe(Opened, other)
        await consuming(bus, other_bus)
        await bus.publish([event, last])
        await handler.received(last)

        (letter,) = await dead_letters(bus)
        await replay(bus, letter)
        await handler.received(event)
        await bus.publish([marker := Opened(aggregate_id=door)])

        assert await handler.received(marker) == [last, event, marker]
        assert await other.received(marker) == [event, last, marker]

    async def test_a_replayed_message_says_that_it_was_a_dead_letter(
        self, make_bus: MakeBus, dead_letters: DeadLetters, replay: Replay, door: UUID, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever observes the bus can tell it from a first delivery; its own headers are as before."""
        bus = make_bus(max_retries=0)
        event, last = opened(door, 2)
        handler = Failing({event.event_id: 1})
        bus.subscribe(Opened, handler)
        messages = consumed_by(bus, monkeypatch)
        await consuming(bus)
        await bus.publish([event, last], headers={"request-id": "r-1"})
        await handler.received(last)

        (letter,) = await dead_letters(bus)
        await replay(bus, letter)
        await handler.received(event)

        assert [(message.message_id, message.is_replayed) for message in messages] == [
            (str(event.event_id), False),
            (str(last.event_id), False),
            (str(event.event_id), True),
        ]
        assert messages[-1].headers["request-id"] == "r-1"

    async def test_a_replayed_message_may_become_a_dead_letter_again(
        self, make_bus: MakeBus, dead_letters: DeadLetters, replay: Replay, door: UUID
    ) -> None:
        """As a message that has failed so often since; the next event is handled."""
        bus = make_bus(max_retries=1, retry_base_delay=SOON)
        event, last = opened(door, 2)
        handler = Failing({event.event_id: ALWAYS})
        bus.subscribe(Opened, handler)
        await consuming(bus)
        await bus.publish([event, last])
        await handler.received(last)

        (letter,) = await dead_letters(bus)
        await replay(bus, letter)
        await bus.publish([marker := Opened(aggregate_id=door)])
        await handler.received(marker)
        again = (await dead_letters(bus))[-1]

        assert handler.attempts == [event, event, last, event, event, marker]
        assert (again.message_id, again.retry_count, again.body) == (letter.message_id, 1, letter.body)
