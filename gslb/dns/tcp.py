"""DNS over TCP (RFC 7766, RFC 9210): a listening socket and how many connections of it there may be."""

from __future__ import annotations

import asyncio
import math
import socket
from collections import Counter
from dataclasses import dataclass, field

import structlog

from gslb.dns.tcp_connection import Connection, StreamResponder
from gslb.dns.udp import bind
from gslb.fleet import SocketAddress, TcpSettings

log = structlog.get_logger(__name__)

STOP_TIMEOUT = 5.0
"""Seconds that answers under way have to be finished when the listener stops."""

_BACKLOG = 1024
_SILENCE_BETWEEN_WARNINGS = 60.0


@dataclass(slots=True)
class TcpCounts:
    """What happened on one socket. refused: by reason, `socket limit` or `client limit`.

    timed_out: idle, or a query that never ended. slow_readers: cut because they did not take their answers.
    displaced: closed, idle longest, to make room for a new one (RFC 7766 6.2.3). malformed: closed because
    what they sent is no DNS message.
    """

    accepted: int = 0
    queries: int = 0
    timed_out: int = 0
    slow_readers: int = 0
    displaced: int = 0
    malformed: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class TcpListener:
    """Owns one listening socket and its connections; `settings` may be replaced at any time."""

    def __init__(
        self, address: SocketAddress, responder: StreamResponder, settings: TcpSettings | None = None
    ) -> None:
        self.address = address
        self.responder = responder
        self.settings = settings if settings is not None else TcpSettings()
        self.counts = TcpCounts()
        self._socket = bind(address, socket.SOCK_STREAM)
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        # In the order in which they became idle: the first is the one that has been so longest.
        self._idle: dict[Connection, None] = {}
        self._of_client: Counter[bytes] = Counter()
        self._all_gone: asyncio.Event | None = None
        self._warned_at = -math.inf

    @property
    def port(self) -> int:
        """The port that was bound, also where the address asked for any."""
        return int(self._socket.getsockname()[1])

    @property
    def open(self) -> int:
        """Connections open now."""
        return len(self._connections)

    @property
    def refused(self) -> int:
        """Connections refused, for whatever reason."""
        return self.counts.refused.total()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self, loop), sock=self._socket, backlog=_BACKLOG
        )

    async def stop(self) -> None:
        """Stop listening, give answers under way STOP_TIMEOUT to be finished, close every connection."""
        if self._server is None:
            self._socket.close()
            return
        self._server.close()
        self._all_gone = asyncio.Event()
        for connection in list(self._connections):
            connection.finish()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._until_gone(self._all_gone)
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()
            await self._until_gone(self._all_gone)
        await self._server.wait_closed()

    async def _until_gone(self, all_gone: asyncio.Event) -> None:
        if self._connections:
            await all_gone.wait()

    def admit(self, connection: Connection, client: bytes) -> bool:
        """Take a connection on if the limits allow it, if need be in place of those idle longest."""
        if self._all_gone is not None:
            return False
        if self._of_client[client] >= self.settings.connections_per_client:
            return self._refuse("client limit", self.settings.connections_per_client)
        while len(self._connections) >= self.settings.connections:
            if not self._idle:
                return self._refuse("socket limit", self.settings.connections)
            longest = next(iter(self._idle))
            self.counts.displaced += 1
            self.forget(longest)
            longest.abort()
        self.counts.accepted += 1
        self._connections.add(connection)
        self._of_client[client] += 1
        self._idle[connection] = None
        return True

    def _refuse(self, reason: str, limit: int) -> bool:
        self.counts.refused[reason] += 1
        now = asyncio.get_running_loop().time()
        if now >= self._warned_at + _SILENCE_BETWEEN_WARNINGS:
            # One line a minute: a flood of connections must not become a flood of lines.
            self._warned_at = now
            log.warning("tcp connections refused", listener=str(self.address), reason=reason, limit=limit)
        return False

    def busy(self, connection: Connection) -> None:
        """The connection is being answered, and must not be displaced."""
        self._idle.pop(connection, None)

    def idle(self, connection: Connection) -> None:
        """The connection waits for its client."""
        if connection in self._connections:
            self._idle[connection] = None

    def forget(self, connection: Connection) -> None:
        """The connection no longer counts."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._idle.pop(connection, None)
        self._of_client[connection.client] -= 1
        if not self._of_client[connection.client]:
            del self._of_client[connection.client]
        if self._all_gone is not None and not self._connections:
            self._all_gone.set()
