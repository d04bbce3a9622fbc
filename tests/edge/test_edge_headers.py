"""Heads that travel on: what of a message is for the next hop, and what the edge says for itself."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.forwarded import Introduction, TrustedProxies
from edge.http1 import Framing, ProtocolError, RequestHead, RequestReader, ResponseHead, ResponseReader
from edge.proxy.headers import client_head, going, interim_head, server_head

Fields = list[tuple[bytes, bytes]]
PEER = Introduction("192.0.2.9", "http", 80, TrustedProxies(()))
HOST = (b"Host", b"www.example.com")
DATE = b"Date: Sun, 22 Nov 2026 19:00:00 GMT\r\n"
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def read(
    *fields: tuple[bytes, bytes], method: bytes = b"GET", target: bytes = b"/", minor: int = 1
) -> RequestHead:
    reader = RequestReader()
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    reader.receive(b"%b %b HTTP/1.%d\r\n%b\r\n" % (method, target, minor, lines))
    head = reader.next_event()
    assert isinstance(head, RequestHead)
    return head


def forwarded(head: RequestHead) -> bytes:
    return server_head(head, going(head, PEER), via=b"eu-west-1", fallback_host=b"web")


def answer(*fields: tuple[bytes, bytes], status: bytes = b"200 OK", method: bytes = b"GET") -> ResponseHead:
    reader = ResponseReader()
    reader.expect(method, upgrade=True)
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    reader.receive(b"HTTP/1.1 %b\r\n%b\r\n" % (status, lines))
    head = reader.next_event()
    assert isinstance(head, ResponseHead)
    return head


def names(data: bytes) -> list[bytes]:
    return [line.partition(b":")[0] for line in data[:-4].split(b"\r\n")[1:]]


def field(data: bytes, name: bytes) -> list[bytes]:
    return re.findall(rb"(?im)^%b: (.*)\r$" % re.escape(name), data)


def test_fields_travel_on_with_their_spelling_order_and_duplicates() -> None:
    fields = [
        (b"X-b", b"two"),
        (b"coOkie", b"a=1"),
        (b"X-b", b"one"),
        (b"Accept", b"*/*"),
        (b"coOkie", b"b=2"),
    ]
    assert b"".join(b"%b: %b\r\n" % each for each in fields) in forwarded(read(HOST, *fields))


def test_what_a_client_claims_about_itself_is_replaced() -> None:
    claims = [(b"X-Forwarded-For", b"1.2.3.4"), (b"x-forwarded-proto", b"https"), (b"Forwarded", b"for=x")]
    data = forwarded(read(HOST, *claims))
    assert field(data, b"X-Forwarded-For") == [b"192.0.2.9"]
    assert field(data, b"X-Forwarded-Proto") == [b"http"]
    assert field(data, b"X-Forwarded-Host") == [b"www.example.com"]
    assert field(data, b"X-Real-IP") == [b"192.0.2.9"]
    assert field(data, b"Forwarded") == [b"for=192.0.2.9;proto=http;host=www.example.com"]


@pytest.mark.parametrize(
    "name",
    [b"X_Forwarded_For", b"x-forwarded_proto", b"X_Real_IP", b"X_Request_Id", b"Content_Length", b"Te_"[:2]],
)
def test_names_that_servers_take_for_the_edges_own_are_dropped(name: bytes) -> None:
    data = forwarded(read(HOST, (name, b"6.6.6.6"), (b"X_Custom", b"kept")))
    assert b"6.6.6.6" not in data
    assert b"X_Custom: kept\r\n" in data


def test_hop_by_hop_fields_and_those_connection_names_stay_here() -> None:
    head = read(
        HOST,
        (b"Secret", b"1"),
        (b"Connection", b"keep-alive, Secret"),
        (b"Keep-Alive", b"5"),
        (b"TE", b"gzip"),
        (b"Proxy-Authorization", b"x"),
        (b"connection", b"other, host, x-forwarded-for"),
        (b"Other", b"2"),
        (b"Kept", b"3"),
    )
    added = [b"traceparent", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Port", b"X-Real-IP"]
    added += [b"X-Forwarded-Host", b"Forwarded", b"X-Request-Id", b"Via"]
    assert names(forwarded(head)) == [b"Host", b"Kept", *added]


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [(b"abc-123", True), (b"", False), (b"x" * 129, False), (b"a b", False), (b'"', False)],
)
def test_a_sane_request_id_is_kept(given_id: bytes, kept: bool) -> None:
    (used,) = field(forwarded(read(HOST, (b"X-Request-Id", given_id))), b"X-Request-Id")
    assert (used == given_id) is kept
    assert kept or len(used) == 32


@pytest.mark.parametrize(
    ("parents", "passed"),
    [
        ([TRACE], True),
        ([TRACE.replace(b"00-", b"01-", 1) + b"-more"], True),
        ([TRACE, TRACE], False),
        ([b"ff" + TRACE[2:]], False),
        ([b"00-" + b"0" * 32 + TRACE[35:]], False),
        ([TRACE[:-1]], False),
        ([], False),
    ],
)
def test_a_trace_is_passed_on_or_begun(parents: list[bytes], passed: bool) -> None:
    data = forwarded(read(HOST, *((b"traceparent", parent) for parent in parents)))
    found = field(data, b"traceparent")
    if passed:
        assert found == parents
    else:
        assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-00", found[-1])


@pytest.mark.parametrize(
    ("fields", "switch"),
    [
        ([(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")], [b"websocket"]),
        ([(b"Upgrade", b"websocket")], []),
        ([(b"Connection", b"Upgrade"), (b"Upgrade", b"h2c")], []),
        ([(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Content-Length", b"1")], []),
    ],
)
def test_only_what_may_become_a_tunnel_is_asked_for(fields: Fields, switch: list[bytes]) -> None:
    data = forwarded(read(HOST, *fields))
    assert field(data, b"Upgrade") == switch
    assert field(data, b"Connection") == [b"upgrade"] * len(switch)


def test_trailers_are_wanted_where_the_client_wants_them() -> None:
    data = forwarded(read(HOST, (b"TE", b"deflate, Trailers"), (b"Connection", b"TE")))
    assert (field(data, b"TE"), field(data, b"Connection")) == ([b"trailers"], [b"TE"])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"http://other.example/a?b", b"GET /a?b HTTP/1.1\r\nHost: other.example\r\n"),
        (b"HTTP://other.example", b"GET / HTTP/1.1\r\nHost: other.example\r\n"),
        (b"http://other.example?b", b"GET /?b HTTP/1.1\r\nHost: other.example\r\n"),
        (b"/a//b/../%7e", b"GET /a//b/../%7e HTTP/1.1\r\nHost: www.example.com\r\n"),
    ],
)
def test_the_target_decides_the_host_and_travels_on_as_it_came(target: bytes, expected: bytes) -> None:
    assert forwarded(read(HOST, target=target)).startswith(expected)


def test_an_http_1_0_client_without_host_gets_the_pools_name() -> None:
    data = forwarded(read(minor=0))
    assert data.startswith(b"GET / HTTP/1.1\r\nHost: web\r\n")
    assert b"Via: 1.0 eu-west-1\r\n" in data


TOKEN = st.from_regex(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True)
VALUE = st.from_regex(
    rb"[\x21-\x7e\x80-\xff]?([\x20-\x7e\x80-\xff\t]{0,20}[\x21-\x7e\x80-\xff])?", fullmatch=True
)
SPICE = st.sampled_from(
    [
        (b"Content-Length", b"5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"close, x"),
        (b"X", b"y"),
        (b"Host", b"h"),
        (b"Expect", b"100-continue"),
        (b"TE", b"gzip"),
        (b"Upgrade", b"h2c"),
    ]
)


@given(st.lists(st.tuples(TOKEN, VALUE) | SPICE, max_size=10))
def test_any_head_is_refused_or_forwarded_with_one_host_and_one_framing(fields: Fields) -> None:
    try:
        head = read(HOST, *fields, method=b"POST")
    except ProtocolError:
        return
    data = forwarded(head)
    assert data.endswith(b"\r\n\r\n")
    assert data.count(b"\r\n\r\n") == 1
    kept = [name.lower() for name in names(data)]
    assert kept.count(b"host") == 1
    assert kept.count(b"x-forwarded-for") == 1
    framed = head.framing is not Framing.NONE
    assert kept.count(b"content-length") + kept.count(b"transfer-encoding") == framed
    assert not {b"connection", b"keep-alive", b"te", b"upgrade"} & set(kept)


def test_a_response_travels_on_with_its_reason_and_fields() -> None:
    head = answer(
        (b"Set-Cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"X-Request-Id", b"theirs"),
        (b"Connection", b"x"),
        (b"X", b"y"),
        status=b"299 Odd \xff Reason",
    )
    data = client_head(head, minor=1, chunked=True, keep_alive=True, date=DATE, marks=b"Mark: 1\r\n")
    assert data == (
        b"HTTP/1.1 299 Odd \xff Reason\r\nSet-Cookie: a\r\nset-cookie: b\r\n"
        b"Transfer-Encoding: chunked\r\n" + DATE + b"Mark: 1\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("minor", "keep_alive", "connection"), [(1, True, []), (1, False, [b"close"]), (0, True, [b"keep-alive"])]
)
def test_a_client_is_told_whether_its_connection_stays(
    minor: int, keep_alive: bool, connection: list[bytes]
) -> None:
    head = answer((b"Content-Length", b"3"))
    data = client_head(head, minor=minor, chunked=False, keep_alive=keep_alive, date=DATE, marks=b"")
    assert field(data, b"Connection") == connection
    assert field(data, b"Content-Length") == [b"3"]


@pytest.mark.parametrize(("status", "method"), [(b"200 OK", b"HEAD"), (b"304 Not Modified", b"GET")])
def test_a_length_without_a_body_is_announced(status: bytes, method: bytes) -> None:
    head = answer((b"Content-Length", b"3"), status=status, method=method)
    data = client_head(head, minor=1, chunked=False, keep_alive=True, date=DATE, marks=b"")
    assert field(data, b"Content-Length") == [b"3"]


@pytest.mark.parametrize(
    ("fields", "dates"),
    [
        ([], [DATE[6:-2]]),
        ([(b"dAte", b"theirs")], [b"theirs"]),
        ([(b"Date", b"")], [b""]),
        ([(b"Connection", b"date"), (b"Date", b"theirs")], [DATE[6:-2]]),
    ],
)
@pytest.mark.parametrize("status", [b"200 OK", b"101 Switching Protocols"])
def test_a_response_without_a_date_gets_one(fields: Fields, dates: list[bytes], status: bytes) -> None:
    head = answer(*fields, (b"Upgrade", b"websocket"), status=status)
    data = client_head(head, minor=1, chunked=False, keep_alive=True, date=DATE, marks=b"Mark: 1\r\n")
    assert field(data, b"Date") == dates
    assert data.endswith((DATE if dates == [DATE[6:-2]] else b"") + data[data.index(b"Mark: 1") :])


def test_an_interim_response_brings_its_fields_and_no_marks() -> None:
    head = answer((b"Link", b"</a.css>"), (b"Connection", b"x"), status=b"103 Early Hints")
    assert interim_head(head) == b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"


def test_a_switch_of_protocols_names_the_new_one() -> None:
    head = answer((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), status=b"101 Switching Protocols")
    data = client_head(head, minor=1, chunked=False, keep_alive=True, date=DATE, marks=b"")
    assert field(data, b"Upgrade") == [b"websocket"]
    assert field(data, b"Connection") == [b"upgrade"]
