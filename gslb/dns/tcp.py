"""DNS over TCP (RFC 7766): several queries a connection, bounded in number, in size and in idleness."""

from __future__ import annotations

import asyncio
import socket
import struct

import structlog

from gslb.dns.responder import Responder
from gslb.dns.udp import bind
from gslb.fleet import SocketAddress

log = structlog.get_logger(__name__)

IDLE_TIMEOUT = 10.0
"""Seconds a connection may wait for its next query (RFC 7766 6.2.3)."""

WRITE_TIMEOUT = 10.0
"""Seconds a client may take to read an answer."""

MAXIMUM_CONNECTIONS = 1000
"""Open at once on a listener; one more is closed at once."""


class TcpListener:
    """Owns one listening socket and its connections."""

    def __init__(self, address: SocketAddress, responder: Responder) -> None:
        self.address = address
        self._responder = responder
        self._socket = bind(address, socket.SOCK_STREAM)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.refused = 0

    @property
    def port(self) -> int:
        """The port that was bound, also where the address asked for any."""
        return int(self._socket.getsockname()[1])

    @property
    def open(self) -> int:
        """Connections open now."""
        return len(self._connections)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, sock=self._socket, limit=65537)

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        if self._server is None:
            self._socket.close()
            return
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAXIMUM_CONNECTIONS:
            self.refused += 1
            log.warning("tcp connection refused", listener=str(self.address), limit=MAXIMUM_CONNECTIONS)
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
            writer.close()
        except asyncio.IncompleteReadError:
            writer.close()
        except (TimeoutError, OSError, asyncio.CancelledError):
            # Too slow, gone, or we are stopping. Closing would wait for a client that may never read.
            writer.transport.abort()
        finally:
            self._connections.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = writer.get_extra_info("peername")[0]
        while True:
            async with asyncio.timeout(IDLE_TIMEOUT):
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                packet = await reader.readexactly(length)
            answer = self._responder.respond(packet, source, stream=True)
            if answer is None:
                return
            writer.write(struct.pack("!H", len(answer)) + answer)
            async with asyncio.timeout(WRITE_TIMEOUT):
                await writer.drain()
            # Neither call waits while queries lie ready; everything else on this loop must have its turn.
            await asyncio.sleep(0)
