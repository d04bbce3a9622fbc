"""The ends of a connection that is passed on: what either can be told, and what the server's tells."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast

from edge.tls.handshake import said_goodbye

HIGH_WATER = 65536
"""Bytes that one side has not taken yet, from which on the other is not read."""

_RESET = struct.pack("ii", 1, 0)
_SILENCE, _BETWEEN, _ASKED = 60, 10, 3  # seconds, seconds, times


class End:
    """One end of a relay: a transport that knows how far it has been ended.

    heard_end: it sends no more. paused: it does not take what it is sent.
    """

    __slots__ = ("_reading_paused", "_said_end", "_transport", "_unsent", "heard_end", "paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self._transport = transport
        self._reading_paused = False
        self._said_end = False
        self._unsent = 0
        self.heard_end = False
        self.paused = False

    def write(self, data: bytes | bytearray) -> None:
        if not self._said_end:
            self._transport.write(data)

    def end_writing(self) -> None:
        """Nothing more is coming for it. TLS cannot say so of one direction alone: there it ends both."""
        if self._said_end:
            return
        self._said_end = True
        if self.heard_end or not self._transport.can_write_eof():
            self._transport.close()
        elif not self._transport.is_closing():
            self._transport.write_eof()

    def hear_end(self) -> bool:
        """It sends no more; whether it shall stay open for what it is still sent."""
        self.heard_end = True
        if self._said_end:
            self._transport.close()
            return False
        if not self._transport.can_write_eof():
            return False
        # Who has closed its end altogether looks the same until it is asked.
        keep_asking(self._transport.get_extra_info("socket"))
        return True

    def pause_reading(self) -> None:
        if not self._reading_paused and not self.heard_end and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            if not self.heard_end and not self._transport.is_closing():
                self._transport.resume_reading()

    def took(self) -> bool:
        """Whether it has taken any of what waits for it since this was last asked."""
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        return self._unsent < before

    @property
    def meant_to_end(self) -> bool:
        """Whether the peer itself ended it, as far as one can know: always, without TLS."""
        tls = self._transport.get_extra_info("ssl_object")
        return tls is None or said_goodbye(tls)

    def close(self) -> None:
        """End it once what was written has gone out."""
        self._said_end = True
        self._transport.close()

    def abort(self, *, reset: bool = False) -> None:
        """End it at once. reset: so that what came before cannot be taken for all there was."""
        self._said_end = True
        if reset and not self._transport.is_closing():
            opened = self._transport.get_extra_info("socket")
            with suppress(OSError, AttributeError):
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()


def keep_asking(opened: socket.socket | None) -> None:
    """Have the kernel ask now and then whether the other end is still there."""
    if opened is None:
        return
    with suppress(OSError, AttributeError):
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENCE)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _BETWEEN)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _ASKED)


class FromServer(Protocol):
    """Who is told what a server does."""

    def from_server(self, data: bytes) -> None: ...

    def server_ended(self) -> bool: ...

    def server_gone(self, *, broken: bool) -> None: ...

    def server_writable(self) -> None: ...


class ServerSide(asyncio.Protocol):
    """A connection to a server, or one that is about to be."""

    __slots__ = ("_opened", "_relay", "end")

    end: End

    def __init__(self, relay: FromServer, opened: Callable[[ServerSide], None]) -> None:
        """opened: called before anything else is told."""
        self._relay: FromServer | None = relay
        self._opened = opened

    def leave(self) -> None:
        """Nobody is told anything any more; if it does not stand yet, it shall not."""
        self._relay = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's without being of its classes.
        self.end = End(cast(asyncio.Transport, transport))
        if self._relay is None:
            self.end.abort()
        else:
            self._opened(self)

    def data_received(self, data: bytes) -> None:
        if self._relay is not None:
            self._relay.from_server(data)

    def eof_received(self) -> bool:
        return self._relay is not None and self._relay.server_ended()

    def connection_lost(self, exc: Exception | None) -> None:
        relay, self._relay = self._relay, None
        if relay is not None:
            # Who has said all there is may well refuse what still comes.
            relay.server_gone(broken=exc is not None and not self.end.heard_end)

    def pause_writing(self) -> None:
        self.end.paused = True

    def resume_writing(self) -> None:
        self.end.paused = False
        if self._relay is not None:
            self._relay.server_writable()
