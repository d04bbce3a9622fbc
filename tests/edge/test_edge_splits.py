"""However the network cuts two byte streams into pieces, the same messages come out: no sockets here."""

from __future__ import annotations

from itertools import pairwise

from edge_bench import Bench
from hypothesis import given, settings
from hypothesis import strategies as st


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


def unchunk(data: bytes) -> tuple[bytes, bytes]:
    """The body of a chunked message, and what follows it."""
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        body, end, data = body + data[:count], data[count : count + 2], data[count + 2 :]
        assert end == b"\r\n"
        if not count:
            return body, data


def chunked(parts: list[bytes]) -> bytes:
    return b"".join(b"%x;x=y\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nTrailer: x\r\n\r\n"


PARTS = st.lists(st.binary(min_size=1, max_size=40), max_size=5)
PLACES = st.lists(st.integers(0, 10_000), max_size=30)


@settings(deadline=None)
@given(PARTS, PARTS, PLACES, PLACES, st.booleans())
def test_chunked_bodies_come_through_any_cuts(
    sent: list[bytes], answered: list[bytes], client_cuts: list[int], server_cuts: list[int], until_eof: bool
) -> None:
    bench = Bench()
    head = b"POST /web HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\nX-Odd:  a b\r\n\r\n"
    for piece in cut(head + chunked(sent), client_cuts):
        bench.client.protocol.data_received(piece)
    forwarded, _, body = bench.upstream.written.partition(b"\r\n\r\n")
    assert forwarded.startswith(b"POST /web HTTP/1.1\r\nHost: www.example.com\r\nX-Odd: a b\r\n")
    assert forwarded.lower().count(b"transfer-encoding: chunked") == 1
    assert unchunk(body) == (b"".join(sent), b"")

    if until_eof:
        response = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n" + b"".join(answered)
    else:
        response = b"HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(answered)
    for piece in cut(response, server_cuts):
        bench.upstream.protocol.data_received(piece)
    if until_eof:
        bench.upstream.protocol.eof_received()
    returned, _, body = bench.client.written.partition(b"\r\n\r\n")
    assert returned.startswith(b"HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n")
    assert unchunk(body) == (b"".join(answered), b"")
    assert (bench.proxy.counters.in_flight, bench.server.in_flight) == (0, 0)
    assert len(bench.server.idle) == (not until_eof)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=6), PLACES)
def test_a_pipeline_comes_through_any_cuts(bodies: list[bytes], places: list[int]) -> None:
    """Each request reaches the server whole, in its turn, on the connection that the one before gave back."""
    bench = Bench()
    wire = b"".join(
        b"PUT /web/%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (number, len(body), body)
        for number, body in enumerate(bodies)
    )
    for piece in cut(wire, places):
        bench.client.protocol.data_received(piece)
    for number, body in enumerate(bodies):
        head, _, rest = bench.upstream.written.partition(b"\r\n\r\n")
        assert head.startswith(b"PUT /web/%d HTTP/1.1\r\n" % number)
        assert rest == body
        bench.upstream.written = b""
        bench.upstream.protocol.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
    assert bench.client.written.count(b"HTTP/1.1 200 OK") == len(bodies)
    assert [part[:1] for part in bench.client.written.split(b"\r\n\r\n")[1:]] == [
        b"%d" % n for n in range(len(bodies))
    ]
    assert (bench.proxy.counters.in_flight, bench.server.in_flight) == (0, 0)


@settings(deadline=None)
@given(st.binary(max_size=200), PLACES)
def test_no_bytes_of_a_client_break_the_proxy(junk: bytes, places: list[int]) -> None:
    bench = Bench()
    for piece in cut(b"POST /web HTTP/1.1\r\nHost: a\r\n" + junk, places):
        bench.client.protocol.data_received(piece)
    bench.client.close()
    assert (bench.proxy.counters.in_flight, bench.server.in_flight) == (0, 0)


@settings(deadline=None)
@given(st.binary(max_size=200), PLACES)
def test_no_bytes_of_a_server_break_the_proxy(junk: bytes, places: list[int]) -> None:
    bench = Bench()
    bench.client.protocol.data_received(b"POST /web HTTP/1.1\r\nHost: a\r\n\r\n")
    for piece in cut(b"HTTP/1.1 200 OK\r\n" + junk, places):
        if not bench.upstream.closed:
            bench.upstream.protocol.data_received(piece)
    if not bench.upstream.closed:
        bench.upstream.protocol.eof_received()
    assert (bench.proxy.counters.in_flight, bench.server.in_flight) == (0, 0)
