"""Writes the heads that travel on: what of a message is for the next hop, and what only for this one. Pure.

Fields that travel on keep their spelling, their order and their duplicates; framing is always written anew
from what was understood, never copied (RFC 9112 6.3), so that two readers of one message cannot disagree
about its length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import getrandbits

from edge.forwarded import Introduction, Origin
from edge.http1 import Framing, RequestHead, ResponseHead, Trailers
from edge.route import normalise_host

# RFC 9110 7.6.1 and, as every proxy does, the fields RFC 2616 13.5.1 named beside them.
_HOP_BY_HOP = (
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"upgrade",
    b"content-length",
    b"transfer-encoding",
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
_OF_REQUESTS = frozenset((*_HOP_BY_HOP, *_CLAIMS, b"host", b"expect", b"x-request-id"))
_OF_RESPONSES = frozenset((*_HOP_BY_HOP, b"x-request-id", b"x-gslb-region", b"x-gslb-server"))
SPILLED_FROM = b"x-gslb-spilled-from"
_TRACE = frozenset((b"traceparent", b"tracestate"))
_KEPT_NAMED = frozenset((b"close", b"keep-alive", b"upgrade", b"te"))
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACE_PARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
_NOT_TUNNELLED = frozenset((b"h2c", b"h2"))
_MOST_NAMES = 4096

_dropped: dict[bytes, bool] = {}


@dataclass(slots=True)
class Going:
    """What the edge adds to a request. origin: who sent it. lines: that, as fields for the server.

    routed_host: as routes compare it. via: the Via fields it came with, in lower case. upgrade: what may be
    switched to, as it was written; empty if this is no upgrade.
    """

    origin: Origin
    lines: bytes
    routed_host: bytes
    request_id: bytes
    via: bytes
    upgrade: bytes


def new_request_id() -> bytes:
    """An id for a request that came without one that can be used."""
    return b"%032x" % getrandbits(128)


def going(head: RequestHead, introduction: Introduction) -> Going:
    """Everything about a request that the edge says for itself."""
    names = head.names
    request_id = via = upgrade = b""
    if b"x-request-id" in names:
        ids = head.values(b"x-request-id")
        if len(ids) == 1 and _REQUEST_ID.fullmatch(ids[0]):
            request_id = ids[0]
    if b"via" in names:
        via = b",".join(head.values(b"via")).lower() + b","
    if head.upgrade and b"upgrade" in head.connection and _may_upgrade(head):
        upgrade = b", ".join(head.values(b"upgrade"))
    origin = introduction.origin(head.fields)
    return Going(
        origin=origin,
        lines=introduction.lines(origin, head.host, head.fields),
        routed_host=normalise_host(head.host),
        request_id=request_id or new_request_id(),
        via=via,
        upgrade=upgrade,
    )


def _may_upgrade(head: RequestHead) -> bool:
    """Protocols may be any that a server knows, but HTTP/2, which would bring requests that nobody checks."""
    simple = bool(head.minor) and head.framing is Framing.NONE
    return simple and not _NOT_TUNNELLED.intersection(head.upgrade)


def _is_dropped(name: bytes) -> bool:
    """Whether a request's field stays here. Some servers read `_` as `-`: what poses so stays, too."""
    dropped = name in _OF_REQUESTS or (b"_" in name and name.replace(b"_", b"-") in _OF_REQUESTS)
    if len(_dropped) < _MOST_NAMES:
        _dropped[name] = dropped
    return dropped


def _kept_of_request(head: RequestHead) -> list[bytes]:
    named = _named(head.connection)
    if not _is_traced(head):
        named = (named or frozenset()) | _TRACE
    kept: list[bytes] = []
    for name, field in zip(head.names, head.fields, strict=True):
        dropped = _dropped.get(name)
        if dropped is None:
            dropped = _is_dropped(name)
        if not dropped and (not named or name not in named):
            kept.append(b"%b: %b\r\n" % field)
    return kept


def request_trailers(trailers: Trailers) -> Trailers:
    """Those that travel on to a server: what the edge alone says in a head, nobody says behind a body."""
    return [field for field in trailers if not _is_dropped(field[0].lower())] if trailers else trailers


def _named(connection: tuple[bytes, ...]) -> frozenset[bytes] | None:
    """The fields that Connection names as meant for this hop alone."""
    if not connection:
        return None
    return frozenset(connection) - _KEPT_NAMED or None


def server_head(
    head: RequestHead, going: Going, *, via: bytes, fallback_host: bytes, spilled_from: bytes = b""
) -> bytes:
    """The head as a server gets it. via: this edge's name. fallback_host: for HTTP/1.0 without a Host.

    spilled_from: this region, if the server is another region's edge.
    """
    parts = [
        b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (head.method, head.resource, head.host or fallback_host),
        *_kept_of_request(head),
    ]
    if head.framing is Framing.LENGTH:
        parts.append(b"Content-Length: %d\r\n" % head.length)
    elif head.framing is Framing.CHUNKED:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    trailers = b"te" in head.names and b"trailers" in b",".join(head.values(b"te")).lower()
    if going.upgrade:
        parts.append(b"Connection: upgrade\r\nUpgrade: %b\r\n" % going.upgrade)
    elif trailers:
        parts.append(b"Connection: TE\r\nTE: trailers\r\n")
    if head.expects_continue:
        parts.append(b"Expect: 100-continue\r\n")
    if not _is_traced(head):
        parts.append(_new_trace_parent(going.request_id))
    if spilled_from:
        parts.append(b"X-GSLB-Spilled-From: %b\r\n" % spilled_from)
    parts.append(going.lines)
    parts.append(b"X-Request-Id: %b\r\nVia: 1.%d %b\r\n\r\n" % (going.request_id, head.minor, via))
    return b"".join(parts)


def _is_traced(head: RequestHead) -> bool:
    """Whether a trace came with the request (W3C Trace Context 3.2); it is passed on as it is."""
    if b"traceparent" not in head.names:
        return False
    parents = head.values(b"traceparent")
    return len(parents) == 1 and _TRACE_PARENT.fullmatch(parents[0]) is not None


def _new_trace_parent(request_id: bytes) -> bytes:
    """A trace begins here, unsampled; it has the request's id, if that can be one."""
    trace = request_id if len(request_id) == 32 and request_id.isalnum() else new_request_id()
    if not re.fullmatch(rb"(?!0{32})[0-9a-f]{32}", trace):
        trace = b"%032x" % (getrandbits(127) + 1)
    return b"traceparent: 00-%b-%016x-00\r\n" % (trace, getrandbits(63) + 1)


def client_head(
    head: ResponseHead, *, minor: int, chunked: bool, keep_alive: bool, date: bytes, marks: bytes
) -> bytes:
    """The head as a client gets it. minor: of the client's HTTP/1.x. date: a field line for a head that has
    none (RFC 9110 6.6.1). marks: the edge's own fields."""
    parts = [b"HTTP/1.1 %d %b\r\n" % (head.status, head.reason), *_kept_of_response(head)]
    if head.framing is Framing.LENGTH:
        parts.append(b"Content-Length: %d\r\n" % head.length)
    elif chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    elif head.announced is not None:
        parts.append(b"Content-Length: %d\r\n" % head.announced)
    if b"date" not in head.names or b"date" in head.connection:
        parts.append(date)
    parts.append(marks)
    if head.status == 101:
        parts.append(b"Connection: upgrade\r\nUpgrade: %b\r\n\r\n" % b", ".join(head.values(b"upgrade")))
    elif not keep_alive:
        parts.append(b"Connection: close\r\n\r\n")
    else:
        parts.append(b"\r\n" if minor else b"Connection: keep-alive\r\n\r\n")
    return b"".join(parts)


def spilled_marks(head: ResponseHead, region: str) -> bytes:
    """The fields that tell a client which region answered, as its edge says. region: it came there first."""
    marks = b"X-GSLB-Spilled-From: %b\r\n" % region.encode()
    for name in (b"X-GSLB-Region", b"X-GSLB-Server"):
        for value in head.values(name.lower())[:1]:
            marks = b"%b: %b\r\n%b" % (name, value, marks)
    return marks


def interim_head(head: ResponseHead) -> bytes:
    """An interim response (1xx) as a client gets it."""
    lines = b"".join(_kept_of_response(head))
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (head.status, head.reason, lines)


def _kept_of_response(head: ResponseHead) -> list[bytes]:
    named = _named(head.connection)
    return [
        b"%b: %b\r\n" % field
        for name, field in zip(head.names, head.fields, strict=True)
        if name not in _OF_RESPONSES and (not named or name not in named)
    ]
