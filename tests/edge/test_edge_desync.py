"""Nobody may make two readers of one connection disagree about where a message ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from edge_bench import Bench
from edge_stage import Seen, Stage, answering, ok, read_head, read_message, until

from edge.proxy.exchange import Exchange
from edge.proxy.request import Request

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("connection", [b"Connection", b"Proxy-Connection"])
@pytest.mark.parametrize("framing", [b"Content-Length: 51", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("cut", [False, True])
async def test_an_upgrade_with_a_body_is_refused_and_nothing_of_it_forwarded(
    stage: Stage, connection: bytes, framing: bytes, cut: bool
) -> None:
    origin = await stage.origin(answering(ok()))
    proxy = await stage.one_pool(origin)
    reader, writer = await stage.connect()
    writer.write(
        b"POST / HTTP/1.1\r\nHost: a\r\n%b: upgrade\r\nUpgrade: x\r\n%b\r\n\r\n" % (connection, framing)
    )
    if cut:
        await until(lambda: proxy.counters.requests == 1)
    writer.write(b"GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Swallowing: " + GET)
    response = await read_message(reader)
    assert (response.status, response.get("connection")) == (501, "close")
    assert await reader.read() == b""
    assert origin.connections == 0
    assert proxy.counters.requests == 1


async def test_an_upgrade_without_a_body_is_an_ordinary_request(stage: Stage) -> None:
    seen = Seen()
    await stage.one_pool(await stage.origin(answering(ok(), seen)))
    reader, writer = await stage.connect()
    writer.write(
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n" + GET
    )
    for _ in range(2):
        assert (await read_message(reader)).status == 200
    assert [message.start for message in seen.requests] == ["POST / HTTP/1.1", "GET / HTTP/1.1"]


class Audience:
    """A client's connection that remembers what it was sent."""

    address = "192.0.2.1"
    write_paused = False

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def body_taken(self) -> None:
        pass

    def exchange_done(self, keep_alive: bool) -> None:
        assert not keep_alive

    def abort(self, *, reset: bool = False) -> None:
        pytest.fail("there was no response to break off")


@pytest.mark.parametrize("body", [b"", b"four", b"123456"])
@pytest.mark.parametrize("late", [False, True])
def test_a_body_of_another_length_than_announced_never_leaves_a_server_waiting(
    body: bytes, late: bool
) -> None:
    bench = Bench()
    request = Request()
    request.method, request.target, request.version = b"PUT", b"/web", "1.1"
    request.fields = [(b"Host", b"a"), (b"Content-Length", b"5")]
    client = Audience()
    exchange = Exchange(bench.proxy, client, request)
    if late:
        exchange.start()
        assert bench.upstream.written.endswith(b"\r\n\r\n")
    request.body, request.buffered, request.complete = [body] if body else [], len(body), True
    if late:
        exchange.request_progress()
    else:
        exchange.start()
    assert client.written.startswith(b"HTTP/1.1 400 ")
    assert bench.upstream.closed
    assert bench.server.idle == []


async def test_a_retry_ends_an_empty_chunked_body_too(stage: Stage) -> None:
    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)

    seen = Seen()
    proxy = await stage.one_pool(
        await stage.origin(dying), await stage.origin(answering(ok(), seen)), response_timeout=2.0
    )
    response = await stage.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert (response.status, proxy.counters.retries) == (200, 1)
    assert [message.body for message in seen.requests] == [b""]


async def test_a_client_that_closes_in_the_old_way_is_told_so(stage: Stage) -> None:
    await stage.one_pool(await stage.origin(answering(ok())))
    response = await stage.ask(b"GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\n\r\n")
    assert (response.status, response.get("connection"), response.trailing_data) == (200, "close", b"")


async def test_a_server_that_closes_in_the_old_way_gets_a_new_connection(stage: Stage) -> None:
    origin = await stage.origin(
        answering(b"HTTP/1.1 200 OK\r\nProxy-Connection: close\r\nContent-Length: 2\r\n\r\nok")
    )
    proxy = await stage.one_pool(origin)
    for _ in range(3):
        assert (await stage.ask(GET)).status == 200
    assert (origin.connections, proxy.counters.retries) == (3, 0)


async def test_a_body_after_a_response_to_head_reaches_nobody(stage: Stage) -> None:
    late = asyncio.Event()

    async def wordy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = await read_message(reader)
        if message.start.startswith("HEAD"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n")
            await read_head(reader)
            late.set()
            writer.write(ok(b"evil"))
        else:
            writer.write(ok(b"good"))
        await reader.read()

    await stage.one_pool(await stage.origin(wordy))
    head = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert (await stage.ask(head, head_only=True)).get("content-length") == "40"
    assert (await stage.ask(GET)).body == b"good"
    assert not late.is_set()


ENDLESS: Any = [b"0\r\nX-Trailer: ", b"5;extension="]


@pytest.mark.parametrize("start", ENDLESS)
def test_a_client_cannot_fill_memory_behind_the_head(start: bytes) -> None:
    bench = Bench(max_header_bytes=1024)
    receive = bench.connection.data_received
    receive(b"POST /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    receive(b"1\r\nx\r\n" + start)
    for _ in range(3):
        assert bench.client.written == b""
        receive(b"a" * 400)
    assert bench.client.written.startswith(b"HTTP/1.1 431 ")
    assert bench.upstream.closed


@pytest.mark.parametrize("start", ENDLESS)
def test_a_server_cannot_fill_memory_behind_the_head(start: bytes) -> None:
    bench = Bench(max_header_bytes=1024)
    bench.connection.data_received(b"GET /web HTTP/1.1\r\nHost: a\r\n\r\n")
    receive = bench.upstream.protocol.data_received
    receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    receive(b"1\r\nx\r\n" + start)
    for _ in range(3):
        assert not bench.upstream.closed
        receive(b"a" * 400)
    assert bench.upstream.closed
    assert bench.client.closed
    assert bench.proxy.counters.aborted_by_server == 1


def test_a_long_body_in_tiny_chunks_is_no_such_attack() -> None:
    bench = Bench(max_header_bytes=1024)
    bench.connection.data_received(b"POST /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(1000):
        bench.connection.data_received(b"1\r\nx\r\n")
    bench.upstream.protocol.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(1000):
        bench.upstream.protocol.data_received(b"1\r\nx\r\n")
    assert bench.client.written.count(b"1\r\nx\r\n") == bench.upstream.written.count(b"1\r\nx\r\n") == 1000
    assert not bench.client.closed


def test_the_body_before_it_is_not_charged_to_a_pipelined_head() -> None:
    bench = Bench(max_header_bytes=1024)
    bench.connection.data_received(b"POST /web HTTP/1.1\r\nHost: a\r\nContent-")
    bench.connection.data_received(b"Length: 4000\r\n\r\n" + b"a" * 4000 + b"GET /web HT")
    bench.upstream.protocol.data_received(ok())
    bench.connection.data_received(b"TP/1.1\r\nHost: a\r\n\r\n")
    bench.upstream.protocol.data_received(ok())
    assert bench.client.written.count(b"HTTP/1.1 200 OK") == 2
    assert b"431" not in bench.client.written
