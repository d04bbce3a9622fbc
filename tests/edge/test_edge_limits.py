"""Every bound that a client may run into: what it gets, and that nothing of it reaches a server."""

from __future__ import annotations

import asyncio
import re

import pytest
from edge_bench import Bench, Wire
from edge_stage import Stage, answering, make_fleet, ok, read_message, until

from gslb.fleet import Route, SocketAddress
from gslb.fleet_edge import Timeouts

GET = b"GET /web HTTP/1.1\r\nHost: a\r\n\r\n"


def statuses(wire: Wire) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", wire.written)]


def over(bench: Bench) -> bool:
    return bench.proxy.counters.in_flight == bench.server.in_flight == 0


@pytest.mark.parametrize("length", [4, 5])
def test_a_body_may_be_as_long_as_the_bound_and_no_longer(length: int) -> None:
    bench = Bench(max_body=4)
    bench.connection.data_received(
        b"POST /web HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (length, b"x" * length)
    )
    if length == 4:
        bench.upstream.protocol.data_received(ok())
    else:
        assert bench.upstream.written == b""
    assert statuses(bench.client) == [200 if length == 4 else 413]
    # A few bytes too many are read and forgotten, and the next request is served.
    bench.connection.data_received(b"GET /.gslb/health HTTP/1.1\r\nHost: a\r\n\r\n")
    assert statuses(bench.client)[1:] == [200]
    assert over(bench)


def test_a_body_in_chunks_is_counted_without_its_framing() -> None:
    bench = Bench(max_body=4)
    start = b"POST /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    bench.connection.data_received(start + b"0002;a=b\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")
    bench.upstream.protocol.data_received(ok())
    assert statuses(bench.client) == [200]


def test_one_chunk_too_many_is_a_413_and_costs_both_connections() -> None:
    bench = Bench(max_body=4)
    start = b"POST /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    bench.connection.data_received(start + b"4\r\nabcd\r\n")
    bench.connection.data_received(b"1\r\ne\r\n0\r\n\r\n" + GET)
    assert statuses(bench.client) == [413]
    assert b"\r\nConnection: close\r\n" in bench.client.written
    assert not bench.upstream.written.endswith(b"0\r\n\r\n")
    assert bench.upstream.closed
    assert over(bench)


def test_a_routes_bound_counts_before_the_edges() -> None:
    fleet_route = Route(None, "/", "web", max_body=10)
    bench = Bench(max_body=4, routes=[fleet_route])
    bench.connection.data_received(b"POST /web HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
    assert b"Content-Length: 10\r\n" in bench.upstream.written


@pytest.mark.parametrize("surplus", [0, 1])
def test_a_request_line_may_be_as_long_as_the_bound(surplus: int) -> None:
    bench = Bench(max_request_line_bytes=100)
    line = b"GET /web?".ljust(100 - len(b" HTTP/1.1") + surplus, b"x") + b" HTTP/1.1"
    bench.connection.data_received(line + b"\r\nHost: a\r\n\r\n")
    assert statuses(bench.client) == ([414] if surplus else [])
    assert bool(bench.upstream.written) is not bool(surplus)


def test_a_request_line_without_end_is_not_waited_for() -> None:
    bench = Bench(max_request_line_bytes=100)
    bench.connection.data_received(b"GET /" + b"x" * 200)
    assert statuses(bench.client) == [414]


@pytest.mark.parametrize(("count", "status"), [(10, None), (11, 431)])
def test_as_many_fields_as_the_bound_and_no_more(count: int, status: int | None) -> None:
    bench = Bench(max_header_fields=10)
    fields = b"".join(b"X-%d: 1\r\n" % number for number in range(count - 1))
    bench.connection.data_received(b"GET /web HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    assert statuses(bench.client) == ([] if status is None else [status])
    assert (b"X-1: 1\r\n" in bench.upstream.written) is (status is None)


def test_a_head_that_is_too_long_is_a_431_before_it_ends() -> None:
    bench = Bench(max_header_bytes=1000)
    bench.connection.data_received(b"GET /web HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 1000)
    assert statuses(bench.client) == [431]
    assert bench.upstream.written == b""
    assert over(bench)


@pytest.mark.parametrize("most", [1, 3])
def test_a_connection_carries_as_many_requests_as_it_may(most: int) -> None:
    bench = Bench(max_requests_per_connection=most)
    bench.connection.data_received(GET * (most + 2))
    for _ in range(most):
        assert b"\r\nConnection: close\r\n" not in bench.client.written
        bench.upstream.protocol.data_received(ok())
    assert statuses(bench.client) == [200] * most
    assert bench.client.written.count(b"\r\nConnection: close\r\n") == 1
    assert bench.proxy.counters.requests == most


async def test_one_client_has_as_many_connections_as_it_may(stage: Stage) -> None:
    proxy = await stage.one_pool(await stage.origin(answering(ok())), max_connections_per_client=2)
    opened = [await stage.connect() for _ in range(2)]
    await until(lambda: len(proxy.connections) == 2)
    reader, _ = await stage.connect()
    refused = await read_message(reader)
    assert (refused.status, refused.get("connection")) == (503, "close")
    assert b"127.0.0.1 has 2 connections to this edge, the most that one client may have" in refused.body
    for reader, writer in opened:
        writer.write(GET)
        assert (await read_message(reader)).status == 200
    opened[0][1].close()
    await until(lambda: len(proxy.connections) == 1)
    assert (await stage.ask(GET)).status == 200


def test_a_head_has_its_time_from_its_first_byte() -> None:
    bench = Bench(header_timeout=10.0, idle_timeout=60.0)
    bench.loop.time.return_value = 50.0
    bench.connection.data_received(b"G")
    bench.connection.check(59.0)
    bench.connection.data_received(b"E")  # a byte now and then gains no time
    bench.connection.check(59.9)
    assert bench.client.written == b""
    bench.connection.check(60.1)
    assert statuses(bench.client) == [408]
    assert over(bench)


def test_an_idle_connection_is_closed_without_a_word() -> None:
    bench = Bench(idle_timeout=60.0)
    bench.connection.data_received(GET)
    bench.loop.time.return_value = 30.0
    bench.upstream.protocol.data_received(ok())
    written = bench.client.written
    bench.connection.check(89.0)
    assert not bench.client.closed
    bench.connection.check(91.0)
    assert bench.client.closed
    assert bench.client.written == written


def test_a_body_that_stops_coming_is_a_408_and_the_server_not_to_blame() -> None:
    bench = Bench(body_timeout=10.0, timeouts=Timeouts(first_byte=60.0, idle=60.0))
    bench.connection.data_received(b"POST /web HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo")
    bench.loop.time.return_value = 9.0
    bench.connection.check(9.0)
    bench.connection.data_received(b"d")
    bench.connection.check(18.0)
    assert bench.client.written == b""
    bench.connection.check(19.5)
    assert statuses(bench.client) == [408]
    assert bench.upstream.closed
    assert bench.server.failures == 0
    assert over(bench)


def test_the_whole_has_its_time_even_if_bytes_keep_coming() -> None:
    bench = Bench(timeouts=Timeouts(first_byte=30.0, idle=30.0, total=100.0))
    bench.connection.data_received(GET)
    bench.upstream.protocol.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
    for now in range(10, 100, 10):
        bench.loop.time.return_value = float(now)
        bench.upstream.protocol.data_received(b"x")
        bench.connection.check(float(now))
    assert not bench.client.closed
    bench.connection.check(101.0)
    assert bench.client.closed
    assert over(bench)


def test_a_client_that_reads_nothing_of_a_refusal_is_cut_off() -> None:
    bench = Bench(write_timeout=60.0)
    bench.connection.data_received(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
    bench.client.unsent = 300
    for now in (1.0, 60.0):
        bench.connection.check(now)
    assert not bench.client.closed
    bench.connection.check(62.0)
    assert bench.client.closed


async def test_a_limit_of_a_tenth_of_a_second_holds_on_a_running_edge(stage: Stage) -> None:
    await stage.serve(
        make_fleet({"web": [SocketAddress("127.0.0.1", 1)]}, header_timeout=0.1, idle_timeout=0.1)
    )
    slow, writer = await stage.connect()
    writer.write(b"GET / HT")
    silent, _ = await stage.connect()
    assert (await read_message(slow)).status == 408
    async with asyncio.timeout(5):
        assert await silent.read() == b""
