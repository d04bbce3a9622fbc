"""What a slow server holds back goes on once it takes more, even when nothing more comes from the client."""

from __future__ import annotations

import pytest
from edge_bench import Bench

from gslb.fleet_edge import Timeouts

CHUNK = b"400\r\n" + b"x" * 1024 + b"\r\n"


@pytest.mark.parametrize("chunks", [70, 100, 200], ids=str)
def test_a_body_of_small_chunks_that_came_at_once_goes_on_when_the_server_takes_more(chunks: int) -> None:
    bench = Bench()
    bench.connection.data_received(b"POST /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    bench.upstream.protocol.pause_writing()
    bench.connection.data_received(CHUNK * chunks + b"0\r\n\r\n")
    assert bench.upstream.written.count(b"x") == 0
    bench.upstream.protocol.resume_writing()
    assert bench.upstream.written.count(b"x") == chunks * 1024
    assert bench.upstream.written.endswith(b"\r\n0\r\n\r\n")


def test_a_server_that_stops_again_in_between_stops_the_rest_again() -> None:
    bench = Bench()
    bench.connection.data_received(b"POST /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    bench.upstream.protocol.pause_writing()
    bench.connection.data_received(CHUNK * 200 + b"0\r\n\r\n")
    write = bench.upstream.write

    def write_and_fill(data: bytes) -> None:
        write(data)
        bench.upstream.protocol.pause_writing()

    bench.upstream.write = write_and_fill  # type: ignore[method-assign]
    taken = []
    for _ in range(4):
        bench.upstream.protocol.resume_writing()
        taken.append(bench.upstream.written.count(b"x") // 1024)
    assert taken == [64, 128, 192, 200]
    assert bench.upstream.written.endswith(b"\r\n0\r\n\r\n")


def test_a_server_that_refused_early_and_stays_slow_does_not_stop_the_next_request() -> None:
    bench = Bench(timeouts=Timeouts(first_byte=30.0, idle=30.0))
    bench.connection.data_received(b"POST /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    bench.upstream.protocol.pause_writing()
    bench.connection.data_received(CHUNK * 100 + b"0\r\n\r\nGET /.gslb/health HTTP/1.1\r\nHost: a\r\n\r\n")
    bench.upstream.protocol.data_received(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    assert bench.upstream.closed
    assert bench.client.written.startswith(b"HTTP/1.1 413 ")
    assert b"HTTP/1.1 200 " in bench.client.written
