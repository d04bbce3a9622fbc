"""What does a response's head mean, to the method it answers? Pure, and as strict as with requests."""

from __future__ import annotations

import re

from edge.http1.errors import RESPONSE
from edge.http1.events import Field, Framing, ResponseHead, values
from edge.http1.fields import members, read_fields
from edge.http1.framing import read_framing
from edge.http1.inbox import LINE_END, refuse_controls
from edge.http1.limits import Limits
from edge.http1.request_head import stays_open

# The reason phrase may be empty, and the space before it missing (RFC 9112 4).
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t -~\x80-\xff]*+))?")
_VERSION = re.compile(rb"HTTP/1\.[01] ")
_MEANINGFUL = frozenset((b"connection", b"content-length", b"transfer-encoding", b"upgrade"))


def read_response_head(section: bytes, method: bytes, limits: Limits) -> ResponseHead:
    """section: the lines of a head, the last one without its CRLF. method: that was asked with.

    Raises ProtocolError (502).
    """
    line, _, rest = section.partition(LINE_END)
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        refuse_controls(RESPONSE, "head", section + LINE_END)
        if _VERSION.match(line) is None:
            raise RESPONSE.broken("does not begin with HTTP/1.0 or HTTP/1.1 and one space")
        raise RESPONSE.broken("has no status from 100 to 599, followed by nothing, or a space and a reason")
    fields = read_fields(RESPONSE, "head", rest + LINE_END, limits.fields) if rest else []
    return _understand(int(match[2]), match[3] or b"", int(match[1]), fields, method)


def _understand(status: int, reason: bytes, minor: int, fields: list[Field], method: bytes) -> ResponseHead:
    names = [field[0].lower() for field in fields]
    present = _MEANINGFUL.intersection(names)

    def get(name: bytes) -> list[bytes]:
        return values(fields, names, name) if name in present else []

    said = read_framing(RESPONSE, minor, get(b"content-length"), get(b"transfer-encoding"))
    framing, length, announced = _frame(status, method, said)
    connection = tuple(members(get(b"connection"))) if b"connection" in present else ()
    ends_with_connection = framing is Framing.UNTIL_CLOSE or is_tunnel(status, method)
    return ResponseHead(
        status=status,
        reason=reason,
        minor=minor,
        fields=fields,
        names=names,
        framing=framing,
        length=length,
        announced=announced,
        connection=connection,
        upgrade=tuple(members(get(b"upgrade"))) if b"upgrade" in present else (),
        keep_alive=not ends_with_connection and stays_open(minor, connection),
    )


def is_tunnel(status: int, method: bytes) -> bool:
    """Whether what follows this response is no HTTP/1.1 any more (RFC 9110 15.2.2 and 9.3.6)."""
    return status == 101 or (method == b"CONNECT" and 200 <= status < 300)


def _frame(status: int, method: bytes, said: tuple[Framing, int] | None) -> tuple[Framing, int, int | None]:
    """Framing, the body's length, and the length of a body that is only announced (RFC 9112 6.3)."""
    length = said[1] if said and said[0] is Framing.LENGTH else None
    if status < 200 or status == 204:
        # A server must not say this (RFC 9110 8.6, RFC 9112 6.1). A length of 0, which many send with a 204,
        # does no harm. Anything else promises a body, and whether it follows only its sender knows.
        if said and length != 0:
            raise RESPONSE.broken(f"has status {status} and yet announces a body")
        return Framing.NONE, 0, None
    if is_tunnel(status, method):
        return Framing.NONE, 0, None
    if status == 304 or method == b"HEAD":
        return Framing.NONE, 0, length
    if said is None:
        return Framing.UNTIL_CLOSE, 0, None
    return said[0], said[1], None
