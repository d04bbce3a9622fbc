"""Finds a connection to a server for one exchange: an idle one, a new one, or the next server's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from edge.pool import PoolState
from edge.proxy.transports import connected, opened_with, why_not
from edge.proxy.upstream import Upstream
from edge.proxy.walk import Walk
from edge.server import ServerState
from gslb.fleet import Priority, SpillOver, Timeouts

if TYPE_CHECKING:
    from edge.proxy.entrance import Peer
    from edge.proxy.proxy import Proxy


@dataclass(frozen=True, slots=True)
class NotReached:
    """Why there is no server: how many were tried, and whether the last took too long; or that all are busy,
    and whether the request waited for one or found too many waiting already; or that the pool has as many
    requests in flight as it may (limited)."""

    tried: int
    timed_out: bool = False
    busy: bool = False
    waited: bool = False
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request wants of a pool's servers.

    key: what the pool's method goes by. session: the server that its cookie names. priority: of its route.
    host, address: the request's and its client's, for edges of other regions; spill_over: whether they may
    get it.
    """

    key: str
    session: ServerState | None = None
    priority: Priority = Priority.NORMAL
    host: bytes = b""
    address: str = ""
    spill_over: SpillOver = SpillOver.OFF


class Seeker(Protocol):
    """Who wants the connection; exactly one of these answers each call of `next` or `again`."""

    __slots__ = ()

    def reached(self, upstream: Upstream) -> None: ...

    def not_reached(self, why: NotReached) -> None: ...


class Reach:
    """Goes along the pool's servers, and waits where all are busy.

    Where no server of the region is left it goes on to edges of other regions, if the pool spills over; they
    come after the region's own servers always.

    reused: whether the connection was an idle one, which the server may have been about to close.
    asked: loop time at which the server that was tried last was gone to, or given more of the request's body.
    tried: servers so far.
    """

    __slots__ = (
        "_away",
        "_away_only",
        "_began",
        "_connecting",
        "_peer",
        "_pool",
        "_proxy",
        "_seeker",
        "_session",
        "_slow",
        "_timeouts",
        "_walk",
        "_wanted",
        "asked",
        "reused",
    )

    def __init__(
        self, proxy: Proxy, seeker: Seeker, pool: PoolState, wanted: Wanted, peer: Peer, timeouts: Timeouts
    ) -> None:
        """peer: whom a PROXY header tells of."""
        self._proxy = proxy
        self._seeker = seeker
        self._pool = pool
        self._wanted = wanted
        self._session = wanted.session
        self._away: tuple[ServerState, ...] | None = None
        self._away_only = False  # the pool has as many requests in flight as it may
        self._slow: ServerState | None = None  # that the first of two tries is at
        self._peer = peer
        self._timeouts = timeouts
        self._began = self.asked = proxy.time()
        self._walk = Walk(pool, wanted.key)
        self._connecting: asyncio.Task[None] | None = None
        self.reused = False

    @property
    def server(self) -> ServerState | None:
        """The one that this exchange is at."""
        return self._walk.server

    @property
    def tried(self) -> int:
        return len(self._walk.been)

    @property
    def last(self) -> ServerState | None:
        """The server that was tried last."""
        return self._walk.been[-1] if self._walk.been else None

    @property
    def keeps_session(self) -> bool:
        """Whether its client's cookie may go on naming the server that it names: it is there, or there was
        merely no room."""
        session = self._wanted.session
        return session is not None and (
            session in (self.server, self._slow) or session not in self._walk.been
        )

    @property
    def waited(self) -> float:
        """Seconds for which the server has let the request wait."""
        return self._proxy.time() - self.asked

    @property
    def more(self) -> bool:
        """Whether there is a server that was not tried yet."""
        return (not self._away_only and self._walk.more) or self._elsewhere() is not None

    @property
    def priority(self) -> Priority:
        """Of its request."""
        return self._wanted.priority

    def next(self, *, timed_out: bool = False, called: bool = False) -> None:
        """Go to the next server. timed_out: how it went with the one before. called: it was first in the
        queue."""
        self.leave()
        proxy = self._proxy
        # Refused connections cost nothing, so that every server may be tried; slow ones share two time-outs.
        if timed_out and proxy.time() - self._began >= 2 * self._timeouts.connect:
            # Another region's edge is worth one more, if there was none yet.
            elsewhere = None if self._left_region else self._elsewhere()
            if elsewhere is not None:
                self._go_to(elsewhere)
            else:
                self._seeker.not_reached(NotReached(self.tried, timed_out=True))
            return
        if self._away_only:
            self._go_away()
            return
        busy = not called and not self._walk.been and self._pool.waiting.due()
        server = None
        if not busy:
            server = self._choose()
            busy = server is None and self._walk.more
        if server is None and (not busy or self._wanted.spill_over is SpillOver.ON_SATURATION):
            server = self._elsewhere()
        if server is not None:
            self._go_to(server)
        elif not busy:
            self._seeker.not_reached(NotReached(self.tried, timed_out=timed_out))
        elif not self._pool.waiting.join(self, proxy.time()):
            self._seeker.not_reached(NotReached(self.tried, busy=True))

    def beside(self, seeker: Seeker) -> Reach:
        """Another, for a second try at the same time, at a server that this one has not been to."""
        # To be quicker than the first server, it had better not stand in line elsewhere.
        wanted = replace(self._wanted, spill_over=SpillOver.OFF)
        other = Reach(self._proxy, seeker, self._pool, wanted, self._peer, self._timeouts)
        other._session = None
        other._slow = self.server
        other._walk.been = list(self._walk.been)
        other._walk.candidates = self._walk.candidates
        return other

    def overflow(self) -> None:
        """The pool has as many requests in flight as it may: this one goes elsewhere, or nowhere."""
        self._away_only = True
        self._go_away()

    def _go_away(self) -> None:
        on_saturation = self._wanted.spill_over is SpillOver.ON_SATURATION
        server = self._elsewhere() if on_saturation else None
        if server is not None:
            self._go_to(server)
        else:
            self._seeker.not_reached(NotReached(self.tried, limited=True))

    def _elsewhere(self) -> ServerState | None:
        """An edge of another region that may take it."""
        wanted = self._wanted
        if wanted.spill_over is SpillOver.OFF:
            return None
        if self._away is None:
            self._away = tuple(
                self._proxy.neighbours.candidates(wanted.host, wanted.address, self._pool.name)
            )
        for server in self._away:
            if server.usable and server not in self._walk.been:
                return server
        return None

    def _choose(self) -> ServerState | None:
        session, self._session = self._session, None
        return session if session is not None and session.has_room else self._walk.choose()

    def may_go(self) -> bool:
        """Whether there is room at a server of this region that was not tried yet."""
        return self._walk.may_go()

    def has_room(self) -> None:
        """Its turn in the queue has come."""
        self.next(called=True)

    @property
    def _left_region(self) -> bool:
        return any(map(self._proxy.is_neighbour, self._walk.been))

    def waited_in_vain(self) -> None:
        server = None if self._pool.usable else self._elsewhere()
        if server is not None:
            self._go_to(server)
            return
        self._seeker.not_reached(NotReached(self.tried, busy=True, waited=True))

    def resume(
        self, server: ServerState, candidates: Iterator[ServerState], began: float, *, reused: bool
    ) -> None:
        """Be at a server that was entered for this exchange before. candidates: those behind it. began: loop
        time."""
        self._began = self.asked = began
        self._walk.resume(server, candidates)
        self.reused = reused

    def failed(self, server: ServerState, reason: str, *, timed_out: bool) -> None:
        """There is no connection to it to be had: go on to the next."""
        server.unreachable(self.waited)
        try:
            self._proxy.complain("cannot connect to server", server=server.server.target, reason=reason)
        finally:
            self.next(timed_out=timed_out)

    def again(self) -> None:
        """Go to the same server once more, on a new connection."""
        assert self.server is not None
        self._connect(self.server)

    def leave(self) -> None:
        """Give up connecting and waiting, and be at no server any more."""
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        self._pool.waiting.leave(self)
        self._walk.leave()

    def _go_to(self, server: ServerState) -> None:
        proxy = self._proxy
        if self._walk.been:
            proxy.counters.retries += 1
        if proxy.is_neighbour(server):
            proxy.counters.spilled += 1
        self.asked = proxy.time()
        self._walk.enter(server)
        while (idle := server.take_idle()) is not None:
            if isinstance(idle, Upstream):
                if idle.usable:
                    self.reused = True
                    self._seeker.reached(idle)
                    return
                idle.close()
            elif (fd := idle.surrender()) >= 0:
                self.reused = True
                self._take(server, socket.socket(fileno=fd), idle.opened_at)
                return
        self._connect(server)

    def _connect(self, server: ServerState) -> None:
        self.reused = False
        self._connecting = self._proxy.loop.create_task(self._open(server))

    def _take(self, server: ServerState, idle: socket.socket, opened_at: float) -> None:
        """Go on with an idle connection of the compiled path's, or with a new one if it is lost meanwhile."""
        self._connecting = task = self._proxy.loop.create_task(self._go_on(server, idle, opened_at))
        # A task that is cancelled before its first step closes nothing.
        task.add_done_callback(lambda task: idle.close() if task.cancelled() else None)

    async def _go_on(self, server: ServerState, idle: socket.socket, opened_at: float) -> None:
        proxy = self._proxy
        try:
            upstream = await connected(
                proxy.loop,
                lambda: Upstream(server, proxy.limits, now=opened_at, begun=lambda upstream: None),
                idle,
            )
        except OSError:
            self._connect(server)
            return
        self._connecting = None
        if upstream.usable:
            self._seeker.reached(upstream)
        else:
            self._connect(server)

    async def _open(self, server: ServerState) -> None:
        proxy, pool = self._proxy, self._pool
        address = server.server.address
        # How servers are spoken to may change while this one is waited for.
        secured, begun = proxy.server_tls(pool, server, self._wanted.host), proxy.time()
        version = None if proxy.is_neighbour(server) else pool.pool.proxy_protocol
        timed_out = False
        try:
            async with asyncio.timeout(self._timeouts.connect):
                if version is None:
                    _, upstream = await proxy.loop.create_connection(
                        lambda: Upstream(server, proxy.limits, now=begun),
                        host=address.host,
                        port=address.port,
                        **secured,
                    )
                else:
                    # Before TLS begins, as servers expect it.
                    opened = await opened_with(proxy.loop, address, self._peer.preface(version))
                    upstream = await connected(
                        proxy.loop,
                        lambda: Upstream(server, proxy.limits, shared=False, now=begun),
                        opened,
                        **secured,
                    )
        except TimeoutError:
            timed_out = True
            reason = "timed out"
        except Exception as error:
            # Whatever it is: the request must not wait for a task that has ended.
            reason = why_not(error)
        else:
            self._connecting = None
            if upstream.usable:
                self._seeker.reached(upstream)
                return
            # Its end was read before this task went on. Nothing was sent, so any request may go elsewhere.
            upstream.close()
            reason = "closed the connection at once"
        self._connecting = None
        self.failed(server, reason, timed_out=timed_out)
