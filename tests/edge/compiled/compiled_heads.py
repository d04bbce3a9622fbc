"""The same head read and written by both: by the compiled functions, and by the modules in Python."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from edge.forwarded import Introduction, TrustedProxies
from edge.http1 import (
    NEED_DATA,
    Framing,
    Limits,
    RequestHead,
    RequestReader,
    ResponseHead,
    ResponseReader,
)
from edge.path import normalise_path
from edge.proxy.headers import client_head, going, server_head

if TYPE_CHECKING:
    from edge.compiled import heads as heads
else:
    heads = pytest.importorskip("edge.compiled.heads", reason="it takes a C compiler")

PEER = Introduction("192.0.2.9", "http", 80, TrustedProxies(()))
VIA = b"eu-west-1"
DATE = b"Date: Sun, 22 Nov 2026 19:00:00 GMT\r\n"
MARKS = b"X-Request-Id: abc\r\nX-GSLB-Server: web-1\r\n"
ENTROPY = bytes(range(32))
LIMITS = Limits()
_CLAIM = re.compile(rb"(?i)x-forwarded-(for|proto|host|port)|x-real-ip|forwarded")
_IDEMPOTENT = (b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE")
_TRACE_PARENT = re.compile(rb"traceparent: 00-([0-9a-f]{32})-[0-9a-f]{16}-00\r\n")


def _bounds(limits: Limits) -> tuple[int, int, int]:
    return limits.request_line, limits.head, limits.fields


def request_in_c(data: bytes, limits: Limits = LIMITS) -> heads.Request | int:
    return heads.request(data, _bounds(limits), b"new", b"Lines: 1\r\n", VIA, ENTROPY)


def response_in_c(data: bytes, *, is_head: bool = False, limits: Limits = LIMITS) -> heads.Response | int:
    return heads.response(data, _bounds(limits), is_head, True, DATE, MARKS)


def same_request(data: bytes, limits: Limits = LIMITS) -> heads.Request | int:
    """What the compiled function says. Whatever it is sure of, it has right: Python is asked."""
    said = request_in_c(data, limits)
    if said == heads.UNUSUAL:
        return said
    reader = RequestReader(limits)
    reader.receive(data)
    head = reader.next_event()  # raises nothing, for it is not refused
    if said == heads.MORE:
        assert head is NEED_DATA
        return said
    assert isinstance(said, dict)
    assert isinstance(head, RequestHead)
    assert reader.buffered == len(data) - said["size"]
    _compare_request(said, head)
    _compare_server_heads(data, said, head, limits)
    return said


def _compare_request(said: heads.Request, head: RequestHead) -> None:
    def first(name: bytes) -> bytes:
        return [*head.values(name), b""][0]

    assert head.minor == 1
    assert not head.expects_continue
    assert not head.upgrade
    assert set(head.connection) <= {b"close", b"keep-alive"}
    for name in ("method", "target", "host", "keep_alive"):
        assert said[name] == getattr(head, name)
    for name in ("via", "authorization", "referer", "user_agent", "cookie"):
        assert said[name] == first(name.encode().replace(b"_", b"-"))  # type: ignore[literal-required]
    assert said["length"] == (head.length if head.framing is Framing.LENGTH else -1)
    assert head.framing in (Framing.LENGTH, Framing.NONE)
    assert said["is_head"] == (head.method == b"HEAD")
    assert said["idempotent"] == (head.method in _IDEMPOTENT)
    assert said["path"] == head.target.partition(b"?")[0]
    if said["plain_path"]:
        assert normalise_path(head.target) == said["path"]
    else:
        assert re.search(rb"%|\\|/\.", said["path"])
    assert said["claims"] == [field for field in head.fields if _CLAIM.fullmatch(field[0])]


def _compare_server_heads(data: bytes, said: heads.Request, head: RequestHead, limits: Limits) -> None:
    way = going(head, PEER)
    again = heads.request(data, _bounds(limits), way.request_id, way.lines, VIA, ENTROPY)
    assert isinstance(again, dict)
    assert said["request_id"] in (b"", way.request_id)
    assert bool(said["request_id"]) == ((b"x-request-id", way.request_id) in _lower(head.fields))
    written, expected = again["written"], server_head(head, way, via=VIA, fallback_host=b"never")
    if not said["traced"]:
        written = _without_new_trace(written, way.lines, way.request_id)
        expected = _without_new_trace(expected, way.lines, way.request_id)
    assert written == expected


def _lower(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in fields]


def _without_new_trace(written: bytes, lines: bytes, request_id: bytes) -> bytes:
    """The head without the trace that begins here, which is made up."""
    end = written.rindex(lines)
    line = _TRACE_PARENT.fullmatch(written, end - 70, end)
    assert line is not None
    assert line[1] != b"0" * 32
    if re.fullmatch(rb"(?!0{32})[0-9a-f]{32}", request_id):
        assert line[1] == request_id
    return written[: end - 70] + written[end:]


def same_response(
    data: bytes, *, is_head: bool = False, keep_alive: bool = True, limits: Limits = LIMITS
) -> heads.Response | int:
    """As `same_request`. keep_alive: whether the client's connection stays."""
    said = heads.response(data, _bounds(limits), is_head, keep_alive, DATE, MARKS)
    if said == heads.UNUSUAL:
        return said
    reader = ResponseReader(limits)
    reader.expect(b"HEAD" if is_head else b"GET")
    reader.receive(data)
    head = reader.next_event()
    if said == heads.MORE:
        assert head is NEED_DATA
        return said
    assert isinstance(said, dict)
    assert isinstance(head, ResponseHead)
    assert reader.buffered == len(data) - said["size"]
    framing = {"none": Framing.NONE, "length": Framing.LENGTH, "chunked": Framing.CHUNKED}[said["framing"]]
    assert (said["status"], said["reason"], framing) == (head.status, head.reason, head.framing)
    assert head.status >= 200
    assert head.minor == 1
    assert said["length"] == (head.length if framing is Framing.LENGTH else -1)
    assert said["announced"] == (-1 if head.announced is None else head.announced)
    assert said["keep_alive"] == head.keep_alive
    assert said["in_doubt"] == (is_head and (bool(head.announced) or b"transfer-encoding" in head.names))
    assert said["dated"] == (b"date" in head.names)
    assert said["written"] == client_head(
        head,
        minor=1,
        chunked=framing is Framing.CHUNKED,
        keep_alive=keep_alive,
        date=DATE,
        marks=MARKS,
    )
    return said
