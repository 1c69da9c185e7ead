"""How an event looks on its way through a broker."""

from uuid import UUID, uuid4

from eventsource.bus.messages import Address, Received, UniqueNames, describing
from eventsource.testing.events import Opened


def received(headers: dict[str, str]) -> Received:
    return Received(
        body=b"{}",
        headers=headers,
        address=Address("doors"),
        lane="door-1",
        message_id=None,
        sent_at=None,
        is_redelivered=False,
        is_replayed=False,
        origin=None,
    )


def test_a_message_tells_the_type_of_its_event() -> None:
    """As its sender has named it, or nothing."""
    assert received({"event_type": "Opened", "aggregate_type": "Door"}).event_type == "Opened"
    assert received({"aggregate_type": "Door"}).event_type is None


def test_messages_are_told_apart_although_they_look_alike() -> None:
    """Two deliveries of one message are two."""
    first, second = received({}), received({})

    assert len({first, second}) == 2
    assert first != second


def test_a_header_that_has_a_name_is_not_replaced() -> None:
    """Whoever adds it again is ignored; another name is added."""
    headers = UniqueNames({"traceparent": "ours"})

    headers["traceparent"] = "theirs"
    headers["baggage"] = "theirs"

    assert headers == {"traceparent": "ours", "baggage": "theirs"}


def test_an_event_is_described_by_its_type_and_its_aggregate() -> None:
    """The type is what it was written as; what the event does not have is left out."""
    door = uuid4()

    headers = dict(describing(Opened(aggregate_id=door, aggregate_version=7, correlation_id=UUID(int=1)), "Swung"))

    assert headers == {
        "event_type": "Swung",
        "aggregate_id": str(door),
        "aggregate_type": "Door",
        "aggregate_version": 7,
        "correlation_id": str(UUID(int=1)),
    }


def test_an_event_is_described_by_whatever_it_belongs_to() -> None:
    """Who has caused it, for whom, and in the course of what."""
    event = Opened(
        aggregate_id=uuid4(),
        correlation_id=UUID(int=1),
        causation_id=UUID(int=2),
        tenant_id=UUID(int=3),
        actor_id="ann",
    )

    headers = dict(describing(event, "Opened"))

    assert [headers[name] for name in ("correlation_id", "causation_id", "tenant_id", "actor_id")] == [
        str(UUID(int=1)),
        str(UUID(int=2)),
        str(UUID(int=3)),
        "ann",
    ]
