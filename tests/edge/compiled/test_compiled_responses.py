"""Responses in C: plain ones are read and written as Python does it, and all others are left to Python."""

from __future__ import annotations

import pytest
from compiled_heads import heads, response_in_c, same_response
from hypothesis import example, given
from hypothesis import strategies as st

from edge.http1 import Limits

SERVER = (
    b"HTTP/1.1 200 OK\r\n"
    b"Server: nginx/1.27\r\n"
    b"Date: Sun, 22 Nov 2026 19:00:00 GMT\r\n"
    b"Content-Type: text/html; charset=utf-8\r\n"
    b"Content-Length: 6412\r\n"
    b"Connection: keep-alive\r\n"
    b"Set-Cookie: a=b; Path=/\r\n"
    b'ETag: "66f0-1"\r\n'
    b"\r\n"
)
# Short, and yet something of every kind that is read differently.
SMALL = (
    b"HTTP/1.1 200 O\r\nX:a\tvalue of 24 bytes, no 8\r\ndAte: z\r\nKeep-Alive: \r\nContent-Length: 12\r\n"
    b"Connection: close,a\r\nX_y-: c \r\n\r\nbody"
)

STATUSES = st.integers(200, 599)
REASONS = st.from_regex(rb"( [\t\x20-\x7e\x80-\xff]{0,20})?", fullmatch=True)
_NEVER = frozenset(b"connection content-length transfer-encoding".split())
NAMES = st.from_regex(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True).filter(
    lambda name: name.lower() not in _NEVER
)
VALUES = st.from_regex(rb"[\t\x20-\x7e\x80-\xff]{0,40}", fullmatch=True)
BEFORE = st.sampled_from([b": ", b": ", b": ", b":", b":  ", b":\t"])
KNOWN = st.sampled_from(
    (
        b"Date: x|date:|Server:x|X-Request-Id: theirs|X-GSLB-Region: x|x-gslb-server:y|Upgrade: h2,h2c|TE: x"
        b"|Trailer: x|Keep-Alive: timeout=5|Proxy-Connection: x|Proxy-Authenticate: x|Proxy-Authorization: x"
        b"|Via: 1.1 x|Set-Cookie: a|Host: x"
    ).split(b"|")
)
CONNECTIONS = st.sampled_from([b"close", b"Keep-Alive", b"upgrade", b"Upgrade, close", b"keep-alive, ,", b""])
LENGTHS = st.integers(0, 10**18 - 1).map(lambda number: b"Content-Length: %d" % number)
FRAMINGS = LENGTHS | st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding:CHUNKED \t"])


@st.composite
def plain_responses(draw: st.DrawFn) -> tuple[bytes, bool]:
    """Heads that a server may send, and whether a HEAD was asked."""
    status, is_head = draw(STATUSES | st.sampled_from([200, 204, 304])), draw(st.booleans())
    lines = draw(
        st.lists(KNOWN | st.builds(lambda *parts: b"".join(parts), NAMES, BEFORE, VALUES), max_size=12)
    )
    if status == 204:
        once = draw(st.sampled_from([[], [b"Content-Length: 0"]]))
    elif status == 304 or is_head:
        once = draw(st.lists(FRAMINGS, max_size=1))
    else:
        once = [draw(FRAMINGS)]
    if draw(st.booleans()):
        once = [*once, b"Connection" + draw(BEFORE) + draw(CONNECTIONS)]
    for line in once:
        lines.insert(draw(st.integers(0, len(lines))), line)
    first = b"HTTP/1.1 %d%b" % (status, draw(REASONS))
    return b"".join(line + b"\r\n" for line in [first, *lines]) + b"\r\n", is_head


@given(plain_responses(), st.booleans(), st.binary(max_size=10))
def test_plain_responses_are_read_and_written_as_python_does(
    plain: tuple[bytes, bool], keep_alive: bool, behind: bytes
) -> None:
    head, is_head = plain
    said = same_response(head + behind, is_head=is_head, keep_alive=keep_alive)
    assert isinstance(said, dict)
    assert said["size"] == len(head)


def test_a_servers_response_is_plain() -> None:
    said = same_response(SERVER)
    assert isinstance(said, dict)
    assert (said["framing"], said["length"], said["dated"]) == ("length", 6412, True)


@given(plain_responses())
@example((SERVER, False))
def test_of_a_part_of_a_plain_response_more_is_awaited(plain: tuple[bytes, bool]) -> None:
    head, is_head = plain
    for end in range(len(head)):
        assert response_in_c(head[:end], is_head=is_head) == heads.MORE


@given(plain_responses(), st.data())
def test_where_a_response_was_damaged_both_agree_or_python_decides(
    plain: tuple[bytes, bool], data: st.DataObject
) -> None:
    head, is_head = plain
    damaged = bytearray(head)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.binary(max_size=2) | st.sampled_from([b"\r\n", b"\n", b"\r", b":", b" ", b","])
        )
    same_response(bytes(damaged), is_head=is_head)


@pytest.mark.parametrize("at", range(len(SMALL) - 4))
def test_every_byte_in_every_place_is_read_as_python_does(at: int) -> None:
    for head in (SMALL, SMALL.replace(b",a", b"")):
        for byte in range(256):
            same_response(head[:at] + bytes((byte,)) + head[at + 1 :])
            same_response(head[: at + 1] + bytes((byte,)) + head[at + 1 :])
        same_response(head[:at] + head[at + 1 :])


def plain_but(
    *lines: bytes, first: bytes = b"HTTP/1.1 200 OK", framing: bytes = b"Content-Length: 1"
) -> bytes:
    return b"".join(line + b"\r\n" for line in (first, framing, *lines) if line) + b"\r\n"


ODD_FIRST_LINES = (
    b"HTTP/1.0 200 OK|HTTP/1.1  200 OK|http/1.1 200 OK|HTTP/1.1 100 Continue|HTTP/1.1 103 x|HTTP/1.1 101 x"
    b"|HTTP/1.1 600 x|HTTP/1.1 20 OK|HTTP/1.1 2000 OK|HTTP/1.1 200\tOK|HTTP/1.1 200 O\x00K|HTTP/1.1 099 x"
    b"|HTTP/1.1 204 x|HTTP/2 200 OK|HTTP/1.1 200 OK\r|HTTP/1.1"
).split(b"|")
ODD_FRAMINGS = (
    b"Content-Length: 1, 1|Content-Length:|Content-Length: a|Transfer-Encoding: gzip, chunked"
    b"|Transfer-Encoding: identity|Transfer-Encoding:|Content-Length: 1\r\nContent-Length: 1"
    b"|Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked|Transfer-Encoding: chunked, chunked"
    b"|Transfer-Encoding: chunked\r\nContent-Length: 1|Content-Length: 1\r\nTransfer-Encoding: chunked"
).split(b"|")
ODD_FIELDS = (
    b"Connection: close, x|Connection: te|Connection: date|Connection: close\r\nConnection: close"
    b"|X : y| X: y|X|: y|X: y\r\n\tfolded|X: a\x00b|X: a\rb|X: a\nY: b|X: a\x7f"
).split(b"|")
ODD = [
    *(plain_but(first=line) for line in ODD_FIRST_LINES),
    *(plain_but(framing=framing) for framing in [b"", *ODD_FRAMINGS]),
    *(plain_but(field) for field in ODD_FIELDS),
    plain_but(first=b"HTTP/1.1 204 x", framing=b"Transfer-Encoding: chunked"),
    *(plain_but(*[b"X: y"] * 100), plain_but(b"X: " + b"a" * 32768)),
    plain_but(first=b"HTTP/1.1 200 " + b"a" * 16384),
]


@pytest.mark.parametrize("head", ODD, ids=lambda head: head[:60].decode("latin-1"))
def test_what_is_odd_is_left_to_python(head: bytes) -> None:
    assert response_in_c(head) == heads.UNUSUAL


NAMES_THAT_MEAN_SOMETHING = (
    b"te date upgrade trailer connection keep-alive x-request-id x-gslb-region x-gslb-server content-length"
    b" proxy-connection transfer-encoding proxy-authenticate proxy-authorization"
).split()


@pytest.mark.parametrize("name", NAMES_THAT_MEAN_SOMETHING)
def test_a_name_means_something_only_if_every_letter_is_right(name: bytes) -> None:
    same_response(plain_but(name.upper() + b": 1"))
    for at in range(len(name)):
        for other in (b"q", b"-", b"."):
            near = name[:at] + other + name[at + 1 :]
            if near != name:
                assert isinstance(same_response(plain_but(near + b": 1")), dict)


@pytest.mark.parametrize(
    ("head", "in_doubt"),
    [
        (plain_but(), True),
        (plain_but(framing=b"Content-Length: 0"), False),
        (plain_but(framing=b"Transfer-Encoding: chunked"), True),
        (plain_but(framing=b""), False),
        (plain_but(first=b"HTTP/1.1 204 No Content", framing=b""), False),
        (plain_but(first=b"HTTP/1.1 304 Not Modified"), True),
    ],
)
def test_what_head_was_answered_with_may_have_a_body_behind_it(head: bytes, in_doubt: bool) -> None:
    said = same_response(head, is_head=True)
    assert isinstance(said, dict)
    assert said["in_doubt"] == in_doubt


@given(plain_responses(), st.integers(-3, 3), st.integers(-3, 3), st.integers(-1, 1))
def test_limits_are_pythons(plain: tuple[bytes, bool], line: int, whole: int, fields: int) -> None:
    head, is_head = plain
    limits = Limits(
        request_line=head.index(b"\r\n") + line,
        head=len(head) + whole,
        fields=max(head.count(b"\r\n") - 2 + fields, 0),
    )
    within = line >= 0 and whole >= 0 and (fields >= 0 or head.count(b"\r\n") == 2)
    assert isinstance(same_response(head, is_head=is_head, limits=limits), dict) == within
    for end in range(len(head)):
        same_response(head[:end], is_head=is_head, limits=limits)
