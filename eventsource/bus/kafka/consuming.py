"""Consuming from Kafka: one membership in the group."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError

from eventsource.bus.consuming import Attempt, Bury
from eventsource.bus.kafka.config import KafkaEventBusConfig
from eventsource.bus.kafka.connecting import CLOSING, bounded, connection_settings, start, stop
from eventsource.bus.kafka.messages import is_meant_for, received
from eventsource.bus.kafka.partitions import Partition
from eventsource.bus.lanes import Consumption, Lanes
from eventsource.bus.messages import Received
from eventsource.bus.stopping import Stop, forget, running
from eventsource.cancellation import apart
from eventsource.exceptions import BrokerConnectionError
from eventsource.retry import RetryPolicy

logger = logging.getLogger("eventsource.bus.kafka")

_POLL_MS = 100
"""How long one look for new messages takes where there are none, and how long the broker waits for them."""
_MOST_RECORDS = 500
"""How many messages are taken in one look."""
_COMMIT_INTERVAL = 0.1
_COMMIT_TIMEOUT = 5.0
_LAST_COMMIT_TIMEOUT = 1.0
_GIVING_UP = 0.05
"""Seconds in which a commit notices that its connection is closed, and before it would look for another one."""
_LAG_TIMEOUT = 5.0


class Membership(Consumption[Received], ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is not annotated
    """
    A consumer in its group: it fetches, hands to lanes, and commits what is settled.

    Each partition is committed up to its first message that is not settled. A partition that has too many messages
    between that one and its last is paused, so that the others go on. When partitions are revoked, what was fetched
    from them is finished and committed before anybody else begins with them.

    Args:
        config: What to consume, and how.
        attempt: Makes an attempt to handle a message.
        bury: Keeps one as a dead letter.
        policy: When to try again.
        on_assigned: Called each time when the group has told this member its partitions.
        on_rebalance: Called each time when partitions are revoked.
    """

    def __init__(
        self,
        config: KafkaEventBusConfig,
        attempt: Attempt,
        bury: Bury,
        policy: RetryPolicy,
        *,
        on_assigned: Callable[[], None],
        on_rebalance: Callable[[], None],
    ) -> None:
        self._config = config
        self._attempt = attempt
        self._bury = bury
        self._on_assigned = on_assigned
        self._on_rebalance = on_rebalance
        self._consumer = _consumer(config)
        self._partitions: dict[TopicPartition, Partition] = {}
        self._feeders: dict[TopicPartition, asyncio.Task[None]] = {}
        self._settled = asyncio.Event()
        self._finishing = asyncio.Lock()
        self._committing = asyncio.Lock()
        self._commitment: asyncio.Task[None] | None = None
        self._poller: asyncio.Task[None] | None = None
        self._leaving: list[Partition] = []
        self._is_ending = False
        self._left = Stop()
        self._lanes: Lanes[Received] = Lanes(
            self,
            policy,
            concurrency=config.max_concurrency,
            window=config.max_in_flight,
            parking=config.max_offset_span,
        )
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, end: Stop) -> None:
        """
        Consume until *end* is requested, then finish what was fetched in its patience.

        Raises:
            BrokerConnectionError: If the group cannot be joined.
            EventBusError: If a message cannot be settled.
            KafkaError: If the brokers refuse this consumer.
        """
        self._consumer.subscribe([self._config.topic_name], listener=self)
        seconds = self._config.connect_timeout + self._config.rebalance_timeout_ms / 1000
        try:
            # Others may have to finish what they have in hand before they let this one in. They ask with each
            # heartbeat, and whoever goes before is missed by the group until the session times out.
            heartbeat = self._config.heartbeat_interval_ms / 1000
            await end.unless(start(self._consumer, self._config, seconds), grace=heartbeat)
            if not end.is_requested:
                async with self._lanes:
                    await self._consume(end)
        finally:
            await apart(self._leave())

    async def attempt(self, message: Received, number: int) -> None:
        """Make attempt *number* to handle *message*."""
        await self._attempt(message, number)

    async def dead_letter(self, message: Received, error: Exception, attempts: int) -> None:
        """Keep *message* as a dead letter."""
        await self._bury(message, error, attempts)

    async def settle(self, message: Received) -> None:
        """Note that *message* is done; it is committed soon."""
        self._settle(message.origin.partition, message.origin.record.offset)

    async def lag(self) -> dict[int, int]:
        """
        Return how many messages of each partition are not settled, as the brokers see it now.

        Raises:
            KafkaError: If they cannot be asked.
            TimeoutError: If they do not answer.
        """
        return await self._left.unless(self._lag()) or {}  # a client that is closed may never answer

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Begin with *assigned*."""
        if self._is_ending:
            return
        for topic_partition in assigned:
            partition = Partition(topic_partition, self._config.max_offset_span)
            self._partitions[topic_partition] = partition
            self._feeders[topic_partition] = self._supervised(self._feed(partition))
        await self._find_positions()
        self._on_assigned()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Finish what was fetched of *revoked*, and commit it."""
        leaving = [self._partitions.pop(each) for each in revoked if each in self._partitions]
        if leaving:
            self._on_rebalance()
        seconds = self._config.rebalance_timeout_ms / 1000
        await self._finish(leaving, max(seconds - _COMMIT_TIMEOUT, seconds / 2))

    async def _consume(self, end: Stop) -> None:
        self._poller = self._supervised(self._poll())
        async with running(self._commit_now_and_then()) as committing, running(end.requested()) as ending:
            ends: set[asyncio.Future[Any]] = {ending, committing, self._failure, self._lanes.failure}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            patience = end.patience if end.is_requested else self._config.shutdown_timeout
            self._is_ending = True
            leaving, self._partitions = list(self._partitions.values()), {}
            deadline = asyncio.get_running_loop().time() + patience
            await self._finish(leaving, patience)
        # Where the others are about to share the partitions anew, it can only leave after that.
        left = deadline - asyncio.get_running_loop().time()
        await stop(self._consumer, max(CLOSING, min(left, self._config.heartbeat_interval_ms / 1000)))
        for failure in (committing, self._failure, self._lanes.failure):
            if failure.done() and not failure.cancelled() and (error := failure.exception()):
                raise error

    async def _leave(self) -> None:
        """End whatever still goes on; where there was no time to finish, commit at least what is settled."""
        self._is_ending = True
        self._left.request(0)
        async with AsyncExitStack() as ending:  # the driver may cancel what it does itself
            ending.push_async_callback(self._end_tasks)
            ending.push_async_callback(stop, self._consumer)  # ends the look for new messages, too
            await self._commit([*self._partitions.values(), *self._leaving], seconds=_LAST_COMMIT_TIMEOUT)

    async def _end_tasks(self) -> None:
        """End what goes on without a consumer; a look for new messages must not be cancelled before."""
        if self._commitment is not None:
            await asyncio.wait({self._commitment}, timeout=_GIVING_UP)
        tasks = [*self._feeders.values(), *(each for each in (self._poller, self._commitment) if each is not None)]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)
        if self._failure.done():
            forget(self._failure)

    async def _finish(self, leaving: list[Partition], patience: float) -> None:
        async with self._finishing:  # whoever stops is not done before what is in hand is, nor is a rebalance
            await self._finish_alone(leaving, patience)

    async def _finish_alone(self, leaving: list[Partition], patience: float) -> None:
        self._leaving = leaving
        feeders = [self._feeders.pop(each.topic_partition) for each in leaving]
        for feeder in feeders:
            feeder.cancel()
        if feeders:
            await asyncio.wait(feeders)
        await self._lanes.finish(lambda message: message.origin.partition in leaving, patience=patience, waiting=True)
        await self._commit(leaving)
        self._leaving = []

    async def _poll(self) -> None:
        while True:
            fetched = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_MOST_RECORDS)
            for topic_partition, records in fetched.items():
                if partition := self._partitions.get(topic_partition):
                    partition.add(records)
                    self._pause(partition)

    async def _feed(self, partition: Partition) -> None:
        while True:
            record = await partition.next()
            if not is_meant_for(self._config.consumer_group, record):
                self._settle(partition, record.offset)
                continue
            message = received(record, partition)
            await self._lanes.admit(message.lane, message)

    def _settle(self, partition: Partition, offset: int) -> None:
        partition.offsets.settle(offset)
        self._resume(partition)
        self._settled.set()

    def _pause(self, partition: Partition) -> None:
        if partition.is_full and not partition.is_paused:
            partition.is_paused = True
            with suppress(IllegalStateError):
                self._consumer.pause(partition.topic_partition)

    def _resume(self, partition: Partition) -> None:
        if partition.is_paused and partition.has_room:
            partition.is_paused = False
            if self._partitions.get(partition.topic_partition) is partition:
                with suppress(IllegalStateError):
                    self._consumer.resume(partition.topic_partition)

    async def _commit_now_and_then(self) -> None:
        while True:
            await self._settled.wait()
            self._settled.clear()
            await self._commit([*self._partitions.values(), *self._leaving])
            await asyncio.sleep(_COMMIT_INTERVAL)

    async def _commit(self, partitions: Iterable[Partition], seconds: float = _COMMIT_TIMEOUT) -> None:
        """Commit what is settled; where that fails, it is tried again, or comes again to whoever has the partition."""
        async with self._committing:  # an older commit must not arrive after a later one
            await self._commit_alone(partitions, seconds)

    async def _commit_alone(self, partitions: Iterable[Partition], seconds: float) -> None:
        wanted = {each: offset for each in partitions if (offset := each.uncommitted) is not None}
        if not wanted:
            return
        try:
            offsets = {each.topic_partition: offset for each, offset in wanted.items()}
            await bounded(self._commit_in_turn(offsets), seconds)
        except (KafkaError, TimeoutError, BrokerConnectionError) as error:
            logger.warning("Offsets were not committed, and will be later: %r", error)
            self._settled.set()
        else:
            for each, offset in wanted.items():
                each.committed = offset

    async def _commit_in_turn(self, offsets: dict[TopicPartition, int]) -> None:
        """Commit *offsets*, after what was committed before; whoever is cancelled leaves it to be answered."""
        if self._commitment is not None:
            await asyncio.wait({self._commitment})
        self._commitment = asyncio.create_task(self._consumer.commit(offsets))
        self._commitment.add_done_callback(forget)
        await asyncio.shield(self._commitment)  # the driver lets go of a cancelled request, but not of its failure

    async def _lag(self) -> dict[int, int]:
        partitions = list(self._partitions.values())
        if not partitions:
            return {}
        wanted = [each.topic_partition for each in partitions]
        ends = await bounded(self._consumer.end_offsets(wanted), _LAG_TIMEOUT)
        starts = [await self._position(each) for each in partitions]
        return {
            each.topic_partition.partition: max(0, ends[each.topic_partition] - start)
            for each, start in zip(partitions, starts, strict=True)
        }

    async def _find_positions(self) -> None:
        """
        Return when it is known where reading begins, and have that committed.

        If it is the end, nothing is missed that comes afterwards, even if the next one begins before a message was.
        """
        try:
            for partition in tuple(self._partitions.values()):
                position = await self._position(partition)
                if partition.offsets.settled is None:
                    partition.offsets.settled = position
            self._settled.set()
        except (KafkaError, TimeoutError, BrokerConnectionError) as error:
            logger.warning("It is not known yet where reading begins: %r", error)

    async def _position(self, partition: Partition) -> int:
        if partition.offsets.span and partition.offsets.settled is not None:
            return partition.offsets.settled
        return int(await bounded(self._consumer.position(partition.topic_partition), _LAG_TIMEOUT))

    def _supervised(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(coroutine)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or (error := task.exception()) is None or isinstance(error, ConsumerStoppedError):
            return
        if not self._failure.done():
            self._failure.set_exception(error)


def _consumer(config: KafkaEventBusConfig) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(**config.consumer_settings, **connection_settings(config), fetch_max_wait_ms=_POLL_MS)
