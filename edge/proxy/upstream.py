"""The server's side: one connection to one server, its responses parsed and handed to an exchange."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from httptools import HttpParserError, HttpResponseParser

from edge.pool import ServerState
from edge.proxy.headers import Body, Fields, ResponseHead, read_response
from edge.proxy.refusal import Refusal

WRITE_HIGH_WATER = 65536


class ResponseReceiver(Protocol):
    """What a connection needs of the exchange it works for."""

    @property
    def method(self) -> bytes: ...

    def informational(self, head: ResponseHead) -> None: ...

    def response_started(self, head: ResponseHead) -> None: ...

    def response_body(self, data: bytes) -> None: ...

    def response_flush(self) -> None: ...

    def response_finished(self, reusable: bool) -> None: ...

    def server_failed(self, reason: str, *, answered: bool) -> None: ...

    def server_writable(self) -> None: ...


class Upstream(asyncio.Protocol):
    """A connection to a server. While `receiver` is None it is idle, and whatever arrives ends it.

    Invariant: every `receiver` gets exactly one of `response_finished` and `server_failed`, unless it
    detaches itself before.
    """

    __slots__ = (
        "_closed",
        "_done",
        "_fields",
        "_grew",
        "_head",
        "_loose_bytes",
        "_max_header_bytes",
        "_parser",
        "_reading_paused",
        "_received",
        "_refusal",
        "_status",
        "_transport",
        "_unsent",
        "idle_since",
        "receiver",
        "server",
        "write_paused",
    )

    _transport: asyncio.Transport

    def __init__(self, server: ServerState, max_header_bytes: int) -> None:
        self.server = server
        self.receiver: ResponseReceiver | None = None
        self.idle_since = 0.0
        self.write_paused = False
        self._max_header_bytes = max_header_bytes
        self._parser = HttpResponseParser(self)
        self._closed = False
        self._reading_paused = False
        self._forget_response()

    def _forget_response(self) -> None:
        self._fields: Fields = []
        self._loose_bytes = 0  # come since anything was complete: a head, or a piece of the body
        self._grew = False
        self._unsent = 0
        self._status = b""
        self._head: ResponseHead | None = None
        self._done = False
        self._received = False
        self._refusal: Refusal | None = None

    # The exchange's side.

    @property
    def usable(self) -> bool:
        """Whether a request may be written to it."""
        return not self._closed and not self._transport.is_closing()

    def attach(self, receiver: ResponseReceiver) -> None:
        """Work for `receiver` from now on."""
        self._forget_response()
        self.receiver = receiver

    def detach(self) -> None:
        """Work for nobody; a paused connection reads again, or it could not notice its end."""
        self.receiver = None
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

    def close(self) -> None:
        """End it at once, whatever is unsent; nobody is told."""
        self.receiver = None
        self._closed = True
        self._transport.abort()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's without being of its classes.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self.server.opened += 1

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:
            self._retire()
            return
        self._received = True
        failure = ""
        self._grew = False
        head_was_complete = self._head is not None
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            if not self._done:
                refusal = self._refusal
                failure = refusal.reason if refusal else f"the server broke the protocol ({error})"
            elif self._head is not None:
                self._head.reusable = False
        # The parser shows a field only when it is whole: bound what it holds back.
        if self._grew or (self._head is not None and not head_was_complete):
            self._loose_bytes = 0
        else:
            self._loose_bytes += len(data)
        if self._done:
            self._finish(receiver)
        elif failure:
            self._fail(failure)
        elif self._loose_bytes > self._max_header_bytes:
            self._fail(f"the server's response {'trailer' if self._head else 'head'} is too large")
        else:
            receiver.response_flush()

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        if self.receiver is not None:
            self.receiver.server_writable()

    # How a response, or the connection, ends.

    def _finish(self, receiver: ResponseReceiver) -> None:
        head = self._head
        assert head is not None
        if receiver.method == b"HEAD":
            # This parser still waits for the body that Content-Length promised.
            self._parser = HttpResponseParser(self)
        receiver.response_finished(head.reusable)

    def _ended(self, exc: Exception | None) -> None:
        if self._closed:
            return
        receiver = self.receiver
        if receiver is None:
            self._retire()
        elif exc is None and self._head is not None and self._head.body is Body.UNTIL_CLOSE:
            receiver.response_finished(False)
        else:
            how = "closed the connection" if exc is None else f"broke the connection ({exc})"
            where = "in the middle of its response" if self._head else "before it answered"
            self._fail(f"the server {how} {where}")

    def _fail(self, reason: str) -> None:
        receiver = self.receiver
        answered = self._received
        self.close()
        if receiver is not None:
            receiver.server_failed(reason, answered=answered)

    def _retire(self) -> None:
        self.close()
        self.server.forget_idle(self)

    # The parser's side.

    def on_message_begin(self) -> None:
        if self._done:
            raise Refusal(502, "the server sent more than one response")
        self._fields = []
        self._status = b""

    def on_status(self, status: bytes) -> None:
        self._status += status

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the head, these are trailers: dropped, as RFC 9110 6.5.1 allows.
        if self._head is None:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        receiver = self.receiver
        if receiver is None or self._done:
            return
        parser = self._parser
        status = parser.get_status_code()
        try:
            if status == 101 or status < 100:
                raise Refusal(502, f"the server answered {status}, which nobody asked for")
            head = read_response(
                status, self._status, parser.get_http_version(), self._fields, request_method=receiver.method
            )
        except Refusal as refusal:
            self._refusal = refusal
            raise
        if status < 200:
            self._loose_bytes = 0
            receiver.informational(head)
            return
        self._head = head
        receiver.response_started(head)
        if receiver.method == b"HEAD":
            self._done = True

    def on_body(self, data: bytes) -> None:
        if self._done:
            raise Refusal(502, "the server sent a body where none belongs")
        self._grew = True
        if self.receiver is not None:
            self.receiver.response_body(data)

    def on_message_complete(self) -> None:
        if self._head is not None:
            self._done = True
            # Where the parser sees an end that the fields do not seem to say, it reads nothing more.
            self._head.reusable = self._head.reusable and self._parser.should_keep_alive()
