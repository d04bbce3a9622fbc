"""One TCP connection: queries in, answers out in their order, with a deadline for whatever is waited for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol, cast

import structlog

from gslb.dns.query import HEADER_LENGTH

if TYPE_CHECKING:
    from gslb.dns.tcp import TcpListener

log = structlog.get_logger(__name__)

FIRST_QUERY_TIMEOUT = 5.0
"""Seconds from the connection to the end of its first query, unless `idle_timeout` is shorter."""

QUERY_TIMEOUT = 5.0
"""Seconds from the first byte of a later query to its last, unless `idle_timeout` is shorter."""

WRITE_TIMEOUT = 10.0
"""Seconds a client may take to read the answers that are kept for it."""

KEPT_FOR_CLIENT = 65536
"""Bytes of answers that wait for a client to read; no more are made before it has read most of them."""

TURN_ANSWERS = 16
TURN_BYTES = 16384
"""What one connection gets done (messages, their bytes) before all others have their turn."""

_IPV6_CLIENT_BYTES = 8


class StreamResponder(Protocol):
    """What answers the queries."""

    def respond_stream(self, packet: bytes, source: str, port: int) -> Iterable[bytes]:
        """The messages that answer, made as they are taken; none means to say nothing and close."""
        ...


class Connection(asyncio.Protocol):
    """One client: its queries are answered one at a time in their order, a few of them each turn."""

    _transport: asyncio.Transport

    def __init__(self, listener: TcpListener, loop: asyncio.AbstractEventLoop) -> None:
        self._listener = listener
        self._loop = loop
        self._incoming = bytearray()
        self._messages: Iterator[bytes] | None = None
        self._answered = False  # whether the query under way has got a message
        self._halfway = True  # whether a query has begun; the first one begins with the connection
        self._ended = False  # whether no more queries will be read
        self._blocked = False  # whether the client has to read before more is written
        self._turn: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._deadline = math.inf
        self.client = b""

    # Events, as asyncio tells them.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Other loops' transports have the methods of asyncio's without being of its classes.
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if not peer:
            self.abort()  # gone already
            return
        self._source, self._port = peer[:2]
        self.client = client_of(self._source)
        if not self._listener.admit(self, self.client):
            transport.close()
            return
        self._transport.set_write_buffer_limits(high=KEPT_FOR_CLIENT)
        self._expire_in(min(FIRST_QUERY_TIMEOUT, self._listener.settings.idle_timeout))

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.forget(self)
        if self._turn is not None:
            self._turn.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._messages = None

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._incoming += data
        if self._turn is None and not self._blocked:
            self._work()

    def eof_received(self) -> bool:
        """The client asks no more, but gets the answers to what it has asked."""
        self._ended = True
        if self._turn is None and not self._blocked:
            self._work()
        return True

    def pause_writing(self) -> None:
        self._blocked = True
        self._expire_in(WRITE_TIMEOUT)

    def resume_writing(self) -> None:
        self._blocked = False
        self._deadline = math.inf
        if self._turn is None:
            self._turn = self._loop.call_soon(self._work)

    # What the listener orders.

    def finish(self) -> None:
        """Answer what has been received, then close."""
        self._ended = True
        if self._turn is None and not self._blocked:
            self._work()

    def abort(self) -> None:
        """Close now; what the client has not read is lost."""
        self._transport.abort()

    # The work.

    def _work(self) -> None:
        """One turn; the next one comes when everybody else has had theirs, or when the client has read."""
        self._turn = None
        if self._transport.is_closing():
            return
        try:
            answers, more = self._answer()
        except Exception:
            log.exception("a query over tcp could not be answered", source=self._source)
            self.abort()
            return
        if answers:
            self._transport.write(answers)
        if self._transport.is_closing():
            return
        if more or self._blocked:
            self._transport.pause_reading()
            if not self._blocked:
                self._deadline = math.inf
                self._turn = self._loop.call_soon(self._work)
        elif self._ended:
            self._close()
        else:
            self._wait()

    def _answer(self) -> tuple[bytes, bool]:
        """Messages for one turn, and whether there are more to make."""
        parts: list[bytes] = []
        size = 0
        while len(parts) < TURN_ANSWERS and size < TURN_BYTES:
            if self._messages is None:
                query = self._next_query()
                if query is None:
                    return b"".join(parts), False
                self._listener.busy(self)
                self._listener.counts.queries += 1
                self._answered = False
                self._messages = iter(
                    self._listener.responder.respond_stream(query, self._source, self._port)
                )
            message = next(self._messages, None)
            if message is not None:
                parts.append(len(message).to_bytes(2) + message)
                size += len(message)
                self._answered = True
                continue
            self._messages = None
            if not self._answered:
                self._end_with_silence()
        return b"".join(parts), True

    def _next_query(self) -> bytes | None:
        """The next query if it has arrived whole."""
        incoming = self._incoming
        if len(incoming) < 2:
            return None
        end = 2 + int.from_bytes(incoming[:2])
        if end < 2 + HEADER_LENGTH:
            self._listener.counts.malformed += 1
            self._end_with_silence()
            return None
        if len(incoming) < end:
            return None
        query = bytes(incoming[2:end])
        del incoming[:end]
        self._halfway = False
        return query

    def _end_with_silence(self) -> None:
        """Read nothing more of this client: it is no DNS client, or not one that we talk to."""
        self._incoming.clear()
        self._ended = True

    def _wait(self) -> None:
        """Everything is answered that has arrived whole; the client has its time for what is missing."""
        self._transport.resume_reading()
        if self._halfway:
            return  # the query's time began with its first byte
        self._listener.idle(self)
        if self._incoming:
            self._halfway = True
            self._expire_in(min(QUERY_TIMEOUT, self._listener.settings.idle_timeout))
        else:
            self._expire_in(self._listener.settings.idle_timeout)

    def _close(self) -> None:
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._expire_in(WRITE_TIMEOUT)

    # Deadlines. A timer is set only when it must go off earlier than the one that is set already.

    def _expire_in(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds
        if self._deadline < self._timer_at:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._expire)

    def _expire(self) -> None:
        self._timer, self._timer_at = None, math.inf
        if self._loop.time() < self._deadline:
            if self._deadline < math.inf:
                self._set_timer()
            return
        if self._transport.get_write_buffer_size():
            self._listener.counts.slow_readers += 1
        else:
            self._listener.counts.timed_out += 1
        self.abort()


def client_of(source: str) -> bytes:
    """What connections are counted by: an IPv4 address, or the /64 that an IPv6 client can choose from."""
    address = ip_address(source.partition("%")[0])
    if address.version == 4:
        return address.packed
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped.packed
    return address.packed[:_IPV6_CLIENT_BYTES]
