"""What messages on Kafka look like."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from aiokafka import ConsumerRecord

from eventsource.bus.kafka.partitions import Partition
from eventsource.bus.messages import Address, Received, identifying, relating
from eventsource.events.base import DomainEvent
from eventsource.types import Headers

RETRY_COUNT = "retry_count"
REPLAY_COUNT = "dlq_replay_count"
REPLAY_GROUP = "dlq_replay_group"
"""The group that a dead letter was replayed for; others leave it alone."""
_BOOKKEEPING = ("dlq_", RETRY_COUNT, "retry_after")

Pairs: TypeAlias = list[tuple[str, bytes]]
"""Headers as Kafka has them: in an order, and a name may come twice."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A record and the partition that it came from."""

    record: Any
    partition: Partition


def headers_of(event: DomainEvent, event_type: str, headers: Headers | None) -> Pairs:
    """Return the headers of the message that carries *event*; its own facts win over *headers* of the same name."""
    facts = {"event_id": str(event.event_id)}
    facts |= {name: str(value) for name, value in identifying(event, event_type)}
    facts |= {"occurred_at": event.occurred_at.isoformat(), **dict(relating(event))}
    others = {name: value for name, value in (headers or {}).items() if name not in facts and not is_bookkeeping(name)}
    return [(name, value.encode()) for name, value in (facts | others).items()]


def is_bookkeeping(name: str) -> bool:
    """Tell whether a header is about retries and dead letters."""
    return name.startswith(_BOOKKEEPING)


def text_headers(pairs: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Return the headers that are text; of several with one name the first."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        if name not in headers and value is not None:
            try:
                headers[name] = value.decode()
            except UnicodeDecodeError:
                continue
    return headers


def drop_repeated(pairs: Pairs) -> None:
    """Leave the first of several headers with one name, as brokers do that know each name once."""
    first: dict[str, bytes] = {}
    for name, value in pairs:
        first.setdefault(name, value)
    pairs[:] = first.items()


def is_meant_for(group: str, record: ConsumerRecord) -> bool:
    """Tell whether *record* is for *group*, as all are that were not replayed for another."""
    return all(name != REPLAY_GROUP or value == group.encode() for name, value in record.headers)


def received(record: ConsumerRecord, partition: Partition) -> Received:
    """Return what the handlers should know of *record*."""
    headers = text_headers(record.headers)
    key = None if record.key is None else record.key.decode(errors="replace")
    return Received(
        body=record.value or b"",
        headers=headers,
        address=Address(record.topic, key=key, partition=record.partition, offset=record.offset),
        lane=(record.partition, record.key),
        message_id=headers.get("event_id"),
        sent_at=_moment(record.timestamp),
        is_redelivered=False,
        is_replayed=REPLAY_COUNT in headers,
        origin=Origin(record, partition),
    )


def _moment(milliseconds: int) -> datetime | None:
    """Return when that is; None if it cannot be: other publishers may write what they like."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds >= 0 else None
    except (ValueError, OverflowError, OSError):
        return None
