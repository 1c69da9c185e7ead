"""The lease that makes one of several runners of a projection the active one."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from eventsource.cancellation import is_being_cancelled
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.checkpoints.values import CheckpointData

logger = logging.getLogger(__name__)


class Leadership:
    """
    The right of *owner* to run the projection *name*, for *seconds* at a time.

    It is renewed three times as often as needed. A runner that dies leaves it to expire; until then the others wait.
    """

    def __init__(self, checkpoints: CheckpointRepository, name: str, owner: str, seconds: float) -> None:
        self._checkpoints = checkpoints
        self._name = name
        self._owner = owner
        self._seconds = seconds

    async def acquire(self) -> CheckpointData | None:
        """Ask for the lease and return the checkpoint with it, None if somebody else has the lease."""
        return await self._checkpoints.acquire_lease(self._name, self._owner, self._seconds)

    @asynccontextmanager
    async def held(self, on_renewal: Callable[[CheckpointData | None], None]) -> AsyncIterator[None]:
        """
        Renew the lease inside the block and give it back afterwards.

        *on_renewal* is called with the checkpoint each time, with None if somebody else has the lease by then.
        """
        renewing = asyncio.create_task(self._renew(on_renewal))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])
            await self._release()

    async def _renew(self, on_renewal: Callable[[CheckpointData | None], None]) -> None:
        while True:
            await asyncio.sleep(self._seconds / 3)
            try:
                on_renewal(await self.acquire())
            except (Exception, asyncio.CancelledError) as error:
                if is_being_cancelled():
                    raise
                # The next attempt may succeed, and no checkpoint moves without the lease.
                logger.warning("The lease of projection %s was not renewed: %s", self._name, error)

    async def _release(self) -> None:
        try:
            await self._checkpoints.release_lease(self._name, self._owner)
        except Exception as error:  # it expires by itself
            logger.warning("The lease of projection %s was not released: %s", self._name, error)
