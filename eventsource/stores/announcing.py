"""Waking those who follow a log, in this process, when something was appended to it."""

import asyncio
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from threading import RLock

_following: dict[Hashable, set["Wake"]] = {}
_changing = RLock()  # reentrant, for the collector may end an abandoned block at any moment


class Wake:
    """What somebody waits for who follows a log: an append, or a call of `now`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    def now(self) -> None:
        """Wake whoever waits, or will; may be called in any thread."""
        if self._loop is _running_loop():
            self._woken.set()
        else:
            with suppress(RuntimeError):  # the loop is closed, so nobody waits there
                self._loop.call_soon_threadsafe(self._woken.set)

    async def wait(self, timeout: float | None) -> bool:
        """Return True once woken, False after *timeout* seconds if given; what was before `clear` does not count."""
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            return False
        return True

    def clear(self) -> None:
        """Forget what happened so far; call it before reading what is to be followed."""
        self._woken.clear()


def announce_append(log: Hashable) -> None:
    """Wake all who follow *log* in this process."""
    for wake in tuple(_following.get(log, ())):
        wake.now()


@contextmanager
def woken_by_appends(log: Hashable, wake: Wake) -> Iterator[None]:
    """Let appends to *log* wake *wake* inside the block."""
    with _changing:
        _following.setdefault(log, set()).add(wake)
    try:
        yield
    finally:
        with _changing:
            _following[log].discard(wake)
            if not _following[log]:
                del _following[log]


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
