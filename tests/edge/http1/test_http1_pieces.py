"""Whatever comes, in whatever pieces: a reader tells the same, and nothing worse than one ProtocolError."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from http1_reading import Told, requests, responses
from hypothesis import example, given
from hypothesis import strategies as st

from edge.http1 import (
    End,
    Framing,
    Limits,
    RequestHead,
    RequestReader,
    ResponseHead,
    ResponseReader,
    chunk,
    field_lines,
    last_chunk,
    request_line,
    status_line,
)

# Small, so that made-up messages reach them.
LIMITS = Limits(request_line=40, head=120, fields=6, trailer=40, chunk_line=16)
NAMES = [b"X", b"x-Long_name", b"Accept", b"Connection"]
VALUES = st.lists(st.sampled_from([b"a", b"close", b"b \t c", b"caf\xe9", b"", b"0"]), max_size=3)
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), VALUES.map(b", ".join)), max_size=3)
BODIES = st.binary(min_size=1, max_size=20) | st.sampled_from(
    [b"\r\n", b"0\r\n\r\n", b"\n", b"GET / HTTP/1.1"]
)
# What attacks are made of.
SHRAPNEL = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"0",
    b"5",
    b"f",
    b"\x7f",
    b"\xff",
    b"#",
    b"\r\n ",
    b"Host: b\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: x\r\n",
    b"Expect: 100-continue\r\n",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"A" * 50,
]


@st.composite
def framed(draw: st.DrawFn, start: bytes) -> bytes:
    """A message that begins like this, with a body or without."""
    fields = start + field_lines(draw(FIELDS))
    body = draw(st.lists(BODIES, max_size=3))
    match draw(st.sampled_from(["none", "length", "chunked"])):
        case "length":
            return fields + b"Content-Length: %d\r\n\r\n" % len(b"".join(body)) + b"".join(body)
        case "chunked":
            chunks = b"".join(map(chunk, body))
            trailers = draw(st.sampled_from([[], [(b"X-Sum", b"1")]]))
            return fields + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + last_chunk(trailers)
    return fields + b"\r\n"


GETS = framed(request_line(b"GET", b"/p?q") + field_lines([(b"Host", b"a")]))
CONNECTS = framed(request_line(b"CONNECT", b"a:80") + field_lines([(b"Host", b"a")]))
REQUESTS = GETS | CONNECTS
RESPONSES = st.sampled_from([100, 101, 200, 204, 304, 404]).flatmap(
    lambda status: framed(status_line(status, b"Well"))
)


@st.composite
def spoiled(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """Some messages, one after the other, in a few places no more what they were."""
    text = b"".join(draw(st.lists(messages, min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        gone = draw(st.integers(0, 4))
        text = text[:at] + draw(st.sampled_from([b"", *SHRAPNEL])) + text[at + gone :]
    return text


@st.composite
def pieces(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> list[bytes]:
    text = draw(texts)
    if draw(st.booleans()):
        return [text[at : at + 1] for at in range(len(text))]
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


NOISE = st.binary(max_size=60) | st.lists(st.sampled_from(SHRAPNEL), max_size=12).map(b"".join)


def told_of_requests(*came: bytes, eof: bool) -> list[Told]:
    return requests(*came, reader=RequestReader(LIMITS), eof=eof)


def told_of_responses(method: bytes, *came: bytes, eof: bool) -> list[Told]:
    return responses(*came, method=method, upgrade=True, reader=ResponseReader(LIMITS), eof=eof)


@given(came=pieces(spoiled(REQUESTS) | NOISE), eof=st.booleans())
@example(came=[b"\r", b"\nGET"], eof=False)
@example(came=[b"GET / HTTP/1.1\r\nHost: a\r", b"\n\r", b"\n"], eof=True)
def test_requests_are_the_same_in_whatever_pieces_they_come(came: list[bytes], eof: bool) -> None:
    assert told_of_requests(*came, eof=eof) == told_of_requests(b"".join(came), eof=eof)


@given(
    came=pieces(spoiled(RESPONSES) | NOISE),
    method=st.sampled_from([b"GET", b"HEAD", b"CONNECT"]),
    eof=st.booleans(),
)
def test_responses_are_the_same_in_whatever_pieces_they_come(
    came: list[bytes], method: bytes, eof: bool
) -> None:
    assert told_of_responses(method, *came, eof=eof) == told_of_responses(method, b"".join(came), eof=eof)


@given(texts=st.lists(GETS, min_size=1, max_size=4))
def test_well_formed_requests_all_come_to_their_end(texts: list[bytes]) -> None:
    told = requests(*texts)
    assert len([each for each in told if isinstance(each, RequestHead)]) == len(texts)
    assert len([each for each in told if isinstance(each, End)]) == len(texts)


@given(text=spoiled(REQUESTS))
def test_a_body_is_as_long_as_its_head_says(text: bytes) -> None:
    assert_lengths(requests(text))


@given(text=spoiled(RESPONSES), method=st.sampled_from([b"GET", b"HEAD"]))
def test_a_responses_body_is_as_long_as_its_head_says(text: bytes, method: bytes) -> None:
    assert_lengths(responses(text, method=method))


def assert_lengths(told: list[Told]) -> None:
    head: RequestHead | ResponseHead | None = None
    size = 0
    for event in told:
        if isinstance(event, RequestHead | ResponseHead):
            head, size = event, 0
        elif isinstance(event, bytes):
            size += len(event)
        elif isinstance(event, End):
            assert head is not None
            if head.framing is Framing.LENGTH:
                assert size == head.length
            elif head.framing is Framing.NONE:
                assert size == 0


HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("start", "endless", "bound"),
    [
        (b"GET /", b"a", LIMITS.request_line + 2),
        (HEAD, b"A: b\r\n", LIMITS.head),
        (HEAD + b"A: ", b"b", LIMITS.head),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0", LIMITS.chunk_line + 2),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;", b"x", LIMITS.chunk_line + 2),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n", LIMITS.trailer),
    ],
)
def test_what_never_ends_is_refused_while_it_is_short(start: bytes, endless: bytes, bound: int) -> None:
    reader = RequestReader(LIMITS)
    kept = 0

    def told(more: bytes) -> list[Told]:
        return requests(more, reader=reader)

    assert not _failed(told, start)
    while not _failed(told, endless):
        kept = max(kept, reader.buffered)
        assert kept < bound


def _failed(tell: Callable[[bytes], list[Told]], more: bytes) -> bool:
    return any(isinstance(each, tuple) for each in tell(more))
