"""A few hundred requests that are odd in one way each, for comparing who reads them how.

Each has a number, N, in its path and in a field, and is followed by a last request that ends the connection:
if a proxy reads on at another place than we do, that one is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """kind: what a table explains it by. name: what is odd."""

    kind: str
    name: str
    request: bytes


END = b"GET /end-N HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


def post(fields: bytes, body: bytes = b"", line: bytes = b"POST /N HTTP/1.1\r\n") -> bytes:
    return line + b"Host: h\r\nX-Case: N\r\n" + fields + b"\r\n" + body


def get(target: bytes = b"/N", fields: bytes = b"Host: h\r\n", method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\n%bX-Case: N\r\n\r\n" % (method, target, fields)


def framing_cases() -> Iterator[Case]:
    lengths = [
        b"5",
        b"+5",
        b"-5",
        b"0x5",
        b"5 5",
        b"5,5",
        b"5, 6",
        b"",
        b"05",
        b"5;",
        b"'5'",
        b"5\x0b",
        b"5e0",
    ]
    lengths += [b"99999999999999999999", b"18446744073709551621", b"0", b" 5 ", b"\t5"]
    for value in lengths:
        yield Case("length", repr(value), post(b"Content-Length:%b\r\n" % value, b"hello"))
        lines = b"Content-Length: 5\r\nContent-Length:%b\r\n" % value
        yield Case("two lengths", repr(value), post(lines, b"hello"))
        lines = b"Content-Length:%b\r\nTransfer-Encoding: chunked\r\n" % value
        yield Case("length and coding", repr(value), post(lines, CHUNKS))
    codings = [
        b"chunked",
        b"Chunked",
        b"chunked ",
        b"\tchunked",
        b"chunked,",
        b",chunked",
        b"chunked, chunked",
    ]
    codings += [b"identity", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, identity", b"x", b""]
    codings += [b"identity, chunked", b"xchunked", b"chunkedx", b'"chunked"', b"chunked;q=1", b"\x0bchunked"]
    for value in codings:
        yield Case("coding", repr(value), post(b"Transfer-Encoding: %b\r\n" % value, CHUNKS))
        line = b"POST /N HTTP/1.0\r\n"
        yield Case("coding in 1.0", repr(value), post(b"Transfer-Encoding: %b\r\n" % value, CHUNKS, line))
        lines = b"Transfer-Encoding: chunked\r\nTransfer-Encoding: %b\r\n" % value
        yield Case("two codings", repr(value), post(lines, CHUNKS))
    for name in (b"Transfer-Encoding ", b"Transfer_Encoding", b" Transfer-Encoding", b"Transfer-Encoding\t"):
        yield Case("name", repr(name), post(b"%b: chunked\r\n" % name))
    for end in (b"\n", b"\r\r\n", b"\r", b"\r\n\r", b"\0\r\n", b"\r\n "):
        yield Case("line end", repr(end), post(b"X: 1%bY: 2\r\n" % end))


def chunk_cases() -> Iterator[Case]:
    bodies = [b"05\r\nhello\r\n0\r\n\r\n", b"5;x\r\nhello\r\n0\r\n\r\n", b"5;x=y;z\r\nhello\r\n0\r\n\r\n"]
    bodies += [
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"5\r\nhello0\r\n\r\n",
    ]
    bodies += [
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"\r\n0\r\n\r\n",
    ]
    bodies += [
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"5;\nx\r\nhello\r\n0\r\n\r\n",
        b"g\r\n\r\n",
    ]
    bodies += [
        b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"000\r\n\r\n",
        b"0;x\r\n\r\n",
    ]
    bodies += [
        b"5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
        b"0\r\nX\r\n\r\n",
    ]
    bodies += [b"0\r\n\n", b"0\n\r\n", b"5;\0\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nX : y\r\n\r\n"]
    for body in bodies:
        yield Case("chunks", repr(body), post(b"Transfer-Encoding: chunked\r\n", body))


def head_cases() -> Iterator[Case]:
    targets = [
        b"http://h/N",
        b"http://other/N",
        b"HTTP://h/N",
        b"https://h/N",
        b"ftp://h/N",
        b"http:///N",
        b"N",
    ]
    targets += [
        b"//h/N",
        b"/N?a=b?c",
        b"/N#f",
        b"/%4e/N",
        b"/%/N",
        b"/%0/N",
        b"/%00/N",
        b"/%2f/N",
        b"/a/../N",
    ]
    targets += [
        b"/../N",
        b"/./N",
        b"/a//N",
        b"/a/..;/N",
        b"/\\N",
        b"/%2e%2e/N",
        b"/N\x7f",
        b"/N\xff",
        b"*",
        b"/N|",
    ]
    targets += [
        b'/N"',
        b"/N<",
        b"/N{}",
        b"http://u@h/N",
        b"http://h:80/N",
        b"http://h:x/N",
        b"/" + b"a" * 9000 + b"/N",
    ]
    for target in targets:
        yield Case("target", repr(target[:24]), get(target))
    for hosts in (b"", b"Host: a\r\nHost: b\r\n", b"Host: h\r\nHost: h\r\n", b"Host:\r\n", b"Host: a b\r\n"):
        yield Case("host", repr(hosts), get(fields=hosts))
    for host in (
        b"a/b",
        b"a@b",
        b"a,b",
        b"h:80",
        b"h:",
        b"h:x",
        b"[::1]",
        b"[::1",
        b"a_b",
        b"h:99999",
        b"a..b",
        b"\xff",
    ):
        yield Case("host", repr(host), get(fields=b"Host: %b\r\n" % host))
    for method in (
        b"HEAD",
        b"OPTIONS",
        b"TRACE",
        b"PATCH",
        b"get",
        b"X",
        b"GE T",
        b"G@T",
        b"",
        b"M-SEARCH",
        b"\tGET",
    ):
        yield Case("method", repr(method), get(method=method))
    for version in (
        b"HTTP/1.0",
        b"HTTP/0.9",
        b"HTTP/1.2",
        b"HTTP/2.0",
        b"http/1.1",
        b"HTTP/1.10",
        b"HTTP/1.",
        b"",
    ):
        yield Case("version", repr(version), b"GET /N %b\r\nHost: h\r\nX-Case: N\r\n\r\n" % version)
    lines = [
        b"GET  /N HTTP/1.1",
        b"GET /N  HTTP/1.1",
        b"GET\t/N HTTP/1.1",
        b"GET /N HTTP/1.1 ",
        b" GET /N HTTP/1.1",
    ]
    lines += [
        b"\r\nGET /N HTTP/1.1",
        b"\r\n\r\nGET /N HTTP/1.1",
        b"\nGET /N HTTP/1.1",
        b"GET /N",
        b"GET /N x HTTP/1.1",
    ]
    for line in lines:
        yield Case("request line", repr(line), line + b"\r\nHost: h\r\nX-Case: N\r\n\r\n")
    fields = [
        b"X: a\r\n b\r\n",
        b": v\r\n",
        b"novalue\r\n",
        b"X Y: 1\r\n",
        b"X@: 1\r\n",
        b"X: \0\r\n",
        b"X: \x01\r\n",
    ]
    fields += [
        b"X: \x7f\r\n",
        b"X: \xff\r\n",
        b"X_Y: 1\r\n",
        b"X: " + b"a" * 5000 + b"\r\n",
        b"X : 1\r\n",
        b"\xff: 1\r\n",
    ]
    for lines_ in fields:
        yield Case("field", repr(lines_[:24]), get(fields=b"Host: h\r\n" + lines_))
    for options in (b"close, X-Case", b"Host", b"Content-Length", b"x", b"keep-alive, close", b'"close"'):
        yield Case("connection", repr(options), get(fields=b"Host: h\r\nConnection: %b\r\n" % options))
    for expected in (b"100-continue", b"100-Continue", b"x", b""):
        lines_ = b"Expect: %b\r\nContent-Length: 5\r\n" % expected
        yield Case("expect", repr(expected), post(lines_, b"hello"))
    for offered in (b"websocket", b"h2c", b"x"):
        lines_ = b"Connection: upgrade\r\nUpgrade: %b\r\n" % offered
        yield Case("upgrade", repr(offered), get(fields=b"Host: h\r\n" + lines_))
        yield Case("upgrade", f"{offered!r} and a body", post(lines_ + b"Content-Length: 5\r\n", b"hello"))
    yield Case("plain", "pipelined", get() + get(b"/N/2") + post(b"Content-Length: 5\r\n", b"hello"))
    yield Case("plain", "GET with a body", post(b"Content-Length: 5\r\n", b"hello", b"GET /N HTTP/1.1\r\n"))


CASES = [*framing_cases(), *chunk_cases(), *head_cases()]


def numbered(number: int, case: Case) -> bytes:
    mark = b"n%dn" % number
    return re.sub(rb"(?<![A-Za-z])N(?![A-Za-z:])", mark, case.request + END)
