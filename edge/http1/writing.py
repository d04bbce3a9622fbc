"""Writes the lines and chunks of messages; whatever could end a line too early is refused."""

from __future__ import annotations

from collections.abc import Iterable

from edge.http1.events import Field, Trailers

_LAST_CHUNK = b"0\r\n\r\n"


def request_line(method: bytes, target: bytes) -> bytes:
    """`GET /path HTTP/1.1` and its line end. Raises ValueError for anything that is not one line."""
    return _lines(b"%b %b HTTP/1.1\r\n" % (method, target), 1)


def status_line(status: int, reason: bytes = b"") -> bytes:
    """`HTTP/1.1 200 OK` and its line end; the space stays when there is no reason (RFC 9112 4)."""
    return _lines(b"HTTP/1.1 %d %b\r\n" % (status, reason), 1)


def field_lines(fields: Iterable[Field]) -> bytes:
    """Field lines with their ends, in order. Raises ValueError if a name or a value holds CR, LF or NUL."""
    lines = [b"%b: %b\r\n" % field for field in fields]
    return _lines(b"".join(lines), len(lines))


def chunk(data: bytes) -> bytes:
    """One chunk with this data; nothing for no data, for an empty chunk would end the body (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def last_chunk(trailers: Trailers = ()) -> bytes:
    """The end of a chunked body. Raises ValueError as `field_lines` does."""
    return b"0\r\n%b\r\n" % field_lines(trailers) if trailers else _LAST_CHUNK


def _lines(text: bytes, count: int) -> bytes:
    # As many CRs and LFs as line ends were written: none came with the contents.
    if text.count(b"\r") != count or text.count(b"\n") != count or b"\0" in text:
        raise ValueError(f"a line of a message cannot hold CR, LF or NUL: {text!r}")
    return text
