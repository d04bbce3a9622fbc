"""Responses: framed by what was asked; refused when they break the rules or break off."""

from __future__ import annotations

import pytest
from http1_reading import error, response_head, responses

from edge.http1 import (
    CLOSED,
    NEED_DATA,
    Data,
    End,
    Framing,
    Limits,
    ProtocolError,
    ResponseHead,
    ResponseReader,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def with_fields(*lines: bytes, status: bytes = b"200 OK", version: bytes = b"HTTP/1.1") -> bytes:
    return b"%b %b\r\n%b\r\n" % (version, status, b"".join(line + b"\r\n" for line in lines))


def test_a_response_is_told_as_it_was_spelled() -> None:
    head, body, end = responses(
        b"HTTP/1.1 404 Not  F\xc3\xb6und\r\nX-One: a\r\ncontent-LENGTH: 3\r\nx-one: b\r\n\r\nabc"
    )
    assert isinstance(head, ResponseHead)
    assert (head.status, head.reason, head.minor) == (404, b"Not  F\xc3\xb6und", 1)
    assert head.fields == [(b"X-One", b"a"), (b"content-LENGTH", b"3"), (b"x-one", b"b")]
    assert head.values(b"x-one") == [b"a", b"b"]
    assert (head.framing, head.length, head.announced) == (Framing.LENGTH, 3, None)
    assert (body, end) == (b"abc", End())


@pytest.mark.parametrize("line", [b"HTTP/1.1 200", b"HTTP/1.1 200 "])
def test_a_reason_may_be_empty_and_its_space_missing(line: bytes) -> None:
    assert response_head(line + b"\r\n\r\n").reason == b""


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"HTTP/1.1 20 OK", "no status from 100 to 599"),
        (b"HTTP/1.1 2000 OK", "no status from 100 to 599"),
        (b"HTTP/1.1 099 OK", "no status from 100 to 599"),
        (b"HTTP/1.1 600 Odd", "no status from 100 to 599"),
        (b"HTTP/1.1 +20 OK", "no status from 100 to 599"),
        (b"HTTP/1.1  200 OK", "no status from 100 to 599"),
        (b"HTTP/1.1 200\tOK", "no status from 100 to 599"),
        (b"HTTP/1.1 200OK", "no status from 100 to 599"),
        (b"HTTP/1.1", "does not begin with HTTP/1.0 or HTTP/1.1"),
        (b"HTTP/2.0 200 OK", "does not begin with HTTP/1.0 or HTTP/1.1"),
        (b"http/1.1 200 OK", "does not begin with HTTP/1.0 or HTTP/1.1"),
        (b"ICY 200 OK", "does not begin with HTTP/1.0 or HTTP/1.1"),
        (b"", "does not begin with HTTP/1.0 or HTTP/1.1"),
        (b"HTTP/1.1 200 O\x00K", "a control byte (0x00) in its head"),
        (b"HTTP/1.1 200 OK\nX: y", "a bare LF in its head"),
        (b"HTTP/1.1 200 OK\rX: y", "a bare CR in its head"),
    ],
)
def test_a_status_line_that_breaks_a_rule_is_refused(line: bytes, reason: str) -> None:
    told = responses(line + b"\r\nContent-Length: 0\r\n\r\n")
    assert len(told) == 1
    assert error(told)[0] == 502
    assert reason in error(told)[1]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", "both Content-Length and Transfer-Encoding"),
        (b"Content-Length: 5, 6", "that differ"),
        (b"Content-Length: five", "not a number"),
        (b"Transfer-Encoding: gzip, chunked", "a Transfer-Encoding beside chunked"),
        (b"Transfer-Encoding: gzip", "does not end with chunked"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "chunked twice"),
        (b"X : y", "whitespace between a field's name and its colon"),
        (b"X: y\r\n folded", "folded fields are obsolete"),
        (b"X: \x08", "a control byte (0x08) in its head"),
    ],
)
def test_a_field_that_breaks_a_rule_is_the_servers_fault(lines: bytes, reason: str) -> None:
    told = responses(with_fields(lines))
    assert error(told)[0] == 502
    assert reason in error(told)[1]


def test_transfer_encoding_in_http_1_0_is_refused() -> None:
    told = responses(with_fields(b"Transfer-Encoding: chunked", version=b"HTTP/1.0"))
    assert error(told) == (502, "the response has a Transfer-Encoding, which HTTP/1.0 does not know")


@pytest.mark.parametrize("status", [b"100 Continue", b"103 Early Hints", b"204 No Content"])
def test_a_response_that_cannot_have_a_body_cannot_announce_one(status: bytes) -> None:
    for field in (b"Content-Length: 1", b"Transfer-Encoding: chunked"):
        told = responses(with_fields(field, status=status))
        assert error(told) == (502, f"the response has status {int(status[:3])} and yet announces a body")
    assert response_head(with_fields(b"Content-Length: 0", status=status)).framing is Framing.NONE


@pytest.mark.parametrize(
    ("status", "method"), [(b"200 OK", b"HEAD"), (b"304 Not Modified", b"GET"), (b"404 No", b"HEAD")]
)
def test_head_and_304_announce_a_length_without_a_body(status: bytes, method: bytes) -> None:
    head, end = responses(with_fields(b"Content-Length: 5", status=status), method=method)
    assert isinstance(head, ResponseHead)
    assert (head.framing, head.length, head.announced) == (Framing.NONE, 0, 5)
    assert (end, head.keep_alive) == (End(), True)
    head = response_head(with_fields(b"Transfer-Encoding: chunked", status=status), method)
    assert (head.framing, head.announced) == (Framing.NONE, None)


def test_a_response_without_framing_lasts_until_the_server_closes() -> None:
    text = with_fields(b"X: y") + b"all of it"
    head, *rest = responses(text, b", to the end", eof=True)
    assert isinstance(head, ResponseHead)
    assert (head.framing, head.keep_alive) == (Framing.UNTIL_CLOSE, False)
    assert rest == [b"all of it, to the end", End()]
    assert responses(text)[1:] == [b"all of it"]


@pytest.mark.parametrize(
    ("version", "fields", "keep_alive"),
    [
        (b"HTTP/1.1", (), True),
        (b"HTTP/1.1", (b"Connection: x, Close",), False),
        (b"HTTP/1.0", (), False),
        (b"HTTP/1.0", (b"Connection: keep-alive",), True),
    ],
)
def test_the_version_and_connection_say_whether_the_connection_stays(
    version: bytes, fields: tuple[bytes, ...], keep_alive: bool
) -> None:
    head = response_head(with_fields(b"Content-Length: 0", *fields, version=version))
    assert head.keep_alive is keep_alive


def test_interim_responses_come_before_the_one_that_counts() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    first, second, head, body, end = responses(interim + OK)
    assert isinstance(first, ResponseHead)
    assert isinstance(second, ResponseHead)
    assert isinstance(head, ResponseHead)
    assert [each.status for each in (first, second, head)] == [100, 103, 200]
    assert (first.framing, second.values(b"link")) == (Framing.NONE, [b"</a>"])
    assert (body, end) == (b"ok", End())


def test_switching_protocols_ends_http() -> None:
    reader = ResponseReader()
    text = with_fields(b"Connection: upgrade", b"Upgrade: x", status=b"101 Switching Protocols")
    head, end = responses(text + b"\x00tunnel", method=b"GET", upgrade=True, reader=reader)
    assert isinstance(head, ResponseHead)
    assert (head.upgrade, head.keep_alive, end) == ((b"x",), False, End())
    assert reader.tunnel
    assert not reader.surplus
    assert reader.trailing() == b"\x00tunnel"
    with pytest.raises(RuntimeError):
        reader.expect(b"GET")


def test_switching_protocols_unasked_is_refused() -> None:
    told = responses(with_fields(status=b"101 Switching Protocols"))
    assert error(told) == (502, "the response switches protocols (101), which nobody asked for")


def test_a_successful_connect_is_a_tunnel_whatever_its_fields_say() -> None:
    reader = ResponseReader()
    told = responses(with_fields(b"Content-Length: 5") + b"tunnel", method=b"CONNECT", reader=reader)
    assert told[1:] == [End()]
    assert reader.tunnel
    assert reader.trailing() == b"tunnel"


def test_a_refused_connect_is_an_ordinary_response() -> None:
    reader = ResponseReader()
    text = with_fields(b"Content-Length: 2", status=b"403 No") + b"no"
    assert responses(text, method=b"CONNECT", reader=reader)[1:] == [b"no", End()]
    assert not reader.tunnel


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_bytes_beyond_the_end_are_surplus(method: bytes) -> None:
    reader = ResponseReader()
    responses(OK + (b"x" if method == b"GET" else b""), method=method, reader=reader)
    assert reader.surplus
    reader.expect(b"GET")
    with pytest.raises(ProtocolError, match="the response came before its request"):
        reader.next_event()


def test_what_a_server_says_unasked_is_surplus() -> None:
    reader = ResponseReader()
    assert not reader.surplus
    reader.receive(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert reader.next_event() is NEED_DATA
    assert reader.surplus


def test_a_connection_carries_one_response_after_the_other() -> None:
    reader = ResponseReader()
    for _ in range(3):
        head, *rest = responses(OK, reader=reader)
        assert isinstance(head, ResponseHead)
        assert rest == [b"ok", End()]
        assert not reader.surplus


def test_a_response_cannot_be_expected_in_the_middle_of_another() -> None:
    reader = ResponseReader()
    reader.expect(b"GET")
    with pytest.raises(RuntimeError):
        reader.expect(b"GET")
    reader.receive(OK)
    reader.next_event()
    with pytest.raises(RuntimeError):
        reader.expect(b"GET")
    with pytest.raises(RuntimeError):
        reader.trailing()


def test_a_server_that_closes_before_it_answers_is_no_broken_response() -> None:
    reader = ResponseReader()
    assert responses(reader=reader, eof=True) == [CLOSED]
    assert not reader.begun


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"H", "ended in the middle of its head"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r", "ended in the middle of its head"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "never came after an interim one"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP", "ended in the middle of its head"),
        (with_fields(b"Content-Length: 5"), "ended in the middle of its body"),
        (with_fields(b"Content-Length: 5") + b"four", "ended in the middle of its body"),
        (with_fields(b"Transfer-Encoding: chunked"), "ended in the middle of its body"),
        (with_fields(b"Transfer-Encoding: chunked") + b"5", "ended in the middle of its body"),
        (with_fields(b"Transfer-Encoding: chunked") + b"5\r\nfour", "ended in the middle of its body"),
        (with_fields(b"Transfer-Encoding: chunked") + b"4\r\nfour", "ended in the middle of its body"),
        (with_fields(b"Transfer-Encoding: chunked") + b"4\r\nfour\r\n", "ended in the middle of its body"),
        (with_fields(b"Transfer-Encoding: chunked") + b"0\r\n", "ended in the middle of its trailer"),
        (with_fields(b"Transfer-Encoding: chunked") + b"0\r\n\r", "ended in the middle of its trailer"),
        (with_fields(b"Transfer-Encoding: chunked") + b"0\r\nX: y\r\n", "ended in the middle of its trailer"),
    ],
)
def test_a_response_that_breaks_off_is_never_taken_for_a_whole_one(text: bytes, reason: str) -> None:
    reader = ResponseReader()
    told = responses(text, reader=reader, eof=True)
    assert error(told) == (502, f"the response {reason}")
    assert End() not in told


def test_begun_says_whether_the_server_has_answered_at_all() -> None:
    reader = ResponseReader()
    reader.expect(b"GET")
    seen = [reader.begun]
    reader.receive(b"HTTP/1.1 100 Continue\r\n\r\n")
    reader.next_event()
    seen.append(reader.begun)
    reader.receive(OK)
    for _ in range(3):
        seen.append(reader.begun)
        reader.next_event()
    assert [*seen, reader.begun] == [False, True, True, True, True, False]


def test_limits_hold_for_servers_too() -> None:
    limits = Limits(request_line=20, head=60, fields=2)
    for text, reason in (
        (b"HTTP/1.1 200 " + b"x" * 20, "the first line of the response has more than 20 bytes"),
        (with_fields(b"X: " + b"y" * 60), "the response's head has more than 60 bytes"),
        (with_fields(b"A: b", b"C: d", b"E: f"), "the response's head has more than 2 fields"),
    ):
        assert responses(text, reader=ResponseReader(limits)) == [(502, reason)]


def test_a_piece_that_is_body_alone_is_handed_on_as_it_is() -> None:
    reader = ResponseReader()
    reader.expect(b"GET")
    reader.receive(with_fields(b"Content-Length: 8"))
    reader.next_event()
    piece = b"not copied"[:4]
    reader.receive(piece)
    event = reader.next_event()
    assert isinstance(event, Data)
    assert event.data is piece
