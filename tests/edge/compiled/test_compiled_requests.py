"""Requests in C: plain ones are read and written as Python does it, and all others are left to Python."""

from __future__ import annotations

import pytest
from compiled_heads import heads, request_in_c, same_request
from hypothesis import example, given
from hypothesis import strategies as st

from edge.http1 import Limits

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BROWSER = (
    b"GET /shop/items/42.html?colour=%20red&b=/.. HTTP/1.1\r\n"
    b"Host: www.example.com\r\n"
    b"Connection: keep-alive\r\n"
    b'sec-ch-ua: "Chromium";v="130"\r\n'
    b"Upgrade-Insecure-Requests: 1\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n"
    b"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n"
    b"Referer: https://www.example.com/\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\n"
    b"Accept-Language: en-GB,en;q=0.5\r\n"
    b"Cookie: a=1; b=\xc3\xa4\r\n"
    b"X-Forwarded-For: 1.2.3.4\r\n"
    b"\r\n"
)
# Short, and yet something of every kind that is read differently.
SMALL = (
    b"PUT /a.b?c HTTP/1.1\r\nhOst: a-b.c:80\r\nX:a\tvalue of 24 bytes, no 8\r\nX-Request-Id: ab \r\n"
    b"Via: 1.1 x\r\nConnection: close\r\nForwarded: for=x\r\nContent-Length: 12\r\ntracestate: a\r\n"
    b"Expires: \r\n\r\nbody"
)

METHODS = st.sampled_from(b"GET HEAD POST PUT DELETE OPTIONS TRACE PATCH get x!#9".split())
TARGETS = st.from_regex(rb"/[!\"$-~]{0,20}(\?[!\"$-~]{0,9})?", fullmatch=True)
PLAIN_TARGETS = st.from_regex(rb"(/[a-z0-9._~-]{0,5}){1,3}(\?[!\"$-~]{0,9})?", fullmatch=True)
HOSTS = st.from_regex(rb"([A-Za-z0-9_~-]{1,9}\.){0,3}[a-z0-9]{1,9}\.?(:[0-9]{0,4})?", fullmatch=True)
_NEVER = frozenset(b"te via host expect upgrade connection content-length transfer-encoding".split())
NAMES = st.from_regex(rb"[A-Za-z0-9!#$%&'*+.^`|~-]{1,20}", fullmatch=True).filter(
    lambda name: name.lower() not in _NEVER
)
VALUES = st.from_regex(rb"[\t\x20-\x7e\x80-\xff]{0,40}", fullmatch=True)
BEFORE = st.sampled_from([b": ", b": ", b": ", b":", b":  ", b":\t"])
KNOWN = st.sampled_from(
    (
        b"Accept: */*|Cookie: a=b|cookie:c|Referer: /x|User-Agent: x|Authorization: Basic eA=="
        b"|X-Request-Id: abc-123|x-request-id:0123456789abcdef0123456789abcdef|X-Request-Id: no id"
        b"|X-Request-Id:|traceparent: 00-1|traceparent: %b|Traceparent:%b-x|tracestate: a=b"
        b"|X-Forwarded-For: 1.2.3.4|X-Forwarded-Proto: https|x-forwarded-host: a|X-Forwarded-Port: 1"
        b"|X-Real-IP: 1.2.3.4|Forwarded: for=x|Proxy-Connection: keep-alive|Proxy-Authorization: x"
        b"|Proxy-Authenticate: x|Keep-Alive: 5|Trailer: x"
    )
    .replace(b"%b", TRACE)
    .split(b"|")
)
ONCE = st.fixed_dictionaries(
    {},
    optional={
        b"Via": st.sampled_from([b"1.1 x", b"1.0 a, 1.1 b"]),
        b"Connection": st.sampled_from([b"close", b"Keep-Alive", b"keep-alive, ,CLOSE", b""]),
        b"Content-Length": st.integers(0, 10**18 - 1).map(lambda number: b"%d" % number) | st.just(b"007"),
    },
)


@st.composite
def plain_requests(draw: st.DrawFn) -> bytes:
    """Heads that browsers and programs may send, and that there is no reason to be careful about."""
    lines = draw(
        st.lists(KNOWN | st.builds(lambda *parts: b"".join(parts), NAMES, BEFORE, VALUES), max_size=12)
    )
    once = draw(ONCE) | {b"Host": draw(HOSTS)}
    for name, value in once.items():
        spelled = draw(st.sampled_from([name, name.lower(), name.upper()]))
        lines.insert(draw(st.integers(0, len(lines))), spelled + draw(BEFORE) + value)
    target = draw(TARGETS | PLAIN_TARGETS)
    return b"%b %b HTTP/1.1\r\n%b\r\n\r\n" % (draw(METHODS), target, b"\r\n".join(lines))


@given(plain_requests(), st.binary(max_size=10))
def test_plain_requests_are_read_and_written_as_python_does(head: bytes, behind: bytes) -> None:
    said = same_request(head + behind)
    assert isinstance(said, dict)
    assert said["size"] == len(head)


def test_a_browsers_request_is_plain() -> None:
    said = same_request(BROWSER)
    assert isinstance(said, dict)
    assert said["plain_path"]
    assert said["claims"] == [(b"X-Forwarded-For", b"1.2.3.4")]


@given(plain_requests())
@example(BROWSER)
def test_of_a_part_of_a_plain_request_more_is_awaited(head: bytes) -> None:
    for end in range(len(head)):
        assert request_in_c(head[:end]) == heads.MORE


@given(plain_requests(), st.data())
def test_where_a_request_was_damaged_both_agree_or_python_decides(head: bytes, data: st.DataObject) -> None:
    damaged = bytearray(head)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.binary(max_size=2) | st.sampled_from([b"\r\n", b"\n", b"\r", b":", b" ", b",", b"_"])
        )
    same_request(bytes(damaged))


@pytest.mark.parametrize("at", range(len(SMALL) - 4))
def test_every_byte_in_every_place_is_read_as_python_does(at: int) -> None:
    for byte in range(256):
        same_request(SMALL[:at] + bytes((byte,)) + SMALL[at + 1 :])
        same_request(SMALL[: at + 1] + bytes((byte,)) + SMALL[at + 1 :])
    same_request(SMALL[:at] + SMALL[at + 1 :])


def plain_but(*lines: bytes, first: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    kept = [line for line in (first, host, *lines) if line]
    return b"".join(line + b"\r\n" for line in kept) + b"\r\n"


ODD_FIRST_LINES = (
    b"GET / HTTP/1.0|GET / HTTP/1.2|GET / HTTP/2.0|GET  / HTTP/1.1|GET /  HTTP/1.1|GET / http/1.1"
    b"|GET / HTTP/1.1 | GET / HTTP/1.1|GET /|OPTIONS * HTTP/1.1|GET http://a/ HTTP/1.1|CONNECT a:1 HTTP/1.1"
    b"|CONNECT / HTTP/1.1|GET a HTTP/1.1|G(T / HTTP/1.1|GET /# HTTP/1.1|GET /\xe4 HTTP/1.1|GET /\x7f HTTP/1.1"
    b"|GET /\t HTTP/1.1|GET / HTTP/1.1\r"
).split(b"|")
ODD_HOSTS = b" |a b|[::1]|a,b|u@a|a..b|.a|a..|.|a:65536|a:000080|:80|a:8x|a:80:80|a:-1|a/|%61|\xe4".split(
    b"|"
)
ODD_FIELDS = (
    b"Host: a|Transfer-Encoding: chunked|transfer-encoding:|TE: trailers|Expect: 100-continue"
    b"|Upgrade: websocket|Upgrade:|Connection: upgrade|Connection: close, x|Connection: TE"
    b"|Connection: close x|Connection: close\r\nConnection: close|Content-Length: 1\r\nContent-Length: 1"
    b"|Content-Length: 1, 1|Content-Length: +1|Content-Length:|Content-Length: 0x1"
    b"|Content-Length: 1111111111111111111"
    b"|Content-Length: 1 1|Content-Length: -1|Via: 1.1 a\r\nvia: 1.1 b|X_Forwarded_For: a|Any_Thing: a"
    b"|X : y| X: y|X|: y|X\t: y|X: y\r\n folded|X: a\x00b|X: a\x7f|X: a\x1b|X: a\rb|X: a\nY: b|X: a\n"
    b"|X: a\r\r"
).split(b"|")
ODD = [
    *(plain_but(first=line) for line in ODD_FIRST_LINES),
    *(plain_but(host=b"Host: " + host) for host in [*ODD_HOSTS, b"a" * 263]),
    *(plain_but(field) for field in ODD_FIELDS),
    *(plain_but(host=b""), b"\r\n" + plain_but(), plain_but(*[b"X: y"] * 100)),
    *(plain_but(*[b"Forwarded: for=x"] * 17), plain_but(b"X: " + b"a" * 32768)),
    plain_but(first=b"GET /" + b"a" * 16384 + b" HTTP/1.1"),
]


@pytest.mark.parametrize("head", ODD, ids=lambda head: head[:60].decode("latin-1"))
def test_what_is_odd_is_left_to_python(head: bytes) -> None:
    assert request_in_c(head) == heads.UNUSUAL


NAMES_THAT_MEAN_SOMETHING = (
    b"te via host cookie expect trailer upgrade referer forwarded x-real-ip connection keep-alive user-agent"
    b" tracestate traceparent x-request-id authorization content-length x-forwarded-for x-forwarded-host"
    b" x-forwarded-port x-forwarded-proto proxy-connection transfer-encoding proxy-authenticate"
    b" proxy-authorization"
).split()


@pytest.mark.parametrize("name", NAMES_THAT_MEAN_SOMETHING)
def test_a_name_means_something_only_if_every_letter_is_right(name: bytes) -> None:
    same_request(plain_but(name.upper() + b": 1"))
    for at in range(len(name)):
        for other in (b"q", b"-", b"."):
            near = name[:at] + other + name[at + 1 :]
            if near != name:
                assert isinstance(same_request(plain_but(near + b": 1")), dict)


@given(plain_requests(), st.integers(-3, 3), st.integers(-3, 3), st.integers(-1, 1))
def test_limits_are_pythons(head: bytes, line: int, whole: int, fields: int) -> None:
    limits = Limits(
        request_line=head.index(b"\r\n") + line,
        head=len(head) + whole,
        fields=max(head.count(b"\r\n") - 2 + fields, 0),
    )
    within = line >= 0 and whole >= 0 and fields >= 0
    assert isinstance(same_request(head, limits), dict) == within
    for end in range(len(head)):
        same_request(head[:end], limits)


@pytest.mark.parametrize("size", [1000, 4000, 20000])
def test_what_can_only_become_too_long_is_pythons(size: int) -> None:
    limits = Limits(request_line=1000, head=4000)
    endless = [b"GET /" + b"a" * size, b"G" * size, b"GET / HTTP/1.1\r\n" + b"a" * size]
    endless += [b"GET / HTTP/1.1\r\nX: " + b"a" * size, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (size // 6)]
    for data in endless:
        same_request(data, limits)


def test_an_id_that_begins_a_trace_is_its_id() -> None:
    said = request_in_c(plain_but(b"X-Request-Id: " + b"0a" * 16))
    assert isinstance(said, dict)
    assert b"\r\ntraceparent: 00-" + b"0a" * 16 + b"-" in said["written"]


def test_the_first_of_several_counts_even_if_it_is_empty() -> None:
    said = same_request(plain_but(b"Cookie:", b"Cookie: b", b"Referer: a", b"Referer: b"))
    assert isinstance(said, dict)
    assert (said["cookie"], said["referer"]) == (b"", b"a")


@pytest.mark.parametrize(
    ("target", "plain"),
    [
        *((b"/", True), (b"/a/b.c?x=/../%", True), (b"//a..b/", True), (b"/?/.", True)),
        *((b"/.", False), (b"/a/..", False), (b"/./a", False), (b"/.a", False), (b"/%61", False)),
        *((b"/a%", False), (b"/a\\b", False)),
    ],
)
def test_a_path_that_may_mean_another_one_is_not_plain(target: bytes, plain: bool) -> None:
    said = same_request(plain_but(first=b"GET %b HTTP/1.1" % target))
    assert isinstance(said, dict)
    assert said["plain_path"] == plain


@pytest.mark.parametrize("at", range(len(TRACE) + 1))
def test_a_trace_is_one_only_if_every_digit_is_right(at: int) -> None:
    for byte in b"0f-gF ":
        same_request(plain_but(b"traceparent: " + TRACE[:at] + bytes((byte,)) + TRACE[at + 1 :]))
    same_request(plain_but(b"traceparent: " + TRACE[:at]))


@pytest.mark.parametrize(
    ("parent", "traced"),
    [
        *((TRACE, True), (TRACE + b"-", True), (b"fe" + TRACE[2:], True), (b"ff" + TRACE[2:], False)),
        *((TRACE[:3] + b"0" * 32 + TRACE[35:], False), (TRACE[:36] + b"0" * 16 + TRACE[52:], False)),
        *((TRACE + b"0", False), (TRACE + b"\r\ntraceparent: " + TRACE, False)),
    ],
)
def test_a_trace_is_passed_on_or_begun(parent: bytes, traced: bool) -> None:
    said = same_request(plain_but(b"tracestate: a=1", b"traceparent: " + parent))
    assert isinstance(said, dict)
    assert said["traced"] == traced
    assert (b"\r\ntracestate: a=1\r\n" in said["written"]) == traced


@pytest.mark.parametrize(
    ("fields", "used"),
    [
        *(([b"a" * 128], b"a" * 128), ([b"a" * 129], b""), ([b"aZ09._:/+=@-"], b"aZ09._:/+=@-")),
        *(([b"a b"], b""), ([b"a", b"a"], b""), ([b"a", b" "], b""), ([b"a", b"b", b"c"], b"")),
    ],
)
def test_only_a_sane_id_is_used(fields: list[bytes], used: bytes) -> None:
    said = same_request(plain_but(*(b"X-Request-Id: " + field for field in fields)))
    assert isinstance(said, dict)
    assert said["request_id"] == used
