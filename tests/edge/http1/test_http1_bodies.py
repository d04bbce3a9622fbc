"""Bodies, chunks and trailers: where exactly a message ends, and that the next one begins right there."""

from __future__ import annotations

import pytest
from http1_reading import Telling, error, requests

from edge.http1 import (
    CLOSED,
    NEED_DATA,
    End,
    Limits,
    ProtocolError,
    RequestHead,
    RequestReader,
)

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_body_of_known_length_ends_there_and_the_next_request_begins() -> None:
    first, body, end, second, end_too = requests(POST + b"Content-Length: 5\r\n\r\nhello" + GET)
    assert isinstance(first, RequestHead)
    assert isinstance(second, RequestHead)
    assert (body, end, end_too) == (b"hello", End(), End())
    assert second.target == b"/next"


def test_a_length_of_nothing_is_no_body() -> None:
    assert requests(POST + b"Content-Length: 0\r\n\r\n")[1:] == [End()]


def test_chunks_are_undone() -> None:
    text = CHUNKED + b"5\r\nhello\r\n007;a=b\r\n, world\r\n00;x\r\n\r\n" + GET
    _, body, end, second, _ = requests(text)
    assert (body, end) == (b"hello, world", End())
    assert isinstance(second, RequestHead)


@pytest.mark.parametrize(
    "size", [b"A", b"a", b"000000000000000a", b"a;", b'a ; x="y;z"', b"a\t;x", b"a;\xff"]
)
def test_a_chunk_size_may_be_spelled_like_this(size: bytes) -> None:
    assert requests(CHUNKED + size + b"\r\n0123456789\r\n0\r\n\r\n")[1:] == [b"0123456789", End()]


@pytest.mark.parametrize(
    "size",
    [
        b"",
        b"+5",
        b"-5",
        b"0x5",
        b"5_0",
        b" 5",
        b"5 ",
        b"5\t",
        b"5 5",
        b"g",
        b";x",
        b"5,",
        b"00000000000000005",
    ],
)
def test_a_chunk_size_that_is_not_plain_hexadecimal_is_refused(size: bytes) -> None:
    told = requests(CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n")
    assert error(told) == (400, "the request has a chunk size that is not 1 to 16 hexadecimal digits")
    assert len(told) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"5;\x00\r\n", "a control byte (0x00) in its chunk size line"),
        (b"5;\x7f\r\n", "a control byte (0x7f) in its chunk size line"),
        (b"5\n", "a bare LF in its chunk size line"),
        (b"5;a\nb\r\n", "a bare LF in its chunk size line"),
        (b"5\r5\r\n", "a bare CR in its chunk size line"),
        (b"5\r\r\n", "a bare CR in its chunk size line"),
    ],
)
def test_a_chunk_size_line_with_a_control_byte_is_refused(line: bytes, reason: str) -> None:
    assert error(requests(CHUNKED + line)) == (400, f"the request has {reason}")


@pytest.mark.parametrize("after", [b"xx", b"\n", b"\r\r", b"\rx", b"x", b"6\r\n"])
def test_a_chunk_that_does_not_end_with_its_crlf_is_refused(after: bytes) -> None:
    told = requests(CHUNKED + b"5\r\nhello" + after)
    assert error(told) == (400, "the request has a chunk that is not as long as its size says")


def test_trailers_come_with_the_end() -> None:
    told = requests(CHUNKED + b"0\r\nX-Sum: 1 \r\nx-sum:2\r\n\r\n" + GET)
    assert told[1] == End(((b"X-Sum", b"1"), (b"x-sum", b"2")))
    assert isinstance(told[2], RequestHead)


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding", "Host"])
def test_a_trailer_cannot_say_what_only_a_head_may_say(name: str) -> None:
    told = requests(CHUNKED + b"0\r\n%b: 5\r\n\r\n" % name.lower().encode())
    assert error(told) == (400, f"the request has a {name} field in its trailer")


def test_trailers_meant_for_one_hop_are_let_go_of() -> None:
    told = requests(CHUNKED + b"0\r\nConnection: X\r\nTE: x\r\nUpgrade: y\r\nTrailer: z\r\nX: kept\r\n\r\n")
    assert told[1] == End(((b"X", b"kept"),))


@pytest.mark.parametrize(
    ("trailer", "reason"),
    [
        (b"X : y\r\n\r\n", "whitespace between a field's name and its colon in its trailer"),
        (b" X: y\r\n\r\n", "a line in its trailer that begins with whitespace"),
        (b"X: y\r\n z\r\n\r\n", "a line in its trailer that begins with whitespace"),
        (b"X\r\n\r\n", "a line without a colon in its trailer"),
        (b"X: y\n\r\n", "a bare LF in its trailer"),
        (b"\n", "a bare LF in its trailer"),
        (b"\rX: y\r\n\r\n", "a bare CR in its trailer"),
        (b"X: \x00", "a control byte (0x00) in its trailer"),
        (b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", "a line without a colon in its trailer"),
    ],
)
def test_trailers_obey_the_rules_for_fields(trailer: bytes, reason: str) -> None:
    told = requests(CHUNKED + b"0\r\n" + trailer)
    assert error(told)[0] == 400
    assert reason in error(told)[1]


LIMITS = Limits(trailer=20, chunk_line=8, fields=2)


@pytest.mark.parametrize(
    ("rest", "status", "reason"),
    [
        (b"5;" + b"x" * 8, 400, "the request has a chunk size line of more than 8 bytes"),
        (b"5;" + b"x" * 7 + b"\r\nhello\r\n", 400, "the request has a chunk size line of more than 8 bytes"),
        (b"0\r\nX: " + b"y" * 17, 431, "the request's trailer has more than 20 bytes"),
        (b"0\r\nX: " + b"y" * 14 + b"\r\n\r\n", 431, "the request's trailer has more than 20 bytes"),
        (b"0\r\nA:\r\nB:\r\nC:\r\n\r\n", 431, "the request's trailer has more than 2 fields"),
    ],
)
def test_what_goes_round_a_body_has_limits(rest: bytes, status: int, reason: str) -> None:
    for pieces in ([CHUNKED + rest], [CHUNKED, *[bytes((byte,)) for byte in rest]]):
        told = requests(*pieces, reader=RequestReader(LIMITS))
        assert error(told) == (status, reason)


def test_what_is_just_within_the_limits_passes() -> None:
    text = CHUNKED + b"5;" + b"x" * 6 + b"\r\nhello\r\n0\r\nX: " + b"y" * 13 + b"\r\n\r\n"
    assert requests(text, reader=RequestReader(LIMITS))[1:] == [b"hello", End(((b"X", b"y" * 13),))]


def test_pipelined_requests_come_out_one_at_a_time() -> None:
    reader = RequestReader()
    reader.receive(GET * 3)
    for left in (2, 1, 0):
        head = reader.next_event()
        assert isinstance(head, RequestHead)
        assert reader.next_event() == End()
        assert reader.buffered == left * len(GET)
        assert reader.next_event() is NEED_DATA
        assert not reader.begun
        reader.next_message()
    assert reader.next_event() is NEED_DATA


def test_the_next_request_cannot_begin_in_the_middle_of_one() -> None:
    reader = RequestReader()
    with pytest.raises(RuntimeError):
        reader.next_message()
    reader.receive(POST + b"Content-Length: 5\r\n\r\nhe")
    reader.next_event()
    with pytest.raises(RuntimeError):
        reader.next_message()
    with pytest.raises(RuntimeError):
        reader.trailing()


@pytest.mark.parametrize("move_on", [False, True])
def test_a_tunnel_gets_what_came_behind_the_head(move_on: bool) -> None:
    reader = RequestReader()
    reader.receive(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n\r\n\x16\x03")
    reader.next_event()
    assert reader.next_event() == End()
    if move_on:
        reader.next_message()
    assert reader.trailing() == b"\r\n\x16\x03"
    assert reader.trailing() == b""
    assert reader.next_event() is NEED_DATA


def test_begun_says_whether_a_request_is_under_way() -> None:
    reader = RequestReader()
    seen = [reader.begun]
    for piece in (b"\r\n", GET[:5]):
        reader.receive(piece)
        assert reader.next_event() is NEED_DATA
        seen.append(reader.begun)
    reader.receive(GET[5:])
    reader.next_event()
    seen.append(reader.begun)
    reader.next_event()
    assert [*seen, reader.begun] == [False, False, True, True, False]


@pytest.mark.parametrize("before", [b"", GET, b"\r\n", GET + b"\r\n"])
def test_a_client_that_closes_between_requests_has_left(before: bytes) -> None:
    told = requests(before, eof=True)
    assert told[-1] is CLOSED


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (GET[:-1], "head"),
        (b"\r", "head"),
        (POST + b"Content-Length: 5\r\n\r\nhell", "body"),
        (CHUNKED + b"5\r\nhello\r", "body"),
        (CHUNKED + b"5\r\nhello\r\n0\r\n", "trailer"),
    ],
)
def test_a_client_that_closes_in_the_middle_has_sent_no_request(text: bytes, where: str) -> None:
    told = requests(text, eof=True)
    assert error(told) == (400, f"the request ended in the middle of its {where}")
    assert End() not in told


def test_a_reader_that_failed_stays_so_and_keeps_nothing() -> None:
    reader = RequestReader()
    telling = Telling(reader)
    telling.receive(b"\n")
    for _ in range(2):
        reader.receive(GET)
        with pytest.raises(ProtocolError, match="a bare LF in its head"):
            reader.next_event()
    assert reader.buffered == 0
