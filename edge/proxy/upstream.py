"""The server's side: one connection to one server, its responses read and handed to an exchange."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from edge.http1.errors import ProtocolError
from edge.http1.events import Data, End, ResponseHead, Trailers
from edge.http1.limits import Limits
from edge.http1.response_reader import ResponseReader
from edge.retry import Failure
from edge.server import ServerState
from edge.tls.handshake import said_goodbye

if TYPE_CHECKING:
    from edge.proxy.tunnel import Tunnel

WRITE_HIGH_WATER = 65536


class ResponseReceiver(Protocol):
    """What a connection needs of the exchange it works for. upgrades: whether a 101 is an answer to it."""

    __slots__ = ()

    @property
    def method(self) -> bytes: ...

    @property
    def upgrades(self) -> bool: ...

    def informational(self, head: ResponseHead) -> None: ...

    def response_started(self, head: ResponseHead) -> bool: ...

    def response_body(self, data: bytes) -> None: ...

    def response_flush(self) -> None: ...

    def response_finished(self, trailers: Trailers, *, reusable: bool) -> None: ...

    def switched(self, head: ResponseHead, early: bytes) -> None: ...

    def server_failed(self, failure: Failure, reason: str) -> None: ...

    def server_writable(self) -> None: ...


class Upstream(asyncio.Protocol):
    """A connection to a server. While `receiver` is None it is idle, and whatever arrives ends it.

    Invariant: every `receiver` gets exactly one of `response_finished`, `switched` and `server_failed`,
    unless it gives the connection up before.

    shared: whether it may serve other clients' requests later. opened_at, idle_since: loop time.
    """

    __slots__ = (
        "_begun",
        "_closed",
        "_head",
        "_reader",
        "_reading_paused",
        "_transport",
        "_tunnel",
        "_unsent",
        "idle_since",
        "opened_at",
        "receiver",
        "server",
        "shared",
        "write_paused",
    )

    _transport: asyncio.Transport

    def __init__(
        self,
        server: ServerState,
        limits: Limits,
        *,
        shared: bool = True,
        now: float,
        begun: Callable[[Upstream], None] | None = None,
    ) -> None:
        """begun: told of a connection that is not new, and on which something may be under way."""
        self.server = server
        self._begun = begun
        self.shared = shared
        self.receiver: ResponseReceiver | None = None
        self.opened_at = self.idle_since = now
        self.write_paused = False
        self._reader = ResponseReader(limits)
        self._head: ResponseHead | None = None
        self._tunnel: Tunnel | None = None
        self._closed = False
        self._reading_paused = False
        self._unsent = 0

    # The exchange's side.

    @property
    def usable(self) -> bool:
        """Whether a request may be written to it."""
        return not self._closed and not self._transport.is_closing()

    def attach(self, receiver: ResponseReceiver) -> None:
        """Work for `receiver` from now on, which writes one request."""
        self._head = None
        self._unsent = 0
        self._reader.expect(receiver.method, upgrade=receiver.upgrades)
        self.receiver = receiver

    def detach(self) -> None:
        """Work for nobody; a paused connection reads again, or it could not notice its end."""
        self.receiver = None
        self.resume_reading()

    def surrender(self) -> int:
        """The descriptor of an idle connection, which is the caller's from now on; -1 if there is none."""
        connection = self._transport.get_extra_info("socket") if self.usable else None
        secured = self._transport.get_extra_info("ssl_object") is not None
        if connection is None or secured or self._transport.get_write_buffer_size():
            self.close()
            return -1
        try:
            fd = os.dup(connection.fileno())
        except OSError:
            self.close()
            return -1
        self._closed = True
        self._transport.abort()  # closes this descriptor of the connection, not the connection
        return fd

    def tunnel_with(self, tunnel: Tunnel) -> None:
        """From now on bytes are passed as they come."""
        self.receiver = None
        self._tunnel = tunnel
        self.resume_reading()

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def took(self) -> bool:
        """Whether the server has taken any of what waits for it since this was last asked."""
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        return self._unsent < before

    def pause_reading(self) -> None:
        if not self._reading_paused and self.usable:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            if self.usable:
                self._transport.resume_reading()

    def finish(self) -> None:
        """End it once what was written has gone out; nobody is told."""
        self.receiver = None
        self._tunnel = None
        self._closed = True
        self._transport.close()

    def close(self) -> None:
        """End it at once, whatever is unsent; nobody is told."""
        self.receiver = None
        self._tunnel = None
        self._closed = True
        self._transport.abort()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's without being of its classes.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        if self._begun is None:
            self.server.opened += 1
        else:
            self._begun(self)

    def data_received(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.from_server(data)
        elif self.receiver is None:
            self._retire()
        else:
            self._reader.receive(data)
            self._read()

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._tunnel is not None:
            self._tunnel.server_writable()
        elif self.receiver is not None:
            self.receiver.server_writable()

    # How a response comes in.

    def _read(self) -> None:
        """Hand over what has come; all of one read goes to the client in one piece."""
        receiver = self.receiver
        while receiver is not None:
            try:
                event = self._reader.next_event()
            except ProtocolError as error:
                self._fail(Failure.BROKEN, error.reason)
                return
            if isinstance(event, Data):
                receiver.response_body(event.data)
            elif isinstance(event, ResponseHead):
                if not self._begin(receiver, event):
                    return
            elif isinstance(event, End):
                self._finish(receiver, event)
                return
            else:
                receiver.response_flush()
                return
            receiver = self.receiver  # the exchange may have given up meanwhile

    def _begin(self, receiver: ResponseReceiver, head: ResponseHead) -> bool:
        """Whether to read on for the same receiver."""
        if self._reader.tunnel:
            self._reader.next_event()  # its End; what follows belongs to the tunnel
            receiver.switched(head, self._reader.trailing())
            return False
        if head.status < 200:
            receiver.informational(head)
            return True
        self._head = head
        return receiver.response_started(head)

    def _finish(self, receiver: ResponseReceiver, end: End) -> None:
        head = self._head
        assert head is not None
        # Bytes behind the response would be taken for the next one's. Some servers send the body that a
        # response to HEAD only announces: nobody waits there to find out.
        announced = bool(head.announced) or b"transfer-encoding" in head.names
        in_doubt = receiver.method == b"HEAD" and announced
        reusable = head.keep_alive and self.shared and not in_doubt and not self._reader.surplus
        receiver.response_finished(end.trailers, reusable=reusable)

    # How the connection ends.

    def _ended(self, exc: Exception | None) -> None:
        if self._closed:
            return
        tunnel, receiver = self._tunnel, self.receiver
        if tunnel is not None:
            self.close()
            tunnel.server_ended()
        elif receiver is None:
            self._retire()
        elif exc is not None:
            where = "in the middle of its response" if self._reader.begun else "before it answered"
            failure = Failure.BROKEN if self._reader.begun else Failure.ENDED
            self._fail(failure, f"the server broke the connection ({exc}) {where}")
        elif not self._reader.begun:
            self._fail(Failure.ENDED, "the server closed the connection before it answered")
        elif not self._meant_to_end():
            self._fail(Failure.BROKEN, "TLS to the server was cut off in the middle of its response")
        else:
            self._reader.receive_eof()
            self._read()

    def _meant_to_end(self) -> bool:
        """Whether the server itself ended the connection, as far as one can know: always, without TLS."""
        tls = self._transport.get_extra_info("ssl_object")
        return tls is None or said_goodbye(tls)

    def _fail(self, failure: Failure, reason: str) -> None:
        receiver = self.receiver
        self.close()
        if receiver is not None:
            receiver.server_failed(failure, reason)

    def _retire(self) -> None:
        self.close()
        self.server.forget_idle(self)
