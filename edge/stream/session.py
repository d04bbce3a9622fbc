"""One client whose datagrams are passed on: its server, and the socket to it."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

from edge.pool import PoolState
from edge.server import ServerState
from edge.stream.arrival import Ancillary, Where
from gslb.world import Verdict

if TYPE_CHECKING:
    from edge.proxy.entrance import Peer
    from edge.stream.datagrams import Datagrams

_AT_ONCE = 16
_LARGEST = 65535
_MOST_HELD = 16
"""Datagrams that wait for the resolution of their server's name."""


class Session:
    """Goes to another server when its own refuses, or is down; else it stays there, whatever else changes.

    heard: loop time at which anything came last. busy: whether something that it asked has no answer yet.
    Invariant: `_server` is the one that this session has entered, and `_socket` leads there or nowhere yet.
    """

    __slots__ = (
        "_arrival",
        "_asked",
        "_client",
        "_failed",
        "_held",
        "_last",
        "_owner",
        "_pool",
        "_resolving",
        "_server",
        "_socket",
        "busy",
        "heard",
        "key",
    )

    def __init__(
        self, owner: Datagrams, pool: PoolState, key: tuple[Where, bytes], client: Where, arrival: Ancillary
    ) -> None:
        self._owner = owner
        self._pool = pool
        self.key = key
        self._client = client
        self._arrival = arrival
        self._server: ServerState | None = None
        self._socket: socket.socket | None = None
        self._resolving: asyncio.Task[None] | None = None
        self._held: list[bytes] = []
        self._failed: list[ServerState] = []  # since there was an answer last
        self._last: socket.socket | None = None  # answers go through this one when nothing more comes
        self.heard = self._asked = owner.proxy.time()
        self.busy = False

    def send(self, data: bytes) -> bool:
        """Pass it on; False if there is nobody who takes it."""
        self.heard = self._owner.proxy.time()
        if self._server is not None and self._must_go(self._server):
            self._part()
        while self._server is not None or self._find():
            if self._socket is None:
                return self._hold(data)
            try:
                self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                # Told of a datagram before this one, which may go elsewhere.
                self._refused(error)
                continue
            self._has_asked()
            return True
        if not self.busy:
            self.end()
        return False

    def _has_asked(self) -> None:
        if not self.busy:
            self.busy = True
            self._asked = self.heard

    def _must_go(self, server: ServerState) -> bool:
        """Whether it is to leave its server: at once, if that is down, else once its answers are there."""
        if server.usable or (server.keeps_sessions and server in self._pool.servers):
            return False
        return server.verdict is Verdict.DOWN or not self.busy

    def _find(self) -> bool:
        """Go to the method's first server that has room and has not refused; if all have, begin anew."""
        for server in self._pool.candidates(str(self._client[0])):
            if server.usable and server.has_room and server not in self._failed:
                self._server = server
                server.enter()
                self._connect(server)
                if self._server is not None:
                    return True
        self._failed.clear()
        return False

    def _connect(self, server: ServerState) -> None:
        host, port = server.server.address.host, server.server.address.port
        try:
            address = ip_address(host)
        except ValueError:
            self._resolving = self._owner.proxy.loop.create_task(self._resolve(host, port))
            return
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        self._open(family, (host, port))

    async def _resolve(self, host: str, port: int) -> None:
        loop = self._owner.proxy.loop
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            self._resolving = None
            self._refused(error)
            return
        self._resolving = None
        held, self._held = self._held, []
        self._open(found[0][0], found[0][4])
        for data in held:
            if not self.send(data):
                self._owner.counts.refused += 1

    def _open(self, family: int, where: Where) -> None:
        opened: socket.socket | None = None
        try:
            opened = socket.socket(family, socket.SOCK_DGRAM)
            opened.setblocking(False)
            opened.connect(where)
        except OSError as error:
            if opened is not None:
                opened.close()
            self._refused(error)
            return
        self._socket = opened
        self._owner.watch(opened, self)

    def _hold(self, data: bytes) -> bool:
        if len(self._held) >= _MOST_HELD:
            return False
        self._held.append(data)
        return True

    def _refused(self, error: Exception) -> None:
        """Its server takes nothing: the next datagram goes to another."""
        server = self._server
        assert server is not None
        self._failed.append(server)
        server.unreachable(self._owner.proxy.time() - self._asked)
        self._part()
        self._owner.proxy.complain(
            "server takes no datagrams",
            server=server.server.target,
            reason=getattr(error, "strerror", None) or str(error),
        )

    def readable(self) -> None:
        """Its server has answered, or refuses."""
        owner = self._owner
        for _ in range(_AT_ONCE):
            opened = self._socket
            if opened is None:
                return
            try:
                data = opened.recv(_LARGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._refused(error)
                if self._last is not None:
                    self.end()  # there is no next datagram
                return
            self._answered(data)
        owner.alive(self)

    def _answered(self, data: bytes) -> None:
        owner, server = self._owner, self._server
        now = owner.proxy.time()
        self.heard = now
        if self.busy:
            self.busy = False
            if server is not None:
                server.answered(now - self._asked)
                server.completed()
        self._failed.clear()
        try:
            if self._last is not None:
                self._last.sendmsg([data], self._arrival, 0, self._client)
            else:
                owner.answer(data, self._arrival, self._client)
            owner.counts.bytes_out += len(data)
        except OSError:
            owner.counts.refused += 1  # no room, or the client cannot be reached
        if self._last is not None:
            self.end()

    def _part(self) -> None:
        """Be at no server any more."""
        resolving, self._resolving = self._resolving, None
        if resolving is not None:
            resolving.cancel()
        self._owner.counts.refused += len(self._held)
        self._held.clear()
        opened, self._socket = self._socket, None
        if opened is not None:
            self._owner.unwatch(opened)
            opened.close()
        self.busy = False
        server, self._server = self._server, None
        if server is not None:
            server.leave()
            if self._pool.waiting:
                self._pool.waiting.serve()

    def end(self) -> None:
        """Forget the client; whatever it sends later makes a session of its own."""
        self._part()
        last, self._last = self._last, None
        if last is not None:
            last.close()
            self._owner.proxy.forget(self)
        self._owner.forget(self)

    # What the proxy asks of it, once nothing more comes.

    def last_answer(self, *, alone: bool) -> None:
        """Nothing more comes of it: end with the answer that is still to come, if there is one.

        alone: through a socket of its own, so that the address is free for others.
        """
        if not self.busy:
            self.end()
            return
        try:
            self._last = self._alone() if alone else self._owner.duplicate()
        except OSError:
            self.end()  # there are no descriptors left
            return
        self._owner.proxy.keep(self)

    def _alone(self) -> socket.socket:
        family, address = self._owner.family, self._owner.address
        opened = socket.socket(family, socket.SOCK_DGRAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.setblocking(False)
            opened.bind(address)
            # Connected, it gets nothing that is meant for whoever listens at the address next.
            opened.connect(self._client)
        except OSError:
            opened.close()
            raise
        return opened

    @property
    def peer(self) -> Peer:
        client, own = self._client, self._owner.address
        return self._owner.entrance.introduced((client[0], client[1]), (own[0], own[1]))

    @property
    def asked(self) -> bool:
        return True

    def close_if_idle(self) -> None:
        if not self.busy:
            self.end()

    def abort(self) -> None:
        self.end()

    def check(self, now: float) -> None:
        """End it when no answer has come for too long. now: loop time."""
        if now - self.heard > self._owner.listener.idle:
            self.end()
