"""The topic of dead letters: writing to it, reading it, and replaying from it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from eventsource.bus.kafka.config import KafkaEventBusConfig
from eventsource.bus.kafka.connecting import bounded, connection_settings, start, stop
from eventsource.bus.kafka.messages import REPLAY_COUNT, REPLAY_GROUP, RETRY_COUNT, is_bookkeeping, text_headers
from eventsource.bus.kafka.publishing import Outgoing
from eventsource.bus.operations import DeadLetter
from eventsource.exceptions import EventBusError

_LONGEST_ERROR = 1000


def dead_letter_of(dead_letter: DeadLetter, config: KafkaEventBusConfig) -> Outgoing:
    """Return the message that keeps *dead_letter*: key, body and headers as they came, and what went wrong."""
    record: ConsumerRecord = dead_letter.message.origin.record
    facts = {
        "dlq_reason": dead_letter.reason,
        "dlq_error_type": type(dead_letter.error).__name__,
        "dlq_error_message": str(dead_letter.error)[:_LONGEST_ERROR],
        "dlq_retry_count": str(dead_letter.attempts - 1),
        "dlq_timestamp": datetime.now(UTC).isoformat(),
        "dlq_original_topic": record.topic,
        "dlq_original_partition": str(record.partition),
        "dlq_original_offset": str(record.offset),
        "dlq_consumer_group": config.consumer_group,
    }
    kept = [pair for pair in record.headers if pair[0] not in facts]
    headers = [*kept, *((name, value.encode()) for name, value in facts.items())]
    return Outgoing(config.dlq_topic_name, record.key, record.value or b"", headers)


def replay_of(record: ConsumerRecord, config: KafkaEventBusConfig) -> Outgoing:
    """Return the message that brings a dead letter back to the group whose it was."""
    headers = text_headers(record.headers)
    group = headers.get("dlq_consumer_group", config.consumer_group)
    kept = [pair for pair in record.headers if not is_bookkeeping(pair[0])]
    added = {RETRY_COUNT: "0", REPLAY_COUNT: str(_replay_count(headers) + 1), REPLAY_GROUP: group}
    return Outgoing(
        headers.get("dlq_original_topic", config.topic_name),
        record.key,
        record.value or b"",
        [*kept, *((name, value.encode()) for name, value in added.items())],
    )


async def read(
    config: KafkaEventBusConfig, partitions: set[int], limit: int, timeout_ms: int, group: str | None
) -> list[dict[str, Any]]:
    """
    Return up to *limit* of the dead letters that there are now.

    Args:
        config: Where they are.
        partitions: The partitions of their topic.
        limit: How many at most.
        timeout_ms: After which time what was read till then is returned.
        group: Whose place is where reading begins, and is moved on; reading begins with the oldest without.
    """
    letters: list[dict[str, Any]] = []
    async with _reader(config, partitions, group) as (consumer, wanted):
        ends = await bounded(consumer.end_offsets(wanted), config.connect_timeout)
        left = {each for each in wanted if await _position(consumer, each, config) < ends[each]}
        while left and len(letters) < limit:
            fetched = await consumer.getmany(*left, timeout_ms=timeout_ms, max_records=limit - len(letters))
            if not fetched:
                break
            letters += [_described(record) for records in fetched.values() for record in records]
            left = {each for each in left if await _position(consumer, each, config) < ends[each]}
        if group is not None and letters:
            await bounded(consumer.commit(), config.connect_timeout)
    return letters


async def find(config: KafkaEventBusConfig, partition: int, offset: int, timeout: float) -> ConsumerRecord:
    """
    Return the dead letter at *offset* of *partition*.

    Raises:
        ValueError: If there is none, or it does not come within *timeout* seconds.
    """
    async with _reader(config, {partition}, None) as (consumer, (wanted,)):
        [first] = (await bounded(consumer.beginning_offsets([wanted]), config.connect_timeout)).values()
        [end] = (await bounded(consumer.end_offsets([wanted]), config.connect_timeout)).values()
        if not first <= offset < end:
            raise ValueError(f"{wanted.topic} has no offset {offset} in partition {partition}: {first} to {end - 1}")
        consumer.seek(wanted, offset)
        fetched = await consumer.getmany(wanted, timeout_ms=round(timeout * 1000), max_records=1)
    for record in fetched.get(wanted, ()):
        if record.offset == offset:
            return record
    raise ValueError(f"offset {offset} of partition {partition} of {wanted.topic} was not found within {timeout:g} s")


async def count(config: KafkaEventBusConfig, partitions: set[int]) -> int:
    """Return how many dead letters there are, replayed ones included."""
    async with _reader(config, partitions, None) as (consumer, wanted):
        first = await bounded(consumer.beginning_offsets(wanted), config.connect_timeout)
        end = await bounded(consumer.end_offsets(wanted), config.connect_timeout)
    return sum(end[each] - first[each] for each in wanted)


def check_replay_count(record: ConsumerRecord, config: KafkaEventBusConfig) -> None:
    """
    Check that a dead letter may be replayed once more.

    Raises:
        ValueError: If that was done too often.
    """
    replays = _replay_count(text_headers(record.headers))
    if replays >= config.dlq_max_replay_attempts:
        raise ValueError(
            f"the dead letter at offset {record.offset} of partition {record.partition} was replayed {replays} times "
            f"(dlq_max_replay_attempts={config.dlq_max_replay_attempts}); force=True replays it nevertheless"
        )


@asynccontextmanager
async def _reader(
    config: KafkaEventBusConfig, partitions: set[int], group: str | None
) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    consumer = AIOKafkaConsumer(
        **connection_settings(config),
        client_id=f"{config.consumer_name}-dlq",
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    wanted = [TopicPartition(config.dlq_topic_name, number) for number in sorted(partitions)]
    consumer.assign(wanted)
    await start(consumer, config, config.connect_timeout)
    try:
        yield consumer, wanted
    except (KafkaError, TimeoutError) as error:
        raise EventBusError(
            f"the dead letters in {config.dlq_topic_name} at {config.bootstrap_servers} cannot be read: {error!r}"
        ) from error
    finally:
        await stop(consumer)


async def _position(consumer: AIOKafkaConsumer, wanted: TopicPartition, config: KafkaEventBusConfig) -> int:
    return int(await bounded(consumer.position(wanted), config.connect_timeout))


def _replay_count(headers: dict[str, str]) -> int:
    text = headers.get(REPLAY_COUNT, "0")
    return int(text) if text.isdecimal() else 0


def _described(record: ConsumerRecord) -> dict[str, Any]:
    headers = text_headers(record.headers)
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "timestamp": record.timestamp,
        "headers": headers,
        "payload": _payload(record.value or b""),
        "replay_count": _replay_count(headers),
    }


def _payload(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.hex()
