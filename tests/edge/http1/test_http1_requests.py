"""Request heads: what they mean, and which of them nobody should believe."""

from __future__ import annotations

import pytest
from http1_reading import error, request_head, requests

from edge.http1 import Framing, Limits, RequestHead, RequestReader, TargetForm

HOST = b"Host: a\r\n"


def with_line(line: bytes) -> bytes:
    return line + b"\r\n" + HOST + b"\r\n"


def with_fields(*lines: bytes, method: bytes = b"POST", version: bytes = b"HTTP/1.1") -> bytes:
    return b"%b / %b\r\n%b%b\r\n" % (method, version, HOST, b"".join(line + b"\r\n" for line in lines))


def with_host(*hosts: bytes, version: bytes = b"HTTP/1.1", target: bytes = b"/") -> bytes:
    lines = b"".join(b"Host: %b\r\n" % host for host in hosts)
    return b"GET %b %b\r\n%b\r\n" % (target, version, lines)


def test_a_head_is_told_as_it_was_spelled() -> None:
    head = request_head(
        b"GET /a?b=c HTTP/1.1\r\nhOst: www.example.com:8080\r\nX-One:\t one \t\r\nx-ONE:two\r\nEmpty:\r\n\r\n"
    )
    assert (head.method, head.target, head.resource, head.minor) == (b"GET", b"/a?b=c", b"/a?b=c", 1)
    assert head.form is TargetForm.ORIGIN
    assert head.host == b"www.example.com:8080"
    assert head.fields == [
        (b"hOst", b"www.example.com:8080"),
        (b"X-One", b"one"),
        (b"x-ONE", b"two"),
        (b"Empty", b""),
    ]
    assert head.names == [b"host", b"x-one", b"x-one", b"empty"]
    assert head.values(b"x-one") == [b"one", b"two"]
    assert head.values(b"absent") == []
    assert (head.framing, head.length, head.keep_alive) == (Framing.NONE, 0, True)


def test_obs_text_and_tabs_inside_values_pass() -> None:
    head = request_head(with_fields(b"X: caf\xc3\xa9\tau\xff lait"))
    assert head.values(b"x") == [b"caf\xc3\xa9\tau\xff lait"]


def test_extension_methods_pass() -> None:
    assert request_head(with_fields(method=b"M-SEARCH!")).method == b"M-SEARCH!"


REFUSED_LINES = [
    (b"GET  / HTTP/1.1", 400, "one space between them"),
    (b"GET / HTTP/1.1 ", 400, "one space between them"),
    (b" GET / HTTP/1.1", 400, "one space between them"),
    (b"GET /a b HTTP/1.1", 400, "one space between them"),
    (b"GET\t/ HTTP/1.1", 400, "one space between them"),
    (b"GET /\tHTTP/1.1", 400, "one space between them"),
    (b"GET /", 400, "one space between them"),
    (b"GET", 400, "one space between them"),
    (b"GE(T / HTTP/1.1", 400, "a method that is not a token"),
    (b"G\xc3\x89T / HTTP/1.1", 400, "a method that is not a token"),
    (b"GET /caf\xc3\xa9 HTTP/1.1", 400, "outside visible ASCII"),
    (b"GET /#a HTTP/1.1", 400, "a fragment"),
    (b"GET / HTTP/2.0", 505, "HTTP/2.0 is not served here"),
    (b"PRI * HTTP/2.0", 505, "HTTP/2.0 is not served here"),
    (b"GET / HTTP/0.9", 505, "HTTP/0.9 is not served here"),
    (b"GET / HTTP/1.2", 505, "HTTP/1.2 is not served here"),
    (b"GET / HTTP/1.10", 400, "malformed HTTP version"),
    (b"GET / HTTP/1.", 400, "malformed HTTP version"),
    (b"GET / HTTP/1", 400, "malformed HTTP version"),
    (b"GET / http/1.1", 400, "malformed HTTP version"),
    (b"GET / HTTP/+1.1", 400, "malformed HTTP version"),
    (b"GET / HTTPS/1.1", 400, "malformed HTTP version"),
    (b"GET /\x00 HTTP/1.1", 400, "a control byte (0x00) in its head"),
    (b"GET /\x7f HTTP/1.1", 400, "a control byte (0x7f) in its head"),
    (b"GET /\x0b HTTP/1.1", 400, "a control byte (0x0b) in its head"),
    (b"GET / HTTP/1.1\n" + HOST, 400, "a bare LF in its head"),
    (b"GET / HTTP/1.1\rX: y", 400, "a bare CR in its head"),
    (b"GET / HTTP/1.1\r", 400, "a bare CR in its head"),
    (b"GET * HTTP/1.1", 400, "which only OPTIONS may have"),
    (b"GET a HTTP/1.1", 400, "neither a path nor an http or https URL"),
    (b"GET a:80 HTTP/1.1", 400, "neither a path nor an http or https URL"),
    (b"GET ftp://a/ HTTP/1.1", 400, "neither a path nor an http or https URL"),
    (b"GET ://a/ HTTP/1.1", 400, "neither a path nor an http or https URL"),
    (b"GET http:/a HTTP/1.1", 400, "neither a path nor an http or https URL"),
    (b"GET http:///a HTTP/1.1", 400, "a URL as its target"),
    (b"GET http://u:p@a/ HTTP/1.1", 400, "a URL as its target"),
    (b"GET http://a:65536/ HTTP/1.1", 400, "a URL as its target"),
    (b"GET http://a..b/ HTTP/1.1", 400, "a URL as its target"),
    (b"CONNECT / HTTP/1.1", 400, "a CONNECT target"),
    (b"CONNECT a HTTP/1.1", 400, "a CONNECT target without a port"),
    (b"CONNECT a: HTTP/1.1", 400, "a CONNECT target without a port"),
    (b"CONNECT http://a:80/ HTTP/1.1", 400, "a CONNECT target"),
    (b"CONNECT u@a:80 HTTP/1.1", 400, "a CONNECT target"),
]


@pytest.mark.parametrize(("line", "status", "reason"), REFUSED_LINES)
def test_a_request_line_that_breaks_a_rule_is_refused(line: bytes, status: int, reason: str) -> None:
    told = requests(with_line(line))
    assert len(told) == 1
    assert error(told)[0] == status
    assert reason in error(told)[1]


REFUSED_FIELDS = [
    (b" X: folded", "begins with whitespace"),
    (b"\tX: folded", "begins with whitespace"),
    (b"X : y", "whitespace between a field's name and its colon"),
    (b"X\t: y", "whitespace between a field's name and its colon"),
    (b": y", "a field without a name"),
    (b"X", "a line without a colon"),
    (b"X Y: z", "whose name is not a token"),
    (b"X(Y): z", "whose name is not a token"),
    (b"X\xe9: z", "whose name is not a token"),
    (b"X: \x00", "a control byte (0x00) in its head"),
    (b"X: \x01", "a control byte (0x01) in its head"),
    (b"X\x1f: y", "a control byte (0x1f) in its head"),
    (b"X: \x7f", "a control byte (0x7f) in its head"),
    (b"X: y\nZ: z", "a bare LF in its head"),
    (b"X: y\rZ: z", "a bare CR in its head"),
    (b"X: y\r", "a bare CR in its head"),
    (b"\rX: y", "a bare CR in its head"),
    (b"Host: b", "several Host fields"),
    (b"Host: a", "several Host fields"),
    (b"Content-Length: +5", "not a number"),
    (b"Content-Length: -5", "not a number"),
    (b"Content-Length: 0x5", "not a number"),
    (b"Content-Length: 1_0", "not a number"),
    (b"Content-Length: 1 0", "not a number"),
    (b"Content-Length: 5;", "not a number"),
    (b"Content-Length: \xb2", "not a number"),
    (b"Content-Length:", "not a number"),
    (b"Content-Length: " + b"1" * 19, "at most 18 digits"),
    (b"Content-Length: 5, 6", "that differ"),
    (b"Content-Length: 5, 05", "that differ"),
    (b"Content-Length: 5,", "that differ"),
    (b"Content-Length: ,", "not a number"),
    (b"Content-Length: 5\r\nContent-Length: 6", "that differ"),
    (b"Content-Length: 5\r\nTransfer-Encoding: chunked", "both Content-Length and Transfer-Encoding"),
    (b"Transfer-Encoding: chunked\r\nContent-Length: 0", "both Content-Length and Transfer-Encoding"),
    (b"Transfer-Encoding: gzip", "does not end with chunked"),
    (b"Transfer-Encoding: identity", "does not end with chunked"),
    (b"Transfer-Encoding: chunked, gzip", "does not end with chunked"),
    (b"Transfer-Encoding: xchunked", "does not end with chunked"),
    (b"Transfer-Encoding: chunked;q=1", "does not end with chunked"),
    (b'Transfer-Encoding: "chunked"', "does not end with chunked"),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "does not end with chunked"),
    (b"Transfer-Encoding: chunked, chunked", "chunked twice"),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "chunked twice"),
    (b"Transfer-Encoding: ,chunked", "an empty member"),
    (b"Transfer-Encoding: chunked,", "an empty member"),
    (b"Transfer-Encoding:", "an empty member"),
]


@pytest.mark.parametrize(("lines", "reason"), REFUSED_FIELDS)
def test_a_field_that_breaks_a_rule_is_refused(lines: bytes, reason: str) -> None:
    told = requests(with_fields(lines))
    assert len(told) == 1
    assert error(told)[0] == 400
    assert reason in error(told)[1]


def test_an_unknown_coding_before_chunked_is_not_implemented_rather_than_wrong() -> None:
    assert error(requests(with_fields(b"Transfer-Encoding: gzip, chunked")))[0] == 501
    assert error(requests(with_fields(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked")))[0] == 501


def test_transfer_encoding_in_http_1_0_is_refused() -> None:
    told = requests(with_fields(b"Transfer-Encoding: chunked", version=b"HTTP/1.0"))
    assert error(told) == (400, "the request has a Transfer-Encoding, which HTTP/1.0 does not know")


def test_a_length_that_is_said_twice_alike_is_one_length() -> None:
    for lines in ((b"Content-Length: 5, 5",), (b"Content-Length: 5", b"content-length: 5")):
        head = request_head(with_fields(*lines))
        assert (head.framing, head.length) == (Framing.LENGTH, 5)


def test_chunked_is_recognised_in_any_case() -> None:
    assert request_head(with_fields(b"Transfer-Encoding: ChunKed ")).framing is Framing.CHUNKED


GOOD_HOSTS = [
    b"a",
    b"A.example.com.",
    b"xn--bcher-kva.example:80",
    b"my_service:",
    b"192.0.2.1:65535",
    b"[2001:db8::1]:443",
    b"[::ffff:192.0.2.1]",
    b"a~b",
]
BAD_HOSTS = [
    b"",
    b"a b",
    b"a,b",
    b"a/b",
    b"a?b",
    b"u@a",
    b"a..b",
    b".a",
    b".",
    b":80",
    b"a:65536",
    b"a:123456",
    b"a:-1",
    b"a:8o",
    b"a:80:80",
    b"a%2fb",
    b"a\\b",
    b"caf\xc3\xa9",
    b"2001:db8::1",
    b"[2001:db8::1",
    b"[2001:db8::1]x",
    b"[2001:db8:::1]",
    b"[fe80::1%25eth0]",
    b"[v1.a]",
    b"[]",
    b"a" * 263,
]


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_a_host_may_be_a_name_or_an_address_with_a_port(host: bytes) -> None:
    assert request_head(with_host(host)).host == host


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_a_host_that_is_anything_else_is_refused(host: bytes) -> None:
    told = requests(with_host(host))
    reason = "the request has a Host field that is not a host name or address with an optional port"
    assert told == [(400, reason)]


def test_only_http_1_0_may_do_without_a_host() -> None:
    assert error(requests(with_host())) == (400, "the request has no Host field, which HTTP/1.1 requires")
    assert request_head(with_host(version=b"HTTP/1.0")).host == b""
    assert request_head(with_host(b"", version=b"HTTP/1.0")).host == b""
    assert request_head(with_host(b"a", version=b"HTTP/1.0")).host == b"a"
    assert error(requests(with_host(b"a", b"a", version=b"HTTP/1.0")))[0] == 400


@pytest.mark.parametrize(
    ("line", "form", "resource", "host"),
    [
        (b"GET /a//b?c HTTP/1.1", TargetForm.ORIGIN, b"/a//b?c", b"a"),
        (b"GET http://b:8080/c?d HTTP/1.1", TargetForm.ABSOLUTE, b"/c?d", b"b:8080"),
        (b"GET HTTPS://b HTTP/1.1", TargetForm.ABSOLUTE, b"/", b"b"),
        (b"GET http://b?c=/d HTTP/1.1", TargetForm.ABSOLUTE, b"/?c=/d", b"b"),
        (b"OPTIONS http://b HTTP/1.1", TargetForm.ABSOLUTE, b"*", b"b"),
        (b"OPTIONS http://b/ HTTP/1.1", TargetForm.ABSOLUTE, b"/", b"b"),
        (b"OPTIONS * HTTP/1.1", TargetForm.ASTERISK, b"*", b"a"),
        (b"CONNECT b:443 HTTP/1.1", TargetForm.AUTHORITY, b"b:443", b"b:443"),
        (b"CONNECT [::1]:443 HTTP/1.1", TargetForm.AUTHORITY, b"[::1]:443", b"[::1]:443"),
    ],
)
def test_an_authority_in_the_target_replaces_the_host(
    line: bytes, form: TargetForm, resource: bytes, host: bytes
) -> None:
    head = request_head(with_line(line))
    assert (head.form, head.resource, head.host) == (form, resource, host)
    assert head.target == line.split(b" ")[1]


def test_a_bad_host_is_refused_even_where_the_target_replaces_it() -> None:
    assert error(requests(with_host(b"a/b", target=b"http://c/")))[0] == 400
    assert error(requests(with_host(target=b"http://c/")))[0] == 400


def test_a_connect_cannot_have_a_body() -> None:
    start = b"CONNECT a:443 HTTP/1.1\r\n" + HOST
    for field in (b"Content-Length: 5", b"Transfer-Encoding: chunked"):
        assert error(requests(start + field + b"\r\n\r\n")) == (400, "the request is a CONNECT with a body")


@pytest.mark.parametrize(
    ("version", "fields", "keep_alive"),
    [
        (b"HTTP/1.1", (), True),
        (b"HTTP/1.1", (b"Connection: close",), False),
        (b"HTTP/1.1", (b"Connection: x, CLOSE ,y",), False),
        (b"HTTP/1.1", (b"Connection: x", b"Connection: close"), False),
        (b"HTTP/1.0", (), False),
        (b"HTTP/1.0", (b"Connection: Keep-Alive",), True),
        (b"HTTP/1.0", (b"Connection: Keep-Alive, close",), False),
    ],
)
def test_the_version_and_connection_say_whether_the_connection_stays(
    version: bytes, fields: tuple[bytes, ...], keep_alive: bool
) -> None:
    assert request_head(with_fields(*fields, version=version)).keep_alive is keep_alive


def test_lists_are_told_as_their_members() -> None:
    head = request_head(
        with_fields(b"Connection: , Upgrade,\t HTTP2-Settings,", b"Upgrade: WebSocket, h2c", b"Connection: x")
    )
    assert head.connection == (b"upgrade", b"http2-settings", b"x")
    assert head.upgrade == (b"websocket", b"h2c")


def test_only_a_body_can_be_waited_for_with_expect() -> None:
    expect = b"Expect: 100-Continue"
    assert request_head(with_fields(expect, b"Content-Length: 5")).expects_continue
    assert request_head(with_fields(expect, b"Transfer-Encoding: chunked")).expects_continue
    assert not request_head(with_fields(expect)).expects_continue
    assert not request_head(with_fields(expect, b"Content-Length: 0")).expects_continue
    assert not request_head(with_fields(expect, b"Content-Length: 5", version=b"HTTP/1.0")).expects_continue


@pytest.mark.parametrize("value", [b"200-ok", b"100-continue, x", b"100-continue;a", b""])
def test_any_other_expectation_fails(value: bytes) -> None:
    assert error(requests(with_fields(b"Expect: " + value)))[0] == 417


def test_one_empty_line_before_a_request_is_let_pass_and_two_are_not() -> None:
    assert isinstance(requests(b"\r\n" + with_fields())[0], RequestHead)
    two = b"\r\n\r\n" + with_fields()
    assert requests(two) == [(400, "the request begins with more than one empty line")]
    assert requests(*[bytes((byte,)) for byte in two]) == requests(two)
    assert error(requests(b"\n" + with_fields())) == (400, "the request has a bare LF in its head")


LIMITS = Limits(request_line=20, head=60, fields=3)


def limited(*pieces: bytes) -> tuple[int, str]:
    return error(requests(*pieces, reader=RequestReader(LIMITS)))


def test_a_request_line_has_its_limit() -> None:
    fits = b"GET /%b HTTP/1.1" % (b"a" * 6)
    assert len(fits) == LIMITS.request_line
    assert isinstance(requests(with_line(fits), reader=RequestReader(LIMITS))[0], RequestHead)
    reason = "the first line of the request has more than 20 bytes"
    assert limited(with_line(fits.replace(b"/", b"/a"))) == (414, reason)
    assert limited(b"a" * 22) == (414, reason)
    assert limited(*[b"a"] * 22) == (414, reason)


def test_of_two_faults_the_one_that_comes_first_is_told() -> None:
    reason = "the request has a control byte (0x00) in its head"
    for text, status in ((b"GET /\0" + b"a" * 30, 400), (b"GET /" + b"a" * 30 + b"\0", 414)):
        text = with_line(text)
        assert limited(text)[0] == limited(*[bytes((byte,)) for byte in text])[0] == status
    assert limited(with_line(b"GET /\0" + b"a" * 30))[1] == reason


def test_every_request_line_on_a_connection_has_the_limit() -> None:
    reader = RequestReader(LIMITS)
    assert len(requests(*[bytes((byte,)) for byte in with_fields()], reader=reader)) == 2
    assert error(requests(*[b"a"] * 22, reader=reader))[0] == 414


def test_a_head_has_its_limit() -> None:
    rest = LIMITS.head - len(b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n")
    start = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    assert isinstance(
        requests(start + b"x" * rest + b"\r\n\r\n", reader=RequestReader(LIMITS))[0], RequestHead
    )
    reason = "the request's head has more than 60 bytes"
    assert limited(start + b"x" * (rest + 1) + b"\r\n\r\n") == (431, reason)
    assert limited(start, *[b"x"] * (rest + 4)) == (431, reason)


def test_the_number_of_fields_has_its_limit() -> None:
    assert isinstance(requests(with_fields(b"A: b", b"C: d"), reader=RequestReader(LIMITS))[0], RequestHead)
    reason = "the request's head has more than 3 fields"
    assert limited(with_fields(b"A: b", b"C: d", b"E: f")) == (431, reason)


def test_what_can_never_become_a_head_is_refused_before_it_ends() -> None:
    assert error(requests(b"\x16\x03\x01\x02")) == (400, "the request has a control byte (0x16) in its head")
    assert error(requests(b"GET / HTTP/1.1\n")) == (400, "the request has a bare LF in its head")
