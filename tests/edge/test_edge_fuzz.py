"""Whatever two streams bring, nobody is handed a message that the other side did not send."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from edge_wires import UPGRADED, Wired
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strict_reading import (
    IncompleteError,
    NotStrictlyHttpError,
    Read,
    read_response,
    requests_in,
    responses_in,
)

from gslb.fleet import Retries


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        made.get_loop().set_exception_handler(_fail)
        yield made


def _fail(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception out of a callback: kept, and raised by the next look."""
    _escaped.append(context.get("exception") or context["message"])


_escaped: list[Any] = []


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


# What is sent: whole requests, and stuff that belongs nowhere, thrown together and bent.

LINES = [
    b"GET /a HTTP/1.1\r\n",
    b"POST /b HTTP/1.1\r\n",
    b"HEAD /c HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"GET http://h/d?x HTTP/1.1\r\n",
    b"PUT /e HTTP/1.0\r\n",
    b"CONNECT h:80 HTTP/1.1\r\n",
]
FIELDS = [
    b"Host: h\r\n",
    b"host:h\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 0x5\r\n",
    b"Content-Length: 36\r\n",
    b"Content_Length: 5\r\n",
    b"Content-Length : 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: Chunked \r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: upgrade\r\nUpgrade: x\r\n",
    b"Connection: Content-Length\r\n",
    b"Connection: Transfer-Encoding, host\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: 200-maybe\r\n",
    b"X-Odd: a\rb\r\n",
    b"X: 1\n",
]
BODIES = [
    b"hello",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5;x=y\r\nhello\r\n0\r\nX-T: v\r\n\r\n",
    b"05\r\nhello\r\n00\r\n\r\n",
    b"5\nhello\n0\n\n",
    b"5\r\nhello0\r\n\r\n",
    b"-5\r\nhello\r\n",
    b"ffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
    b"0\r\nContent-Length: 5\r\n\r\n",
    b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
]
WHOLE = [
    b"GET /g HTTP/1.1\r\nHost: h\r\n\r\n",
    b"HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 36\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
    b"PUT /q HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"PUT /r HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    b"GET /u HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
]
ODD = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"\xff", b"\x85", b"a" * 300]


@st.composite
def built(draw: st.DrawFn) -> bytes:
    """A request of good and bad parts."""
    fields = draw(st.lists(st.sampled_from(FIELDS), max_size=4))
    host = b"Host: h\r\n" if draw(st.integers(0, 9)) else b""
    body = b"".join(draw(st.lists(st.sampled_from(BODIES), max_size=2)))
    return draw(st.sampled_from(LINES)) + host + b"".join(fields) + b"\r\n" + body


@st.composite
def bent(draw: st.DrawFn, of: st.SearchStrategy[bytes]) -> bytes:
    """The same, with a few bytes put in, left out or doubled."""
    data = draw(of)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        until = at + draw(st.integers(0, 6))
        put = draw(st.sampled_from(ODD) | st.binary(max_size=3))
        again = draw(st.booleans())
        data = data[:at] + put + data[at if again else until :]
    return data


CLIENT = st.lists(bent(st.sampled_from(WHOLE) | built()), min_size=1, max_size=4).map(b"".join)
PLACES = st.lists(st.integers(0, 2000), max_size=6)
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def resource(target: bytes) -> bytes:
    """A target as servers get it."""
    _, separator, rest = target.partition(b"://")
    if not separator or target.startswith(b"/"):
        return target
    at = min((rest.find(each) for each in (b"/", b"?") if each in rest), default=len(rest))
    return rest[at:] if rest[at : at + 1] == b"/" else b"/" + rest[at:]


def is_forwarded(sent: Read, seen: Read) -> bool:
    """Whether `seen` at a server is the request that a client sent, or a part of it."""
    whole = seen.body == sent.body if seen.complete else sent.body.startswith(seen.body)
    same = (seen.start[0], seen.start[1]) == (sent.start[0], resource(sent.start[1]))
    return whole and same and (sent.complete or not seen.complete)


@settings(deadline=None, max_examples=100)
@given(CLIENT, PLACES, st.booleans(), st.booleans())
@example(WHOLE[2] + WHOLE[0], [60], True, False)
@example(WHOLE[6] + b"any\0thing" + WHOLE[0], [5], False, True)
def test_a_server_sees_only_what_a_strict_reader_sees(
    runner: asyncio.Runner, data: bytes, places: list[int], early: bool, switching: bool
) -> None:
    def answer(request: Read) -> bytes:
        return UPGRADED if switching and request.get(b"upgrade") else PLAIN

    async def story() -> Wired:
        wired = Wired(answer, early=early)
        await wired.converse(cut(data, places))
        return wired

    wired = runner.run(story())
    assert not _escaped
    allowed = requests_in(data)
    sent = iter(allowed)
    seen = [request for scribe in wired.scribes for request in scribe.seen]
    # Connections are made one after the other, but each is used for long: the order is that of the paths.
    for request in seen:
        assert any(is_forwarded(each, request) for each in sent), f"nobody sent {request}"
    tunnels = [scribe.tunnelled for scribe in wired.scribes if scribe.tunnelled is not None]
    for tunnelled in tunnels:
        assert data.endswith(tunnelled)
    methods = [each.start[0] for each in allowed]
    told = responses_in(wired.answered, methods, closed=wired.closed)
    assert len(told) <= len(allowed) + 1
    assert all(response.complete or response.status == 101 for response in told)
    if len(told) > len(allowed):
        assert told[-1].status >= 400
        assert told[-1].last


RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: v\r\n\r\n",
    b"HTTP/1.1 200\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    b"HTTP/1.0 200 OK\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 503 No\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello",
]
SURPLUS = st.sampled_from([b"", b"", b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"])
ONE_RESPONSE = st.tuples(bent(st.sampled_from(RESPONSES)), SURPLUS).map(b"".join)
ASKED = [b"GET", b"HEAD", b"POST", b"PUT"]


def first_final(data: bytes, method: bytes) -> Read | None:
    """What a strict reader takes for the response in these bytes, after which the connection ended."""
    at = 0
    try:
        while True:
            found = read_response(data, at, method, closed=True)
            if found.status >= 200 or found.status == 101:
                return found
            at = found.end
    except (NotStrictlyHttpError, IncompleteError):
        return None


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from(ASKED), st.lists(ONE_RESPONSE, max_size=3)), min_size=1, max_size=3),
    st.booleans(),
)
def test_a_client_gets_only_what_a_server_said_to_its_request(
    runner: asyncio.Runner, story: list[tuple[bytes, list[bytes]]], ends: bool
) -> None:
    """The n-th time it is asked for /n, a server says the n-th thing; then it closes, or says nothing."""
    left = [list(responses) for _, responses in story]

    def answer(request: Read) -> bytes | None:
        mine = left[int(request.start[1][1:])]
        if mine:
            return mine.pop(0)
        return None if ends else b""

    requests = [
        b"%b /%d HTTP/1.1\r\nHost: h\r\n%b\r\n" % (method, at, b"Content-Length: 0\r\n" * (method == b"PUT"))
        for at, (method, _) in enumerate(story)
    ]

    async def tell() -> Wired:
        wired = Wired(answer, retries=Retries(tries=3))
        await wired.converse(requests)
        return wired

    wired = runner.run(tell())
    assert not _escaped
    methods = [method for method, _ in story]
    told = responses_in(wired.answered, methods, closed=wired.closed)
    assert len(told) <= len(story)
    for at, response in enumerate(told):
        if not response.get(b"x-gslb-server"):
            assert response.status in (502, 503, 504)  # the edge's own
            continue
        method, said = story[at]
        possible = [found for each in said if (found := first_final(each, method)) is not None]
        assert any(_is_passed_on(original, response) for original in possible), (told, said)


def _is_passed_on(original: Read, response: Read) -> bool:
    if original.status != response.status:
        return False
    whole = response.complete and not response.until_close
    return original.body == response.body if whole else original.body.startswith(response.body)
