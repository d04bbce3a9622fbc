"""Large bodies stream through with bounded memory; who is slow slows the other side down."""

from __future__ import annotations

import asyncio
import hashlib

from edge_stage import Stage, read_head, read_message, until

from edge.proxy.downstream import Downstream
from edge.proxy.proxy import Proxy

PIECE = bytes(range(256)) * 256  # 64 KiB
PIECES = 800  # 50 MiB


def held(proxy: Proxy) -> int:
    """Bytes the proxy itself keeps for its connections."""
    total = 0
    for connection in proxy.connections:
        if not isinstance(connection, Downstream):
            total += connection.held
            continue
        total += connection._transport.get_write_buffer_size()
        exchange = connection._exchange
        if exchange is not None:
            total += exchange.upload.buffered if exchange.upload is not None else 0
            if exchange._upstream is not None:
                total += exchange._upstream._transport.get_write_buffer_size()
    return total


async def test_fifty_megabytes_both_ways_at_once_in_bounded_memory(stage: Stage) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        left = int(head.get("content-length") or 0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
        while left:
            data = await reader.read(min(left, 1 << 18))
            left -= len(data)
            writer.write(data)
            await writer.drain()

    proxy = await stage.one_pool(await stage.origin(echo))
    reader, writer = await stage.connect()
    sent, received = hashlib.sha256(), hashlib.sha256()
    worst = 0

    async def send() -> None:
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (len(PIECE) * PIECES))
        for _ in range(PIECES):
            sent.update(PIECE)
            writer.write(PIECE)
            await writer.drain()

    async def receive() -> None:
        nonlocal worst
        assert (await read_head(reader)).status == 200
        left = len(PIECE) * PIECES
        while left:
            data = await reader.read(min(left, 1 << 18))
            assert data
            left -= len(data)
            received.update(data)
            worst = max(worst, held(proxy))

    async with asyncio.timeout(60):
        await asyncio.gather(send(), receive())
    assert received.digest() == sent.digest()
    assert worst < 2_000_000
    assert proxy.counters.bytes_in == proxy.counters.bytes_out == len(PIECE) * PIECES
    await until(lambda: proxy.counters.in_flight == 0)


async def test_a_client_that_does_not_read_stops_the_server(stage: Stage) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(PIECE) * PIECES))
        for _ in range(PIECES):
            writer.write(PIECE)
            await writer.drain()
            sent += len(PIECE)

    proxy = await stage.one_pool(await stage.origin(flood))
    reader, writer = await stage.connect()
    writer.transport.pause_reading()
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    # Sockets' own buffers fill first; then the client's side is full and reading from the server stops.
    await until(lambda: any(connection.write_paused for connection in proxy.connections))
    assert held(proxy) < 1_000_000
    assert sent < len(PIECE) * PIECES
    writer.transport.resume_reading()
    async with asyncio.timeout(60):
        await read_head(reader)
        left = len(PIECE) * PIECES
        while left:
            data = await reader.read(1 << 18)
            assert data
            left -= len(data)
        assert await reader.read() == b""


async def test_a_client_that_never_takes_its_response_is_cut_off(stage: Stage) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(PIECE) * PIECES))
        while True:
            writer.write(PIECE)
            await writer.drain()

    proxy = await stage.one_pool(await stage.origin(flood), write_timeout=0.2)
    _, writer = await stage.connect()
    writer.transport.pause_reading()
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await until(lambda: proxy.counters.requests == 1)
    await until(lambda: not proxy.connections)
    assert proxy.counters.in_flight == 0


async def test_a_server_that_does_not_read_stops_the_client(stage: Stage) -> None:
    resume = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await resume.wait()
        left = len(PIECE) * PIECES - len(await reader.read(1))
        while left:
            data = await reader.read(min(left, 1 << 18))
            assert data
            left -= len(data)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    proxy = await stage.one_pool(await stage.origin(slow))
    reader, writer = await stage.connect()
    sent = 0

    async def send() -> None:
        nonlocal sent
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (len(PIECE) * PIECES))
        for _ in range(PIECES):
            writer.write(PIECE)
            await writer.drain()
            sent += len(PIECE)

    sending = asyncio.ensure_future(send())
    await until(
        lambda: any(getattr(connection, "_reading_paused", False) for connection in proxy.connections)
    )
    assert held(proxy) < 1_000_000
    assert sent < len(PIECE) * PIECES
    resume.set()
    async with asyncio.timeout(60):
        assert (await read_message(reader)).body == b"done"
        await sending
