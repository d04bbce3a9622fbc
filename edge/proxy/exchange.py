"""One request's way: from its head to a pool, a server, and back with the response."""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING

from edge import orca
from edge.balance.key import key_of
from edge.health import region_health
from edge.http1.errors import ProtocolError
from edge.http1.events import Framing, RequestHead, ResponseHead, Trailers
from edge.path import PathError, normalise_path
from edge.pool import PoolState
from edge.proxy.admission import turned_away
from edge.proxy.copies import Copied
from edge.proxy.headers import (
    SPILLED_FROM,
    Going,
    going,
    request_trailers,
    server_head,
    spilled_marks,
)
from edge.proxy.reach import NotReached, Reach, Wanted
from edge.proxy.trying import IDEMPOTENT, Trying
from edge.proxy.tunnel import Tunnel
from edge.proxy.upload import Upload
from edge.proxy.upstream import Upstream
from edge.retry import Failure
from edge.server import ServerState
from gslb.fleet import Priority, Route, SpillOver

if TYPE_CHECKING:
    from edge.proxy.handed_over import Unanswered

BODY_HIGH_WATER = 65536


class Exchange(Trying):
    """A state machine driven by both connections' callbacks; it has no task of its own.

    Below it: `Trying`, for servers that fail, and `Ending`, for its state and all ways out.
    """

    __slots__ = ()

    @property
    def full(self) -> bool:
        """Whether as much of the body waits here as may."""
        return self.upload is not None and self.upload.buffered >= BODY_HIGH_WATER

    @property
    def upgrades(self) -> bool:
        """Whether the server may switch protocols."""
        way = self._account.way
        return way is not None and bool(way.upgrade)

    # Where to?

    def start(self) -> None:
        """Decide where the request goes, and send it on its way."""
        proxy, head = self._proxy, self.head
        assert head is not None
        self._account.way = way = going(head, self._client.peer.introduction)
        if head.method == b"CONNECT":
            self._last = True  # what follows may be meant for the tunnel
            self.refuse(501, "CONNECT is not served here")
            return
        try:
            path = normalise_path(head.resource)
        except PathError as error:
            self.refuse(400, str(error))
            return
        if self._answered_here(head, path, way):
            return
        route = proxy.routes.find(way.routed_host, path, head.method)
        if route is None:
            self.refuse(404, f"region {proxy.region} has no route for this host and path")
            return
        self._use(route)
        self._account.service = proxy.pools.services.find(way.routed_host)
        turned = turned_away(head, way.origin.address, self._most, proxy.rates.get(route), proxy.time())
        if turned is not None:
            self.refuse(turned.status, turned.reason, retry_after=turned.retry_after)
            return
        self.upload = self._upload(head)
        self._account.pool = pool = proxy.pools.by_name[route.pool]
        self._reach = self._reach_for(pool, route, head, way)
        if self._admitted():
            self._reach.next()
        else:
            self._reach.overflow()

    def resume(self, unanswered: Unanswered) -> None:
        """Be about a request that is at a server already; `go_on` follows once it was read again."""
        head, route = self.head, unanswered.route
        assert head is not None
        self._account.way = way = going(head, self._client.peer.introduction)
        way.request_id = unanswered.request_id
        self._account.begun = unanswered.begun
        self._account.pool = pool = unanswered.pool
        self._account.service = self._proxy.pools.services.find(way.routed_host)
        self._use(route)
        self.upload = self._upload(head)
        self._reach = self._reach_for(pool, route, head, way)
        self._reach.resume(
            unanswered.server, unanswered.candidates, unanswered.begun, reused=unanswered.reused
        )
        self._progress = unanswered.since

    def go_on(self, unanswered: Unanswered, upstream: Upstream | None) -> None:
        """Wait for the response on `upstream`, or look for another server when there is no connection."""
        upload, reach = self.upload, self._reach
        assert upload is not None
        assert reach is not None
        if upstream is None:
            reach.failed(unanswered.server, unanswered.reason, timed_out=unanswered.timed_out)
            return
        upload.take()  # the server has it already
        self._upstream = upstream
        upstream.attach(self)
        if self._client.write_paused:
            upstream.pause_reading()
        if unanswered.unsent:
            upstream.write(unanswered.unsent)
        if unanswered.response:
            upstream.data_received(unanswered.response)
            self._progress = unanswered.since  # that has not come just now

    def _use(self, route: Route) -> None:
        self._route = route
        if route.hedge is not None and self.method in IDEMPOTENT:
            self._hedging = self._proxy.hedging.get(route)
        self._timeouts = route.timeouts or self._timeouts
        self._retries = route.retries or self._retries
        self._most = route.max_body if route.max_body is not None else self._settings.max_body

    def _reach_for(self, pool: PoolState, route: Route, head: RequestHead, way: Going) -> Reach:
        address = way.origin.address
        wanted = Wanted(
            key_of(head, pool.pool.key, address),
            pool.session(head),
            route.priority,
            way.routed_host,
            address,
            # One hop is the most: what came here from another region's edge goes to no third one.
            SpillOver.OFF if SPILLED_FROM in head.names else pool.pool.spill_over,
        )
        return Reach(self._proxy, self, pool, wanted, self._client.peer, self._timeouts)

    def _upload(self, head: RequestHead) -> Upload:
        chunked = head.framing is Framing.CHUNKED
        return Upload(chunked=chunked, length=head.length, keep=self._retries.body, most=self._most)

    def _answered_here(self, head: RequestHead, path: bytes, way: Going) -> bool:
        proxy = self._proxy
        if path == proxy.health_path and head.method in (b"GET", b"HEAD"):
            proxy.counters.probes += 1
            status, text = region_health(proxy.pools, draining=proxy.draining)
            self._answer(status, text.encode())
            return True
        if self._entrance.listener.redirect:
            if not way.routed_host or head.resource == b"*":
                self.refuse(400, "there is nothing at http here, and no host or path to send you to")
                return True
            location = b"https://" + way.routed_host + head.resource
            self._answer(308, b"", extra=b"Location: %b\r\n" % location)
            return True
        if proxy.via_token in way.via:
            self.refuse(508, f"edge {proxy.edge.name} got this request twice: a server's address is its own")
            return True
        return False

    def not_reached(self, why: NotReached) -> None:
        """No server is left to try."""
        pool = self._account.pool
        assert pool is not None
        region = f"region {self._proxy.region}"
        if why.limited:
            self.refuse(
                503, f"{region} has as many requests in pool {pool.name} as it can take", retry_after=1
            )
        elif why.busy:
            waited = "for too long" if why.waited else f"behind {len(pool.waiting)} others"
            text = f"{region} has no room at a server of pool {pool.name}; the request would wait {waited}"
            self.refuse(503, text, retry_after=max(1, round(pool.waiting.settings.timeout)))
        elif not why.tried:
            servers = len(pool.servers)
            self.refuse(503, f"{region} has no healthy server in pool {pool.name} (0 of {servers})")
        else:
            what = f"could not reach a server of pool {pool.name}{' in time' if why.timed_out else ''}"
            self.refuse(504 if why.timed_out else 502, f"{region} {what} ({why.tried} tried)")

    # The request's way.

    def reached(self, upstream: Upstream) -> None:
        """There is a connection to a server: send what there is of the request."""
        account, head, upload = self._account, self.head, self.upload
        pool, way = account.pool, account.way
        assert head is not None
        assert pool is not None
        assert way is not None
        assert upload is not None
        self._upstream = upstream
        if upload.replayable:
            upload.restart()  # there may have been a try before
        upstream.attach(self)
        if self._client.write_paused:
            upstream.pause_reading()
        self._progress = self._proxy.time()
        self._send(self._head_for(self._server()))
        if self._hedging is not None and self._second_due is None:
            self._hedging.begun()
            delay = self._hedging.delay
            if delay is not None:
                self._second_due = self._proxy.loop.call_later(delay, self._try_beside)

    def _head_for(self, server: ServerState) -> bytes:
        head, way, proxy, pool = self.head, self._account.way, self._proxy, self._account.pool
        assert head is not None
        assert way is not None
        assert pool is not None
        spilled = proxy.region.encode() if proxy.is_neighbour(server) else b""
        fallback_host = pool.name.encode()
        return server_head(head, way, via=proxy.via, fallback_host=fallback_host, spilled_from=spilled)

    def _send(self, before: bytes = b"") -> None:
        """Write `before` and whatever has come of the request's body to the server."""
        upstream, upload = self._upstream, self.upload
        if upstream is None or upload is None:
            return
        if not upstream.write_paused:
            body = upload.take()
            if body:
                self._progress = self._proxy.time()
                if self._reach is not None:
                    self._reach.asked = self._progress
                before = before + body if before else body
        if before:
            upstream.write(before)
        self._client.body_taken()

    def body_received(self, data: bytes) -> None:
        """More of the request's body has come."""
        upload = self.upload
        if upload is None:
            return
        self._account.received(len(data))
        try:
            upload.add(data)
        except ProtocolError as error:
            self.request_failed(error)
            return
        self._send()

    def body_ended(self, trailers: Trailers) -> None:
        """The request has come whole."""
        if self.upload is not None:
            self.upload.end(request_trailers(trailers))
            self._copy()
            self._send()

    def server_writable(self) -> None:
        self._send()

    # The response's way.

    def informational(self, head: ResponseHead) -> None:
        """An interim response: told to those who know what it is."""
        self._progress = self._proxy.time()
        self._continued = self._continued or head.status == 100
        self._download.inform(head)

    def response_started(self, head: ResponseHead) -> bool:
        """Whether the response is taken; else this try is over, and there may be another."""
        server, upload, waited = self._server(), self.upload, self._waited()
        assert upload is not None
        if head.status in self._retries.on and self._tried(Failure.STATUS, head.status):
            server.failed(waited, answered=True)
            return False
        self._account.responded(head.status, server, waited)
        pool = self._account.pool
        if pool is not None and pool.method.loaded and (told := head.values(orca.HEADER)):
            load = orca.load_of(told[0])
            server.load = server.load if load is None else load
        self._drop_second()
        if self._hedging is not None:
            self._hedging.answered(waited)
        upload.settle()
        delimited = self._download.take_up(head)
        self._keep_alive = delimited and self._may_keep_alive()
        self._download.begin(
            keep_alive=self._keep_alive,
            date=self._proxy.date(),
            marks=self._marks(server) + self._entrance.marks,
        )
        return True

    def _marks(self, server: ServerState) -> bytes:
        """The fields that tell a client where it was sent."""
        proxy, account, head = self._proxy, self._account, self._download.head
        assert head is not None
        marks = b"X-Request-Id: %b\r\n" % account.request_id
        if proxy.is_neighbour(server):
            return marks + spilled_marks(head, proxy.region)
        marks += b"%bX-GSLB-Server: %b\r\n" % (proxy.region_mark, server.name.encode())
        pool, way, reach = account.pool, account.way, self._reach
        if pool is None or pool.tokens is None or way is None or (reach is not None and reach.keeps_session):
            return marks
        return marks + pool.cookie(server, secured=way.origin.scheme == "https")

    def response_body(self, data: bytes) -> None:
        self._account.sent(len(data))
        self._download.add(data)

    def response_flush(self) -> None:
        """Hand the client what one read from the server brought; keep the server from outrunning it."""
        self._progress = self._proxy.time()
        data = self._download.take()
        if data:
            self._client.write(data)
            if self._client.write_paused and self._upstream is not None:
                self._upstream.pause_reading()

    def response_finished(self, trailers: Trailers, *, reusable: bool) -> None:
        upstream, server, upload = self._upstream, self._server(), self.upload
        assert upstream is not None
        assert upload is not None
        self._download.end(trailers)
        if self._account.status < 500 and server.standing.failures:
            server.completed()
        self._upstream = None
        if reusable and upload.done and upstream.usable:
            upstream.detach()
            server.keep_idle(upstream, self._proxy.time())
        else:
            upstream.close()
        self.response_flush()
        self._end(self._keep_alive)

    def switched(self, head: ResponseHead, early: bytes) -> None:
        """The server has switched protocols, as the client asked. early: its first bytes of the new one."""
        upstream, server, request = self._upstream, self._server(), self.head
        assert upstream is not None
        assert request is not None
        if not head.upgrade or not set(head.upgrade).issubset(request.upgrade):
            # What it speaks from here on, the client would not understand, and nobody has looked at.
            upstream.close()
            self.server_failed(Failure.BROKEN, "the server switched to a protocol that nobody asked for")
            return
        self._account.responded(101, server, self._waited())
        self._download.take_up(head)
        self._download.begin(keep_alive=True, date=self._proxy.date(), marks=self._marks(server))
        self.response_flush()
        self._upstream = None
        tunnel = Tunnel(self._proxy, self._client, upstream, self._tunnel_ended)
        upstream.tunnel_with(tunnel)
        self._client.tunnel_with(tunnel)
        if early:
            tunnel.from_server(early)

    def _tunnel_ended(self, tunnel: Tunnel) -> None:
        self._account.received(tunnel.bytes_in)
        self._account.sent(tunnel.bytes_out)
        self._end(False, lost=True)

    def client_writable(self) -> None:
        """The client takes data again."""
        self._progress = self._proxy.time()
        if self._upstream is not None:
            self._upstream.resume_reading()

    def _copy(self) -> None:
        """Send a copy to another pool, if the route wants one of this request; it has come whole."""
        route, head, way, upload, proxy = self._route, self.head, self._account.way, self.upload, self._proxy
        if route is None or route.mirror is None or head is None or way is None or upload is None:
            return
        body = upload.whole()
        pool = proxy.pools.by_name.get(route.mirror.pool)  # gone, if the file changed meanwhile
        if body is not None and pool is not None and not way.upgrade and random() < route.mirror.share:
            wanted = Wanted(key_of(head, pool.pool.key, way.origin.address), priority=Priority.LOW)
            proxy.copies.send(Copied(pool, head, way, body, wanted, self._client.peer, self._timeouts))
