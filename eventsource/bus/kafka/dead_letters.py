"""The topic of dead letters: writing to it, reading it, and replaying from it."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from eventsource.bus.kafka.config import KafkaEventBusConfig
from eventsource.bus.kafka.connecting import bounded, connection_settings, start, stop
from eventsource.bus.kafka.messages import REPLAY_COUNT, REPLAY_GROUP, RETRY_COUNT, is_bookkeeping, text_headers
from eventsource.bus.kafka.publishing import Outgoing, Publisher
from eventsource.bus.operations import DeadLetter
from eventsource.exceptions import EventBusError, MessageTooLargeError

logger = logging.getLogger("eventsource.bus.kafka")

Result = TypeVar("Result")

BODY_OMITTED = "dlq_body_omitted"

_LONGEST_ERROR = 1000
_FINDING_MS = 5000


class DeadLetterTopic:
    """The dead letters that are kept; they are written and looked for by means of *publisher*."""

    def __init__(self, config: KafkaEventBusConfig, publisher: Publisher) -> None:
        self._config = config
        self._publisher = publisher

    async def keep(self, dead_letter: DeadLetter) -> None:
        """
        Add *dead_letter*, and return once the brokers have confirmed it.

        With what is said about it, it may be larger than they take; then it is kept without its body, which stays where
        it came from.
        """
        copy = _copy_of(dead_letter, self._config)
        try:
            await self._publisher.send([copy])
        except MessageTooLargeError as error:
            logger.error("A dead letter is kept without its body: %s", error)
            await self._publisher.send([replace(copy, value=b"", headers=[*copy.headers, (BODY_OMITTED, b"true")])])

    async def check(self) -> None:
        """Raise a `PublishError` if there is no such topic."""
        await self._partitions()

    async def count(self) -> int:
        """Return how many there are, replayed ones included."""
        async with self._reader(await self._partitions(), None) as (consumer, wanted):
            first = await self._asked(consumer.beginning_offsets(wanted))
            end = await self._asked(consumer.end_offsets(wanted))
        return sum(end[each] - first[each] for each in wanted)

    async def read(self, limit: int, timeout_ms: int, group: str | None) -> list[dict[str, Any]]:
        """
        Return those that there are now, *limit* at most, and after *timeout_ms* what was found till then.

        Reading begins where *group* has left off, and moves that on; without a group it begins with the oldest one.
        """
        letters: list[dict[str, Any]] = []
        async with self._reader(await self._partitions(), group) as (consumer, wanted):
            ends = await self._asked(consumer.end_offsets(wanted))
            while len(letters) < limit and (left := await self._unread(consumer, wanted, ends)):
                fetched = await consumer.getmany(*left, timeout_ms=timeout_ms, max_records=limit - len(letters))
                if not fetched:
                    break
                letters += [_described(record) for records in fetched.values() for record in records]
            if group is not None and letters:
                await self._asked(consumer.commit())
        return letters

    async def replay(self, partition: int, offset: int, *, force: bool) -> None:
        """
        Publish one of them to its topic again, for its group only.

        Raises:
            ValueError: If it is not there, or was replayed too often, unless *force* is given.
        """
        record = await self._found(partition, offset)
        _check_has_body(record)
        if not force:
            _check_replay_count(record, self._config)
        await self._publisher.send([_replay_of(record, self._config)])

    async def _found(self, partition: int, offset: int) -> ConsumerRecord:
        topic = self._config.dlq_topic_name
        if partition not in (partitions := await self._partitions()):
            raise ValueError(f"{topic} has the partitions {sorted(partitions)}, and not {partition}")
        async with self._reader({partition}, None) as (consumer, [wanted]):
            [first] = (await self._asked(consumer.beginning_offsets([wanted]))).values()
            [end] = (await self._asked(consumer.end_offsets([wanted]))).values()
            if not first <= offset < end:
                raise ValueError(f"partition {partition} of {topic} has the offsets {first} to {end - 1}, not {offset}")
            consumer.seek(wanted, offset)
            fetched = await consumer.getmany(wanted, timeout_ms=_FINDING_MS, max_records=1)
        for record in fetched.get(wanted, ()):
            if record.offset == offset:
                return record
        raise ValueError(f"offset {offset} of partition {partition} of {topic} was not found in {_FINDING_MS} ms")

    async def _partitions(self) -> set[int]:
        return await self._publisher.partitions_of(self._config.dlq_topic_name)

    @asynccontextmanager
    async def _reader(
        self, partitions: set[int], group: str | None
    ) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
        config = self._config
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

    async def _unread(
        self, consumer: AIOKafkaConsumer, wanted: list[TopicPartition], ends: dict[TopicPartition, int]
    ) -> list[TopicPartition]:
        return [each for each in wanted if await self._asked(consumer.position(each)) < ends[each]]

    async def _asked(self, answer: Awaitable[Result]) -> Result:
        return await bounded(answer, self._config.connect_timeout)


def _copy_of(dead_letter: DeadLetter, config: KafkaEventBusConfig) -> Outgoing:
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


def _replay_of(record: ConsumerRecord, config: KafkaEventBusConfig) -> Outgoing:
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


def _check_has_body(record: ConsumerRecord) -> None:
    headers = text_headers(record.headers)
    if BODY_OMITTED in headers:
        offset, partition, topic = (headers.get(f"dlq_original_{name}") for name in ("offset", "partition", "topic"))
        raise ValueError(
            "the body of the dead letter was too large to be kept; "
            f"the message is at offset {offset} of partition {partition} of {topic}"
        )


def _check_replay_count(record: ConsumerRecord, config: KafkaEventBusConfig) -> None:
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
