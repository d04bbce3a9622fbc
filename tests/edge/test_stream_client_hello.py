"""What the first bytes of TLS clients tell, however they are cut, and what is no hello at all."""

from __future__ import annotations

import ssl
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.stream.client_hello import MOST_BYTES, ClientHello, HelloReader, NotHello


def hello_of(name: str | None, protocols: list[str] | None = None, *, oldest: bool = False) -> bytes:
    """The first bytes of Python's own TLS client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(protocols)
    if oldest:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def read(data: bytes, cuts: list[int] | None = None) -> ClientHello | NotHello | None:
    reader = HelloReader()
    outcome = None
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts or ()), len(data)]
    for start, end in pairwise(bounds):
        outcome = reader.receive(data[start:end])
    assert bytes(reader.received) == data
    return outcome


HELLO = hello_of("mail.example.com", ["h2", "http/1.1"])


def in_records(message: bytes, lengths: list[int]) -> bytes:
    """A handshake message in records of these lengths, the last as long as need be."""
    records, rest = b"", message
    for length in lengths:
        piece, rest = rest[:length], rest[length:]
        if piece:
            records += b"\x16\x03\x01" + len(piece).to_bytes(2) + piece
    return records + (b"\x16\x03\x01" + len(rest).to_bytes(2) + rest if rest else b"")


def hello_with(extensions: bytes, rest: bytes = b"") -> bytes:
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    body += len(extensions).to_bytes(2) + extensions + rest
    return in_records(b"\x01" + len(body).to_bytes(3) + body, [])


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2) + len(content).to_bytes(2) + content


def named(name: bytes, *, kind: int = 0) -> bytes:
    entry = bytes([kind]) + len(name).to_bytes(2) + name
    return extension(0, len(entry).to_bytes(2) + entry)


@pytest.mark.parametrize("oldest", [False, True], ids=["1.3", "1.2"])
def test_a_client_tells_the_name_it_asks_for_and_what_it_speaks(oldest: bool) -> None:
    assert read(hello_of("Mail.Example.COM", ["h2"], oldest=oldest)) == ClientHello(
        "mail.example.com", (b"h2",)
    )
    assert read(hello_of(None, oldest=oldest)) == ClientHello(None, ())


@given(st.lists(st.integers(0, 5000), max_size=40))
def test_the_cuts_between_reads_make_no_difference(cuts: list[int]) -> None:
    assert read(HELLO, cuts) == ClientHello("mail.example.com", (b"h2", b"http/1.1"))


@given(st.lists(st.integers(1, 200), max_size=30), st.lists(st.integers(0, 5000), max_size=10))
def test_a_hello_may_be_spread_over_records(lengths: list[int], cuts: list[int]) -> None:
    data = in_records(HELLO[5:], lengths)
    assert read(data, cuts) == ClientHello("mail.example.com", (b"h2", b"http/1.1"))


@settings(max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda at, byte: HELLO[:at] + byte + HELLO[at + 1 :], st.integers(0, 600), st.binary(max_size=3)
        ),
        st.builds(hello_with, st.binary(max_size=80)),
        st.builds(lambda content: hello_with(extension(0, content)), st.binary(max_size=20)),
        st.builds(lambda content: hello_with(extension(16, content)), st.binary(max_size=20)),
    ),
    st.lists(st.integers(0, 800), max_size=12),
)
def test_whatever_comes_has_one_outcome_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    assert read(data, cuts) == read(data)


@given(st.integers(0, len(HELLO) - 1))
def test_part_of_a_hello_is_not_judged_yet(length: int) -> None:
    assert read(HELLO[:length]) is None


def test_what_follows_a_hello_does_not_change_it() -> None:
    reader = HelloReader()
    first = reader.receive(HELLO)
    assert reader.receive(b"\xff\x00 early data") is first
    assert bytes(reader.received) == HELLO + b"\xff\x00 early data"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x15\x03\x01\x00\x02\x01\x00",  # an alert
        b"\x16\x02\x01\x00\x05hello",  # SSL 2 and others
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x40\x01",
        in_records(b"\x02\x00\x00\x00", []),  # a server's hello
        in_records(b"\x01\x00\x40\x00", []),
        in_records(b"\x01\x00\x00\x02\x03\x03", []),
        hello_with(b"\x00"),
        hello_with(b"", rest=b"more"),
        hello_with(named(b"a.example") * 2),
        hello_with(named(b"")),
        hello_with(named(b"a..example")),
        hello_with(named(b"a\x00.example")),
        hello_with(named("schön.example".encode())),
        hello_with(named(b"a." * 127 + b"aa")),
        hello_with(extension(0, b"\x00\x00")),
        hello_with(extension(0, b"\x00\x0c\x00\x00\x03a.b\x00\x00\x03a.c")),
        hello_with(extension(16, b"\x00\x01\x00")),
        hello_with(extension(16, b"\x00\x03\x02h2?")),
    ],
)
def test_what_is_no_hello_is_refused(data: bytes) -> None:
    assert isinstance(read(data), NotHello)


def test_a_hello_is_waited_for_only_as_long_as_it_can_fit() -> None:
    huge = in_records(b"\x01\x00\x3f\xf0" + bytes(0x3FF0), [64] * 300)
    assert len(huge) > MOST_BYTES
    outcome = read(huge[:MOST_BYTES])
    assert outcome is None or isinstance(outcome, NotHello)
    assert isinstance(read(huge), NotHello)


def test_names_of_other_types_and_final_dots_do_not_matter() -> None:
    assert read(hello_with(named(b"x", kind=7))) == ClientHello(None)
    assert read(hello_with(named(b"a.example."))) == ClientHello("a.example")
    assert read(hello_with(b"")) == ClientHello(None)
