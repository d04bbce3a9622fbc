"""One TCP connection: queries in, answers out in their order, with a deadline for whatever is waited for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol, cast

import structlog

from gslb.dns.query import HEADER_LENGTH, LONGEST_MESSAGE

if TYPE_CHECKING:
    from gslb.dns.tcp import TcpListener

log = structlog.get_logger(__name__)

FIRST_QUERY_TIMEOUT = 5.0
"""Seconds from the connection to the end of its first query, unless `idle_timeout` is shorter."""

QUERY_TIMEOUT = 5.0
"""Seconds from the first byte of a later query to its last, unless `idle_timeout` is shorter."""

WRITE_TIMEOUT = 10.0
"""Seconds a client may take to read the answers that are kept for it."""

BEHIND_TIMEOUT = 30.0
"""Seconds that a client may be waited for in all, less those in which it was not: one that reads just enough
for WRITE_TIMEOUT must not hold its place for ever. Transfers take what they take: their readers are known.
"""

KEPT_FOR_CLIENT = 65536
"""Bytes of answers that wait for a client to read; no more are made before it has read most of them."""

TURN_ANSWERS = 16
TURN_BYTES = 16384
TURN_TIME = 0.001
"""What one connection gets done (messages, their bytes, seconds) before all others have their turn."""

_IPV6_CLIENT_BYTES = 7


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
        self._answers = 0  # messages that the query under way has got
        self._halfway = True  # whether a query has begun; the first one begins with the connection
        self._ended = False  # whether no more queries will be read
        self._blocked = False  # whether the client has to read before more is written
        self._queued = False  # whether a turn is due to it
        self._blocked_at = math.inf  # infinite also where the time does not count
        self._unblocked_at = loop.time()
        self._behind = 0.0  # seconds towards BEHIND_TIMEOUT
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
        if self._timer is not None:
            self._timer.cancel()
        self._messages = None

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._incoming += data
        self._look()

    def eof_received(self) -> bool:
        """The client asks no more, but gets the answers to what it has asked."""
        self._ended = True
        self._look()
        return True

    def pause_writing(self) -> None:
        self._blocked = True
        now = self._loop.time()
        self._behind = max(0.0, self._behind - (now - self._unblocked_at))
        if self._messages is not None and self._answers > 1:  # a transfer
            self._blocked_at = math.inf
            self._expire_in(WRITE_TIMEOUT)
        else:
            self._blocked_at = now
            self._expire_in(min(WRITE_TIMEOUT, BEHIND_TIMEOUT - self._behind))

    def resume_writing(self) -> None:
        self._blocked = False
        self._unblocked_at = self._loop.time()
        self._behind += max(0.0, self._unblocked_at - self._blocked_at)
        self._deadline = math.inf
        self._queue()

    # What the listener orders.

    def finish(self) -> None:
        """Answer what has been received, then close."""
        self._ended = True
        self._look()

    def abort(self) -> None:
        """Close now; what the client has not read is lost."""
        self._transport.abort()

    # The work.

    def _look(self) -> None:
        """Something has come that a turn may be needed for."""
        if self._queued or self._blocked:
            return
        if self._listener.turns.free:
            self._listener.turns.give(self)
        else:
            self._queue()

    def _queue(self) -> None:
        if self._queued:
            return
        self._queued = True
        self._transport.pause_reading()  # or what it sends meanwhile would have no bound
        self._listener.turns.queue(self)

    def work(self) -> None:
        """One turn; the next one comes when everybody else has had theirs, or when the client has read."""
        self._queued = False
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
        if self._blocked:
            self._transport.pause_reading()
        elif more:
            self._deadline = math.inf
            self._queue()
        elif self._ended:
            self._close()
        else:
            self._wait()

    def _answer(self) -> tuple[bytes, bool]:
        """Messages for one turn, and whether there may be more to make."""
        parts: list[bytes] = []
        size = 0
        end = self._loop.time() + TURN_TIME
        while (message := self._next_message()) is not None:
            parts.append(len(message).to_bytes(2) + message)
            size += len(message)
            if len(parts) >= TURN_ANSWERS or size >= TURN_BYTES or self._loop.time() >= end:
                return b"".join(parts), True
        return b"".join(parts), False

    def _next_message(self) -> bytes | None:
        """The next message for the client; None if there is none before it sends more, or none at all."""
        while True:
            if self._messages is None:
                query = self._next_query()
                if query is None:
                    return None
                self._listener.busy(self)
                self._listener.counts.queries += 1
                self._answers = 0
                self._messages = iter(
                    self._listener.responder.respond_stream(query, self._source, self._port)
                )
            message = next(self._messages, None)
            if message is not None and len(message) <= LONGEST_MESSAGE:
                self._answers += 1
                return message
            self._messages = None
            if message is not None:
                log.error(
                    "an answer is too long for tcp; its connection ends",
                    source=self._source,
                    bytes=len(message),
                )
            if message is not None or not self._answers:
                self._end_with_silence()

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
            # The query's time began with its first byte, and may have ended while the connection was queued.
            if self._timer is None:
                self._expire()
            return
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
        if self._queued:
            return  # what is late may be here already, unread; its turn finds out
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
    """What connections are counted by: an IPv4 address, or the /56 that an IPv6 site can choose from."""
    address = ip_address(source.partition("%")[0])
    if address.version == 4:
        return address.packed
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped.packed
    return address.packed[:_IPV6_CLIENT_BYTES]
