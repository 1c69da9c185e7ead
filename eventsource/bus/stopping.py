"""Asking a consumption to come to its end."""

import asyncio


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
        try:
            async with asyncio.timeout(seconds):
                await self.requested()
        except TimeoutError:
            pass
