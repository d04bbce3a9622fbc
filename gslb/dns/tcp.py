"""DNS over TCP (RFC 7766, RFC 9210): a listening socket and how many connections of it there may be."""

from __future__ import annotations

import asyncio
import math
import socket
from collections import Counter, deque
from dataclasses import dataclass, field

import structlog

from gslb.dns.tcp_connection import Connection, StreamResponder
from gslb.dns.udp import bind
from gslb.fleet import SocketAddress, TcpSettings

log = structlog.get_logger(__name__)

PASS_TIME = 0.005
"""Seconds of turns after which timers, probes and all other sockets come before the next turn."""

STOP_TIMEOUT = 5.0
"""Seconds that answers under way have to be finished when the listener stops."""

_BACKLOG = 1024
_ACCEPTED_AT_ONCE = 32
_SILENCE_BETWEEN_WARNINGS = 60.0


@dataclass(slots=True)
class TcpCounts:
    """What happened on one socket. refused: by reason, `socket limit` or `client limit`.

    timed_out: idle, or a query that never ended. slow_readers: cut because they did not take their answers.
    displaced: closed to make room for a new one (RFC 7766 6.2.3). malformed: closed because what they sent is
    no DNS message.
    """

    accepted: int = 0
    queries: int = 0
    timed_out: int = 0
    slow_readers: int = 0
    displaced: int = 0
    malformed: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Turns:
    """Who is served when: connections with work, in their order, for PASS_TIME each time the loop goes round.

    One that finds nobody waiting is served at once, as long as that time lasts.
    """

    def __init__(self) -> None:
        self._waiting: deque[Connection] = deque()
        self._spent = 0.0
        self._pass: asyncio.Handle | None = None

    @property
    def free(self) -> bool:
        """Whether a turn may be given out of the order, which is what an idle server does."""
        return self._pass is None and self._spent < PASS_TIME

    def give(self, connection: Connection) -> None:
        """One turn now."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        connection.work()
        self._spent += loop.time() - started

    def queue(self, connection: Connection) -> None:
        """A turn when everybody before has had theirs."""
        self._waiting.append(connection)
        if self._pass is None:
            self._pass = asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        self._spent = 0.0
        try:
            while self._waiting:
                self.give(self._waiting.popleft())
                if self._spent >= PASS_TIME:
                    break
        finally:
            # Whatever fails above must not cost the others their turns.
            self._pass = asyncio.get_running_loop().call_soon(self._serve) if self._waiting else None


class Clients:
    """Whose the connections are, and who has most of them; every step takes the same time, however many."""

    def __init__(self) -> None:
        self._connections: dict[bytes, dict[Connection, None]] = {}
        self._having: dict[int, dict[bytes, None]] = {}
        self._most = 0

    def having(self, client: bytes) -> int:
        """How many connections the client has."""
        return len(self._connections.get(client, ()))

    def add(self, connection: Connection) -> None:
        """Count a connection, as the one that became busy last."""
        client = connection.client
        before = self.having(client)
        self._connections.setdefault(client, {})[connection] = None
        self._move(client, before, before + 1)

    def remove(self, connection: Connection) -> None:
        client = connection.client
        before = self.having(client)
        del self._connections[client][connection]
        if before == 1:
            del self._connections[client]
        self._move(client, before, before - 1)

    def busy(self, connection: Connection) -> None:
        """The connection became busy after all others."""
        connections = self._connections[connection.client]
        del connections[connection]
        connections[connection] = None

    def busy_longest(self, newcomer: bytes) -> Connection | None:
        """Of the client that has most, the connection busy longest, if each client keeps one.

        Where the newcomer's client has as many as any other, it is that one's: nobody gains by opening more.
        """
        if self._most < 2:
            return None
        client = newcomer if self.having(newcomer) == self._most else next(iter(self._having[self._most]))
        return next(iter(self._connections[client]))

    def _move(self, client: bytes, before: int, after: int) -> None:
        if before:
            del self._having[before][client]
            if not self._having[before]:
                del self._having[before]
        if after:
            self._having.setdefault(after, {})[client] = None
        # One more or one less: the client itself is the new maximum, or nobody is at the old one any more.
        self._most = max(self._most, after) if self._having.get(self._most) else after


class TcpListener:
    """Owns one listening socket and its connections; `settings` may be replaced at any time."""

    def __init__(
        self, address: SocketAddress, responder: StreamResponder, settings: TcpSettings | None = None
    ) -> None:
        self.address = address
        self.responder = responder
        self.settings = settings if settings is not None else TcpSettings()
        self.counts = TcpCounts()
        self.turns = Turns()
        self._socket = bind(address, socket.SOCK_STREAM)
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        # In the order in which they became idle: the first is the one that has been so longest.
        self._idle: dict[Connection, None] = {}
        self._clients = Clients()
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
            lambda: Connection(self, loop), sock=self._socket, backlog=_ACCEPTED_AT_ONCE
        )
        # The loop accepts as many at a time as its backlog says; the kernel's may be longer.
        self._socket.listen(_BACKLOG)

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
        """Take a connection on if the limits allow it, if need be in place of others."""
        if self._all_gone is not None:
            return False
        if self._clients.having(client) >= self.settings.connections_per_client:
            return self._refuse("client limit", self.settings.connections_per_client)
        while len(self._connections) >= self.settings.connections:
            # Idle ones first; then whoever has most gives one up, or slow readers could hold the socket.
            displaced = next(iter(self._idle), None) or self._clients.busy_longest(client)
            if displaced is None:
                return self._refuse("socket limit", self.settings.connections)
            self.counts.displaced += 1
            self.forget(displaced)
            displaced.abort()
        self.counts.accepted += 1
        self._connections.add(connection)
        self._clients.add(connection)
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
        """The connection is being answered, and is displaced only if no idle one is left."""
        if connection in self._idle:
            del self._idle[connection]
            self._clients.busy(connection)

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
        self._clients.remove(connection)
        if self._all_gone is not None and not self._connections:
            self._all_gone.set()
