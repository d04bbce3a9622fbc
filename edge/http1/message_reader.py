"""Turns bytes into events: the part of the machine that both directions share, bodies above all."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from edge.http1.errors import ProtocolError, Side
from edge.http1.events import (
    END_WITHOUT_TRAILERS,
    NEED_DATA,
    Data,
    End,
    Framing,
    RequestHead,
    ResponseHead,
    Signal,
)
from edge.http1.fields import read_trailers
from edge.http1.inbox import LINE_END, Inbox, refuse_controls
from edge.http1.limits import Limits

Head = TypeVar("Head", RequestHead, ResponseHead)
# RFC 9112 7.1: the size, and extensions that nobody here knows, which is why they are only looked over.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*+;[\t -~\x80-\xff]*+)?")
_NO_LIMIT = 1 << 62


class MessageReader(Generic[Head]):
    """Reads one message after the other from the bytes of one direction of a connection.

    It is a table of steps: `_step` is the one that is next, a function of the class (not a bound method,
    which would make every reader a reference cycle). A step returns an event and leaves its successor, or
    returns NEED_DATA and stays. After an error every step raises that same error.
    """

    __slots__ = ("_error", "_inbox", "_limits", "_remaining", "_side", "_step")

    def __init__(self, side: Side, limits: Limits) -> None:
        self._side = side
        self._limits = limits
        self._inbox = Inbox(side)
        self._remaining = 0
        self._error: ProtocolError | None = None
        self._step: Callable[[Any], Head | Data | End | Signal] = MessageReader._wait

    @property
    def buffered(self) -> int:
        """Bytes that have come and that no event has told of."""
        return len(self._inbox)

    def receive(self, data: bytes) -> None:
        """More bytes have come. What follows an error is let go of."""
        if data and self._error is None:
            self._inbox.add(data)

    def receive_eof(self) -> None:
        """The peer sends nothing more."""
        self._inbox.eof = True

    def next_event(self) -> Head | Data | End | Signal:
        """What has come next: a head, then pieces of its body, then End.

        NEED_DATA when nothing has; CLOSED if the peer has closed the connection before the message began.
        Raises ProtocolError when the message must not be used; from then on always the same one.
        """
        if self._error is not None:
            raise ProtocolError(self._error.status, self._error.reason)
        try:
            return self._step(self)
        except ProtocolError as error:
            # A copy, for the original holds this frame, and so the reader.
            self._error = ProtocolError(error.status, error.reason)
            self._inbox.clear()
            raise

    def trailing(self) -> bytes:
        """Take what has come behind the message, for a tunnel; what comes later goes there directly.

        Nothing is read any more. Raises RuntimeError in the middle of a message: what is there belongs to it.
        """
        if not self._between():
            raise RuntimeError("trailing bytes can be taken only after End")
        self._step = MessageReader._wait
        return self._inbox.take(_NO_LIMIT)

    def _between(self) -> bool:
        """Whether no message is under way, and everything in the inbox is as it came."""
        return self._step is MessageReader._wait

    # Steps.

    def _wait(self) -> Signal:
        """Between messages, until the owner begins the next."""
        return NEED_DATA

    def _body_of(self, framing: Framing, length: int) -> None:
        """Choose the step that follows a head."""
        if framing is Framing.CHUNKED:
            self._step = MessageReader._read_chunk_line
        elif framing is Framing.UNTIL_CLOSE:
            self._step = MessageReader._read_until_close
        elif length:
            self._remaining = length
            self._step = MessageReader._read_length
        else:
            self._step = MessageReader._finish

    def _finish(self) -> End:
        self._step = MessageReader._wait
        return END_WITHOUT_TRAILERS

    def _starved(self, where: str) -> Signal:
        """There are too few bytes to go on."""
        if self._inbox.eof:
            raise self._side.broken(f"ended in the middle of its {where}")
        return NEED_DATA

    def _read_length(self) -> Data | Signal:
        data = self._inbox.take(self._remaining)
        if not data:
            return self._starved("body")
        self._remaining -= len(data)
        if not self._remaining:
            self._step = MessageReader._finish
        return Data(data)

    def _read_until_close(self) -> Data | End | Signal:
        data = self._inbox.take(_NO_LIMIT)
        if data:
            return Data(data)
        return self._finish() if self._inbox.eof else NEED_DATA

    def _read_chunk_line(self) -> Data | End | Signal:
        line = self._inbox.line("chunk size line", self._limits.chunk_line)
        if line is None:
            return self._starved("body")
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            refuse_controls(self._side, "chunk size line", line + LINE_END)
            raise self._side.broken("has a chunk size that is not 1 to 16 hexadecimal digits")
        self._remaining = int(match[1], 16)
        if not self._remaining:
            self._step = MessageReader._read_trailer
            return self._read_trailer()
        self._step = MessageReader._read_chunk
        return self._read_chunk()

    def _read_chunk(self) -> Data | Signal:
        data = self._inbox.take(self._remaining)
        if not data:
            return self._starved("body")
        self._remaining -= len(data)
        if not self._remaining:
            self._step = MessageReader._read_chunk_end
        return Data(data)

    def _read_chunk_end(self) -> Data | End | Signal:
        if not self._ends_line("has a chunk that is not as long as its size says"):
            return self._starved("body")
        self._step = MessageReader._read_chunk_line
        return self._read_chunk_line()

    def _read_trailer(self) -> End | Signal:
        inbox, limits = self._inbox, self._limits
        if inbox.starts_with(LINE_END):
            inbox.skip(2)
            return self._finish()
        if not inbox or inbox.is_only(b"\r"):
            return self._starved("trailer")
        section = inbox.section("trailer", limits.trailer, limits.trailer)
        if section is None:
            return self._starved("trailer")
        trailers = read_trailers(self._side, section, limits.fields)
        self._step = MessageReader._wait
        return End(trailers) if trailers else END_WITHOUT_TRAILERS

    def _ends_line(self, otherwise: str) -> bool:
        """Take the CRLF that must come now. Whether both its bytes have come; raises if others have."""
        inbox = self._inbox
        if inbox.starts_with(LINE_END):
            inbox.skip(2)
            return True
        if inbox and not inbox.is_only(b"\r"):
            raise self._side.broken(otherwise)
        return False
