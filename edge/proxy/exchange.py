"""One request's way: from its head to a pool, a server, and back with the response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.health import region_health
from edge.pool import PoolState, ServerState
from edge.proxy.client import Client
from edge.proxy.headers import (
    Body,
    RequestHead,
    ResponseHead,
    new_request_id,
    read_request,
    request_bytes,
    response_bytes,
)
from edge.proxy.reach import Reach
from edge.proxy.refusal import Refusal, explanation, local_response
from edge.proxy.request import Request
from edge.proxy.upstream import Upstream
from edge.route import normalise_path

if TYPE_CHECKING:
    from edge.proxy.proxy import Proxy


_CONNECTING_SLACK = 1.0  # seconds beyond what connecting takes at most by its own timers


class Exchange:
    """A state machine driven by both connections' callbacks; it has no task of its own.

    Invariants: the edge's `in_flight` counts it from `start` until `_end`, a server's while `_reach` is at
    that server; `_end` runs once, on every way out, and leaves the server.
    """

    __slots__ = (
        "_begun",
        "_body_bytes",
        "_client",
        "_client_chunked",
        "_continued",
        "_ended",
        "_head",
        "_keep_alive",
        "_out",
        "_pool",
        "_progress",
        "_proxy",
        "_reach",
        "_response",
        "_upload_done",
        "_upstream",
        "method",
        "request",
    )

    def __init__(self, proxy: Proxy, client: Client, request: Request) -> None:
        self._proxy = proxy
        self._client = client
        self.request = request
        self.method = request.method
        self._head: RequestHead | None = None
        self._pool: PoolState | None = None
        self._reach: Reach | None = None
        self._upstream: Upstream | None = None
        self._response: ResponseHead | None = None
        self._begun = self._progress = proxy.time()
        self._body_bytes = 0  # handed to a server
        self._continued = False  # the server has asked for the body that Expect held back
        self._upload_done = False
        self._client_chunked = False
        self._keep_alive = False
        self._ended = False
        self._out: list[bytes] = []

    # Where to?

    def start(self) -> None:
        """Decide where the request goes, and send it on its way."""
        proxy = self._proxy
        request = self.request
        proxy.counters.requests += 1
        proxy.counters.in_flight += 1
        if request.refusal is not None:
            self._refuse(request.refusal.status, request.refusal.reason, keep_alive=False)
            return
        try:
            head = read_request(request.method, request.target, request.version, request.fields)
        except Refusal as refusal:
            self._refuse(refusal.status, refusal.reason, keep_alive=False)
            return
        head.keep_alive = head.keep_alive and not request.last
        self._head = head
        path = normalise_path(head.target)
        if path == proxy.health_path and head.method in (b"GET", b"HEAD"):
            proxy.counters.probes += 1
            status, text = region_health(proxy.pools, draining=proxy.draining)
            self._write_local(status, text.encode(), head.request_id, keep_alive=True)
            return
        if head.via and proxy.via_token in head.via:
            self._refuse(508, f"edge {proxy.edge.name} got this request twice: a server's address is its own")
            return
        name = proxy.routes.find(head.routed_host, path, head.method)
        if name is None:
            self._refuse(404, f"region {proxy.region} has no route for this host and path")
            return
        self._pool = pool = proxy.pools.by_name[name]
        self._reach = Reach(proxy, self, pool.candidates(self._client.address))
        self._reach.next()

    def not_reached(self, *, tried: int, timed_out: bool) -> None:
        """No server is left to try."""
        pool = self._pool
        assert pool is not None
        region = f"region {self._proxy.region}"
        if not tried:
            servers = len(pool.servers)
            self._refuse(503, f"{region} has no healthy server in pool {pool.name} (0 of {servers})")
            return
        what = f"could not reach a server of pool {pool.name}{' in time' if timed_out else ''}"
        self._refuse(504 if timed_out else 502, f"{region} {what} ({tried} tried)")

    # The request's way.

    def reached(self, upstream: Upstream) -> None:
        """There is a connection to a server: send what there is of the request."""
        head, pool = self._head, self._pool
        assert head is not None
        assert pool is not None
        self._upstream = upstream
        self._upload_done = False  # by a try before this one; none was made after a byte of the body
        upstream.attach(self)
        if self._client.write_paused:
            upstream.pause_reading()
        self._progress = self._proxy.time()
        self._out_to_server(
            upstream,
            request_bytes(
                head,
                client=self._client.address,
                scheme="http",
                via=self._proxy.via,
                fallback_host=pool.name,
            ),
        )

    def _out_to_server(self, upstream: Upstream, before: bytes = b"") -> None:
        """Write `before` and whatever has come of the request's body, framed."""
        request, head = self.request, self._head
        assert head is not None
        if request.body and not upstream.write_paused:
            body = request.take()
            self._body_bytes += len(body)
            self._proxy.counters.bytes_in += len(body)
            before += b"%x\r\n%b\r\n" % (len(body), body) if head.body is Body.CHUNKED else body
            self._client.body_taken()
        finished = request.complete and not request.body
        if head.body is Body.CHUNKED:
            if finished and not self._upload_done:
                before += b"0\r\n\r\n"
        elif self._body_bytes > head.length or (finished and self._body_bytes < head.length):
            # Whatever the reason: a server must never be owed bytes, or it takes the next request for them.
            self.request_failed(Refusal(400, "the request's body is not as long as its head says"))
            return
        self._upload_done = self._upload_done or finished
        if before:
            upstream.write(before)

    def request_progress(self) -> None:
        """More of the request has come, or its end."""
        upstream = self._upstream
        if upstream is None or self._upload_done:
            return
        self._progress = self._proxy.time()
        self._out_to_server(upstream)

    def server_writable(self) -> None:
        self.request_progress()

    # The response's way.

    def informational(self, head: ResponseHead) -> None:
        self._progress = self._proxy.time()
        self._continued = self._continued or head.status == 100
        if self._head is not None and self._head.client_minor == 1:
            self._out.append(response_bytes(head, marks=b"", chunked=False, connection=b""))

    def response_started(self, head: ResponseHead) -> None:
        request_head, pool, server = self._head, self._pool, self._server()
        assert request_head is not None
        assert pool is not None
        proxy = self._proxy
        self._response = head
        pool.latency.add(proxy.time() - self._begun)
        proxy.counters.responded(head.status)
        if head.status >= 500:
            server.failures += 1
        keep_alive = request_head.keep_alive and not proxy.draining
        if head.body in (Body.CHUNKED, Body.UNTIL_CLOSE):
            self._client_chunked = request_head.client_minor == 1
            keep_alive = keep_alive and self._client_chunked
        withheld = request_head.expects_continue and not self._body_bytes
        if not self.request.complete and (withheld or head.status >= 400):
            # The rest of the body may never come, and then nobody can tell where the next request begins.
            keep_alive = False
        self._keep_alive = keep_alive
        if not keep_alive:
            connection = b"Connection: close\r\n"
        else:
            connection = b"" if request_head.client_minor else b"Connection: keep-alive\r\n"
        marks = b"X-Request-Id: %b\r\n%bX-GSLB-Server: %b\r\n" % (
            request_head.request_id,
            proxy.region_mark,
            server.name.encode(),
        )
        self._out.append(
            response_bytes(head, marks=marks, chunked=self._client_chunked, connection=connection)
        )

    def response_body(self, data: bytes) -> None:
        self._proxy.counters.bytes_out += len(data)
        if self._client_chunked:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def response_flush(self) -> None:
        """Hand the client what one read from the server brought; keep the server from outrunning it."""
        self._progress = self._proxy.time()
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            self._client.write(data)
            if self._client.write_paused and self._upstream is not None:
                self._upstream.pause_reading()

    def response_finished(self, reusable: bool) -> None:
        upstream, server = self._upstream, self._server()
        assert upstream is not None
        if self._client_chunked:
            self._out.append(b"0\r\n\r\n")
        self._upstream = None
        if reusable and self._upload_done and upstream.usable:
            upstream.detach()
            upstream.idle_since = self._proxy.time()
            server.keep_idle(upstream, self._proxy.settings.server_idle_connections)
        else:
            upstream.close()
        self.response_flush()
        self._end(self._keep_alive and self.request.complete)

    def client_writable(self) -> None:
        """The client takes data again."""
        self._progress = self._proxy.time()
        if self._upstream is not None:
            self._upstream.resume_reading()

    # What can go wrong.

    def server_failed(self, reason: str, *, answered: bool) -> None:
        """The connection to the server ended before the response did."""
        server, head, reach = self._server(), self._head, self._reach
        assert head is not None
        assert reach is not None
        self._upstream = None
        self._progress = self._proxy.time()
        server.failures += 1
        if self._response is not None:
            self._truncate(reason)
        elif answered or self._body_bytes or not head.idempotent:
            self._proxy.complain("server failed", server=server.server.target, reason=reason)
            self._refuse(502, f"region {self._proxy.region}, server {server.name}: {reason}")
        elif reach.reused:
            # Most likely the server closed an idle connection just now: it gets a second chance.
            reach.again()
        else:
            reach.next()

    def request_failed(self, refusal: Refusal) -> None:
        """The client broke off its request in the middle, or broke the protocol."""
        if self._response is not None:
            self._break_off()
        else:
            self._refuse(refusal.status, refusal.reason, keep_alive=False)

    def client_gone(self) -> None:
        """The client's connection is lost; there is nobody to answer."""
        if not self._ended:
            self._proxy.counters.aborted_by_client += 1
            self._drop_upstream()
            self._end(False, lost=True)

    def check(self, now: float, *, client_took: bool) -> None:
        """End it if the side whose turn it is has been silent for too long. now: loop time.

        client_took: whether the client took any of what was waiting for it since the last time.
        """
        settings = self._proxy.settings
        if self._upstream is None:
            # Connecting has timers of its own; this is for the day they fail.
            if now - self._progress > 3 * settings.connect_timeout + _CONNECTING_SLACK:
                self._refuse(504, f"region {self._proxy.region} could not reach a server in time")
            return
        if self._upstream.took() or (client_took and self._client.write_paused):
            self._progress = now
        silent = now - self._progress
        if self._client.write_paused:
            if silent > settings.idle_timeout:
                self._proxy.counters.aborted_by_client += 1
                self._break_off()
        elif self._response is not None:
            limit = settings.response_timeout
            if not self._upload_done:
                limit = max(limit, settings.idle_timeout)
            if silent > limit:
                self._truncate("the server stopped in the middle of its response")
        elif self._servers_turn(self._upstream):
            if silent > settings.response_timeout:
                server = self._server()
                server.failures += 1
                self._proxy.complain("server does not answer", server=server.server.target)
                self._refuse(504, f"region {self._proxy.region}, server {server.name} did not answer in time")
        elif silent > settings.idle_timeout:
            self._refuse(408, "the rest of the request did not come in time", keep_alive=False)

    def _servers_turn(self, upstream: Upstream) -> bool:
        """Whether it is the server, not the client, that nothing goes on without; before a response."""
        head = self._head
        withheld = head is not None and head.expects_continue and not self._body_bytes
        return self._upload_done or upstream.write_paused or (withheld and not self._continued)

    def _truncate(self, reason: str) -> None:
        """Break the client's connection, so that it cannot take half a response for a whole one."""
        self._proxy.counters.aborted_by_server += 1
        self._proxy.complain("response broken off", server=self._server().server.target, reason=reason)
        self._break_off()

    def _break_off(self) -> None:
        self._drop_upstream()
        self._end(False, abort=True)

    # Answers of the edge's own, and the end.

    def _refuse(self, status: int, reason: str, *, keep_alive: bool = True) -> None:
        self._drop_upstream()
        self._proxy.counters.refused(status)
        request_id = self._head.request_id if self._head else new_request_id()
        body = explanation(status, reason, request_id.decode("ascii"))
        self._write_local(status, body, request_id, keep_alive=keep_alive)

    def _write_local(self, status: int, body: bytes, request_id: bytes, *, keep_alive: bool) -> None:
        head = self._head
        keep_alive = (
            keep_alive
            and head is not None
            and head.keep_alive
            and self.request.complete
            and not self._proxy.draining
        )
        response = local_response(
            status,
            body,
            request_id=request_id.decode("ascii"),
            region=self._proxy.region,
            keep_alive=keep_alive,
            client_minor=head.client_minor if head else 1,
            without_body=self.method == b"HEAD",
        )
        self._client.write(response)
        self._end(keep_alive)

    def _drop_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()

    def _server(self) -> ServerState:
        assert self._reach is not None
        assert self._reach.server is not None
        return self._reach.server

    def _end(self, keep_alive: bool, *, abort: bool = False, lost: bool = False) -> None:
        if self._ended:
            return
        self._ended = True
        if self._reach is not None:
            self._reach.leave()
        self._proxy.counters.in_flight -= 1
        if lost:
            return
        if abort:
            response = self._response
            counted = self._client_chunked or (response is not None and response.body is Body.LENGTH)
            self._client.abort(reset=not counted)
        else:
            self._client.exchange_done(keep_alive)
