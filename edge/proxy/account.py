"""What one request counts as: in the edge's counters, in a pool's statistics, in the access log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.access_lines import Ended
from edge.pool import PoolState
from edge.proxy.headers import Going, new_request_id
from edge.proxy.record import entry
from edge.server import ServerState
from edge.services import ServiceStats

if TYPE_CHECKING:
    from edge.http1.events import RequestHead
    from edge.proxy.entrance import Peer
    from edge.proxy.proxy import Proxy


class Account:
    """Opened with a request, closed once with its end. Invariant: while it is open, the edge's `in_flight`
    counts it, and `retrying` if it was tried again.

    begun: loop time. way: once it is known. pool: of its route. service: that it is for, if it is for any.
    status: of the response, 0 before.
    """

    __slots__ = (
        "_counted",
        "_head",
        "_own_id",
        "_peer",
        "_proxy",
        "begun",
        "bytes_in",
        "bytes_out",
        "closed",
        "first_byte",
        "pool",
        "retrying",
        "service",
        "status",
        "way",
    )

    def __init__(self, proxy: Proxy, peer: Peer, head: RequestHead | None, *, counted: bool = False) -> None:
        """head: None for a request that could not be read. counted: whether the edge counts it already, and
        what has come of its body."""
        self._counted = counted
        self._proxy = proxy
        self._peer = peer
        self._head = head
        self._own_id = b""
        self.begun = proxy.time()
        self.first_byte: float | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.status = 0
        self.pool: PoolState | None = None
        self.way: Going | None = None
        self.service: ServiceStats | None = None
        self.retrying = False
        self.closed = False
        if not counted:
            proxy.counters.requests += 1
            proxy.counters.in_flight += 1

    @property
    def request_id(self) -> bytes:
        """Of the request, or of one that could not be read."""
        if self.way is not None:
            return self.way.request_id
        if not self._own_id:
            self._own_id = new_request_id()
        return self._own_id

    def received(self, count: int) -> None:
        """Bytes of the request's body have come."""
        self.bytes_in += count
        if not self._counted:
            self._proxy.counters.bytes_in += count

    def sent(self, count: int) -> None:
        """Bytes of the response's body have come from the server."""
        self.bytes_out += count
        self._proxy.counters.bytes_out += count

    def responded(self, status: int, server: ServerState, waited: float) -> None:
        """A server's response has begun. waited: seconds for which the server let it wait."""
        self.status = status
        self.first_byte = self._proxy.time()
        self._proxy.counters.responded(status)
        if self.pool is not None and status != 101:
            self.pool.latency.add(self.first_byte - self.begun)
        if self.service is not None and status != 101:
            self.service.latency.add(self.first_byte - self.begun)
            self.service.errors += status >= 500
        if status >= 500:
            server.failed(waited, answered=True)
            return
        server.answered(waited)
        pool = self.pool
        if pool is not None and pool.concurrency.bounded and not self._proxy.is_neighbour(server):
            pool.concurrency.sample(waited, pool.own, self.first_byte)

    def refused(self, status: int) -> None:
        """The edge answers itself that it does not forward the request."""
        self._proxy.counters.refused(status)
        if self.service is not None:
            self.service.refused += 1
            self.service.errors += status >= 500

    def tries_again(self) -> None:
        """What a server may have had goes to another."""
        if not self.retrying:
            self.retrying = True
            self._proxy.counters.retrying += 1

    def close(self, ended: Ended, *, server: ServerState | None, tries: int) -> None:
        """The request is over. server: the last one tried."""
        self.closed = True
        proxy = self._proxy
        proxy.counters.in_flight -= 1
        proxy.counters.retrying -= self.retrying
        log = proxy.access_log
        if log is None:
            return
        log.write(
            entry(
                self._head,
                self.way,
                self._peer,
                now=log.now(),
                total=proxy.time() - self.begun,
                first_byte=None if self.first_byte is None else self.first_byte - self.begun,
                status=self.status,
                sent=self.bytes_out,
                received=self.bytes_in,
                request_id=self.request_id,
                region=proxy.region,
                edge=proxy.edge.name,
                pool=self.pool.name if self.pool is not None else None,
                server=server.name if server is not None else None,
                tries=tries,
                ended=ended,
            )
        )
