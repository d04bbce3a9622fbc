"""The client's side of a connection that is passed on: finds its server, then moves bytes both ways."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from edge.stream.client_hello import HelloReader, NotHello
from edge.stream.seek import Seek
from edge.stream.server_side import HIGH_WATER, End, ServerSide

if TYPE_CHECKING:
    from edge.proxy.entrance import Peer
    from edge.proxy_protocol import ProxyHeader
    from edge.stream.passage import Passage


class Relay(asyncio.Protocol):
    """Who is slow pauses the other side; who ends one direction leaves the other open; a reset is passed on.

    peer: who is at the other end. What it sends early waits until there is a server, up to HIGH_WATER.
    """

    __slots__ = (
        "_client",
        "_early",
        "_header",
        "_hello",
        "_lost",
        "_moved",
        "_passage",
        "_seek",
        "_server",
        "_since",
        "_taken",
        "peer",
    )

    _client: End
    peer: Peer

    def __init__(self, passage: Passage, header: ProxyHeader | None) -> None:
        self._passage = passage
        self._header = header
        self._hello = HelloReader() if passage.peeks else None
        self._early = bytearray()
        self._seek: Seek | None = None
        self._server: ServerSide | None = None
        self._since = passage.proxy.time()
        self._moved = False  # since the last look at the time: cheaper than a clock for every piece
        self._taken = False
        self._lost = False

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's without being of its classes.
        opened = cast(asyncio.Transport, transport)
        passage = self._passage
        self._client = End(opened)
        self.peer = passage.peer(opened, self._header)
        if passage.proxy.admit(self, http=False):
            passage.counts.refused += 1
            self._lost = True
            self._client.abort()
            return
        self._taken = True
        passage.counts.taken += 1
        passage.counts.open += 1
        if self._hello is None:
            passage.begin(self, passage.asked_name(opened))

    def data_received(self, data: bytes) -> None:
        self._moved = True
        self._passage.counts.bytes_in += len(data)
        server = self._server
        if server is not None:
            server.end.write(data)
            if server.end.paused:
                self._client.pause_reading()
        elif self._hello is not None:
            self._read_hello(self._hello, data)
        else:
            self._hold(data)

    def eof_received(self) -> bool:
        if self._server is None and not self._early:
            return False  # it has left before it said anything
        stays = self._client.hear_end()
        if self._server is not None:
            self._server.end.end_writing()
        return stays

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        server = self._end()
        if server is not None and (exc is None or self._client.heard_end):
            server.end.close()
        elif server is not None:
            server.end.abort(reset=True)
        if self._taken:
            self._taken = False
            self._passage.counts.open -= 1
            self._passage.proxy.forget(self)

    def pause_writing(self) -> None:
        self._client.paused = True
        if self._server is not None:
            self._server.end.pause_reading()

    def resume_writing(self) -> None:
        self._client.paused = False
        self._moved = True
        if self._server is not None:
            self._server.end.resume_reading()

    # How a server is found.

    def _read_hello(self, reader: HelloReader, data: bytes) -> None:
        outcome = reader.receive(data)
        if outcome is None:
            return
        self._hello = None
        self._hold(reader.received)
        if isinstance(outcome, NotHello):
            self._refuse(outcome.reason)
        else:
            self._passage.begin(self, outcome.server_name)

    def go(self, name: str | None) -> None:
        """Go to a server. name: that TLS asks for."""
        if self._lost:
            return
        passage = self._passage
        pool = passage.pool(name)
        if pool is None:
            self._refuse(f"no pool serves {name}" if name is not None else "no pool serves it")
            return
        timeout = passage.listener.timeouts.connect
        self._seek = Seek(passage.proxy, pool, self.peer, timeout, self)
        self._seek.next()

    def _hold(self, data: bytes | bytearray) -> None:
        self._early += data
        if len(self._early) >= HIGH_WATER:
            self._client.pause_reading()

    def _refuse(self, reason: str) -> None:
        passage = self._passage
        passage.counts.refused += 1
        self._lost = True
        self._client.abort()
        passage.proxy.complain(
            "connection not passed on",
            listener=passage.listener.label,
            client=self.peer.address,
            reason=reason,
        )

    # The server's side.

    def reached(self, server: ServerSide) -> None:
        self._server = server
        self._moved = True
        if self._early:
            early, self._early = self._early, bytearray()
            server.end.write(early)
        if self._client.heard_end:
            server.end.end_writing()
        elif not server.end.paused:
            self._client.resume_reading()

    def not_reached(self, reason: str) -> None:
        self._refuse(reason)

    def from_server(self, data: bytes) -> None:
        self._moved = True
        self._passage.counts.bytes_out += len(data)
        self._client.write(data)
        if self._client.paused and self._server is not None:
            self._server.end.pause_reading()

    def server_ended(self) -> bool:
        server = self._server
        if server is None:
            return False
        if not server.end.meant_to_end:
            self.server_gone(broken=True)
            return False
        stays = server.end.hear_end()
        self._client.end_writing()
        return stays

    def server_gone(self, *, broken: bool) -> None:
        self._end()
        if broken:
            self._client.abort(reset=True)
        else:
            self._client.close()

    def server_writable(self) -> None:
        self._moved = True
        self._client.resume_reading()

    def _end(self) -> ServerSide | None:
        """Nothing is passed on any more; the server's side, if there was one."""
        server, self._server = self._server, None
        seek, self._seek = self._seek, None
        if server is not None:
            server.leave()
        if seek is not None:
            seek.leave()
        return server

    # Time, and the end of the edge.

    @property
    def busy(self) -> bool:
        """Whether anything could be lost by closing it."""
        return self._seek is not None or bool(self._early)

    @property
    def asked(self) -> bool:
        return self.busy

    def close_if_idle(self) -> None:
        if not self.busy:
            self._client.abort()

    def abort(self) -> None:
        server = self._end()
        if server is not None:
            server.end.abort()
        self._client.abort()

    def check(self, now: float) -> None:
        """End what nothing has come over for too long. now: loop time."""
        server = self._server
        took = self._client.took()
        if server is not None and server.end.took():
            took = True
        moved, self._moved = self._moved, False
        if self._hello is None and (moved or took):
            self._since = now
            return
        proxy = self._passage.proxy
        if self._hello is not None:
            limit = proxy.settings.header_timeout
        elif self._seek is not None:
            limit = self._passage.listener.timeouts.idle
        else:
            limit = proxy.settings.write_timeout  # its server is gone; the rest is for the client to take
        # While a server is looked for, connecting and the queue have limits of their own.
        if now - self._since > limit and (server is not None or self._seek is None):
            self.abort()
