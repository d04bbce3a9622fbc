"""What is written reads back as what was meant, and nothing can be written that reads as more."""

from __future__ import annotations

import pytest
from http1_reading import request_head, requests, response_head
from hypothesis import given
from hypothesis import strategies as st

from edge.http1 import End, chunk, field_lines, last_chunk, request_line, status_line

TCHAR = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKENS = st.text(st.sampled_from(TCHAR), min_size=1, max_size=12).map(str.encode)
VISIBLE = bytes(each for each in range(0x21, 0x100) if each != 0x7F)
VALUES = st.lists(st.lists(st.sampled_from(VISIBLE), min_size=1, max_size=6).map(bytes), max_size=3).map(
    b" ".join
)
TARGETS = st.lists(st.sampled_from([each for each in VISIBLE if each < 0x7F and each != 0x23]), max_size=20)
FIELDS = st.lists(st.tuples(TOKENS.map(lambda name: b"X-" + name), VALUES), max_size=20)


@given(method=TOKENS.map(lambda token: b"X" + token), target=TARGETS, fields=FIELDS)
def test_a_request_reads_back_as_it_was_written(
    method: bytes, target: list[int], fields: list[tuple[bytes, bytes]]
) -> None:
    path = b"/" + bytes(target)
    fields = [(b"Host", b"a"), *fields]
    head = request_head(request_line(method, path) + field_lines(fields) + b"\r\n")
    assert (head.method, head.target, head.fields) == (method, path, fields)
    assert head.names == [name.lower() for name, _ in fields]


@given(status=st.integers(200, 599), reason=VALUES, fields=FIELDS)
def test_a_response_reads_back_as_it_was_written(
    status: int, reason: bytes, fields: list[tuple[bytes, bytes]]
) -> None:
    head = response_head(status_line(status, reason) + field_lines(fields) + b"\r\n")
    assert (head.status, head.reason, head.fields) == (status, reason, fields)


@given(parts=st.lists(st.binary(max_size=300), max_size=5), trailers=FIELDS)
def test_a_chunked_body_reads_back_as_it_was_written(
    parts: list[bytes], trailers: list[tuple[bytes, bytes]]
) -> None:
    start = request_line(b"PUT", b"/") + field_lines([(b"Host", b"a"), (b"Transfer-Encoding", b"chunked")])
    told = requests(start + b"\r\n" + b"".join(map(chunk, parts)) + last_chunk(trailers))
    body = b"".join(parts)
    assert told[1:] == [*([body] if body else []), End(tuple(trailers))]


def test_no_data_is_no_chunk() -> None:
    assert chunk(b"") == b""
    assert chunk(b"hello") == b"5\r\nhello\r\n"
    assert last_chunk() == b"0\r\n\r\n"


@pytest.mark.parametrize("bad", [b"a\r\nX: y", b"a\nb", b"a\rb", b"a\0b", b"\r\n"])
def test_nothing_can_be_written_that_ends_a_line_too_early(bad: bytes) -> None:
    with pytest.raises(ValueError, match="cannot hold CR, LF or NUL"):
        field_lines([(b"X", bad)])
    with pytest.raises(ValueError, match="cannot hold CR, LF or NUL"):
        field_lines([(bad, b"y"), (b"X", b"y")])
    with pytest.raises(ValueError, match="cannot hold CR, LF or NUL"):
        last_chunk([(b"X", bad)])
    with pytest.raises(ValueError, match="cannot hold CR, LF or NUL"):
        request_line(b"GET", bad)
    with pytest.raises(ValueError, match="cannot hold CR, LF or NUL"):
        status_line(200, bad)
