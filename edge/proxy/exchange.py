"""One request's way: from its head to a pool, a server, and back with the response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.access_lines import Ended
from edge.access_log import AccessLog
from edge.health import region_health
from edge.http1.errors import ProtocolError
from edge.http1.events import Framing, RequestHead, ResponseHead, Trailers
from edge.http1.writing import chunk, last_chunk
from edge.path import PathError, normalise_path
from edge.pool import PoolState, ServerState
from edge.proxy.client import Client
from edge.proxy.headers import Going, client_head, going, interim_head, new_request_id, server_head
from edge.proxy.patience import Overdue, overdue
from edge.proxy.reach import NotReached, Reach
from edge.proxy.record import entry
from edge.proxy.refusal import explanation, local_response
from edge.proxy.tunnel import Tunnel
from edge.proxy.upload import Upload
from edge.proxy.upstream import Upstream
from edge.retry import Failure, Next, Try, decide

if TYPE_CHECKING:
    from edge.proxy.entrance import Entrance
    from edge.proxy.proxy import Proxy

BODY_HIGH_WATER = 65536
_CONNECTING_SLACK = 1.0  # seconds beyond what connecting takes at most by its own timers


class Exchange:
    """A state machine driven by both connections' callbacks; it has no task of its own.

    Invariants: the edge's `in_flight` counts it from its making until `_end`, a server's while `_reach` is
    at that server; `_end` runs once, on every way out, and leaves the server.
    """

    __slots__ = (
        "_begun",
        "_bytes_in",
        "_bytes_out",
        "_client",
        "_client_chunked",
        "_continued",
        "_ended",
        "_entrance",
        "_first_byte",
        "_going",
        "_keep_alive",
        "_last",
        "_out",
        "_own_id",
        "_pool",
        "_progress",
        "_proxy",
        "_reach",
        "_response",
        "_retries",
        "_retrying",
        "_settings",
        "_status",
        "_timeouts",
        "_upstream",
        "head",
        "method",
        "upload",
    )

    def __init__(
        self, proxy: Proxy, client: Client, head: RequestHead | None, entrance: Entrance, *, last: bool
    ) -> None:
        """head: None for a request that could not be read. last: the connection takes no other after it."""
        self._proxy = proxy
        self._client = client
        self._entrance = entrance
        self._settings = settings = proxy.settings
        self._timeouts = settings.timeouts
        self._retries = settings.retries
        self._last = last
        self.head = head
        self.method = head.method if head is not None else b""
        self.upload: Upload | None = None
        self._going: Going | None = None
        self._pool: PoolState | None = None
        self._reach: Reach | None = None
        self._upstream: Upstream | None = None
        self._response: ResponseHead | None = None
        self._begun = self._progress = proxy.time()
        self._first_byte: float | None = None
        self._bytes_in = 0
        self._bytes_out = 0
        self._status = 0
        self._continued = False  # the server has asked for the body that Expect held back
        self._client_chunked = False  # the client gets the body in chunks
        self._keep_alive = False
        self._retrying = False
        self._ended = False
        self._own_id = b""
        self._out: list[bytes] = []
        proxy.counters.requests += 1
        proxy.counters.in_flight += 1

    @property
    def full(self) -> bool:
        """Whether as much of the body waits here as may."""
        return self.upload is not None and self.upload.buffered >= BODY_HIGH_WATER

    @property
    def upgrades(self) -> bool:
        """Whether the server may switch protocols."""
        return self._going is not None and bool(self._going.upgrade)

    # Where to?

    def start(self) -> None:
        """Decide where the request goes, and send it on its way."""
        proxy, head = self._proxy, self.head
        assert head is not None
        self._going = way = going(head, self._client.peer.introduction)
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
        self._timeouts = route.timeouts or self._timeouts
        self._retries = route.retries or self._retries
        most = route.max_body if route.max_body is not None else self._settings.max_body
        if most is not None and head.length > most:
            self.refuse(413, f"the request's body has {head.length} bytes, and {most} are the most here")
            return
        chunked = head.framing is Framing.CHUNKED
        self.upload = Upload(chunked=chunked, length=head.length, keep=self._retries.body, most=most)
        self._pool = pool = proxy.pools.by_name[route.pool]
        self._reach = Reach(proxy, self, pool, way.origin.address, self._client.peer, self._timeouts)
        self._reach.next()

    def _answered_here(self, head: RequestHead, path: bytes, way: Going) -> bool:
        proxy = self._proxy
        if path == proxy.health_path and head.method in (b"GET", b"HEAD"):
            proxy.counters.probes += 1
            status, text = region_health(proxy.pools, draining=proxy.draining)
            self._answer(status, text.encode())
            return True
        if self._entrance.listener.redirect:
            location = b"https://" + way.routed_host + head.resource
            self._answer(308, b"", extra=b"Location: %b\r\n" % location)
            return True
        if proxy.via_token in way.via:
            self.refuse(508, f"edge {proxy.edge.name} got this request twice: a server's address is its own")
            return True
        return False

    def not_reached(self, why: NotReached) -> None:
        """No server is left to try."""
        pool = self._pool
        assert pool is not None
        region = f"region {self._proxy.region}"
        if why.busy:
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
        head, pool, way, upload = self.head, self._pool, self._going, self.upload
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
        self._send(server_head(head, way, via=self._proxy.via, fallback_host=pool.name.encode()))

    def _send(self, before: bytes = b"") -> None:
        """Write `before` and whatever has come of the request's body to the server."""
        upstream, upload = self._upstream, self.upload
        if upstream is None or upload is None:
            return
        if not upstream.write_paused:
            body = upload.take()
            if body:
                self._progress = self._proxy.time()
                before = before + body if before else body
        if before:
            upstream.write(before)
        self._client.body_taken()

    def body_received(self, data: bytes) -> None:
        """More of the request's body has come."""
        upload = self.upload
        if upload is None:
            return
        self._bytes_in += len(data)
        self._proxy.counters.bytes_in += len(data)
        try:
            upload.add(data)
        except ProtocolError as error:
            self.request_failed(error)
            return
        self._send()

    def body_ended(self, trailers: Trailers) -> None:
        """The request has come whole."""
        if self.upload is not None:
            self.upload.end(trailers)
            self._send()

    def server_writable(self) -> None:
        self._send()

    # The response's way.

    def informational(self, head: ResponseHead) -> None:
        """An interim response: told to those who know what it is."""
        self._progress = self._proxy.time()
        self._continued = self._continued or head.status == 100
        if self.head is not None and self.head.minor == 1:
            self._out.append(interim_head(head))

    def response_started(self, head: ResponseHead) -> bool:
        """Whether the response is taken; else this try is over, and there may be another."""
        request, pool, server, upload = self.head, self._pool, self._server(), self.upload
        assert request is not None
        assert pool is not None
        assert upload is not None
        proxy = self._proxy
        if head.status in self._retries.on and self._tried(Failure.STATUS, head.status):
            return False
        self._response = head
        self._first_byte = first_byte = proxy.time()
        pool.latency.add(first_byte - self._begun)
        self._status = head.status
        proxy.counters.responded(head.status)
        if head.status >= 500:
            server.failures += 1
        upload.settle()
        self._client_chunked = request.minor == 1 and head.framing in (Framing.CHUNKED, Framing.UNTIL_CLOSE)
        delimited = self._client_chunked or head.framing in (Framing.LENGTH, Framing.NONE)
        self._keep_alive = delimited and self._may_keep_alive()
        self._out.append(
            client_head(
                head,
                minor=request.minor,
                chunked=self._client_chunked,
                keep_alive=self._keep_alive,
                marks=b"X-Request-Id: %b\r\n%bX-GSLB-Server: %b\r\n%b"
                % (self._request_id(), proxy.region_mark, server.name.encode(), self._entrance.marks),
            )
        )
        return True

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
        self._bytes_out += len(data)
        self._proxy.counters.bytes_out += len(data)
        self._out.append(chunk(data) if self._client_chunked else data)

    def response_flush(self) -> None:
        """Hand the client what one read from the server brought; keep the server from outrunning it."""
        self._progress = self._proxy.time()
        if self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            self._client.write(data)
            if self._client.write_paused and self._upstream is not None:
                self._upstream.pause_reading()

    def response_finished(self, trailers: Trailers, *, reusable: bool) -> None:
        upstream, server, upload = self._upstream, self._server(), self.upload
        assert upstream is not None
        assert upload is not None
        if self._client_chunked:
            self._out.append(last_chunk(trailers))
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
        self._status = 101
        self._first_byte = self._proxy.time()
        self._proxy.counters.responded(101)
        marks = b"X-Request-Id: %b\r\n%bX-GSLB-Server: %b\r\n" % (
            self._request_id(),
            self._proxy.region_mark,
            server.name.encode(),
        )
        self._out.append(client_head(head, minor=1, chunked=False, keep_alive=True, marks=marks))
        self.response_flush()
        self._upstream = None
        tunnel = Tunnel(self._proxy, self._client, upstream, self._tunnel_ended)
        upstream.tunnel_with(tunnel)
        self._client.tunnel_with(tunnel)
        if early:
            tunnel.from_server(early)

    def _tunnel_ended(self, tunnel: Tunnel) -> None:
        self._proxy.counters.bytes_in += tunnel.bytes_in
        self._proxy.counters.bytes_out += tunnel.bytes_out
        self._bytes_in, self._bytes_out = tunnel.bytes_in, tunnel.bytes_out
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
        server.failures += 1
        if self._response is not None:
            self._truncate(reason)
            return
        if failure is Failure.ENDED and reach.reused:
            failure = Failure.STALE
        if not self._tried(failure):
            self._proxy.complain("server failed", server=server.server.target, reason=reason)
            self.refuse(502, f"region {self._proxy.region}, server {server.name}: {reason}")

    def _tried(self, failure: Failure, status: int = 0) -> bool:
        """One try has failed. Whether another one is made; the connection of the first is closed then."""
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
                seconds=self._proxy.time() - self._begun,
                retrying=counters.retrying - self._retrying,
                in_flight=counters.in_flight,
                status=status,
            ),
            self._retries,
            self._settings.retry_budget,
            self._timeouts.total,
        )
        if verdict.next is Next.NOWHERE or (verdict.next is Next.ANOTHER and not reach.more):
            return False
        if not self._retrying and failure is not Failure.NOT_SENT:
            self._retrying = True
            counters.retrying += 1
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
        if self._response is not None:
            self._break_off("client")
        else:
            self.refuse(error.status, error.reason)

    def client_gone(self) -> None:
        """The client's connection is lost; there is nobody to answer."""
        if not self._ended:
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
            age=now - self._begun,
            silent=now - self._progress,
            timeouts=self._timeouts,
            settings=self._settings,
            client_paused=self._client.write_paused,
            server_paused=upstream.write_paused,
            responding=self._response is not None,
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
        if self._pool is not None:
            most += self._pool.waiting.settings.timeout
        total = timeouts.total
        if now - self._progress > most or (total is not None and now - self._begun > total):
            self._too_late("could not reach a server in time")

    def _give_up(self, late: Overdue) -> None:
        if late is Overdue.TAKING:
            self._proxy.counters.aborted_by_client += 1
            self._break_off("client")
        elif late is Overdue.RESPONSE:
            self._truncate("the server stopped in the middle of its response")
        elif late is Overdue.BODY:
            self._last = True
            self.refuse(408, "the rest of the request did not come in time")
        elif late is Overdue.TOTAL:
            self._too_late("was not done in time")
        else:
            self._server().failures += 1
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
        if self._response is not None:
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

    # Answers of the edge's own, and the end.

    def refuse(self, status: int, reason: str, *, retry_after: int | None = None) -> None:
        """Answer with an explanation. retry_after: seconds."""
        self._drop_upstream()
        self._proxy.counters.refused(status)
        extra = b"" if retry_after is None else b"Retry-After: %d\r\n" % retry_after
        self._answer(status, explanation(status, reason, self._request_id().decode("ascii")), extra=extra)

    def _answer(self, status: int, body: bytes, *, extra: bytes = b"") -> None:
        head = self.head
        self._status = status
        keep_alive = self._may_keep_alive()
        response = local_response(
            status,
            body,
            request_id=self._request_id().decode("ascii"),
            region=self._proxy.region,
            keep_alive=keep_alive,
            client_minor=head.minor if head else 1,
            without_body=self.method == b"HEAD",
            extra=extra + self._entrance.marks,
        )
        self._client.write(response)
        self._bytes_out = 0 if self.method == b"HEAD" else len(body)
        self._end(keep_alive, ended="refused")

    def _request_id(self) -> bytes:
        """Of the request, or of one that could not be read."""
        if self._going is not None:
            return self._going.request_id
        if not self._own_id:
            self._own_id = new_request_id()
        return self._own_id

    def _drop_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()

    def _server(self) -> ServerState:
        assert self._reach is not None
        assert self._reach.server is not None
        return self._reach.server

    def _end(
        self, keep_alive: bool, *, ended: Ended = "complete", abort: bool = False, lost: bool = False
    ) -> None:
        if self._ended:
            return
        self._ended = True
        if self._proxy.access_log is not None:
            self._record(self._proxy.access_log, ended)
        if self._reach is not None:
            self._reach.leave()
        self._proxy.counters.in_flight -= 1
        self._proxy.counters.retrying -= self._retrying
        if lost:
            return
        if abort:
            framing = self._response.framing if self._response is not None else Framing.NONE
            self._client.abort(reset=not (self._client_chunked or framing is Framing.LENGTH))
        else:
            self._client.exchange_done(keep_alive)

    def _record(self, log: AccessLog, ended: Ended) -> None:
        proxy, reach = self._proxy, self._reach
        log.write(
            entry(
                self.head,
                self._going,
                self._client.peer,
                now=log.now(),
                total=proxy.time() - self._begun,
                first_byte=None if self._first_byte is None else self._first_byte - self._begun,
                status=self._status,
                sent=self._bytes_out,
                received=self._bytes_in,
                request_id=self._request_id(),
                region=proxy.region,
                edge=proxy.edge.name,
                pool=self._pool.name if self._pool is not None else None,
                server=reach.last.name if reach is not None and reach.last is not None else None,
                tries=reach.tried if reach is not None else 0,
                ended=ended,
            )
        )


_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
