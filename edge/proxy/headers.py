"""Reads and writes message heads: what a head means, and what of it travels on. Pure functions.

Heads arrive as the parser's list of (name, value) pairs and leave as bytes. Fields that travel on keep
their spelling, their order and their duplicates; framing is always written anew from what was understood,
never copied (RFC 9112 6.3), so that two readers of one message cannot disagree about its length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from random import getrandbits

from edge.proxy.refusal import Refusal
from edge.route import normalise_host

Fields = list[tuple[bytes, bytes]]

# RFC 9110 7.6.1 and, as every proxy does, the fields RFC 2616 13.5.1 named beside them.
_HOP_BY_HOP = (
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"upgrade",
)
# Who the client is, only the edge says: what a client claims about itself is dropped.
_CLAIMS = (
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-real-ip",
    b"forwarded",
)
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


class _Kind(Enum):
    DROP = auto()
    HOST = auto()
    CONNECTION = auto()
    CONTENT_LENGTH = auto()
    TRANSFER_ENCODING = auto()
    EXPECT = auto()
    UPGRADE = auto()
    REQUEST_ID = auto()
    VIA = auto()


_COMMON_KINDS = {
    b"connection": _Kind.CONNECTION,
    b"content-length": _Kind.CONTENT_LENGTH,
    b"transfer-encoding": _Kind.TRANSFER_ENCODING,
    b"x-request-id": _Kind.REQUEST_ID,
}
_REQUEST_KINDS = {
    **dict.fromkeys((*_HOP_BY_HOP, *_CLAIMS), _Kind.DROP),
    **_COMMON_KINDS,
    b"host": _Kind.HOST,
    b"expect": _Kind.EXPECT,
    b"upgrade": _Kind.UPGRADE,
    b"via": _Kind.VIA,
}
_RESPONSE_KINDS = {
    **dict.fromkeys((*_HOP_BY_HOP, b"x-gslb-region", b"x-gslb-server"), _Kind.DROP),
    **_COMMON_KINDS,
}


class Body(Enum):
    """How the end of a body is known."""

    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()
    UNTIL_CLOSE = auto()


@dataclass(slots=True)
class RequestHead:
    """A request as understood. lines: the fields that travel on, as they will be written.

    host: the Host field as it came (or the target's authority). routed_host: normalised for routes.
    client_minor: of the client's HTTP/1.x. via: the Via fields it came with, lower case.
    """

    method: bytes
    target: bytes
    host: bytes
    routed_host: bytes
    client_minor: int
    keep_alive: bool
    body: Body
    length: int
    request_id: bytes
    expects_continue: bool
    via: bytes
    lines: list[bytes]

    @property
    def idempotent(self) -> bool:
        """Whether sending it twice is as good as once (RFC 9110 9.2.2)."""
        return self.method in _IDEMPOTENT


@dataclass(slots=True)
class ResponseHead:
    """A response as understood. reusable: whether the server keeps the connection open after it."""

    status: int
    reason: bytes
    body: Body
    length: int
    reusable: bool
    lines: list[bytes]


def tokens(value: bytes) -> list[bytes]:
    """A comma-separated list's members, lower case, empty ones left out."""
    return [token for token in (part.strip(b" \t") for part in value.lower().split(b",")) if token]


def new_request_id() -> bytes:
    """An id for a request that came without one that can be used."""
    return b"%032x" % getrandbits(128)


def _poses(name: bytes) -> bool:
    """Whether a server that reads `_` as `-` would take it for a field that the edge answers for."""
    return b"_" in name and name.lower().replace(b"_", b"-") in _REQUEST_KINDS


def announces_body(fields: Fields) -> bool:
    """Whether a request with these fields, which may still be wrong, says that a body follows."""
    for name, value in fields:
        kind = _COMMON_KINDS.get(name.lower())
        if kind is _Kind.TRANSFER_ENCODING or (kind is _Kind.CONTENT_LENGTH and value.strip(b" \t0")):
            return True
    return False


@lru_cache(1024)
def _routed_host(host: bytes) -> bytes:
    if _HOST.fullmatch(host) is None:
        raise Refusal(400, "the Host field is not a host name or address")
    return normalise_host(host)


def _length(value: bytes, earlier: int | None, status: int, who: str) -> int:
    value = value.strip(b" \t")
    if not value.isdigit() or len(value) > 18:
        raise Refusal(status, f"the {who}'s Content-Length is not a number")
    length = int(value)
    if earlier is not None and earlier != length:
        raise Refusal(status, f"the {who} has several Content-Length fields that differ")
    return length


def _split_target(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """The target to forward, and the authority when it was in absolute form (RFC 9112 3.2)."""
    if b"#" in target:
        raise Refusal(400, "the request target must not have a fragment")
    if target.startswith(b"/"):
        return target, None
    if method == b"CONNECT":
        raise Refusal(501, "CONNECT is not served here")
    if target == b"*" and method == b"OPTIONS":
        return target, None
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise Refusal(400, "the request target is neither a path nor an http URL")
    end = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    if not authority:
        raise Refusal(400, "the request target is a URL without a host")
    return (path if path.startswith(b"/") else b"/" + path), authority


def read_request(method: bytes, target: bytes, version: str, fields: Fields) -> RequestHead:
    """What a request head means; raises Refusal when it must not be forwarded (RFC 9112 3 and 6)."""
    if version not in ("1.1", "1.0"):
        raise Refusal(505, f"HTTP/{version} is not served here; use HTTP/1.1")
    minor = 1 if version == "1.1" else 0
    forwarded_target, authority = _split_target(method, target)
    lines: list[bytes] = []
    hosts: list[bytes] = []
    request_ids: list[bytes] = []
    length: int | None = None
    chunked = False
    expects_continue = False
    via = b""
    connection: list[bytes] = []
    upgrade: list[bytes] = []
    for name, value in fields:
        kind = _REQUEST_KINDS.get(name.lower())
        if kind is None:
            if _poses(name):
                continue
            lines.append(b"%b: %b\r\n" % (name, value))
        elif kind is _Kind.HOST:
            hosts.append(value.strip(b" \t"))
        elif kind is _Kind.CONNECTION:
            connection += tokens(value)
        elif kind is _Kind.CONTENT_LENGTH:
            length = _length(value, length, 400, "request")
        elif kind is _Kind.TRANSFER_ENCODING:
            if chunked or value.strip(b" \t").lower() != b"chunked":
                raise Refusal(501, "the only Transfer-Encoding served here is chunked")
            chunked = True
        elif kind is _Kind.EXPECT:
            if value.strip(b" \t").lower() != b"100-continue":
                raise Refusal(417, "the only expectation served here is 100-continue")
            expects_continue = True
        elif kind is _Kind.UPGRADE:
            upgrade += tokens(value)
        elif kind is _Kind.REQUEST_ID:
            request_ids.append(value)
        elif kind is _Kind.VIA:
            via += value.lower() + b","
            lines.append(b"%b: %b\r\n" % (name, value))
    if chunked and (length is not None or minor == 0):
        raise Refusal(400, "the request has both framings, or Transfer-Encoding in HTTP/1.0")
    if len(hosts) > 1 or (minor == 1 and not hosts):
        raise Refusal(400, f"the request has {len(hosts)} Host fields; HTTP/1.1 wants one")
    if b"websocket" in upgrade and b"upgrade" in connection:
        raise Refusal(501, "WebSockets are not proxied here")
    if connection:
        lines = _without_named(lines, connection)
    host = authority if authority is not None else (hosts[0] if hosts else b"")
    if len(request_ids) == 1 and _REQUEST_ID.fullmatch(request_ids[0]):
        request_id = request_ids[0]
    else:
        request_id = new_request_id()
    return RequestHead(
        method=method,
        target=forwarded_target,
        host=host,
        routed_host=_routed_host(host),
        client_minor=minor,
        keep_alive=b"close" not in connection if minor else b"keep-alive" in connection,
        body=Body.CHUNKED if chunked else Body.LENGTH if length is not None else Body.NONE,
        length=length or 0,
        request_id=request_id,
        # An HTTP/1.0 client does not know what a 100 is (RFC 9110 10.1.1).
        expects_continue=expects_continue and minor == 1 and (chunked or bool(length)),
        via=via,
        lines=lines,
    )


def _without_named(lines: list[bytes], connection: list[bytes]) -> list[bytes]:
    """Drop the fields that Connection names as meant for this hop alone."""
    named = set(connection) - {b"close", b"keep-alive", b"upgrade", b"te"}
    if not named:
        return lines
    return [line for line in lines if line.partition(b":")[0].lower() not in named]


def request_bytes(head: RequestHead, *, client: str, scheme: str, via: str, fallback_host: str) -> bytes:
    """The head as a server gets it. fallback_host: for HTTP/1.0 clients, who may not name one."""
    parts = [
        b"%b %b HTTP/1.1\r\nHost: %b\r\n"
        % (head.method, head.target, head.host or fallback_host.encode("latin-1")),
        *head.lines,
    ]
    if head.body is Body.CHUNKED:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    elif head.body is Body.LENGTH:
        parts.append(b"Content-Length: %d\r\n" % head.length)
    if head.expects_continue:
        parts.append(b"Expect: 100-continue\r\n")
    parts.append(
        b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\n"
        b"X-Request-Id: %b\r\nVia: 1.%d %b\r\n\r\n"
        % (client.encode(), scheme.encode(), head.host, head.request_id, head.client_minor, via.encode())
    )
    return b"".join(parts)


def read_response(
    status: int, reason: bytes, version: str, fields: Fields, *, request_method: bytes
) -> ResponseHead:
    """What a response head means; raises Refusal (502) when its framing cannot be trusted."""
    lines: list[bytes] = []
    length: int | None = None
    chunked = False
    connection: list[bytes] = []
    for name, value in fields:
        kind = _RESPONSE_KINDS.get(name.lower())
        if kind is None:
            lines.append(b"%b: %b\r\n" % (name, value))
        elif kind is _Kind.CONNECTION:
            connection += tokens(value)
        elif kind is _Kind.CONTENT_LENGTH:
            length = _length(value, length, 502, "response")
        elif kind is _Kind.TRANSFER_ENCODING:
            if chunked or value.strip(b" \t").lower() != b"chunked":
                raise Refusal(502, "the server used a Transfer-Encoding other than chunked")
            chunked = True
    if chunked and length is not None:
        raise Refusal(502, "the server sent both Content-Length and Transfer-Encoding")
    if connection:
        lines = _without_named(lines, connection)
    body = Body.CHUNKED if chunked else Body.LENGTH if length is not None else Body.UNTIL_CLOSE
    # Some servers send the body that a response to HEAD only announces: nobody waits there to find out.
    in_doubt = request_method == b"HEAD" and (chunked or bool(length))
    if status < 200 or status in (204, 304) or request_method == b"HEAD":
        # What such a response says about length, it says about a body that does not follow.
        if length is not None and status >= 200 and status != 204:
            lines.append(b"Content-Length: %d\r\n" % length)
        body = Body.NONE
    persistent = b"close" not in connection if version == "1.1" else b"keep-alive" in connection
    return ResponseHead(
        status=status,
        reason=reason,
        body=body,
        length=length or 0,
        reusable=persistent and body is not Body.UNTIL_CLOSE and not in_doubt,
        lines=lines,
    )


def response_bytes(head: ResponseHead, *, marks: bytes, chunked: bool, connection: bytes) -> bytes:
    """The head as a client gets it. marks: the edge's own fields; connection: b"" or its Connection line."""
    parts = [b"HTTP/1.1 %d %b\r\n" % (head.status, head.reason), *head.lines]
    if chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    elif head.body is Body.LENGTH:
        parts.append(b"Content-Length: %d\r\n" % head.length)
    parts += (marks, connection, b"\r\n")
    return b"".join(parts)
