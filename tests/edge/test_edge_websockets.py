"""Connections that switch protocols: WebSockets by an independent implementation, and upgrades gone wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import websockets
from edge_bench import Bench
from edge_stage import Stage, answering, make_fleet, ok, read_head, read_message, until
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from edge.proxy.proxy import Proxy
from gslb.fleet import Route, SocketAddress

UPGRADE = b"GET /web HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
GET = b"GET /web HTTP/1.1\r\nHost: a\r\n\r\n"


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@asynccontextmanager
async def sockets_behind(
    stage: Stage, handler: Callable[[ServerConnection], Awaitable[None]]
) -> AsyncIterator[Proxy]:
    """A WebSocket server behind an edge."""
    async with serve(handler, "127.0.0.1", 0, max_size=2**24) as server:
        address = SocketAddress(*server.sockets[0].getsockname()[:2])
        yield await stage.serve(make_fleet({"web": [address]}, routes=[Route(None, "/", "web")]))


def through(stage: Stage) -> connect:
    return connect(f"ws://127.0.0.1:{stage.port}/chat", max_size=2**24, compression=None, proxy=None)


def all_over(proxy: Proxy) -> bool:
    counters = proxy.counters
    return counters.in_flight == counters.retrying == 0 and all(pool.in_flight == 0 for pool in proxy.pools)


async def test_messages_of_any_size_come_back_as_they_were(stage: Stage) -> None:
    large = bytes(range(256)) * 16384
    async with asyncio.timeout(10), sockets_behind(stage, echo) as proxy:
        async with through(stage) as client:
            for message in ("hello", "", large, b"\x00", "żółw"):
                await client.send(message)
                assert await client.recv() == message
            assert proxy.counters.in_flight == 1
        await until(lambda: all_over(proxy))
        assert proxy.counters.responses == {101: 1}
        assert proxy.counters.bytes_in > len(large) < proxy.counters.bytes_out


async def test_hundreds_of_small_messages_keep_their_order(stage: Stage) -> None:
    async with asyncio.timeout(10), sockets_behind(stage, echo), through(stage) as client:
        for number in range(400):
            await client.send(str(number))
        assert [await client.recv() for _ in range(400)] == [str(number) for number in range(400)]


async def test_many_connections_do_not_mix(stage: Stage) -> None:
    async def talk(name: str) -> None:
        async with through(stage) as client:
            for number in range(10):
                await client.send(f"{name} {number}")
                assert await client.recv() == f"{name} {number}"

    async with asyncio.timeout(10), sockets_behind(stage, echo) as proxy:
        await asyncio.gather(*(talk(f"client {number}") for number in range(40)))
        await until(lambda: all_over(proxy) and not proxy.connections)


async def test_pings_are_answered_by_the_other_end(stage: Stage) -> None:
    async with asyncio.timeout(10), sockets_behind(stage, echo), through(stage) as client:
        assert await (await client.ping(b"are you there?")) >= 0.0


async def test_a_server_that_closes_says_why(stage: Stage) -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.close(4002, "enough")

    async with asyncio.timeout(10), sockets_behind(stage, leave) as proxy, through(stage) as client:
        await client.send("?")
        with pytest.raises(websockets.ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (4002, "enough")
        await until(lambda: all_over(proxy))


async def test_the_servers_last_words_arrive_before_the_end(stage: Stage) -> None:
    farewell = b"x" * 3_000_000

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(SWITCHED + farewell)
        await writer.drain()

    proxy = await stage.one_pool(await stage.origin(shout))
    reader, writer = await stage.connect()
    writer.write(UPGRADE)
    async with asyncio.timeout(10):
        assert (await read_head(reader)).status == 101
        assert await reader.read() == farewell
    await until(lambda: all_over(proxy))


async def test_a_client_that_closes_says_why(stage: Stage) -> None:
    told: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def listen(connection: ServerConnection) -> None:
        await connection.wait_closed()
        told.set_result(connection.close_code)

    async with asyncio.timeout(10), sockets_behind(stage, listen):
        client: ClientConnection = await through(stage)
        await client.close(4001, "bye")
        assert await told == 4001


async def test_a_client_that_vanishes_ends_the_servers_side(stage: Stage) -> None:
    told: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def listen(connection: ServerConnection) -> None:
        await connection.wait_closed()
        told.set_result(connection.close_code)

    async with asyncio.timeout(10), sockets_behind(stage, listen) as proxy:
        client = await through(stage)
        client.transport.abort()
        assert await told == 1006
        await until(lambda: all_over(proxy))
        await client.wait_closed()


async def test_a_drain_waits_for_sockets_until_its_time_is_over(stage: Stage) -> None:
    async with asyncio.timeout(10), sockets_behind(stage, echo) as proxy:
        staying, leaving = await through(stage), await through(stage)
        draining = asyncio.ensure_future(proxy.drain(0.3))
        await leaving.send("still served")
        assert await leaving.recv() == "still served"
        await leaving.close()
        assert not draining.done()
        assert await draining == 1
        await staying.wait_closed()
        assert staying.close_code == 1006
        await until(lambda: all_over(proxy))


async def test_a_drain_is_over_when_the_last_socket_is(stage: Stage) -> None:
    async with asyncio.timeout(5), sockets_behind(stage, echo) as proxy:
        client = await through(stage)
        draining = asyncio.ensure_future(proxy.drain(60.0))
        await client.close()
        assert await draining == 0


def test_a_tunnel_over_which_nothing_comes_is_ended() -> None:
    bench = Bench(tunnel_timeout=100.0)
    bench.connection.data_received(UPGRADE)
    bench.upstream.protocol.data_received(SWITCHED)
    bench.loop.time.return_value = 90.0
    bench.connection.check(90.0)
    bench.upstream.protocol.data_received(b"tick")
    bench.connection.check(189.0)
    assert not bench.client.closed
    bench.connection.check(191.0)
    assert bench.client.closed
    assert bench.upstream.closed
    assert (bench.proxy.counters.in_flight, bench.server.in_flight) == (0, 0)


def test_a_client_that_never_takes_the_last_words_does_not_keep_its_connection() -> None:
    bench = Bench(tunnel_timeout=3600.0, write_timeout=60.0)
    bench.connection.data_received(UPGRADE)
    bench.upstream.protocol.data_received(SWITCHED)
    bench.client.close = lambda: None  # type: ignore[method-assign]  # not while something is unsent
    bench.client.abort = lambda: type(bench.client).close(bench.client)  # type: ignore[method-assign]
    bench.client.unsent = 5000
    bench.upstream.close()
    assert bench.proxy.counters.in_flight == 0
    bench.connection.check(59.0)
    assert not bench.client.closed
    bench.connection.check(61.0)
    assert bench.client.closed


def test_tunnels_are_looked_after_as_often_as_their_limit_asks() -> None:
    assert Bench(tunnel_timeout=0.2).proxy._tick_interval <= 0.1


@pytest.mark.parametrize("early", [b"first words", b"x" * 200_000], ids=["few", "many"])
def test_what_a_client_says_before_the_switch_reaches_the_server_after_it(early: bytes) -> None:
    bench = Bench()
    paused = []
    bench.client.pause_reading = lambda: paused.append(True)  # type: ignore[method-assign]
    bench.client.resume_reading = lambda: paused.append(False)  # type: ignore[method-assign]
    bench.connection.data_received(UPGRADE + early)
    assert early not in bench.upstream.written
    bench.upstream.protocol.data_received(SWITCHED + b"servers first words")
    bench.connection.data_received(b", and more")
    assert bench.upstream.written.endswith(b"\r\n\r\n" + early + b", and more")
    assert bench.client.written.endswith(b"\r\n\r\nservers first words")
    assert not paused or paused[-1] is False


@pytest.mark.parametrize(
    "request_bytes",
    [
        GET,
        b"GET /web HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\n",
        b"GET /web HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
        b"GET /web HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo, h2c\r\n\r\n",
        b"GET /web HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
    ],
    ids=["no upgrade", "not in Connection", "h2c", "h2c among others", "HTTP/1.0"],
)
def test_a_switch_that_nobody_asked_for_is_refused(request_bytes: bytes) -> None:
    bench = Bench()
    bench.connection.data_received(request_bytes)
    assert b"upgrade:" not in bench.upstream.written.lower()
    assert b"http2-settings" not in bench.upstream.written.lower()
    bench.upstream.protocol.data_received(SWITCHED + b"smuggled")
    assert bench.client.written.startswith(b"HTTP/1.1 502 ")
    assert b"smuggled" not in bench.client.written
    assert bench.upstream.closed
    assert (bench.proxy.counters.in_flight, bench.server.in_flight) == (0, 0)


@pytest.mark.parametrize(
    "upgrade", [b"Upgrade: h2c\r\n", b"Upgrade: echo, h2c\r\n", b"Upgrade: ech\r\n", b""]
)
def test_a_switch_to_something_else_is_refused(upgrade: bytes) -> None:
    bench = Bench()
    bench.connection.data_received(UPGRADE)
    bench.upstream.protocol.data_received(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n%b\r\nsmuggled" % upgrade
    )
    assert bench.client.written.startswith(b"HTTP/1.1 502 ")
    assert b"smuggled" not in bench.client.written
    assert bench.upstream.closed
    assert (bench.proxy.counters.in_flight, bench.server.in_flight) == (0, 0)


def test_a_switch_to_one_of_several_is_taken_in_any_spelling() -> None:
    bench = Bench()
    bench.connection.data_received(
        b"GET /web HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: other/2, Echo\r\n\r\n"
    )
    bench.upstream.protocol.data_received(SWITCHED.replace(b"echo", b"ECHO"))
    assert bench.client.written.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    "refusal",
    [
        ok(b"not today"),
        b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        b"Content-Length: 2\r\n\r\nno",
    ],
    ids=["200", "426"],
)
async def test_an_upgrade_that_the_server_declines_is_an_ordinary_request(
    stage: Stage, refusal: bytes
) -> None:
    origin = await stage.origin(answering(refusal))
    proxy = await stage.one_pool(origin)
    reader, writer = await stage.connect()
    for request in (UPGRADE, GET, UPGRADE):
        writer.write(request)
        response = await read_message(reader)
        assert response.status in (200, 426)
        assert response.body in (b"not today", b"no")
        assert response.get("connection") is None
    assert (proxy.counters.connections, origin.connections) == (1, 1)
    assert all_over(proxy)
