"""Whatever two streams bring, nobody is handed a message that the other side did not send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, cast

import pytest
from edge_stage import REGION, make_fleet
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strict_reading import (
    Incomplete,
    NotStrictlyHttp,
    Read,
    read_request,
    read_response,
    requests_in,
    responses_in,
)

from edge.pool import Pools
from edge.proxy.proxy import Proxy
from gslb.fleet import Retries, Route, SocketAddress

QUIET_TURNS = 4  # of the loop without news: connecting takes fewer
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


class Line(asyncio.Transport):
    """A transport in memory that does as event loops do: nothing is delivered while reading is paused or
    after the end, and the loss of a connection is told later."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("192.0.2.1", 4711), "sockname": ("192.0.2.9", 80)})
        self.loop = loop
        self.protocol = protocol
        self.written = b""
        self.closed = False
        self.said_end = False
        self._paused = False
        self._arriving: list[bytes | None] = []
        protocol.connection_made(self)

    def arrive(self, data: bytes | None) -> None:
        """Bytes from the other end, or its end."""
        self._arriving.append(data)
        self._deliver()

    @property
    def stuck(self) -> bool:
        return not self.closed and bool(self._arriving)

    def _deliver(self) -> None:
        while self._arriving and not self._paused and not self.closed:
            data = self._arriving.pop(0)
            if data is not None:
                self.protocol.data_received(data)
            elif not self.protocol.eof_received():
                self.close()

    def write(self, data: Any) -> None:
        assert not self.said_end
        if not self.closed:
            self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.said_end = True

    def abort(self) -> None:
        self.close()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.loop.call_soon(self.protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self.loop.call_soon(self._deliver)


class Scribe:
    """A server that writes down what it is asked. answer: the bytes for a request, or None for the end.

    early: whether it answers heads, and does not wait for bodies. tunnelled: what came after a 101.
    """

    def __init__(self, line: Line, answer: Callable[[Read], bytes | None], *, early: bool) -> None:
        self.line = line
        self.seen: list[Read] = []
        self.tunnelled: bytes | None = None
        self._answer = answer
        self._early = early
        self._answered = 0
        self._at = 0

    def look(self) -> None:
        """Read what has come, strictly: the edge has no excuse for a request that is not well-formed."""
        while self.tunnelled is None and self._at < len(self.line.written):
            try:
                request = read_request(self.line.written, self._at)
            except Incomplete:
                return
            number = self._answered
            self.seen[number:] = [request]
            if not request.complete and not self._early:
                return
            if len(self.seen) > self._answered:
                self._answered += 1
                response = self._answer(request)
                self._at = request.end
                if response is not None and response.startswith(UPGRADED):
                    self.tunnelled = b""
                    self._tunnel_at = request.end
                self.line.arrive(response)
            if not request.complete:
                self._at = len(self.line.written)
                return
        if self.tunnelled is not None:
            self.tunnelled = self.line.written[self._tunnel_at :]


class Wired:
    """An edge between one client and as many connections to a server as it makes, all in memory."""

    def __init__(
        self, answer: Callable[[Read], bytes | None], *, early: bool = False, **options: Any
    ) -> None:
        self.loop = asyncio.get_running_loop()
        fleet = make_fleet(
            {"web": [SocketAddress("192.0.2.2", 80)]}, routes=[Route(None, "/", "web")], **options
        )
        region = fleet.regions[REGION]
        self.scribes: list[Scribe] = []
        self._answer = answer
        self._early = early
        loop = cast(asyncio.AbstractEventLoop, self)
        self.proxy = Proxy(fleet, region.edges[0], Pools(fleet, region), loop)
        self.client = Line(self.loop, self.proxy.protocol(region.edges[0].listen[0])(None))

    # What of a loop the proxy uses.

    def time(self) -> float:
        return 0.0

    def create_task(self, coroutine: Any) -> Any:
        return self.loop.create_task(coroutine)

    async def create_connection(self, factory: Any, host: str, port: int) -> Any:
        line = Line(self.loop, factory())
        self.scribes.append(Scribe(line, self._answer, early=self._early))
        return line, line.protocol

    async def settle(self) -> None:
        """Let everything happen that can."""
        quiet, before = 0, -1
        while quiet < QUIET_TURNS:
            for scribe in self.scribes:
                scribe.look()
            await asyncio.sleep(0)
            now = len(self.client.written) + sum(len(scribe.line.written) for scribe in self.scribes)
            quiet = 0 if now != before else quiet + 1
            before = now

    async def converse(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.client.arrive(piece)
            await self.settle()
        everything = self.proxy.counters
        server = self.proxy.pools.by_name["web"].servers[0]
        assert not self.client.stuck or everything.in_flight, "nothing is going on and nothing is read"
        self.answered = self.client.written
        self.closed = self.client.closed or self.client.said_end
        self.client.arrive(None)
        self.client.close()
        await self.settle()
        assert (everything.in_flight, everything.retrying, server.in_flight) == (0, 0, 0)
        assert not self.proxy.connections
        for scribe in self.scribes:
            in_use = not scribe.line.closed
            assert in_use == (scribe.line.protocol in server.idle), "a connection that nobody owns"


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
    scheme, separator, rest = target.partition(b"://")
    if not separator or target.startswith(b"/"):
        return target
    at = min((rest.find(each) for each in (b"/", b"?") if each in rest), default=len(rest))
    return rest[at:] if rest[at : at + 1] == b"/" else b"/" + rest[at:]


def is_forwarded(sent: Read, seen: Read) -> bool:
    """Whether `seen` at a server is the request that a client sent, or a part of it."""
    whole = seen.body == sent.body if seen.complete else sent.body.startswith(seen.body)
    same = (seen.start[0], seen.start[1]) == (sent.start[0], resource(sent.start[1]))
    return whole and same and (sent.complete or not seen.complete)


@settings(deadline=None, max_examples=250)
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
    except (NotStrictlyHttp, Incomplete):
        return None


@settings(deadline=None, max_examples=250)
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
