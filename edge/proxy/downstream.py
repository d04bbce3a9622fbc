"""The client's side: one connection, its requests parsed and taken on one after the other."""

from __future__ import annotations

import asyncio
import socket
import struct
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from edge.proxy.exchange import Exchange
from edge.proxy.headers import Fields, announces_body
from edge.proxy.refusal import Refusal
from edge.proxy.request import Request

if TYPE_CHECKING:
    from edge.proxy.proxy import Proxy

WRITE_HIGH_WATER = 65536
BODY_HIGH_WATER = 65536
LINGER = 2.0  # seconds to go on reading after the last response, lest a reset destroys it (RFC 9112 9.6)


def client_address(peername: object) -> str:
    """The peer's address as text; IPv4 written inside IPv6 is IPv4."""
    host = str(peername[0]) if isinstance(peername, tuple) and peername else ""
    if host.startswith("::ffff:"):
        mapped = IPv6Address(host.partition("%")[0]).ipv4_mapped
        return str(mapped) if mapped is not None else host
    return host


class Downstream(asyncio.Protocol):
    """Requests are parsed as they come and exchanged one at a time: those that come early wait in a queue,
    and while any waits, nothing more is read.
    """

    __slots__ = (
        "_advancing",
        "_deaf",
        "_exchange",
        "_fields",
        "_grew",
        "_head_bytes",
        "_head_complete",
        "_lingering",
        "_loose_bytes",
        "_lost",
        "_max_header_bytes",
        "_overflow",
        "_parser",
        "_proxy",
        "_queue",
        "_reading",
        "_reading_paused",
        "_since",
        "_transport",
        "_unsent",
        "address",
        "write_paused",
    )

    _transport: asyncio.Transport

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._parser = HttpRequestParser(self)
        self._queue: list[Request] = []
        self._reading: Request | None = None  # the request whose bytes are arriving
        self._exchange: Exchange | None = None
        self._fields: Fields = []  # of the request that is arriving
        self._max_header_bytes = proxy.settings.max_header_bytes
        self._head_complete = False
        self._head_bytes = 0
        self._loose_bytes = 0  # come since anything was complete: a head, or a piece of the body
        self._grew = False
        self._unsent = 0
        self._overflow: Refusal | None = None
        self._advancing = False
        self._deaf = False  # whatever still comes is not a request
        self._lingering = False
        self._lost = False
        self._reading_paused = False
        self._since = proxy.time()
        self.address = ""
        self.write_paused = False

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's without being of its classes.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self.address = client_address(transport.get_extra_info("peername"))
        if self._proxy.admit(self):
            return
        self._deaf = self._lingering = True
        response = self._proxy.turn_away(self)
        if response is None:
            self._transport.abort()
        else:
            self._transport.write(response)
            self._transport.write_eof()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        request, head_was_complete = self._reading, self._head_complete
        self._grew = False
        try:
            self._feed(data)
        except HttpParserError as error:
            if not self._deaf:
                self._broken(self._overflow or Refusal(400, f"the request is not HTTP/1.1: {error}"))
        if request is not None and request is self._reading and head_was_complete is self._head_complete:
            self._bound_loose_bytes(len(data))
        exchange = self._exchange
        if exchange is None:
            self._advance()
        elif exchange.request.body or exchange.request.complete:
            exchange.request_progress()
        self._steer_reading()

    def _bound_loose_bytes(self, more: int) -> None:
        """The parser shows a field, of the head or a trailer, only when it is whole: bound what it holds."""
        if self._grew:
            self._loose_bytes = 0
            return
        self._loose_bytes += more
        if self._loose_bytes > self._max_header_bytes:
            part = "trailer" if self._head_complete else "head"
            self._broken(Refusal(431, f"the request's {part} is too large"))

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self._parser.feed_data(data)
                return
            except HttpParserUpgrade as stop:
                # We do not upgrade (RFC 9110 7.8 lets us): what follows is the next request.
                if self._deaf:
                    return
                data = data[stop.args[0] :]

    def eof_received(self) -> None:
        # A client that says it is done sending has left, as a rule: its server should be free at once. The
        # few that close one half and wait for an answer in the other get none (nginx does the same).
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._proxy.forget(self)
        self._leave()

    def _leave(self) -> None:
        self._deaf = True
        self._queue.clear()
        self._reading = None
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        self._since = self._proxy.time()
        if self._exchange is not None:
            self._exchange.client_writable()
        else:
            self._advance()

    # The exchange's side.

    def write(self, data: bytes) -> None:
        if not self._lost:
            self._transport.write(data)

    def body_taken(self) -> None:
        """The exchange has forwarded what was buffered of the body."""
        if self._reading_paused:
            self._steer_reading()

    def exchange_done(self, keep_alive: bool) -> None:
        """The exchange has written its response; the next request's turn has come, if there may be one."""
        self._exchange = None
        self._since = self._proxy.time()
        if not keep_alive:
            self._close_gently()
        elif not self._advancing:
            self._advance()

    def abort(self, *, reset: bool = False) -> None:
        """Break the connection; with `reset` even a client that counts no bytes notices (HTTP/1.0)."""
        self._leave()
        if self._lost:
            return
        if reset:
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # The proxy's side.

    @property
    def busy(self) -> bool:
        """Whether a request is being received or answered, or a response is still on its way out."""
        waiting = self._exchange is not None or self._reading is not None or bool(self._queue)
        return waiting or (not self._lost and self._transport.get_write_buffer_size() > 0)

    def close_if_idle(self) -> None:
        """While draining: leave, unless a request is under way; that one's response will say goodbye."""
        if not self.busy and not self._lingering and not self._lost:
            self._deaf = True
            self._transport.close()

    def check(self, now: float) -> None:
        """Enforce the time limits. now: loop time."""
        settings = self._proxy.settings
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        took = self._unsent < before  # the transport itself tells only when nearly all is gone
        if took:
            self._since = now
        waited = now - self._since
        if self._exchange is not None:
            self._exchange.check(now, client_took=took)
        elif self._transport.get_write_buffer_size():
            if waited > settings.idle_timeout:
                self.abort()
        elif self._lingering:
            if waited > LINGER:
                self.abort()
        elif self._reading is not None:
            if waited > settings.header_timeout:
                self._broken(Refusal(408, "the request's head did not come in time"))
                self._advance()
        elif waited > settings.idle_timeout:
            self._deaf = True
            self._transport.close()

    # How requests come in.

    def _advance(self) -> None:
        """Take on the next request. A loop, not recursion: answers of our own end before `start` returns."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._queue and self._exchange is None and not self.write_paused and not self._lingering:
                self._exchange = Exchange(self._proxy, self, self._queue.pop(0))
                self._exchange.start()
        finally:
            self._advancing = False
        under_way = self._exchange is not None or self._reading is not None or bool(self._queue)
        if self._proxy.leaving and not under_way and not self._lingering and not self._lost:
            # Keep-alive was promised before the edge began to leave; this is the moment to part.
            self._close_gently()
        if self._reading_paused:
            self._steer_reading()

    def _steer_reading(self) -> None:
        """Read only what can be used: not while requests wait, or a body is not getting away."""
        if self._lost or self._transport.is_closing():
            return
        reading = self._reading
        full = bool(self._queue) or (reading is not None and reading.buffered >= BODY_HIGH_WATER)
        full = full and not self._lingering
        if full and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        elif self._reading_paused and not full:
            self._reading_paused = False
            self._transport.resume_reading()

    def _broken(self, refusal: Refusal) -> None:
        """What came cannot be read on. Requests before it are answered first, then it is refused."""
        self._deaf = True
        request, self._reading = self._reading, None
        if request is None:
            request = Request()
            self._head_complete = False
        request.refusal = refusal
        if self._exchange is not None and self._exchange.request is request:
            self._exchange.request_failed(refusal)
        elif not self._head_complete:
            self._queue.append(request)

    def _close_gently(self) -> None:
        """Say that nothing more is coming, and read on for a while for the sake of the last response."""
        self._deaf = True
        self._lingering = True
        self._since = self._proxy.time()
        self._queue.clear()
        if self._lost or self._transport.is_closing():
            return
        self._transport.write_eof()
        self._steer_reading()

    # The parser's side.

    def on_message_begin(self) -> None:
        self._reading = request = Request()
        self._fields = request.fields
        self._head_complete = False
        self._head_bytes = self._loose_bytes = 0
        if self._exchange is None:
            self._since = self._proxy.time()

    def on_url(self, url: bytes) -> None:
        assert self._reading is not None
        self._reading.target += url
        self._head_bytes += len(url)
        if self._head_bytes > self._max_header_bytes:
            self._overflow_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes = size = self._head_bytes + len(name) + len(value) + 4
        if size > self._max_header_bytes:
            self._overflow_head()
        # After the head, these are trailers: dropped, as RFC 9110 6.5.1 allows.
        if not self._head_complete:
            self._fields.append((name, value))

    def _overflow_head(self) -> None:
        self._overflow = Refusal(431, "the request's head is too large")
        raise self._overflow

    def on_headers_complete(self) -> None:
        request = self._reading
        assert request is not None
        request.method = self._parser.get_method()
        request.version = self._parser.get_http_version()
        request.last = not self._parser.should_keep_alive()
        self._head_complete = True
        self._loose_bytes = 0
        if self._parser.should_upgrade() and announces_body(request.fields):
            # The parser takes the body of such a request for what follows the upgrade: it cannot be told
            # from the next request any more.
            request.refusal = Refusal(501, "upgrades are not served here, least of all with a body")
            self._deaf = True
        self._queue.append(request)

    def on_body(self, body: bytes) -> None:
        request = self._reading
        assert request is not None
        self._grew = True
        request.body.append(body)
        request.buffered += len(body)

    def on_message_complete(self) -> None:
        assert self._reading is not None
        self._reading.complete = True
        last = self._reading.last or self._reading.method == b"CONNECT"
        self._reading = None
        if last:
            self._deaf = True
