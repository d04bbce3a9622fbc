"""The client's side: one connection, its requests read and taken on one after the other."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import TYPE_CHECKING, cast

from edge.http1.errors import ProtocolError
from edge.http1.events import Data, End, Framing, RequestHead
from edge.http1.request_reader import RequestReader
from edge.proxy.exchange import Exchange
from edge.proxy.tunnel import Tunnel

if TYPE_CHECKING:
    from edge.proxy.entrance import Entrance, Peer
    from edge.proxy.handed_over import HandedOver, Unanswered
    from edge.proxy.proxy import Proxy
    from edge.proxy.upstream import Upstream
    from edge.proxy_protocol import ProxyHeader

WRITE_HIGH_WATER = 65536
BODY_HIGH_WATER = 65536
LINGER = 2.0  # seconds to go on reading after the last response, lest a reset destroys it (RFC 9112 9.6)
_MOST_HAND_OVERS = 8  # whose requests are never plain is better served by one path alone
DRAINED = 65536  # bytes of a body nobody wants that are read for the sake of the next request


class Downstream(asyncio.Protocol):
    """One request is exchanged at a time. Those that come early wait unread, and while the reader holds
    more than a little, nothing is taken from the transport.

    peer: who is at the other end; write_paused: it does not take what it is sent. requests: that have come.
    hand_overs: how often it came from the compiled path.
    """

    __slots__ = (
        "_advancing",
        "_deaf",
        "_drained",
        "_entrance",
        "_exchange",
        "_handed",
        "_head_begun",
        "_header",
        "_left",
        "_lingering",
        "_lost",
        "_proxy",
        "_reader",
        "_reading_paused",
        "_receiving",
        "_resumed",
        "_since",
        "_transport",
        "_tunnel",
        "_unsent",
        "hand_overs",
        "peer",
        "requests",
        "write_paused",
    )

    _transport: asyncio.Transport
    peer: Peer

    def __init__(
        self,
        proxy: Proxy,
        entrance: Entrance,
        header: ProxyHeader | None = None,
        *,
        handed: HandedOver | None = None,
    ) -> None:
        """header: the PROXY header that the connection began with. handed: what the compiled path knows of
        it; then `go_on` has to be called."""
        self._proxy = proxy
        self._entrance = entrance
        self._header = header
        self._reader = RequestReader(proxy.limits)
        self._exchange: Exchange | None = None
        self._tunnel: Tunnel | None = None
        self._handed = handed
        self.requests = handed.client.requests if handed is not None else 0
        self.hand_overs = handed.client.hand_overs if handed is not None else 0
        self._receiving = False  # the body of a request whose head has come has not come whole
        self._left = 0  # bytes of it that have not come, as far as that is known
        self._drained = 0  # bytes of it that came when nobody wanted them any more
        self._head_begun = False
        self._unsent = 0
        self._advancing = handed is not None  # what comes has to wait until it goes on
        self._deaf = False  # whatever still comes is not a request
        self._lingering = False
        self._lost = False
        self._reading_paused = False
        self._resumed: Unanswered | None = None
        self._since = proxy.time()
        self.write_paused = False
        if handed is not None:
            self.peer = handed.client.peer
            self._reader.receive(handed.data)

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's without being of its classes.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        if self._handed is not None:
            self._proxy.replace(self._handed.client, self)
            return
        self.peer = self._entrance.peer(self._transport, self._header)
        refused = self._proxy.admit(self)
        if not refused:
            return
        self._deaf = True
        response = self._proxy.turn_away(self, refused)
        if response is None:
            self._transport.abort()
        else:
            self._transport.write(response)
            self._close_gently()

    def data_received(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.from_client(data)
        elif not self._deaf:
            self._reader.receive(data)
            self._advance()

    def eof_received(self) -> None:
        # A client that says it is done sending has left, as a rule: its server should be free at once. The
        # few that close one half and wait for an answer in the other get none (nginx does the same).
        if self._tunnel is not None:
            self._tunnel.client_ended()
        else:
            self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._proxy.forget(self)
        self._leave()

    def _leave(self) -> None:
        self._deaf = True
        exchange, self._exchange = self._exchange, None
        tunnel, self._tunnel = self._tunnel, None
        if exchange is not None:
            exchange.client_gone()
        if tunnel is not None:
            tunnel.client_gone()

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        self._since = self._proxy.time()
        if self._tunnel is not None:
            self._tunnel.client_writable()
        elif self._exchange is not None:
            self._exchange.client_writable()
        else:
            self._advance()

    # The exchange's and the tunnel's side.

    def write(self, data: bytes) -> None:
        if not self._lost:
            self._transport.write(data)

    def body_taken(self) -> None:
        """The exchange has forwarded what was buffered of the body: the reader may hold more of it."""
        if self._reading_paused or self._reader.buffered:
            self._advance()

    @property
    def may_drain(self) -> bool:
        """Whether the rest of the body, which nobody wants, is short enough to be read for what follows."""
        return self._left <= DRAINED

    def exchange_done(self, keep_alive: bool) -> None:
        """The exchange has written its response; the next request's turn has come, if there may be one."""
        self._exchange = None
        self._since = self._proxy.time()
        if not keep_alive:
            self._close_gently()
            return
        if not self._advancing:
            self._advance()
        if self._proxy.compiled is not None and self._entrance.plain:
            self._proxy.loop.call_soon(self._give_back)

    # The compiled path's side.

    def go_on(self, upstream: Upstream | None) -> None:
        """Take the connection over. upstream: where the request without an answer was sent, if it was."""
        handed, self._handed = self._handed, None
        assert handed is not None
        if handed.client.aborted:
            self.abort()
        self._advancing = False
        unanswered = handed.unanswered
        if unanswered is None:
            self._advance()
            return
        self._resumed = unanswered
        if self._deaf:
            self._account_for(unanswered)
        else:
            self._advance()
        if self._exchange is not None:
            self._exchange.go_on(unanswered, upstream)
        elif upstream is not None:
            upstream.close()

    def _account_for(self, unanswered: Unanswered) -> None:
        """The client has left in between, and its request ends as any does whose client leaves."""
        head = self._reader.next_event()
        assert isinstance(head, RequestHead)
        self._begin(head)
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        exchange.client_gone()

    def _give_back(self) -> None:
        """Nothing is under way: plain requests that come now are the compiled path's again."""
        path = self._proxy.compiled
        if path is None or self.hand_overs >= _MOST_HAND_OVERS or self._proxy.leaving:
            return
        if self.busy or self._deaf or self._lost or self._transport.is_closing() or self.peer.tls != "-":
            return
        connection = self._transport.get_extra_info("socket")
        if connection is None:
            return
        try:
            fd = os.dup(connection.fileno())
        except OSError:
            return  # no descriptor is left for it
        self._deaf = self._lost = True
        path.take_back(self, self._entrance, fd)
        self._transport.abort()  # closes this descriptor of the connection, not the connection

    def tunnel_with(self, tunnel: Tunnel) -> None:
        """The exchange has switched protocols: from now on bytes are passed as they come."""
        self._exchange = None
        self._tunnel = tunnel
        self._deaf = True
        early = self._reader.trailing()
        self.resume_reading()
        if early:
            tunnel.from_client(early)

    def pause_reading(self) -> None:
        """The tunnel's server does not take what it is sent."""
        if not self._reading_paused and not self._lost:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and not self._lost:
            self._reading_paused = False
            self._transport.resume_reading()

    def finish(self) -> None:
        """The tunnel's server will send no more; what was written to the client goes out before the end."""
        if not self._lost:
            self._close()

    def abort(self, *, reset: bool = False) -> None:
        """Break the connection; with `reset` even a client that counts no bytes notices (HTTP/1.0)."""
        self._leave()
        if self._lost:
            return
        connection = self._transport.get_extra_info("socket")
        if reset and connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # The proxy's side.

    @property
    def busy(self) -> bool:
        """Whether a request is being received or answered, or a response is still on its way out."""
        waiting = self._exchange is not None or self._tunnel is not None or self._receiving
        waiting = waiting or (self._reader.buffered > 0 and not self._deaf)
        return waiting or (not self._lost and self._transport.get_write_buffer_size() > 0)

    @property
    def asked(self) -> bool:
        """Whether a request has come on it already."""
        return self.requests > 0

    def close_if_idle(self) -> None:
        """While draining: leave, unless a request is under way; that one's response will say goodbye."""
        if not self.busy and not self._lingering and not self._lost:
            self._deaf = True
            self._close()

    def check(self, now: float) -> None:
        """Enforce the time limits. now: loop time."""
        settings = self._proxy.settings
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        took = self._unsent < before  # the transport itself tells only when nearly all is gone
        if took:
            self._since = now
        waited = now - self._since
        if self._tunnel is not None:
            self._tunnel.check(now, client_took=took)
        elif self._exchange is not None:
            self._exchange.check(now, client_took=took)
        elif self._unsent:
            if waited > settings.write_timeout:
                self.abort()
        elif self._lingering:
            # What a client has not taken yet may lie beneath TLS, whose buffer tells only of its own.
            if waited > (LINGER if self._transport.can_write_eof() else settings.write_timeout):
                self.abort()
        elif self._receiving:
            if waited > LINGER:
                self._close_gently()
        elif self._head_begun:
            if waited > settings.header_timeout:
                self._refuse(ProtocolError(408, "the request's head did not come in time"))
        elif waited > settings.idle_timeout:
            self._deaf = True
            self._close()
        elif self._proxy.leaving and self.asked:
            self._close_gently()  # the end of its last response has only just gone out

    # How requests come in.

    def _advance(self) -> None:
        """Go on as far as what has come allows. A loop, not recursion: an exchange may end before the call
        that drives it returns."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while not self._deaf and self._step():
                pass
        finally:
            self._advancing = False
        if self._proxy.leaving and not self.busy and not self._lingering and not self._lost:
            # Keep-alive was promised before the edge began to leave; this is the moment to part.
            self._close_gently()
        self._steer_reading()

    def _step(self) -> bool:
        """Read one event and act on it; False when there is nothing to be done now."""
        exchange = self._exchange
        if not self._receiving and (exchange is not None or self.write_paused):
            return False  # the next request's turn has not come
        if exchange is not None and exchange.full:
            return False
        try:
            event = self._reader.next_event()
        except ProtocolError as error:
            self._refuse(error)
            return False
        if isinstance(event, RequestHead):
            self._begin(event)
        elif isinstance(event, Data):
            self._body(exchange, event.data)
        elif isinstance(event, End):
            self._receiving = False
            self._head_begun = False
            self._reader.next_message()
            if exchange is not None:
                exchange.body_ended(event.trailers)
        else:
            self._note_beginning()
            return False
        return True

    def _begin(self, head: RequestHead) -> None:
        self.requests += 1
        self._receiving = True
        self._drained = 0
        self._left = head.length if head.framing is Framing.LENGTH else 0
        last = self.requests >= self._proxy.settings.max_requests_per_connection
        resumed, self._resumed = self._resumed, None
        self._exchange = exchange = Exchange(
            self._proxy, self, head, self._entrance, last=last, counted=resumed is not None
        )
        if resumed is not None:
            exchange.resume(resumed)
        else:
            exchange.start()

    def _body(self, exchange: Exchange | None, data: bytes) -> None:
        self._left -= len(data)
        if exchange is not None:
            exchange.body_received(data)
            return
        self._drained += len(data)
        if self._drained > DRAINED:
            self._close_gently()

    def _note_beginning(self) -> None:
        """The time for a head begins with its first byte."""
        if not self._receiving and not self._head_begun and self._reader.buffered:
            self._head_begun = True
            self._since = self._proxy.time()

    def _steer_reading(self) -> None:
        """Read only what can be used: not while a request waits, or a body is not getting away."""
        if self._lost or self._tunnel is not None or self._transport.is_closing():
            return
        exchange = self._exchange
        full = exchange is not None and (exchange.full or self._reader.buffered >= BODY_HIGH_WATER)
        full = full or (self.write_paused and self._reader.buffered > 0)
        if full and not self._lingering:
            self.pause_reading()
        else:
            self.resume_reading()

    def _refuse(self, error: ProtocolError) -> None:
        """What came cannot be read on. What is being exchanged ends with it, or it is answered."""
        self._deaf = True
        exchange = self._exchange
        if exchange is not None:
            exchange.request_failed(error)
        elif self._receiving:
            self._close_gently()
        else:
            refused = Exchange(self._proxy, self, None, self._entrance, last=True)
            if self._reader.asks_for_head:
                refused.method = b"HEAD"
            self._exchange = refused
            refused.refuse(error.status, error.reason)

    def _close(self) -> None:
        """End it once what was written has gone out. asyncio's transports for TLS break if closed twice."""
        if not self._transport.is_closing():
            self._transport.close()

    def _close_gently(self) -> None:
        """Say that nothing more is coming, and read on for a while for the sake of the last response."""
        self._deaf = True
        if self._lost or self._transport.is_closing():
            return
        self._lingering = True
        self._since = self._proxy.time()
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self.resume_reading()
        else:
            self._transport.close()  # TLS has no half-closed connections, and says goodbye by itself
