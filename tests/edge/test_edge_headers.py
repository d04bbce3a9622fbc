"""Heads: what they mean, what travels on, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.proxy.headers import (
    Body,
    Fields,
    RequestHead,
    read_request,
    read_response,
    request_bytes,
    response_bytes,
)
from edge.proxy.refusal import Refusal

HOST = (b"Host", b"www.example.com")


def read(
    *fields: tuple[bytes, bytes], method: bytes = b"GET", target: bytes = b"/", version: str = "1.1"
) -> RequestHead:
    return read_request(method, target, version, list(fields))


def forwarded(head: RequestHead) -> bytes:
    return request_bytes(head, client="192.0.2.9", scheme="http", via="eu-west-1", fallback_host="web")


def names(data: bytes) -> list[bytes]:
    return [line.partition(b":")[0] for line in data[:-4].split(b"\r\n")[1:]]


def test_fields_travel_on_with_their_spelling_order_and_duplicates() -> None:
    fields = [
        (b"X-b", b" two "),
        (b"coOkie", b"a=1"),
        (b"X-b", b"one"),
        (b"Accept", b"*/*"),
        (b"coOkie", b"b=2"),
    ]
    data = forwarded(read(HOST, *fields))
    assert b"".join(b"%b: %b\r\n" % field for field in fields) in data


def test_what_a_client_claims_about_itself_is_replaced() -> None:
    data = forwarded(
        read(
            HOST, (b"X-Forwarded-For", b"1.2.3.4"), (b"x-forwarded-proto", b"https"), (b"Forwarded", b"for=x")
        )
    )
    assert data.count(b"orwarded-For") == 1
    assert (
        b"X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: www.example.com\r\n"
        in data
    )
    assert b"for=x" not in data


@pytest.mark.parametrize(
    "name",
    [
        b"X_Forwarded_For",
        b"x-forwarded_proto",
        b"X_Real_IP",
        b"X_Request_Id",
        b"Content_Length",
        b"Transfer_encoding",
    ],
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
        (b"TE", b"trailers"),
        (b"Proxy-Authorization", b"x"),
        (b"connection", b"other, host, x-forwarded-for"),
        (b"Other", b"2"),
        (b"Kept", b"3"),
    )
    assert names(forwarded(head)) == [
        b"Host",
        b"Kept",
        b"X-Forwarded-For",
        b"X-Forwarded-Proto",
        b"X-Forwarded-Host",
        b"X-Request-Id",
        b"Via",
    ]


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [(b"abc-123", True), (b"", False), (b"x" * 129, False), (b"a b", False), (b'"', False)],
)
def test_a_sane_request_id_is_kept(given_id: bytes, kept: bool) -> None:
    head = read(HOST, (b"X-Request-Id", given_id))
    assert (head.request_id == given_id) is kept
    assert len(head.request_id) == 32 or kept


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([], 400),
        ([HOST, HOST], 400),
        ([(b"Host", b"a b")], 400),
        ([(b"Host", b"a,b")], 400),
        ([(b"Host", b"user@a")], 400),
        ([(b"Host", b"a/b")], 400),
        ([HOST, (b"Content-Length", b"1"), (b"Content-Length", b"2")], 400),
        ([HOST, (b"Content-Length", b"+1")], 400),
        ([HOST, (b"Content-Length", b"1, 1")], 400),
        ([HOST, (b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")], 400),
        ([HOST, (b"Transfer-Encoding", b"gzip, chunked")], 501),
        ([HOST, (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")], 501),
        ([HOST, (b"Transfer-Encoding", b"identity")], 501),
        ([HOST, (b"Expect", b"miracles")], 417),
        ([HOST, (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")], 501),
    ],
)
def test_what_is_refused(fields: Fields, status: int) -> None:
    with pytest.raises(Refusal) as refused:
        read_request(b"POST", b"/", "1.1", fields)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("method", "target", "version", "status"),
    [
        (b"GET", b"/a#b", "1.1", 400),
        (b"GET", b"ftp://h/", "1.1", 400),
        (b"GET", b"http:///x", "1.1", 400),
        (b"GET", b"*", "1.1", 400),
        (b"CONNECT", b"h:80", "1.1", 501),
        (b"GET", b"/", "2.0", 505),
        (b"GET", b"/", "0.9", 505),
    ],
)
def test_targets_and_versions_that_are_refused(
    method: bytes, target: bytes, version: str, status: int
) -> None:
    with pytest.raises(Refusal) as refused:
        read_request(method, target, version, [HOST])
    assert refused.value.status == status


def test_transfer_encoding_is_no_part_of_http_1_0() -> None:
    with pytest.raises(Refusal):
        read((b"Transfer-Encoding", b"chunked"), version="1.0")


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
    head = read(version="1.0")
    assert not head.keep_alive
    assert forwarded(head).startswith(b"GET / HTTP/1.1\r\nHost: web\r\n")
    assert b"Via: 1.0 eu-west-1\r\n" in forwarded(head)


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
    ]
)


@given(st.lists(st.tuples(TOKEN, VALUE) | SPICE, max_size=10))
def test_any_head_is_refused_or_forwarded_with_one_host_and_one_framing(fields: Fields) -> None:
    try:
        head = read_request(b"POST", b"/", "1.1", [HOST, *fields])
    except Refusal:
        return
    data = forwarded(head)
    assert data.endswith(b"\r\n\r\n")
    assert data.count(b"\r\n\r\n") == 1
    kept = [name.lower() for name in names(data)]
    assert kept.count(b"host") == 1
    assert kept.count(b"x-forwarded-for") == 1
    assert kept.count(b"content-length") + kept.count(b"transfer-encoding") == (head.body is not Body.NONE)
    assert not {b"connection", b"keep-alive", b"te", b"upgrade"} & set(kept)


@pytest.mark.parametrize(
    ("status", "method", "fields", "body", "reusable"),
    [
        (200, b"GET", [(b"Content-Length", b"3")], Body.LENGTH, True),
        (200, b"GET", [(b"Transfer-Encoding", b"chunked")], Body.CHUNKED, True),
        (200, b"GET", [], Body.UNTIL_CLOSE, False),
        (200, b"HEAD", [(b"Content-Length", b"0")], Body.NONE, True),
        (200, b"HEAD", [], Body.NONE, True),
        (200, b"HEAD", [(b"Content-Length", b"3")], Body.NONE, False),
        (200, b"HEAD", [(b"Transfer-Encoding", b"chunked")], Body.NONE, False),
        (204, b"GET", [], Body.NONE, True),
        (304, b"GET", [(b"Content-Length", b"3")], Body.NONE, True),
        (200, b"GET", [(b"Content-Length", b"3"), (b"Connection", b"close")], Body.LENGTH, False),
    ],
)
def test_how_a_response_ends(status: int, method: bytes, fields: Fields, body: Body, reusable: bool) -> None:
    head = read_response(status, b"X", "1.1", fields, request_method=method)
    assert (head.body, head.reusable) == (body, reusable)


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")],
        [(b"Content-Length", b"3"), (b"Content-Length", b"4")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
    ],
)
def test_a_response_whose_end_is_in_doubt_is_refused(fields: Fields) -> None:
    with pytest.raises(Refusal) as refused:
        read_response(200, b"OK", "1.1", fields, request_method=b"GET")
    assert refused.value.status == 502


def test_a_response_travels_on_with_its_reason_and_fields() -> None:
    fields = [
        (b"Set-Cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"X-Request-Id", b"theirs"),
        (b"Connection", b"x"),
        (b"X", b"y"),
    ]
    head = read_response(299, b"Odd \xff Reason", "1.1", fields, request_method=b"GET")
    data = response_bytes(head, marks=b"Mark: 1\r\n", chunked=True, connection=b"")
    assert data == (
        b"HTTP/1.1 299 Odd \xff Reason\r\nSet-Cookie: a\r\nset-cookie: b\r\n"
        b"Transfer-Encoding: chunked\r\nMark: 1\r\n\r\n"
    )
