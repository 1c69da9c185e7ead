# ruff: noqa: S101 - contracts assert, as tests do
"""What arrives of a message."""

import json
from typing import Any
from uuid import UUID

from eventsource.events.base import DomainEvent
from eventsource.events.registry import register_event
from eventsource.testing.broker_subject import BrokerSubject, HeaderRecorder, MakeBus, PublishRaw, consuming
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import DOOR, Opened, opened


def _add_the_finish(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "finish": "matt"}


@register_event(upcast={1: _add_the_finish})
class Painted(DomainEvent):
    """An event that had one field less in former times."""

    event_type: str = "eventsource.testing.Painted"
    aggregate_type: str = DOOR
    event_version: int = 2
    colour: str
    finish: str


class CarryingContract(BrokerSubject):
    """Messages: an event and its headers, as they were published."""

    async def test_headers_reach_the_handler_in_another_process(self, make_bus: MakeBus, door: UUID) -> None:
        """They travel in the message, so that each bus of whatever group finds them."""
        publisher, consumer = make_bus(), make_bus()
        recorder = HeaderRecorder()
        consumer.subscribe(Opened, recorder)
        await consuming(consumer)
        await publisher.connect()
        (event,) = opened(door, 1)

        await publisher.publish([event], headers={"request-id": "Anfrage № 1"})
        await recorder.received(event)

        assert recorder.headers[0]["request-id"] == "Anfrage № 1"

    async def test_headers_do_not_change_the_facts_of_an_event(self, make_bus: MakeBus, door: UUID) -> None:
        """What names its type and its aggregate is what the event says."""
        bus = make_bus()
        recorder = HeaderRecorder()
        bus.subscribe(Opened, recorder)
        await consuming(bus)
        (event,) = opened(door, 1)

        await bus.publish([event], headers={"event_type": "Closed", "aggregate_id": "another", "request-id": "r-1"})
        await recorder.received(event)

        (headers,) = recorder.headers
        assert headers["request-id"] == "r-1"
        assert (headers["event_type"], headers["aggregate_id"]) == (event.event_type, str(door))

    async def test_a_message_tells_the_facts_of_its_event(self, make_bus: MakeBus, door: UUID) -> None:
        """Consumers that are written in another language need not look into the body."""
        bus = make_bus()
        recorder = HeaderRecorder()
        bus.subscribe(Opened, recorder)
        await consuming(bus)
        event = Opened(aggregate_id=door, aggregate_version=7, actor_id="ann")

        await bus.publish([event])
        await recorder.received(event)

        wanted = {
            "event_type": event.event_type,
            "aggregate_id": str(door),
            "aggregate_type": DOOR,
            "aggregate_version": "7",
            "actor_id": "ann",
        }
        assert wanted.items() <= recorder.headers[0].items()

    async def test_an_old_version_of_an_event_is_read_as_that_of_today(
        self, make_bus: MakeBus, publish_raw: PublishRaw, door: UUID
    ) -> None:
        """Whoever publishes may be older than whoever consumes."""
        bus = make_bus()
        recorder = Recorder()
        bus.subscribe(Painted, recorder)
        await consuming(bus)
        event = Painted(aggregate_id=door, colour="red", finish="matt")
        written = {**json.loads(event.model_dump_json(exclude={"finish"})), "event_version": 1}

        await publish_raw(
            bus, json.dumps(written).encode(), {"event_type": event.event_type, "aggregate_id": str(door)}
        )

        assert await recorder.received(event) == [event]
