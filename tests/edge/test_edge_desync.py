"""Nobody may make two readers of one connection disagree about where a message ends."""

from __future__ import annotations

import asyncio

import pytest
from edge_bench import Bench
from edge_stage import Seen, Stage, answering, ok, read_head, read_message

from gslb.fleet_edge import Timeouts

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("connection", [b"Connection", b"Proxy-Connection"])
@pytest.mark.parametrize("framing", [b"Content-Length: 51", b"Transfer-Encoding: chunked"])
async def test_what_an_upgrade_brings_as_its_body_is_never_a_request(
    stage: Stage, connection: bytes, framing: bytes
) -> None:
    seen = Seen()
    await stage.one_pool(await stage.origin(answering(ok(), seen)))
    reader, writer = await stage.connect()
    body = b"GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Swallowing: " + GET
    framed = body if b"Length" in framing else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    framing = framing.replace(b"51", b"%d" % len(body))
    writer.write(
        b"POST / HTTP/1.1\r\nHost: a\r\n%b: upgrade\r\nUpgrade: x\r\n%b\r\n\r\n" % (connection, framing)
    )
    writer.write(framed + GET)
    for _ in range(2):
        assert (await read_message(reader)).status == 200
    assert [message.start for message in seen.requests] == ["POST / HTTP/1.1", "GET / HTTP/1.1"]
    assert seen.requests[0].body == body
    assert seen.requests[0].get("upgrade") is None


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


async def test_a_retry_ends_an_empty_chunked_body_too(stage: Stage) -> None:
    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)

    seen = Seen()
    proxy = await stage.one_pool(
        await stage.origin(dying),
        await stage.origin(answering(ok(), seen)),
        timeouts=Timeouts(first_byte=2.0),
    )
    response = await stage.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert (response.status, proxy.counters.retries) == (200, 1)
    assert [message.body for message in seen.requests] == [b""]


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


ENDLESS = [(b"0\r\nX-Trailer: ", 400, 431), (b"5;extension=", 100, 400)]


@pytest.mark.parametrize(("start", "piece", "status"), ENDLESS)
def test_a_client_cannot_fill_memory_behind_the_head(start: bytes, piece: int, status: int) -> None:
    bench = Bench(max_header_bytes=1024)
    receive = bench.connection.data_received
    receive(b"POST /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    receive(b"1\r\nx\r\n" + start)
    for _ in range(3):
        assert bench.client.written == b""
        receive(b"a" * piece)
    assert bench.client.written.startswith(b"HTTP/1.1 %d " % status)
    assert bench.upstream.closed


@pytest.mark.parametrize(("start", "piece"), [each[:2] for each in ENDLESS])
def test_a_server_cannot_fill_memory_behind_the_head(start: bytes, piece: int) -> None:
    bench = Bench(max_header_bytes=1024)
    bench.connection.data_received(b"GET /web HTTP/1.1\r\nHost: a\r\n\r\n")
    receive = bench.upstream.protocol.data_received
    receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    receive(b"1\r\nx\r\n" + start)
    for _ in range(3):
        assert not bench.upstream.closed
        receive(b"a" * piece)
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
