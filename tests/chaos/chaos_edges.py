"""What DNS nodes probe in most stories: an edge that says it is well, and nothing else."""

from __future__ import annotations

import asyncio

from ports import free_port

_WELL = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class StubEdge:
    """Keeps its port when it falls and is raised again."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server: asyncio.Server | None = None

    async def rise(self) -> None:
        self._server = await asyncio.start_server(_answer, "127.0.0.1", self.port)

    def fall(self) -> None:
        """It refuses connections, as after a crash."""
        if self._server is not None:
            self._server.close()
            self._server = None


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_WELL)
        await writer.drain()
    except (OSError, EOFError):
        pass
    finally:
        writer.close()
