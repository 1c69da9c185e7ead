"""A wire between a client and a server that can be cut."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Wire:
    """Leads from *port* of the loopback address to a server; what connects after a cut gets through."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._connections: set[asyncio.Task[None]] = set()
        self._is_broken = False
        self._is_mute = False
        self.port = 0
        self.connected = 0
        """How many connections went through it so far."""

    def mute(self) -> None:
        """Let nothing through that the server says, until it is cut."""
        self._is_mute = True

    def cut(self) -> None:
        """End all connections, without a farewell."""
        self._is_mute = False
        for connection in self._connections:
            connection.cancel()

    def break_off(self) -> None:
        """End all connections, and let no other one get through."""
        self._is_broken = True
        self.cut()

    async def lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry what one client and the server say until one of them is silent."""
        task = asyncio.current_task()
        assert task is not None
        if self._is_broken:
            writer.transport.abort()
            return
        self._connections.add(task)
        self.connected += 1
        with suppress(asyncio.CancelledError, OSError):
            other_reader, other_writer = await asyncio.open_connection(*self._server)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_carry(reader, other_writer))
                    group.create_task(_carry(other_reader, writer, lambda: self._is_mute))
            finally:
                other_writer.transport.abort()
        writer.transport.abort()
        self._connections.discard(task)


@asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[tuple[Wire, str]]:
    """Give a wire to the server at *url*, and the address of its near end."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    wire = Wire(parts.hostname, parts.port)
    server = await asyncio.start_server(wire.lead, "127.0.0.1", 0)
    async with server:
        wire.port = server.sockets[0].getsockname()[1]
        yield wire, url.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{wire.port}")
        wire.cut()


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_lost: Callable[[], bool] = lambda: False
) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            if is_lost():
                continue
            writer.write(data)
            await writer.drain()
        writer.write_eof()
