"""A partition while it is assigned to this consumer."""

import asyncio
from collections import deque
from collections.abc import Iterable

from aiokafka import ConsumerRecord, TopicPartition

from eventsource.bus.kafka.offsets import Offsets


class Partition:
    """
    The messages of a partition that were fetched, and those of them that are settled.

    It is full, and should be paused, from *span* offsets on; it has room again at half of that.
    """

    def __init__(self, topic_partition: TopicPartition, span: int) -> None:
        self.topic_partition = topic_partition
        self.offsets = Offsets()
        self.committed: int | None = None
        self.is_paused = False
        self._span = span
        self._fetched: deque[ConsumerRecord] = deque()
        self._arrival = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be fetched."""
        return self.offsets.span >= self._span

    @property
    def has_room(self) -> bool:
        """Whether more should be fetched after a pause."""
        return self.offsets.span <= self._span // 2

    @property
    def uncommitted(self) -> int | None:
        """The offset to commit, None if that was done."""
        return None if self.offsets.settled == self.committed else self.offsets.settled

    def add(self, records: Iterable[ConsumerRecord]) -> None:
        """Take what was fetched."""
        for record in records:
            if self.offsets.settled is None:
                self.committed = record.offset  # nothing is settled yet
            self.offsets.begin(record.offset)
            self._fetched.append(record)
        self._arrival.set()

    async def next(self) -> ConsumerRecord:
        """Return the next message, once it was fetched."""
        while not self._fetched:
            self._arrival.clear()
            await self._arrival.wait()
        return self._fetched.popleft()
