"""Finds a connection to a server for one exchange: an idle one, a new one, or the next server's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from edge.pool import ServerState
from edge.proxy.upstream import Upstream

if TYPE_CHECKING:
    from edge.proxy.proxy import Proxy


class Seeker(Protocol):
    """Who wants the connection; exactly one of these answers each call of `next` or `again`."""

    def reached(self, upstream: Upstream) -> None: ...

    def not_reached(self, *, tried: int, timed_out: bool) -> None: ...


class Reach:
    """Walks along the candidates. Invariant: `server` is the one whose `in_flight` counts this exchange.

    reused: whether the connection was an idle one, which the server may have been about to close.
    """

    __slots__ = ("_began", "_candidates", "_connecting", "_proxy", "_seeker", "_tried", "reused", "server")

    def __init__(self, proxy: Proxy, seeker: Seeker, candidates: Iterator[ServerState]) -> None:
        self._proxy = proxy
        self._seeker = seeker
        self._candidates = candidates
        self._began = proxy.time()
        self._tried = 0
        self._connecting: asyncio.Task[None] | None = None
        self.server: ServerState | None = None
        self.reused = False

    def next(self, *, timed_out: bool = False) -> None:
        """Go to the next server; `timed_out` says how it went with the one before."""
        self.leave()
        proxy = self._proxy
        # Refused connections cost nothing, so that every server may be tried; slow ones share two time-outs.
        if self._tried and proxy.time() - self._began >= 2 * proxy.settings.connect_timeout:
            server = None
        else:
            server = next(self._candidates, None)
        if server is None:
            self._seeker.not_reached(tried=self._tried, timed_out=timed_out)
            return
        if self._tried:
            proxy.counters.retries += 1
        self._tried += 1
        self.server = server
        server.in_flight += 1
        server.requests += 1
        while (idle := server.take_idle()) is not None:
            assert isinstance(idle, Upstream)
            if idle.usable:
                self.reused = True
                self._seeker.reached(idle)
                return
            idle.close()
        self._connect(server)

    def again(self) -> None:
        """Go to the same server once more, on a new connection."""
        assert self.server is not None
        self._proxy.counters.retries += 1
        self._connect(self.server)

    def leave(self) -> None:
        """Give up connecting, and be at no server any more."""
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        server, self.server = self.server, None
        if server is not None:
            server.in_flight -= 1

    def _connect(self, server: ServerState) -> None:
        self.reused = False
        self._connecting = self._proxy.loop.create_task(self._open(server))

    async def _open(self, server: ServerState) -> None:
        proxy = self._proxy
        address = server.server.address
        timed_out = False
        try:
            async with asyncio.timeout(proxy.settings.connect_timeout):
                _, upstream = await proxy.loop.create_connection(
                    lambda: Upstream(server, proxy.settings.max_header_bytes), address.host, address.port
                )
        except TimeoutError:
            timed_out = True
            reason = "timed out"
        except (OSError, UnicodeError) as error:
            # UnicodeError: a host name that cannot be one. OSError: everything else, resolving included.
            reason = getattr(error, "strerror", None) or str(error)
        except Exception as error:
            # Whatever it is: the request must not wait for a task that has ended.
            reason = repr(error)
        else:
            self._connecting = None
            if upstream.usable:
                self._seeker.reached(upstream)
                return
            # Its end was read before this task went on. Nothing was sent, so any request may go elsewhere.
            upstream.close()
            reason = "closed the connection at once"
        self._connecting = None
        server.connect_failures += 1
        try:
            proxy.complain("cannot connect to server", server=server.server.target, reason=reason)
        finally:
            self.next(timed_out=timed_out)
