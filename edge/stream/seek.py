"""Finds a server that takes one connection: the method's next one, or the first that has room again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from edge.pool import PoolState
from edge.proxy.transports import connected, opened_with, why_not
from edge.proxy.walk import Walk
from edge.server import ServerState
from edge.stream.server_side import FromServer, ServerSide
from gslb.fleet import Priority

if TYPE_CHECKING:
    from edge.proxy.entrance import Peer
    from edge.proxy.proxy import Proxy


class Seeker(FromServer, Protocol):
    """Who wants the connection; exactly one of these answers `next`, and at once what the server sends."""

    def reached(self, server: ServerSide) -> None: ...

    def not_reached(self, reason: str) -> None: ...


class Seek:
    """Goes along the pool's servers, and waits where all are busy.

    A server that took the connection is the last one: what was sent to it cannot be sent again.
    """

    __slots__ = (
        "_asked",
        "_began",
        "_connecting",
        "_opening",
        "_peer",
        "_pool",
        "_proxy",
        "_seeker",
        "_timeout",
        "_walk",
    )

    def __init__(
        self,
        proxy: Proxy,
        pool: PoolState,
        peer: Peer,
        timeout: float,
        seeker: Seeker,
    ) -> None:
        """peer: the client, whose address the method goes by. timeout: seconds for each server."""
        self._proxy = proxy
        self._pool = pool
        self._peer = peer
        self._timeout = timeout
        self._opening: ServerSide | None = None
        self._seeker = seeker
        self._began = self._asked = proxy.time()
        self._walk = Walk(pool, peer.address)
        self._connecting: asyncio.Task[None] | None = None

    @property
    def server(self) -> ServerState | None:
        """The one that this connection is at."""
        return self._walk.server

    def next(self, *, timed_out: bool = False, called: bool = False) -> None:
        """Go to the next server. timed_out: how it went with the one before. called: it was first in the
        queue."""
        self.leave()
        # Refused connections cost nothing, so that every server may be tried; slow ones share two time-outs.
        if timed_out and self._proxy.time() - self._began >= 2 * self._timeout:
            self._seeker.not_reached("servers take too long")
            return
        limit = self._pool.concurrency
        if not self._walk.been and limit.bounded and not limit.admits(self._pool.own, self.priority):
            self._seeker.not_reached("the pool has as many as it can take")
            return
        busy = not called and not self._walk.been and self._pool.waiting.due()
        if not busy:
            server = self._walk.choose()
            if server is not None:
                self._go_to(server)
                return
            busy = self._walk.more
        if not busy:
            self._seeker.not_reached("no server can be reached" if self._walk.been else "no server is usable")
        elif not self._pool.waiting.join(self, self._proxy.time()):
            self._seeker.not_reached("all servers are busy, and too many wait")

    @property
    def priority(self) -> Priority:
        """Among those who wait; connections have none of their own."""
        return Priority.NORMAL

    def may_go(self) -> bool:
        """Whether there is room at a server that was not tried yet."""
        return self._walk.may_go()

    def has_room(self) -> None:
        """Its turn in the queue has come."""
        self.next(called=True)

    def waited_in_vain(self) -> None:
        self._seeker.not_reached("all servers are busy")

    def leave(self) -> None:
        """Give up connecting and waiting, and be at no server any more."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.leave()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        self._pool.waiting.leave(self)
        self._walk.leave()

    def _go_to(self, server: ServerState) -> None:
        if self._walk.been:
            self._proxy.counters.retries += 1
        self._asked = self._proxy.time()
        self._walk.enter(server)
        self._connecting = self._proxy.loop.create_task(self._connect(server))

    async def _connect(self, server: ServerState) -> None:
        timed_out = False
        try:
            async with asyncio.timeout(self._timeout):
                await self._open(server)
        except TimeoutError:
            timed_out = True
            reason = "timed out"
        except Exception as error:
            # Whatever it is: the client must not wait for a task that has ended.
            reason = why_not(error)
        else:
            reason = ""
        if self._opening is not None:
            self._connecting = None
            self._failed(server, reason, timed_out=timed_out)

    def _opened(self, server: ServerSide) -> None:
        """It takes the connection; whatever becomes of it, no other server is tried."""
        assert self.server is not None
        self._opening = None
        self._connecting = None  # what is left of the task is not to be disturbed
        self.server.opened += 1
        self.server.answered(self._proxy.time() - self._asked)
        self.server.completed()
        self._seeker.reached(server)

    async def _open(self, server: ServerState) -> None:
        self._opening = opening = ServerSide(self._seeker, self._opened)
        proxy, pool, address = self._proxy, self._pool, server.server.address
        version, secured = pool.pool.proxy_protocol, proxy.server_tls(pool, server, b"")
        if version is None:
            await proxy.loop.create_connection(
                lambda: opening, host=address.host, port=address.port, **secured
            )
        else:
            # Before TLS begins, as servers expect it.
            begun = await opened_with(proxy.loop, address, self._peer.preface(version))
            await connected(proxy.loop, lambda: opening, begun, **secured)

    def _failed(self, server: ServerState, reason: str, *, timed_out: bool) -> None:
        server.unreachable(self._proxy.time() - self._asked)
        try:
            self._proxy.complain("cannot connect to server", server=server.server.target, reason=reason)
        finally:
            self.next(timed_out=timed_out)
