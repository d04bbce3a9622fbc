"""Chunked bodies in C: whatever pieces they come in, they are what Python reads, and as strictly."""

from __future__ import annotations

import pytest
from compiled_heads import heads
from hypothesis import example, given
from hypothesis import strategies as st

from edge.http1 import Data, End, Limits, ProtocolError, ResponseReader

LIMITS = Limits()
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b'5\r\nhello\r\n00A \t;x="y"\r\n, world :)\r\nf;\r\nfifteen letters\r\n0;last\r\n\r\n'

# An outcome, the body so far, and how much of the data was used.
Undone = tuple[int, bytes, int]


def in_c(data: bytes, cuts: list[int], *, most: int = 4, line_limit: int = LIMITS.chunk_line) -> Undone:
    """What becomes of data that come in pieces, cut there. The owner goes on until all is used."""
    dechunker = heads.Dechunker(line_limit, most)
    body, used = b"", 0
    outcome: int = heads.MORE
    ends = [*sorted(cuts), len(data)]
    for end in ends:
        while True:
            outcome, pieces, taken = dechunker.receive(data[used:end])
            used += taken
            body += b"".join(pieces)
            assert all(pieces)
            assert len(pieces) <= most
            if outcome != heads.MORE:
                return outcome, body, used
            if used == end:
                break
            assert len(pieces) == most
    return outcome, body, used


def in_python(data: bytes, limits: Limits = LIMITS) -> Undone:
    """The same of the reader. A broken body is used up to its end; a trailer counts as used."""
    reader = ResponseReader(limits)
    reader.expect(b"GET")
    reader.receive(HEAD + data)
    reader.next_event()
    body = b""
    while True:
        try:
            event = reader.next_event()
        except ProtocolError:
            return heads.UNUSUAL, body, len(data)
        if isinstance(event, Data):
            body += event.data
        elif isinstance(event, End):
            return heads.READ, body, len(data) - reader.buffered
        else:
            return heads.MORE, body, len(data)


def same(data: bytes, cuts: list[int], most: int = 4, limits: Limits = LIMITS) -> int:
    outcome, body, used = in_c(data, cuts, most=most, line_limit=limits.chunk_line)
    if outcome == heads.UNUSUAL:
        # Python may wait for the line's end; what cannot follow makes it say so.
        assert in_python(data + b"\0" * 20000, limits)[:2] == (heads.UNUSUAL, body)
        assert in_python(data[: used - 1], limits)[0] == heads.MORE
    elif outcome == heads.TRAILER:
        assert in_python(data[:used], limits)[:2] == (heads.MORE, body)
        assert in_python(data[:used] + b"X: y\r\n\r\n", limits)[:2] == (heads.READ, body)
        assert data[used : used + 1] != b"\r"
    else:
        assert (outcome, body, used) == in_python(data, limits)
    return outcome


SIZES = st.integers(1, 70).map(lambda size: (size, b"%x" % size)) | st.integers(1, 70).map(
    lambda size: (size, b"%016X" % size)
)
EXTENSIONS = st.just(b"") | st.from_regex(rb"[ \t]{0,3};[\t\x20-\x7e\x80-\xff]{0,20}", fullmatch=True)


@st.composite
def chunked(draw: st.DrawFn) -> bytes:
    parts = []
    for size, digits in draw(st.lists(SIZES, max_size=5)):
        content = draw(st.binary(min_size=size, max_size=size) | st.just((b"\r\n" * size)[:size]))
        parts.append(digits + draw(EXTENSIONS) + b"\r\n" + content + b"\r\n")
    last = draw(st.sampled_from([b"0", b"000", b"0000000000000000"])) + draw(EXTENSIONS) + b"\r\n"
    return b"".join(parts) + last + b"\r\n"


CUTS = st.lists(st.integers(0, 400), max_size=8)


@given(chunked(), CUTS, st.integers(1, 5), st.binary(max_size=5))
def test_a_body_is_undone_whatever_pieces_it_comes_in(
    body: bytes, cuts: list[int], most: int, behind: bytes
) -> None:
    assert same(body + behind, [min(cut, len(body + behind)) for cut in cuts], most) == heads.READ
    assert in_c(body + behind, [])[2] == len(body)


def test_every_way_to_cut_it_twice() -> None:
    expected = in_c(BODY, [])
    assert expected == (heads.READ, b"hello, world :)fifteen letters", len(BODY))
    for first in range(len(BODY)):
        for second in range(first, len(BODY)):
            assert in_c(BODY, [first, second]) == expected
    assert in_c(BODY, list(range(len(BODY))), most=1) == expected


@given(chunked())
@example(BODY)
def test_of_a_part_of_it_more_is_awaited(body: bytes) -> None:
    for end in range(len(body)):
        assert same(body[:end], []) == heads.MORE


@given(chunked(), CUTS, st.data())
def test_what_is_damaged_is_refused_where_python_refuses_it(
    body: bytes, cuts: list[int], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(body) - 1))
    odd = data.draw(st.binary(max_size=2) | st.sampled_from([b"\r\n", b"\n", b"\r", b";", b" ", b"0", b"g"]))
    damaged = body[:at] + odd + body[at + data.draw(st.integers(0, 2)) :]
    same(damaged, [min(cut, len(damaged)) for cut in cuts])


@pytest.mark.parametrize("at", range(len(BODY)))
def test_every_byte_in_every_place_is_read_as_python_does(at: int) -> None:
    for byte in range(256):
        same(BODY[:at] + bytes((byte,)) + BODY[at + 1 :], [])
        same(BODY[:at] + bytes((byte,)) + BODY[at:], [at])


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"g\r\n",
            b"\r\n",
            b";\r\n",
            b" 5\r\n",
            b"-5\r\n",
            b"0x5\r\n",
            b"5 \r\n",
            b"5\t5\r\n",
            b"5\n",
            b"5;\n",
        ),
        *(
            b"5\r5",
            b"5;\x00",
            b"5;\x7f",
            b"5\r\nhelloX",
            b"5\r\nhello\n",
            b"5\r\nhello\rX",
            b"0\r\n\rX",
            b"\n",
        ),
        *(b"1" * 17, b"0" * 17, b"5;" + b"a" * 255, b"5" + b" " * 256),
    ],
)
def test_what_is_malformed_is_refused(body: bytes) -> None:
    assert same(body, []) == heads.UNUSUAL
    assert same(body, list(range(len(body)))) == heads.UNUSUAL


@given(chunked(), st.sampled_from([b"X: y\r\n\r\n", b"\n", b" ", b"X"]))
def test_a_trailer_is_shown_where_it_begins(body: bytes, trailer: bytes) -> None:
    before = body[:-2]
    assert in_c(before + trailer, []) == (heads.TRAILER, in_c(body, [])[1], len(before))
    assert same(before + trailer, [len(before)]) == heads.TRAILER


@pytest.mark.parametrize("over", range(-2, 3))
def test_a_size_line_has_pythons_limit(over: int) -> None:
    limits = Limits(chunk_line=20)
    line = b"1;" + b"x" * (18 + over)
    assert same(line + b"\r\na\r\n0\r\n\r\n", [], limits=limits) == (
        heads.UNUSUAL if over > 0 else heads.READ
    )
    same(line, [], limits=limits)


def test_the_largest_size_is_no_small_one() -> None:
    dechunker = heads.Dechunker(256, 4)
    assert dechunker.receive(b"ffffffffffffffff\r\nabc") == (heads.MORE, [b"abc"], 21)
    assert dechunker.receive(b"\r\n0\r\n\r\n") == (heads.MORE, [b"\r\n0\r\n\r\n"], 7)
