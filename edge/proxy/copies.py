"""Copies of requests for another pool, whose answers nobody gets: traffic to try a new version with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.http1.events import RequestHead, ResponseHead, Trailers
from edge.proxy.headers import Going, server_head
from edge.proxy.reach import NotReached, Reach, Wanted
from edge.proxy.upstream import Upstream
from edge.retry import Failure

if TYPE_CHECKING:
    from edge.pool import PoolState
    from edge.proxy.entrance import Peer
    from edge.proxy.proxy import Proxy
    from gslb.fleet import Timeouts

_MOST = 200  # under way at a time in one process; those beyond are not made


@dataclass(frozen=True, slots=True)
class Copied:
    """A request that has come whole. pool: where its copy goes. body: as it is framed for servers."""

    pool: PoolState
    head: RequestHead
    way: Going
    body: bytes
    wanted: Wanted
    peer: Peer
    timeouts: Timeouts


class Copies:
    """All of one process."""

    __slots__ = ("_proxy", "_under_way")

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._under_way: set[_Copy] = set()

    def send(self, request: Copied) -> None:
        """Send one, if there is room for it."""
        pool = request.pool
        counters = self._proxy.counters
        # They take no place from requests that somebody waits for.
        admitted = not pool.concurrency.bounded or pool.concurrency.admits(pool.own, request.wanted.priority)
        if len(self._under_way) >= _MOST or pool.waiting or not admitted:
            counters.mirrored_not += 1
            return
        counters.mirrored += 1
        copy = _Copy(self._proxy, self._under_way, request)
        self._under_way.add(copy)
        copy.start()

    def close(self) -> None:
        """End all that are under way."""
        for copy in tuple(self._under_way):
            copy.end()


class _Copy:
    """One copy. Invariant: it is among `under_way` and at its reach's server until `end`."""

    __slots__ = (
        "_proxy",
        "_reach",
        "_request",
        "_status",
        "_timer",
        "_under_way",
        "_upstream",
        "method",
        "upgrades",
    )

    def __init__(self, proxy: Proxy, under_way: set[_Copy], request: Copied) -> None:
        self._proxy = proxy
        self._under_way = under_way
        self._request = request
        self._reach = Reach(proxy, self, request.pool, request.wanted, request.peer, request.timeouts)
        self._upstream: Upstream | None = None
        self._status = 0
        timeouts = request.timeouts
        self._timer: asyncio.TimerHandle = proxy.loop.call_later(
            timeouts.connect + timeouts.first_byte + timeouts.idle, self.end
        )
        self.method = request.head.method
        self.upgrades = False

    def start(self) -> None:
        self._reach.next()

    def end(self) -> None:
        """It is over, whatever became of it."""
        self._under_way.discard(self)
        self._timer.cancel()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()
        self._reach.leave()

    def reached(self, upstream: Upstream) -> None:
        self._upstream = upstream
        upstream.attach(self)
        request = self._request
        fallback_host = request.pool.name.encode()
        head = server_head(request.head, request.way, via=self._proxy.via, fallback_host=fallback_host)
        upstream.write(head + request.body)

    def not_reached(self, why: NotReached) -> None:
        self.end()

    def informational(self, head: ResponseHead) -> None:
        pass

    def response_started(self, head: ResponseHead) -> bool:
        server, self._status = self._reach.server, head.status
        if server is not None:
            if head.status >= 500:
                server.failed(self._reach.waited, answered=True)
            else:
                server.answered(self._reach.waited)
        return True

    def response_body(self, data: bytes) -> None:
        pass

    def response_flush(self) -> None:
        pass

    def response_finished(self, trailers: Trailers, *, reusable: bool) -> None:
        upstream, server = self._upstream, self._reach.server
        if server is not None and self._status < 500:
            server.completed()
        if reusable and upstream is not None and upstream.usable and server is not None:
            self._upstream = None
            upstream.detach()
            server.keep_idle(upstream, self._proxy.time())
        self.end()

    def switched(self, head: ResponseHead, early: bytes) -> None:
        self.end()

    def server_failed(self, failure: Failure, reason: str) -> None:
        self._upstream = None
        server = self._reach.server
        if server is not None and not (failure is Failure.ENDED and self._reach.reused):
            server.failed(self._reach.waited)
        self.end()

    def server_writable(self) -> None:
        pass
