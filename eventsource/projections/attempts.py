"""Trying to handle an event, again and again if a policy says so."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from eventsource.cancellation import is_being_cancelled
from eventsource.events.base import DomainEvent
from eventsource.exceptions import ProjectionError
from eventsource.projections.dead_letters.interface import message_of
from eventsource.retry import RetryPolicy

logger = logging.getLogger("eventsource.projections.base")  # where users of projections look for it

Sleep: TypeAlias = Callable[[float], Awaitable[bool]]
"""Waits for so many seconds and tells whether to go on then."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What an event failed with, after how many attempts; not final if it was given up before the policy said so."""

    error: Exception
    attempts: int
    is_final: bool


class Attempts:
    """The attempts of the projection *name* to handle *event*."""

    def __init__(self, name: str, event: DomainEvent, policy: RetryPolicy, sleep: Sleep) -> None:
        self._name = name
        self._event = event
        self._policy = policy
        self._sleep = sleep

    async def make(
        self, attempt: Callable[[], Awaitable[Exception | None]], *, failed: Exception | None = None
    ) -> Failure | None:
        """
        Make attempts until one succeeds, and return the failure if none did.

        Args:
            attempt: Makes one, and returns the error if it failed; what it raises ends it all.
            failed: The error of a first attempt, which was made before.
        """
        error, number = await attempt() if failed is None else failed, 0
        while error is not None:
            self._report(number, error)
            if not self._policy.should_retry(number, error):
                return Failure(error, number + 1, is_final=True)
            seconds = self._policy.get_backoff(number)
            logger.info("Retrying in %.1f seconds...", seconds)
            if not await self._sleep(seconds):
                return Failure(error, number + 1, is_final=False)
            error, number = await attempt(), number + 1
        return None

    async def error_of(self, action: Callable[[], Awaitable[object]]) -> Exception | None:
        """Do *action* and return what it raises."""
        try:
            await action()
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            return self._cancelled_by_itself(error)
        except Exception as error:  # whatever the handler raises, the policy decides
            return error
        return None

    def _cancelled_by_itself(self, error: asyncio.CancelledError) -> ProjectionError:
        failure = ProjectionError(self._name, self._event.event_id, "the handler was cancelled, but not its projection")
        failure.__cause__ = error
        return failure

    def _report(self, number: int, error: Exception) -> None:
        message = message_of(error)
        logger.error(
            "Projection %s failed to process event %s (attempt %d/%d): %s",
            self._name,
            self._event.event_id,
            number + 1,
            self._policy.max_retries + 1,
            message,
            exc_info=error,
            extra={
                "projection": self._name,
                "event_id": str(self._event.event_id),
                "event_type": self._event.event_type,
                "error": message,
            },
        )


async def sleep(seconds: float) -> bool:
    """Wait for so many seconds and tell to go on."""
    await asyncio.sleep(seconds)
    return True
