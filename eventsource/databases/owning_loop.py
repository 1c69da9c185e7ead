"""Connections serve one event loop at a time: telling whoever comes from another one."""

import asyncio
import weakref
from threading import get_ident

from eventsource.exceptions import NotConnectedError


class OwningLoop:
    """
    The event loop that uses something, which is called *what*.

    Another loop of the same thread may take over, and any other once the loop before is closed.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._thread = 0

    def check(self) -> None:
        """
        Check that the running loop may use it.

        Raises:
            NotConnectedError: If a loop in another thread does.
        """
        loop = asyncio.get_running_loop()
        owner = self._loop() if self._loop is not None else None
        if loop is owner:
            return
        if owner is not None and not owner.is_closed() and self._thread != get_ident():
            raise NotConnectedError(
                f"{self._what} is used by the event loop of another thread: open a store for each event loop"
            )
        self._loop, self._thread = weakref.ref(loop), get_ident()
