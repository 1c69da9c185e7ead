"""Asking a runner to stop, to pause or to look at its checkpoint again."""

import asyncio

from eventsource.stores.announcing import Wake


class Halt:
    """
    Whether a runner should go on.

    Being stopped is for good, being interrupted until `clear_interruption`, being paused until `resume`. Each
    of them wakes who waits for *wake*.
    """

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self.is_stopped = False
        self.is_paused = False
        self.is_interrupted = False

    @property
    def is_ending(self) -> bool:
        """Whether whoever has the lease should leave its place."""
        return self.is_stopped or self.is_interrupted

    @property
    def is_wanted(self) -> bool:
        """Whether no further event should be begun."""
        return self.is_ending or self.is_paused

    def stop(self) -> None:
        """Let the runner end."""
        self.is_stopped = True
        self._wake.now()

    def interrupt(self) -> None:
        """Let the runner begin again from the checkpoint."""
        self.is_interrupted = True
        self._wake.now()

    def clear_interruption(self) -> None:
        """Forget that the runner was interrupted."""
        self.is_interrupted = False

    def pause(self) -> None:
        """Let the runner rest."""
        self.is_paused = True
        self._wake.now()

    def resume(self) -> None:
        """Let the runner go on after a pause."""
        self.is_paused = False
        self._wake.now()

    async def sleep(self, seconds: float) -> bool:
        """Return True after *seconds*, False as soon as a halt is wanted."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not self.is_wanted and (left := end - loop.time()) > 0:
            self._wake.clear()
            await self._wake.wait(left)
        return not self.is_wanted
