"""What the tests of lanes share: messages that are handled as the test says, step by step."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from eventsource.bus.lanes import Consumption, Lanes
from eventsource.retry import NoRetryPolicy

AT_MOST = 10.0
"""Seconds after which a test has failed; none takes so long."""

OpenLanes = Callable[..., Awaitable[Lanes[str]]]


class Work(Consumption[str]):
    """Notes what is done with each message, and lets the test say how an attempt ends."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.when_settling: Callable[[str], None] = lambda message: None
        self.when_burying: Callable[[str], None] = lambda message: None
        self.errors: dict[str, tuple[Exception, int]] = {}
        self._answers: dict[str, asyncio.Future[None]] = {}
        self._noted = asyncio.Event()

    async def attempt(self, message: str, number: int) -> None:
        self._note(f"begin {message}")
        answer = self._answers[message] = asyncio.get_running_loop().create_future()
        try:
            await answer
        finally:
            self._note(f"end {message}")

    async def dead_letter(self, message: str, error: Exception, attempts: int) -> None:
        self.errors[message] = error, attempts
        self._note(f"bury {message}")
        self.when_burying(message)

    async def settle(self, message: str) -> None:
        self._note(f"settle {message}")
        self.when_settling(message)

    def succeed(self, *messages: str) -> None:
        """Let the handlers of *messages* end."""
        for message in messages:
            self._answers[message].set_result(None)

    def fail(self, message: str, error: BaseException | None = None) -> None:
        """Let the handler of *message* raise."""
        self._answers[message].set_exception(error or ValueError(message))

    def cancel(self, message: str) -> None:
        """Let the handler of *message* be cancelled, but not whoever calls it."""
        self._answers[message].cancel()

    def times(self, entry: str) -> int:
        """Return how often *entry* was noted."""
        return self.log.count(entry)

    async def saw(self, *entries: str, times: int = 1) -> None:
        """Return when each of *entries* was noted so often."""
        async with asyncio.timeout(AT_MOST):
            while any(self.times(entry) < times for entry in entries):
                self._noted.clear()
                await self._noted.wait()

    def _note(self, entry: str) -> None:
        self.log.append(entry)
        self._noted.set()


@pytest.fixture
async def work() -> Work:
    """What is done with the messages, and in what order."""
    return Work()


@pytest.fixture
async def open_lanes(work: Work) -> AsyncIterator[OpenLanes]:
    """Enter lanes that never try again and have room for all, if nothing else is said; leave them at the end."""
    async with AsyncExitStack() as stack:

        async def enter(**options: Any) -> Lanes[str]:
            policy = options.pop("policy", NoRetryPolicy())
            return await stack.enter_async_context(Lanes(work, policy, **{"concurrency": 10, "window": 10, **options}))

        yield enter


@pytest.fixture
def admit() -> Callable[..., Awaitable[None]]:
    """Admit messages, in their order; the key of each is its first letter."""

    async def admit(lanes: Lanes[str], *messages: str) -> None:
        async with asyncio.timeout(AT_MOST):
            for message in messages:
                await lanes.admit(message[0], message)

    return admit


@pytest.fixture
def idle() -> Callable[[], Awaitable[None]]:
    """Return when nothing more happens without a word of the test."""

    async def idle() -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    return idle
