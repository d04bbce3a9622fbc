"""What does a request's head mean? Pure, and strict: what could be meant otherwise is refused."""

from __future__ import annotations

import re

from edge.http1.errors import REQUEST, ProtocolError
from edge.http1.events import Field, Framing, RequestHead, TargetForm, values
from edge.http1.fields import TOKEN, is_token, members, read_fields
from edge.http1.framing import read_framing
from edge.http1.inbox import LINE_END, refuse_controls
from edge.http1.limits import Limits
from edge.http1.target import check_authority, read_target

# The target: visible ASCII without `#`.
_REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([!\"$-~]++) HTTP/1\.([01])")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_MEANINGFUL = frozenset(
    (b"connection", b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade")
)


def read_request_head(section: bytes, limits: Limits) -> RequestHead:
    """section: the lines of a head, the last one without its CRLF. Raises ProtocolError (4xx or 5xx)."""
    line, _, rest = section.partition(LINE_END)
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        refuse_controls(REQUEST, "head", section + LINE_END)
        raise _complaint(line)
    fields = read_fields(REQUEST, "head", rest + LINE_END, limits.fields) if rest else []
    return _understand(match[1], match[2], int(match[3]), fields)


def _complaint(line: bytes) -> ProtocolError:
    """What is wrong with a request line that does not match; it holds no control bytes but tabs."""
    parts = line.split(b" ")
    if len(parts) != 3 or b"" in parts or b"\t" in line:
        return REQUEST.broken("does not begin with a method, a target and a version, one space between them")
    method, target, version = parts
    if not is_token(method):
        return REQUEST.broken("has a method that is not a token")
    if b"#" in target:
        return REQUEST.broken("has a target with a fragment")
    if not target.isascii():
        return REQUEST.broken("has a target with bytes outside visible ASCII")
    if _VERSION.fullmatch(version) is None:
        return REQUEST.broken("has a malformed HTTP version")
    return ProtocolError(505, f"{version.decode()} is not served here; use HTTP/1.1")


def _understand(method: bytes, target: bytes, minor: int, fields: list[Field]) -> RequestHead:
    names = [field[0].lower() for field in fields]
    present = _MEANINGFUL.intersection(names)

    def get(name: bytes) -> list[bytes]:
        return values(fields, names, name) if name in present else []

    form, resource, authority = read_target(method, target)
    host = _host(get(b"host"), minor)
    framing, length = Framing.NONE, 0
    if b"content-length" in present or b"transfer-encoding" in present:
        framing, length = _framing(get(b"content-length"), get(b"transfer-encoding"), minor, form)
    connection = tuple(members(get(b"connection"))) if b"connection" in present else ()
    awaits = b"expect" in present and _expects_continue(get(b"expect"))
    return RequestHead(
        method=method,
        target=target,
        form=form,
        resource=resource,
        # RFC 9112 3.2.2: an authority in the target replaces what the Host field says.
        host=host if authority is None else authority,
        minor=minor,
        fields=fields,
        names=names,
        framing=framing,
        length=length,
        connection=connection,
        upgrade=tuple(members(get(b"upgrade"))) if b"upgrade" in present else (),
        keep_alive=stays_open(minor, connection),
        # An HTTP/1.0 client does not know what a 100 is (RFC 9110 10.1.1).
        expects_continue=awaits and minor == 1 and (framing is Framing.CHUNKED or length > 0),
    )


def stays_open(minor: int, connection: tuple[bytes, ...]) -> bool:
    """Whether a connection outlives the message that has these connection options (RFC 9112 9.3)."""
    if b"close" in connection:
        return False
    return minor == 1 or b"keep-alive" in connection


def _host(hosts: list[bytes], minor: int) -> bytes:
    """The Host field's value; only HTTP/1.0 may have none, or an empty one (RFC 9112 3.2)."""
    if len(hosts) > 1:
        raise REQUEST.broken("has several Host fields")
    if not hosts and minor == 1:
        raise REQUEST.broken("has no Host field, which HTTP/1.1 requires")
    if not hosts or (not hosts[0] and minor == 0):
        return b""
    check_authority(hosts[0], "a Host field")
    return hosts[0]


def _framing(lengths: list[bytes], codings: list[bytes], minor: int, form: TargetForm) -> tuple[Framing, int]:
    framing, length = read_framing(REQUEST, minor, lengths, codings) or (Framing.NONE, 0)
    if form is TargetForm.AUTHORITY and (framing is Framing.CHUNKED or length):
        # RFC 9110 9.3.6: it has no content; some readers take what follows for the tunnel's, some for a body.
        raise REQUEST.broken("is a CONNECT with a body")
    return framing, length


def _expects_continue(expectations: list[bytes]) -> bool:
    expected = members(expectations)
    if not expected or any(each != b"100-continue" for each in expected):
        raise ProtocolError(417, "the only expectation served here is 100-continue")
    return True
