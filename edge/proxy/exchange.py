"""One request's way: from its head to a pool, a server, and back with the response."""

from __future__ import annotations

import asyncio
from random import random
from typing import TYPE_CHECKING

from edge import orca
from edge.access_lines import Ended
from edge.balance.key import key_of
from edge.health import region_health
from edge.hedging import Hedging
from edge.http1.errors import ProtocolError
from edge.http1.events import Framing, RequestHead, ResponseHead, Trailers
from edge.path import PathError, normalise_path
from edge.pool import PoolState
from edge.proxy.account import Account
from edge.proxy.admission import turned_away
from edge.proxy.client import Client
from edge.proxy.download import Download
from edge.proxy.headers import (
    SPILLED_FROM,
    Going,
    going,
    request_trailers,
    server_head,
    spilled_marks,
)
from edge.proxy.patience import Overdue, overdue
from edge.proxy.reach import NotReached, Reach, Wanted
from edge.proxy.refusal import explanation, local_response
from edge.proxy.second_try import SecondTry
from edge.proxy.tunnel import Tunnel
from edge.proxy.upload import Upload
from edge.proxy.upstream import Upstream
from edge.retry import Failure, Next, Try, decide
from edge.server import ServerState
from gslb.fleet import Priority, Route, SpillOver

if TYPE_CHECKING:
    from edge.proxy.entrance import Entrance
    from edge.proxy.handed_over import Unanswered
    from edge.proxy.proxy import Proxy

BODY_HIGH_WATER = 65536
_CONNECTING_SLACK = 1.0  # seconds beyond what connecting takes at most by its own timers


class Exchange:
    """A state machine driven by both connections' callbacks; it has no task of its own.

    Invariants: a server's `in_flight` counts it while `_reach` is at that server; `_end` runs once, on every
    way out, leaves the server and closes the account.
    """

    __slots__ = (
        "_account",
        "_client",
        "_continued",
        "_download",
        "_entrance",
        "_hedging",
        "_keep_alive",
        "_last",
        "_most",
        "_progress",
        "_proxy",
        "_reach",
        "_retries",
        "_route",
        "_second",
        "_second_due",
        "_settings",
        "_timeouts",
        "_upstream",
        "head",
        "method",
        "upload",
    )

    def __init__(
        self,
        proxy: Proxy,
        client: Client,
        head: RequestHead | None,
        entrance: Entrance,
        *,
        last: bool,
        counted: bool = False,
    ) -> None:
        """head: None for a request that could not be read. last: the connection takes no other after it.

        counted: whether it is counted already, and only taken over.
        """
        self._proxy = proxy
        self._client = client
        self._entrance = entrance
        self._settings = settings = proxy.settings
        self._timeouts = settings.timeouts
        self._retries = settings.retries
        self._last = last
        self._most: int | None = None  # bytes that the body may have
        self.head = head
        self.method = head.method if head is not None else b""
        self.upload: Upload | None = None
        self._download = Download(head.minor if head is not None else 1)
        self._account = account = Account(proxy, client.peer, head, counted=counted)
        self._reach: Reach | None = None
        self._upstream: Upstream | None = None
        self._progress = account.begun
        self._continued = False  # the server has asked for the body that Expect held back
        self._keep_alive = False
        self._route: Route | None = None
        self._hedging: Hedging | None = None
        self._second: SecondTry | None = None
        self._second_due: asyncio.TimerHandle | None = None

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
        if route.hedge is not None and self.method in _IDEMPOTENT:
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

    def _may_keep_alive(self) -> bool:
        """Whether the client's connection can carry another request after this one."""
        head, upload = self.head, self.upload
        if head is None or not head.keep_alive or self._last or self._proxy.draining:
            return False
        if head.framing is Framing.NONE or (upload is not None and upload.complete):
            return True
        # A body that Expect held back may never come, and then nobody can tell where the next request begins.
        withheld = head.expects_continue and (upload is None or not upload.received)
        return not withheld and self._client.may_drain

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

    # What can go wrong.

    def server_failed(self, failure: Failure, reason: str) -> None:
        """The connection to the server ended before the response did."""
        server, reach = self._server(), self._reach
        assert reach is not None
        self._upstream = None
        self._progress = self._proxy.time()
        if self._download.head is not None:
            server.failed(0.0)
            self._truncate(reason)
            return
        if failure is Failure.ENDED and reach.reused:
            failure = Failure.STALE  # which says nothing about the server
        else:
            server.failed(reach.waited)
        if not self._tried(failure):
            server.failures += failure is Failure.STALE
            self._proxy.complain("server failed", server=server.server.target, reason=reason)
            self.refuse(502, f"region {self._proxy.region}, server {server.name}: {reason}")

    def _tried(self, failure: Failure, status: int = 0) -> bool:
        """One try has failed. Whether another one is made; the connection of the first is closed then."""
        if self._second is not None:
            self._go_on_with(self._second)  # which is that other one already
            return True
        head, reach, upload = self.head, self._reach, self.upload
        assert head is not None
        assert reach is not None
        assert upload is not None
        counters = self._proxy.counters
        verdict = decide(
            Try(
                failure,
                idempotent=head.method in _IDEMPOTENT,
                replayable=upload.replayable,
                tried=reach.tried,
                seconds=self._proxy.time() - self._account.begun,
                retrying=counters.retrying - self._account.retrying,
                in_flight=counters.in_flight,
                status=status,
            ),
            self._retries,
            self._settings.retry_budget,
            self._timeouts.total,
        )
        if verdict.next is Next.NOWHERE or (verdict.next is Next.ANOTHER and not reach.more):
            return False
        self._account.tries_again()
        self._progress = self._proxy.time()
        self._drop_upstream()
        if verdict.next is Next.SAME:
            reach.again()
        else:
            reach.next()
        return True

    def request_failed(self, error: ProtocolError) -> None:
        """The client broke the protocol, or a bound, in the middle of its request."""
        self._last = True
        if self._download.head is not None:
            self._break_off("client")
        else:
            self.refuse(error.status, error.reason)

    def client_gone(self) -> None:
        """The client's connection is lost; there is nobody to answer."""
        if not self._account.closed:
            self._proxy.counters.aborted_by_client += 1
            self._drop_upstream()
            self._end(False, ended="client", lost=True)

    def check(self, now: float, *, client_took: bool) -> None:
        """End it if the side whose turn it is has been silent for too long. now: loop time.

        client_took: whether the client took any of what was waiting for it since the last time.
        """
        upstream, upload = self._upstream, self.upload
        if upstream is None or upload is None:
            self._check_reaching(now)
            return
        if upstream.took() or (client_took and self._client.write_paused):
            self._progress = now
        late = overdue(
            age=now - self._account.begun,
            silent=now - self._progress,
            timeouts=self._timeouts,
            settings=self._settings,
            client_paused=self._client.write_paused,
            server_paused=upstream.write_paused,
            responding=self._download.head is not None,
            uploaded=upload.done,
            servers_turn=self._servers_turn(upstream),
        )
        if late is not None:
            self._give_up(late)

    def _check_reaching(self, now: float) -> None:
        """Before there is a server. Connecting and waiting for room have timers of their own; this is for
        what all of it may take, and for the day that those timers fail."""
        timeouts, most = self._timeouts, _CONNECTING_SLACK
        most += 3 * timeouts.connect
        if self._account.pool is not None:
            most += self._account.pool.waiting.settings.timeout
        total = timeouts.total
        if now - self._progress > most or (total is not None and now - self._account.begun > total):
            self._too_late("could not reach a server in time")

    def _give_up(self, late: Overdue) -> None:
        upstream = self._upstream
        if late is Overdue.TAKING:
            self._proxy.counters.aborted_by_client += 1
            self._break_off("client")
        elif late is Overdue.RESPONSE:
            self._truncate("the server stopped in the middle of its response")
        elif late is Overdue.BODY:
            self._last = True
            self.refuse(408, "the rest of the request did not come in time")
        elif late is Overdue.TOTAL:
            if self._download.head is None and upstream is not None and self._servers_turn(upstream):
                self._server().failed(self._waited())
            self._too_late("was not done in time")
        else:
            self._server().failed(self._waited())
            if self._account.pool is not None and not self._proxy.is_neighbour(self._server()):
                self._account.pool.concurrency.dropped(self._proxy.time())
            self._proxy.complain("server does not answer", server=self._server().server.target)
            if not self._tried(Failure.TIMED_OUT):
                self._too_late("did not answer in time")

    def _servers_turn(self, upstream: Upstream) -> bool:
        """Whether it is the server, not the client, that nothing goes on without; before a response."""
        head, upload = self.head, self.upload
        assert upload is not None
        withheld = head is not None and head.expects_continue and not upload.received
        return upload.done or upstream.write_paused or (withheld and not self._continued)

    def _too_late(self, what: str) -> None:
        region = f"region {self._proxy.region}"
        server = self._reach.server if self._upstream is not None and self._reach is not None else None
        if self._download.head is not None:
            self._truncate(what)
        else:
            whose = f", server {server.name}" if server is not None else ""
            self.refuse(504, f"{region}{whose} {what}")

    def _truncate(self, reason: str) -> None:
        """Break the client's connection, so that it cannot take half a response for a whole one."""
        self._proxy.counters.aborted_by_server += 1
        self._proxy.complain("response broken off", server=self._server().server.target, reason=reason)
        self._break_off("server")

    def _break_off(self, whose: Ended) -> None:
        self._drop_upstream()
        self._end(False, ended=whose, abort=True)

    # A second try beside the first, and copies for others.

    def _try_beside(self) -> None:
        """The first server takes long: see who is quicker."""
        reach, upload, hedging = self._reach, self.upload, self._hedging
        assert reach is not None
        assert upload is not None
        assert hedging is not None
        waits = self._upstream is not None and self._download.head is None and self._second is None
        body = upload.whole() if waits and upload.done else None
        # A second try takes no place from a first one: it begins where there is room now, or not at all.
        if body is None or self.upgrades or not reach.may_go() or not self._admitted() or not hedging.may():
            return
        self._proxy.counters.hedged += 1
        whole = body
        self._second = SecondTry(self, lambda server: self._head_for(server) + whole)
        self._second.start(reach)

    def _admitted(self) -> bool:
        """Whether the pool may have one more request in flight."""
        pool, route = self._account.pool, self._route
        assert pool is not None
        assert route is not None
        return not pool.concurrency.bounded or pool.concurrency.admits(pool.own, route.priority)

    def second_answers(self, head: ResponseHead) -> bool:
        """The second try's server was quicker; whether its response is taken."""
        second, first, waited = self._second, self._server(), self._waited()
        assert second is not None
        if head.status >= 500 or head.status in self._retries.on:
            second.server.failed(0.0, answered=True)  # the first may do better
            self._drop_second()
            return False
        first.answered(waited)  # it would have taken longer still
        self._go_on_with(second)
        return self.response_started(head)

    def second_failed(self) -> None:
        """The second try came to nothing; the first goes on."""
        self._drop_second()

    def _go_on_with(self, second: SecondTry) -> None:
        """Give up the first try for the second."""
        self._drop_upstream()
        if self._reach is not None:
            self._reach.leave()
        self._second = None
        self._reach, self._upstream = second.take_over()
        self._progress = self._proxy.time()

    def _drop_second(self) -> None:
        second, self._second = self._second, None
        if second is not None:
            second.give_up()

    def _copy(self) -> None:
        """Send a copy to another pool, if the route wants one of this request; it has come whole."""
        route, head, way, upload, proxy = self._route, self.head, self._account.way, self.upload, self._proxy
        if route is None or route.mirror is None or head is None or way is None or upload is None:
            return
        body = upload.whole()
        pool = proxy.pools.by_name.get(route.mirror.pool)  # gone, if the file changed meanwhile
        if body is not None and pool is not None and not way.upgrade and random() < route.mirror.share:
            wanted = Wanted(key_of(head, pool.pool.key, way.origin.address), priority=Priority.LOW)
            proxy.copies.send(pool, head, way, body, wanted, self._client.peer, self._timeouts)

    # Answers of the edge's own, and the end.

    def refuse(self, status: int, reason: str, *, retry_after: int | None = None) -> None:
        """Answer with an explanation. retry_after: seconds."""
        self._drop_upstream()
        self._account.refused(status)
        extra = b"" if retry_after is None else b"Retry-After: %d\r\n" % retry_after
        self._answer(
            status, explanation(status, reason, self._account.request_id.decode("ascii")), extra=extra
        )

    def _answer(self, status: int, body: bytes, *, extra: bytes = b"") -> None:
        head = self.head
        self._account.status = status
        keep_alive = self._may_keep_alive()
        response = local_response(
            status,
            body,
            request_id=self._account.request_id.decode("ascii"),
            region=self._proxy.region,
            keep_alive=keep_alive,
            date=self._proxy.date(),
            client_minor=head.minor if head else 1,
            without_body=self.method == b"HEAD",
            extra=extra + self._entrance.marks,
        )
        self._client.write(response)
        self._account.bytes_out = 0 if self.method == b"HEAD" else len(body)
        self._end(keep_alive, ended="refused")

    def _drop_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()

    def _server(self) -> ServerState:
        assert self._reach is not None
        assert self._reach.server is not None
        return self._reach.server

    def _waited(self) -> float:
        """Seconds for which the server has let the request wait."""
        assert self._reach is not None
        return self._reach.waited

    def _end(
        self, keep_alive: bool, *, ended: Ended = "complete", abort: bool = False, lost: bool = False
    ) -> None:
        account, reach = self._account, self._reach
        if account.closed:
            return
        last, tries = (reach.last, reach.tried) if reach is not None else (None, 0)
        account.close(ended, server=last, tries=tries)
        self._drop_second()
        if self._second_due is not None:
            self._second_due.cancel()
        if reach is not None:
            reach.leave()
        if lost:
            return
        if abort:
            self._client.abort(reset=not self._download.counted)
        else:
            self._client.exchange_done(keep_alive)


_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
