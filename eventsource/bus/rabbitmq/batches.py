"""Publishing as many events of a batch as possible."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventsource.bus.rabbitmq.errors import BatchPublishError
from eventsource.exceptions import EventSourceError

Send = Callable[[Sequence[Any]], Awaitable[None]]


@dataclass(slots=True)
class Batch:
    """Sends *messages* by *send*, each on its own, and remembers what has failed."""

    send: Send
    messages: Sequence[Any]
    chunks: int = 1
    errors: list[EventSourceError] = field(default_factory=list)

    @property
    def results(self) -> dict[str, int]:
        """The numbers."""
        total, failed = len(self.messages), len(self.errors)
        return {"total": total, "published": total - failed, "failed": failed, "chunks": self.chunks}

    async def publish_in_order(self) -> None:
        """Send one after the other."""
        for message in self.messages:
            await self._send(message)

    async def publish_at_once(self, concurrency: int, chunk_size: int) -> None:
        """Send chunks of *chunk_size*, and of each one *concurrency* messages at the same time."""
        self.chunks = 0
        slots = asyncio.Semaphore(concurrency)
        for start in range(0, len(self.messages), chunk_size):
            self.chunks += 1
            async with asyncio.TaskGroup() as group:
                for message in self.messages[start : start + chunk_size]:
                    group.create_task(self._send(message, slots))

    def check(self) -> None:
        """
        Raise an error if something has failed.

        Raises:
            BatchPublishError: With the numbers and the errors.
        """
        if self.errors:
            raise BatchPublishError(
                f"{len(self.errors)} of {len(self.messages)} events were not published, because: {self.errors[0]}",
                self.results,
                self.errors,
            ) from self.errors[0]

    async def _send(self, message: Any, slots: asyncio.Semaphore | None = None) -> None:
        async with slots or asyncio.Semaphore():
            try:
                await self.send([message])
            except EventSourceError as error:
                self.errors.append(error)
