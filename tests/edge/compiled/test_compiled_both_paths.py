"""Whatever is said through an edge, the compiled path and the general one make the same of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from ipaddress import ip_network

import pytest
import uvloop
from compiled_talk import Answer, Step, assert_alike, both, cut
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.fleet_edge import Retries

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="module", params=LOOPS)
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    factory: Callable[[], asyncio.AbstractEventLoop] = LOOPS[request.param]
    with asyncio.Runner(loop_factory=factory) as made:
        yield made


# What clients ask. Every request says which step it is, but for those that nobody can read.

METHODS = [b"GET", b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"get", b"X-ODD"]
TARGETS = [b"/", b"/a?b=c", b"/%6eame", b"/a/./b/../c", b"//a//", b"/" + b"long" * 300]
ODD_TARGETS = [b"/a/../../b", b"/%", b"/%00", b"/a\\b", b"http://h/a?b", b"/.gslb/health", b"/a#b"]
FIELDS = [
    b"X-A: b",
    b"x-odd:  \t spaced \t",
    b"User-Agent: test/1",
    b'Referer: http://a/"',
    b"Authorization: Basic dXNlcjpwYXNz",
    b"Cookie: a=b",
    b"Cookie: c=d",
    b"X-Request-Id: of-the-client",
    b"X-Request-Id: not \x7f legal".replace(b"\x7f", b"/\\/"),
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    b"tracestate: a=1",
    b"X-Forwarded-For: 198.51.100.7, 203.0.113.9",
    b"X-Forwarded-Proto: https",
    b"Forwarded: for=198.51.100.8",
    b"Via: 1.1 other",
    b"Connection: keep-alive",
    b"Accept-Encoding: gzip, br",
    b"X_Forwarded_For: 198.51.100.9",
    b"X-Bytes: \x80\xff",
    b"X-Empty:",
]
ODD_FIELDS = [
    b"Connection: X-A",
    b"Connection: close",
    b"TE: trailers",
    b"Via: 1.0 EU-West-1",
    b"Expect: 100-continue",
    b"Expect: 200-maybe",
    b"Connection: upgrade\r\nUpgrade: x",
    b"Trailer: X-T",
    b"Keep-Alive: timeout=5",
    b"Transfer-Encoding: chunked",
    b"X-Long: " + b"v" * 9000,
]
BODIES = [b"", b"", b"hello", b"x" * 90, b"too long " * 20]
CHUNKED = b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: v\r\n\r\n"
BROKEN = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello",
    b"GET / HTTP/1.1\nHost: h\n\n",
    b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX-Long: " + b"v" * 40000 + b"\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\x16\x03\x01\x02\x00garbage\r\n\r\n",
]

# What servers answer.


def ok(*fields: bytes, body: bytes = b"hello", start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    lines = (start, *fields, b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunks(*parts: bytes, trailer: bytes = b"") -> bytes:
    coded = b"".join(b"%x;a=b\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n%b\r\n" % (coded, trailer)


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
ANSWERS = {
    "length": Answer((ok(),)),
    "length, nothing": Answer((ok(body=b""),)),
    "length, much": Answer((ok(body=b"much" * 60000),)),
    "odd fields": Answer(
        (
            ok(
                b"Date: Sun, 22 Nov 2026 19:00:00 GMT",
                b"Set-Cookie: a=b",
                b"Set-Cookie: c=d",
                b"X-GSLB-Server: nobody",
                b"X-Request-Id: forged",
                b"x-odd:  spaced ",
                b"Keep-Alive: timeout=5",
                start=b"HTTP/1.1 299  Odd  \x80",
            ),
        )
    ),
    "a field of the connection": Answer((ok(b"Connection: X-A", b"X-A: b"),)),
    "no reason": Answer((ok(start=b"HTTP/1.1 404"),)),
    "an error": Answer((ok(start=b"HTTP/1.1 503 Busy"),)),
    "says close": Answer((ok(b"Connection: close"),), ends=True),
    "HTTP/1.0": Answer((ok(start=b"HTTP/1.0 200 OK"),), ends=True),
    "until close": Answer((b"HTTP/1.1 200 OK\r\n\r\nhello",), ends=True),
    "chunked": Answer((chunks(b"hello", b"world"),)),
    "chunked, many": Answer((chunks(*[b"x"] * 200),)),
    "chunked, nothing": Answer((chunks(),)),
    "trailers": Answer((chunks(b"hello", trailer=b"X-T: v\r\nX-U: w\r\n"),)),
    "204": Answer((b"HTTP/1.1 204 No Content\r\n\r\n",)),
    "304": Answer((b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: a\r\n\r\n",)),
    "an interim one": Answer((b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok(),)),
    "continue": Answer((b"HTTP/1.1 100 Continue\r\n\r\n" + ok(),)),
    "switches unasked": Answer((b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: y\r\n\r\n",), ends=True),
    "truncated": Answer((HALF,), ends=True),
    "truncated in a chunk": Answer((chunks(b"hello")[:-9],), ends=True),
    "truncated before the last chunk": Answer((chunks(b"hello")[:-5],), ends=True),
    "truncated in the trailer": Answer((chunks(b"hello", trailer=b"X-T: v\r\n")[:-4],), ends=True),
    "a broken chunk": Answer((chunks(b"hello")[:-5] + b"zz\r\n",), ends=True),
    "a broken chunk at once": Answer((chunks()[:-5] + b"zz\r\n",), ends=True),
    "a broken trailer": Answer((chunks(b"hello", trailer=b"X T: v\r\n"),), ends=True),
    "a long trailer": Answer((chunks(b"hello", trailer=b"X-T: " + b"v" * 40000 + b"\r\n"),), ends=True),
    "truncated in the head": Answer((b"HTTP/1.1 200 OK\r\nContent-Le",), ends=True),
    "garbage": Answer((b"garbage\r\n\r\n",), ends=True),
    "two framings": Answer((chunks(b"hello").replace(b"\r\n", b"\r\nContent-Length: 5\r\n", 1),), ends=True),
    "a long head": Answer((ok(b"X-Long: " + b"v" * 40000),), ends=True),
    "nothing": Answer((), ends=True),
    "surplus": Answer((ok() + ok(body=b"stray"),)),
    "surplus behind chunks": Answer((chunks(b"hello") + b"stray",)),
    "surplus behind a trailer": Answer((chunks(b"hello", trailer=b"X-T: v\r\n") + b"stray",)),
    "early": Answer((ok(),), early=True),
    "stale": Answer((ok(),), stale=True),
}
TO_HEAD = {
    "length, without": Answer((ok()[:-5],)),
    "nothing, without": Answer((ok(body=b""),)),
    "chunked, without": Answer((chunks(b"hello").partition(b"\r\n\r\n")[0] + b"\r\n\r\n",)),
    "neither": Answer((b"HTTP/1.1 200 OK\r\n\r\n",)),
    "with the body": Answer((ok(),)),
}


def head(
    method: bytes, target: bytes, number: int, *fields: bytes, minor: int = 1, host: bytes = b"h"
) -> bytes:
    start = b"%b %b HTTP/1.%d\r\nHost: %b\r\n" % (method, target, minor, host)
    return start + b"".join(b"%b\r\n" % each for each in (*fields, b"X-Step: %d" % number)) + b"\r\n"


def last(number: int) -> Step:
    """Ends the connection, if nothing has before."""
    return Step(b"GET", (head(b"GET", b"/last", number, b"Connection: close"),), ANSWERS["length"])


@st.composite
def plain_requests(draw: st.DrawFn, number: int) -> tuple[bytes, bytes]:
    method = draw(st.sampled_from(METHODS))
    fields = draw(st.lists(st.sampled_from(FIELDS), max_size=4))
    body = draw(st.sampled_from(BODIES))
    if body or method in (b"POST", b"PUT"):
        fields.append(b"Content-Length: %d" % len(body))
    return method, head(method, draw(st.sampled_from(TARGETS)), number, *fields) + body


@st.composite
def odd_requests(draw: st.DrawFn, number: int) -> tuple[bytes, bytes]:
    method = draw(st.sampled_from(METHODS))
    fields = draw(st.lists(st.sampled_from(FIELDS), max_size=2))
    odd = draw(st.sampled_from(ODD_FIELDS))
    body = CHUNKED if odd.startswith(b"Transfer") else draw(st.sampled_from(BODIES))
    fields.append(odd)
    if body and body is not CHUNKED:
        fields.append(b"Content-Length: %d" % len(body))
    target = draw(st.sampled_from(TARGETS) | st.sampled_from(ODD_TARGETS))
    minor = draw(st.sampled_from([1, 1, 1, 0]))
    host = draw(st.sampled_from([b"h", b"H.:80", b"h", b"elsewhere"]))
    return method, head(method, target, number, *fields, minor=minor, host=host) + body


@st.composite
def requests(draw: st.DrawFn, number: int) -> tuple[bytes, bytes]:
    """Its method, and all of it. Two of three are plain."""
    kind = draw(st.integers(0, 8))
    if kind == 8:
        return b"GET", draw(st.sampled_from(BROKEN))
    return draw(plain_requests(number) if kind < 6 else odd_requests(number))


PLACES = st.lists(st.integers(0, 5000), max_size=3)


@st.composite
def steps(draw: st.DrawFn, number: int) -> Step:
    method, request = draw(requests(number))
    named = TO_HEAD if method == b"HEAD" and draw(st.booleans()) else ANSWERS
    answer = named[draw(st.sampled_from(sorted(named)))]
    (whole,) = answer.pieces or (b"",)
    # What is behind a response has to be there at once, or it may be the next one's as well.
    places = [] if b"stray" in whole or named is TO_HEAD else draw(PLACES)
    answer = Answer(cut(whole, places), answer.ends, answer.early, answer.stale)
    # Of what comes behind an early answer, the general path alone may have passed on a part.
    pieces = (request,) if answer.early or b"Expect:" in request else cut(request, draw(PLACES))
    return Step(method, pieces, answer, waits=draw(st.booleans()))


@st.composite
def conversations(draw: st.DrawFn) -> list[Step]:
    count = draw(st.integers(1, 4))
    return [*(draw(steps(number)) for number in range(count)), last(count)]


@settings(max_examples=80)
@given(conversations(), st.booleans(), st.booleans())
def test_a_conversation_is_the_same_by_either_path(
    runner: asyncio.Runner, conversation: list[Step], trusting: bool, retrying: bool
) -> None:
    options = {
        "trusted_proxies": (ip_network("127.0.0.0/8"),) if trusting else (),
        "retries": Retries(on=frozenset((503,)) if retrying else frozenset()),
        "max_body": 100,
    }
    assert_alike(*runner.run(both(conversation, **options)))


ASKED = [(method, name) for method in ("GET", "HEAD", "POST") for name in ANSWERS]
ASKED += [("HEAD", name) for name in TO_HEAD]  # whoever asked for a body would wait for it


@pytest.mark.parametrize(("asking", "name"), ASKED)
def test_every_answer_is_passed_on_alike_and_the_connection_goes_on_alike(
    runner: asyncio.Runner, asking: str, name: str
) -> None:
    method, answer = asking.encode(), {**ANSWERS, **TO_HEAD}[name]
    body = b"hello" if method == b"POST" else b""
    length = (b"Content-Length: 5",) if body else ()
    asked = [Step(method, (head(method, b"/", at, *length) + body,), answer) for at in range(2)]
    assert_alike(*runner.run(both([*asked, last(2)])))


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_what_nobody_can_read_is_refused_alike(runner: asyncio.Runner, number: int) -> None:
    conversation = [
        Step(b"GET", (head(b"GET", b"/", 0),), ANSWERS["length"], waits=False),
        Step(b"GET", (BROKEN[number],), ANSWERS["length"]),
        last(2),
    ]
    assert_alike(*runner.run(both(conversation)))
