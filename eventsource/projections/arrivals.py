"""Waiting until a projection has come to a position."""

import asyncio


class Arrivals:
    """Who waits for which position."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], int] = {}

    async def wait_for(self, position: int, timeout: float) -> None:
        """Return when `arrived` is called with *position* or a later one, at the latest after *timeout* seconds."""
        arrival = asyncio.get_running_loop().create_future()
        self._waiting[arrival] = position
        try:
            await asyncio.wait([arrival], timeout=timeout)
        finally:
            del self._waiting[arrival]

    def arrived(self, position: int) -> None:
        """Wake those who wait for *position* or an earlier one."""
        for arrival, awaited in self._waiting.items():
            if awaited <= position and not arrival.done():
                arrival.set_result(None)

    def wake_all(self) -> None:
        """Wake everybody, wherever the projection is."""
        for arrival in self._waiting:
            if not arrival.done():
                arrival.set_result(None)
