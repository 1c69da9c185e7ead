"""Asking a consumption to come to its end."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

Value = TypeVar("Value")


class Stop:
    """Whether a consumption is to end, and how many seconds the handlers have that are at work."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        self.patience = 0.0

    @property
    def is_requested(self) -> bool:
        """Whether nothing more should be begun."""
        return self._requested.is_set()

    def request(self, patience: float) -> None:
        """Let the consumption end; the first request counts."""
        if not self.is_requested:
            self.patience = patience
            self._requested.set()

    async def requested(self) -> None:
        """Return once the end is asked for."""
        await self._requested.wait()

    async def sleep(self, seconds: float) -> None:
        """Return after *seconds*, or as soon as the end is asked for."""
        await self.unless(asyncio.sleep(seconds))

    async def unless(self, coroutine: Coroutine[Any, Any, Value], *, grace: float = 0.0) -> Value | None:
        """Return what *coroutine* returns; None, and it is cancelled, if the end is asked for and *grace* is over."""
        async with running(coroutine) as doing, running(self.requested()) as stopping:
            await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if grace and not doing.done():
                await asyncio.wait({doing}, timeout=min(grace, self.patience))
            return doing.result() if doing.done() else None


@asynccontextmanager
async def running(coroutine: Coroutine[Any, Any, Value]) -> "AsyncIterator[asyncio.Task[Value]]":
    """Run *coroutine* as a task inside the block, and cancel it at its end if it is not done by then."""
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
        forget(task)


def forget(done: "asyncio.Future[Any]") -> None:
    """Take note of how something has ended, which asyncio would report else: whoever wanted to know has asked."""
    if not done.cancelled():
        done.exception()
