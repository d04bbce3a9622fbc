"""A second opinion on HTTP/1.1: whole streams read by code that shares nothing with the edge's engine.

It is short rather than quick, and refuses what it is not sure of. So whatever the edge lets through must be
found here, too; what the edge refuses beyond that is its own business.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, field

TOKEN = frozenset((string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode())
HEX = frozenset(string.hexdigits.encode())
DIGITS = frozenset(string.digits.encode())
OWS = b" \t"


class NotStrictlyHttpError(ValueError):
    """From here on these bytes are nothing that everybody reads in one way."""


class IncompleteError(Exception):
    """More bytes must come."""


@dataclass
class Read:
    """One message. end: where the next one begins. complete: whether the body came whole."""

    start: list[bytes]
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    complete: bool = True
    end: int = 0
    until_close: bool = False
    names: list[bytes] = field(default_factory=list)

    def get(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name]

    def listed(self, name: bytes) -> list[bytes]:
        return [each.strip(OWS).lower() for value in self.get(name) for each in value.split(b",")]

    @property
    def status(self) -> int:
        return int(self.start[1])

    @property
    def last(self) -> bool:
        """Whether the connection takes nothing after it."""
        options = self.listed(b"connection")
        is_old = b"HTTP/1.0" in self.start
        return b"close" in options or (is_old and b"keep-alive" not in options)


def _line(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.find(b"\n", at)
    line = data[at : end if end >= 0 else len(data)]
    controls = [byte for byte in line if (byte < 0x20 and byte not in b"\t\r") or byte == 0x7F]
    if controls or b"\r" in line[:-1]:
        raise NotStrictlyHttpError("a control byte")
    if end < 0:
        raise IncompleteError
    if not line.endswith(b"\r"):
        raise NotStrictlyHttpError("a bare LF")
    return line[:-1], end + 1


def _fields(data: bytes, at: int) -> tuple[list[tuple[bytes, bytes]], int]:
    fields: list[tuple[bytes, bytes]] = []
    while True:
        line, at = _line(data, at)
        if not line:
            return fields, at
        name, colon, value = line.partition(b":")
        if not colon or not name or not TOKEN.issuperset(name):
            raise NotStrictlyHttpError(f"no field: {line!r}")
        fields.append((name, value.strip(OWS)))


def _chunked(message: Read, data: bytes, at: int) -> None:
    message.complete = False
    while True:
        line, at = _line(data, at)
        size, _, _ = line.partition(b";")
        size = size.rstrip(OWS)
        if not size or not HEX.issuperset(size) or len(size) > 16:
            raise NotStrictlyHttpError(f"no chunk size: {line!r}")
        count = int(size, 16)
        if not count:
            break
        piece = data[at : at + count]
        message.body += piece
        at += count
        if len(piece) < count or len(data) == at:
            raise IncompleteError
        if not b"\r\n".startswith(data[at : at + 2]):
            raise NotStrictlyHttpError("a chunk of another length")
        if len(data) == at + 1:
            raise IncompleteError
        at += 2
    _, message.end = _fields(data, at)
    message.complete = True


def _length(message: Read, data: bytes, at: int) -> None:
    values = set(message.listed(b"content-length"))
    (value,) = values if len(values) == 1 else (b"x",)
    if not value or not DIGITS.issuperset(value):
        raise NotStrictlyHttpError("no length")
    message.body = data[at : at + int(value)]
    message.end = at + int(value)
    message.complete = len(message.body) == int(value)


def _framed(message: Read, data: bytes, at: int) -> bool:
    """Read a body whose end is said; False if none is."""
    codings = message.listed(b"transfer-encoding")
    if codings:
        if codings != [b"chunked"] or message.get(b"content-length") or b"HTTP/1.0" in message.start:
            raise NotStrictlyHttpError("not simply chunked")
        _chunked(message, data, at)
    elif message.get(b"content-length"):
        _length(message, data, at)
    else:
        return False
    return True


def read_request(data: bytes, at: int) -> Read:
    """The request at `at`, perhaps with a part of its body. Raises NotStrictlyHttpError, IncompleteError."""
    line, at = _line(data, at)
    start = line.split(b" ")
    if len(start) != 3 or start[2] not in (b"HTTP/1.0", b"HTTP/1.1") or not all(start):
        raise NotStrictlyHttpError(f"no request line: {line!r}")
    if not TOKEN.issuperset(start[0]) or not all(0x21 <= byte <= 0x7E for byte in start[1]):
        raise NotStrictlyHttpError(f"no request line: {line!r}")
    fields, at = _fields(data, at)
    message = Read(start, fields, end=at)
    try:
        _framed(message, data, at)
    except IncompleteError:
        message.complete = False
    except NotStrictlyHttpError:
        if message.complete:
            raise  # the head itself; what came of a broken body may have been passed on
    return message


def requests_in(data: bytes) -> list[Read]:
    """All requests that these bytes can be taken for; the last one may be incomplete."""
    found: list[Read] = []
    at = 0
    while at < len(data):
        if data.startswith(b"\r\n", at):
            at += 2  # RFC 9112 2.2: one empty line may come before a request
        try:
            message = read_request(data, at)
        except (NotStrictlyHttpError, IncompleteError):
            break
        found.append(message)
        if not message.complete or message.last or message.start[0] == b"CONNECT":
            break
        at = message.end
    return found


def read_response(data: bytes, at: int, method: bytes, *, closed: bool) -> Read:
    """The response at `at` to a request with `method`. closed: the connection has ended behind `data`."""
    line, at = _line(data, at)
    start = line.split(b" ", 2)
    if len(start) < 2 or start[0] not in (b"HTTP/1.0", b"HTTP/1.1"):
        raise NotStrictlyHttpError(f"no status line: {line!r}")
    if len(start[1]) != 3 or not DIGITS.issuperset(start[1]) or not b"100" <= start[1] <= b"599":
        raise NotStrictlyHttpError(f"no status: {line!r}")
    fields, at = _fields(data, at)
    message = Read(start, fields, end=at)
    if message.status < 200 or message.status in (204, 304) or method == b"HEAD":
        return message
    try:
        if not _framed(message, data, at):
            message.body, message.end, message.complete = data[at:], len(data), closed
            message.until_close = True
    except IncompleteError:
        message.complete = False
    return message


def responses_in(data: bytes, methods: Sequence[bytes], *, closed: bool) -> list[Read]:
    """All final responses; interim ones are read over. Raises NotStrictlyHttpError.

    methods: of the requests, in order; a response beyond them is read as one to GET.
    """
    found: list[Read] = []
    at = 0
    while at < len(data):
        method = methods[len(found)] if len(found) < len(methods) else b"GET"
        message = read_response(data, at, method, closed=closed)
        if len(found) >= len(methods) and message.status >= 400 and not message.complete:
            # The method of a request that could not be read; there is no body if it was HEAD.
            message = read_response(data, at, b"HEAD", closed=closed)
        at = message.end if message.complete else len(data)
        if message.status >= 200:
            found.append(message)
        elif message.status == 101:
            found.append(message)
            break
    return found
