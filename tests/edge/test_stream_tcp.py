"""Connections that are passed on: spread over servers, kept whole, and ended as their two ends mean it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme
from edge_stage import REGION, Handler, Origin, Stage, make_fleet, until
from ports import free_port
from test_edge_tls_process import AUTHORITY, trusting, write_pair

from edge.process import EdgeProcess
from edge.proxy.proxy import Proxy
from edge.proxy_protocol import NEED_DATA, ProxyHeader, ProxyHeaderReader
from gslb.clock import SystemClock
from gslb.fleet import (
    BalancingMethod,
    Connections,
    Fleet,
    Listener,
    ListenerKind,
    QueueSettings,
    ServerTls,
    SocketAddress,
    StreamTimeouts,
    TlsSettings,
)
from gslb.world import Verdict

TCP = Listener(SocketAddress("127.0.0.1", 0), kind=ListenerKind.TCP, pool="web")
LARGE = bytes(range(256)) * 16384


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def saying(name: bytes) -> Handler:
    """Speaks first, as a mail server does, and then waits for the client's end."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name)
        await reader.read()

    return handle


async def one(stage: Stage, *origins: Origin, listener: Listener = TCP, **options: Any) -> Proxy:
    addresses = [origin.address for origin in origins]
    return await stage.serve(make_fleet({"web": addresses}, listener=listener, **options))


def all_over(proxy: Proxy) -> bool:
    passed = proxy.counters.passed_on.values()
    return (
        not proxy.connections
        and all(p.open == 0 for p in passed)
        and all(p.in_flight == 0 for p in proxy.pools)
    )


async def greeted(stage: Stage) -> bytes:
    """What the server says at once."""
    reader, writer = await stage.connect()
    async with asyncio.timeout(5):
        name = await reader.read(100)
        writer.close()
        await writer.wait_closed()
    return name


async def test_bytes_of_any_number_arrive_as_they_were_both_ways(stage: Stage) -> None:
    proxy = await one(stage, await stage.origin(echo))
    reader, writer = await stage.connect()
    async with asyncio.timeout(10):
        writer.write(LARGE)
        writer.write_eof()
        assert await reader.read() == LARGE
    writer.close()
    await until(lambda: all_over(proxy))
    (passed,) = proxy.counters.passed_on.values()
    assert (passed.taken, passed.refused, passed.bytes_in, passed.bytes_out) == (1, 0, len(LARGE), len(LARGE))
    assert proxy.counters.requests == 0


async def test_connections_are_spread_by_the_pools_method(stage: Stage) -> None:
    origins = [await stage.origin(saying(name)) for name in (b"a", b"b", b"c")]
    addresses = [(origins[0].address, 2), (origins[1].address, 1), (origins[2].address, 1)]
    proxy = await stage.serve(
        make_fleet({"web": addresses}, listener=TCP, methods={"web": BalancingMethod.WEIGHTED_ROUND_ROBIN})
    )
    heard = Counter([await greeted(stage) for _ in range(12)])
    assert heard == {b"a": 6, b"b": 3, b"c": 3}
    await until(lambda: all_over(proxy))
    assert [server.requests for server in proxy.pools.by_name["web"].servers] == [6, 3, 3]


async def test_a_clients_connections_go_to_one_server_by_its_address(stage: Stage) -> None:
    origins = [await stage.origin(saying(name)) for name in (b"a", b"b", b"c", b"d")]
    await one(stage, *origins, methods={"web": BalancingMethod.IP_HASH})
    assert len({await greeted(stage) for _ in range(8)}) == 1


async def test_connections_that_are_open_count_for_who_has_fewest(stage: Stage) -> None:
    origins = [await stage.origin(saying(name)) for name in (b"a", b"b")]
    await one(stage, *origins, methods={"web": BalancingMethod.LEAST_CONNECTIONS})
    held = [await stage.connect() for _ in range(6)]
    assert Counter([await reader.read(1) for reader, _ in held]) == {b"a": 3, b"b": 3}


async def test_a_server_that_dies_between_connections_costs_nobody_anything(stage: Stage) -> None:
    first, second = [await stage.origin(saying(name)) for name in (b"a", b"b")]
    proxy = await one(stage, first, second)
    assert {await greeted(stage) for _ in range(4)} == {b"a", b"b"}
    await first.kill()
    assert [await greeted(stage) for _ in range(6)] == [b"b"] * 6
    assert proxy.pools.by_name["web"].servers[0].connect_failures > 0
    (passed,) = proxy.counters.passed_on.values()
    assert passed.refused == 0


async def test_a_server_that_is_down_gets_nothing(stage: Stage) -> None:
    first, second = [await stage.origin(saying(name)) for name in (b"a", b"b")]
    proxy = await one(stage, first, second)
    proxy.pools.judge(proxy.pools.by_name["web"].servers[0].server.target, Verdict.DOWN, "test", 0.0)
    assert [await greeted(stage) for _ in range(4)] == [b"b"] * 4
    assert first.connections == 0


async def test_without_any_server_the_connection_is_closed(stage: Stage) -> None:
    origin = await stage.origin(echo)
    proxy = await one(stage, origin)
    await origin.kill()
    reader, _ = await stage.connect()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    await until(lambda: all_over(proxy))
    (passed,) = proxy.counters.passed_on.values()
    assert passed.refused == 1


async def test_a_client_that_is_done_sending_still_gets_its_answer(stage: Stage) -> None:
    async def sum_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        everything = await reader.read()
        writer.write(b"%d bytes" % len(everything))

    proxy = await one(stage, await stage.origin(sum_up))
    reader, writer = await stage.connect()
    writer.write(b"x" * 1000)
    writer.write_eof()
    async with asyncio.timeout(5):
        assert await reader.read() == b"1000 bytes"
    writer.close()
    await until(lambda: all_over(proxy))


async def test_a_server_that_is_done_sending_still_hears_the_client(stage: Stage) -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def speak_then_listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"your turn")
        writer.write_eof()
        heard.set_result(await reader.read())

    proxy = await one(stage, await stage.origin(speak_then_listen))
    reader, writer = await stage.connect()
    async with asyncio.timeout(5):
        assert await reader.read() == b"your turn"
        writer.write(b"after the end")
        writer.write_eof()
        assert await heard == b"after the end"
    writer.close()
    await until(lambda: all_over(proxy))


async def test_a_server_that_breaks_off_does_not_pass_for_one_that_is_done(stage: Stage) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        opened = writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    proxy = await one(stage, await stage.origin(break_off))
    reader, writer = await stage.connect()
    writer.write(b"?")
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionResetError):
            await reader.read()
    await until(lambda: all_over(proxy))


async def test_a_client_that_resets_ends_the_servers_side(stage: Stage) -> None:
    ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        try:
            await reader.read()
            ended.set_result(None)
        except ConnectionError as error:
            ended.set_result(error)

    proxy = await one(stage, await stage.origin(listen))
    reader, writer = await stage.connect()
    async with asyncio.timeout(5):
        await reader.read(5)
        opened = writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        assert isinstance(await ended, ConnectionResetError)
    await until(lambda: all_over(proxy))


async def test_who_does_not_read_pauses_who_sends(stage: Stage) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536

    proxy = await one(stage, await stage.origin(flood))
    plain = socket.create_connection(("127.0.0.1", stage.port))
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    try:
        before = -1
        async with asyncio.timeout(20):
            while sent != before or not sent:
                before = sent
                await asyncio.sleep(0.3)
        (relay,) = proxy.connections
        (passed,) = proxy.counters.passed_on.values()
        held = relay._client._transport.get_write_buffer_size()  # type: ignore[attr-defined]
        assert 0 < held < 1_000_000
        assert passed.bytes_out <= sent + 65536
    finally:
        plain.close()
    await until(lambda: all_over(proxy))


async def test_silence_in_both_directions_ends_a_connection(stage: Stage) -> None:
    listener = replace(TCP, timeouts=StreamTimeouts(idle=0.2))
    proxy = await one(stage, await stage.origin(saying(b"hello")), listener=listener)
    reader, _ = await stage.connect()
    async with asyncio.timeout(5):
        assert await reader.read() == b"hello"
    await until(lambda: all_over(proxy))


async def test_a_server_that_takes_no_connection_gives_way_to_the_next(stage: Stage) -> None:
    """The queue of a socket that nobody accepts from is full: connections are neither taken nor refused."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    stuffing = []
    with contextlib.closing(full):
        for _ in range(3):
            stuffing.append(socket.socket())
            stuffing[-1].setblocking(False)
            stuffing[-1].connect_ex(full.getsockname())
        origin = await stage.origin(saying(b"b"))
        addresses = [SocketAddress(*full.getsockname()), origin.address]
        listener = replace(TCP, timeouts=StreamTimeouts(connect=0.2))
        proxy = await stage.serve(make_fleet({"web": addresses}, listener=listener))
        assert [await greeted(stage) for _ in range(2)] == [b"b"] * 2
        assert proxy.pools.by_name["web"].servers[0].connect_failures == 1
        for each in stuffing:
            each.close()


async def test_where_all_servers_are_busy_a_connection_waits_for_room(stage: Stage) -> None:
    origin = await stage.origin(saying(b"a"))
    settings = {"connections": Connections(most=1), "queue": QueueSettings(size=1, timeout=5.0)}
    proxy = await one(stage, origin, pool=settings)
    first_reader, first = await stage.connect()
    assert await first_reader.read(1) == b"a"
    second_reader, _ = await stage.connect()
    await until(lambda: len(proxy.pools.by_name["web"].waiting) == 1)
    third_reader, _ = await stage.connect()
    async with asyncio.timeout(5):
        assert await third_reader.read() == b""  # the queue is full
        assert origin.connections == 1
        first.close()
        assert await second_reader.read(1) == b"a"


async def test_a_wait_for_room_has_an_end(stage: Stage) -> None:
    settings = {"connections": Connections(most=1), "queue": QueueSettings(size=1, timeout=0.1)}
    await one(stage, await stage.origin(saying(b"a")), pool=settings)
    first_reader, _ = await stage.connect()
    assert await first_reader.read(1) == b"a"
    second_reader, _ = await stage.connect()
    async with asyncio.timeout(5):
        assert await second_reader.read() == b""


async def test_a_client_has_no_more_connections_than_it_may(stage: Stage) -> None:
    proxy = await one(stage, await stage.origin(saying(b"a")), max_connections_per_client=1)
    reader, writer = await stage.connect()
    assert await reader.read(1) == b"a"
    other, _ = await stage.connect()
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionResetError):
            assert await other.read() == b""
    assert proxy.counters.responses == {}
    writer.close()
    await until(lambda: all_over(proxy))
    assert await greeted(stage) == b"a"


@pytest.mark.parametrize("version", [1, 2])
async def test_servers_hear_of_the_client_before_anything_else(stage: Stage, version: int) -> None:
    heard: asyncio.Future[tuple[ProxyHeader, bytes]] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b""
        while (header := ProxyHeaderReader().receive(data)) is NEED_DATA:
            data += await reader.read(1)
        assert isinstance(header, ProxyHeader)
        heard.set_result((header, await reader.read()))

    await one(stage, await stage.origin(listen), pool={"proxy_protocol": version})
    _, writer = await stage.connect()
    writer.write(b"hello")
    writer.write_eof()
    async with asyncio.timeout(5):
        header, rest = await heard
    assert rest == b"hello"
    assert header.source == SocketAddress(*writer.get_extra_info("sockname"))
    assert header.destination == SocketAddress("127.0.0.1", stage.port)


async def test_a_trusted_proxys_word_says_who_the_client_is(stage: Stage, start: Callable[..., Any]) -> None:
    origins = [await stage.origin(saying(name)) for name in (b"a", b"b", b"c", b"d")]
    listener = replace(TCP, proxy_protocol=True)
    trusted = (ip_network("127.0.0.0/8"),)
    methods = {"web": BalancingMethod.IP_HASH}
    addresses = [origin.address for origin in origins]
    fleet = make_fleet({"web": addresses}, methods=methods, trusted_proxies=trusted, drain_timeout=0.1)
    stage.port = (await start(fleet, listener)).listening[0].port

    async def of(client: str) -> bytes:
        reader, writer = await stage.connect()
        writer.write(f"PROXY TCP4 {client} 192.0.2.1 4711 80\r\n".encode())
        async with asyncio.timeout(5):
            name = await reader.read(1)
        writer.close()
        return name

    by_client = {
        client: {await of(client) for _ in range(3)} for client in map("198.51.{}.7".format, range(16))
    }
    assert all(len(names) == 1 for names in by_client.values())
    assert len(set.union(*by_client.values())) > 1


async def test_leaving_waits_for_connections_until_its_time_is_over(stage: Stage) -> None:
    proxy = await one(stage, await stage.origin(echo))
    reader, writer = await stage.connect()
    leaving_reader, leaving = await stage.connect()
    for each in (writer, leaving):
        each.write(b"?")
    async with asyncio.timeout(10):
        assert await reader.readexactly(1) == await leaving_reader.readexactly(1) == b"?"
        draining = asyncio.ensure_future(proxy.drain(0.5))
        leaving.write(b"still here")
        assert await leaving_reader.readexactly(10) == b"still here"
        leaving.write_eof()
        assert await leaving_reader.read() == b""
        assert not draining.done()
        assert await draining == 1
        assert await reader.read() == b""


# TLS, passed through or ended here.


def shows(context: ssl.SSLContext, name: bytes) -> Callable[..., Any]:
    async def start(stage: Stage) -> SocketAddress:
        server = await asyncio.start_server(saying(name), "127.0.0.1", 0, ssl=context)
        stage._stack.callback(server.close)
        return SocketAddress(*server.sockets[0].getsockname()[:2])

    return start


def certified(*names: str, authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def ask_tls(port: int, name: str | None) -> bytes:
    """What the server says to a client that asks for `name` and insists on its certificate."""
    context = trusting()
    if name is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=name or ""
        )
        said = await reader.read(100)
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
    return said


BY_NAME = replace(TCP, pool=None, server_names={"*.example.com": "web", "mail.example.com": "mail"})


async def two_pools(stage: Stage, listener: Listener) -> Proxy:
    web = await shows(certified("www.example.com", "*.example.com"), b"web")(stage)
    mail = await shows(certified("mail.example.com"), b"mail")(stage)
    return await stage.serve(make_fleet({"web": [web], "mail": [mail]}, listener=listener))


async def test_tls_goes_to_who_serves_the_name_and_is_not_opened_on_the_way(stage: Stage) -> None:
    proxy = await two_pools(stage, BY_NAME)
    assert await ask_tls(stage.port, "mail.example.com") == b"mail"
    assert await ask_tls(stage.port, "www.example.com") == b"web"
    assert await ask_tls(stage.port, "Other.Example.COM") == b"web"
    await until(lambda: all_over(proxy))


@pytest.mark.parametrize("name", ["www.example.org", None])
async def test_names_that_nobody_serves_are_closed_unless_a_pool_takes_the_rest(
    stage: Stage, name: str | None
) -> None:
    proxy = await two_pools(stage, BY_NAME)
    with pytest.raises((OSError, ssl.SSLError)):
        await ask_tls(stage.port, name)
    (passed,) = proxy.counters.passed_on.values()
    await until(lambda: all_over(proxy))
    assert passed.refused == 1


async def test_a_client_that_asks_for_no_name_goes_to_the_pool_for_the_rest(stage: Stage) -> None:
    await two_pools(stage, replace(BY_NAME, pool="mail"))
    assert await ask_tls(stage.port, None) == b"mail"


async def test_a_hello_that_dawdles_or_is_none_gets_nowhere(stage: Stage) -> None:
    proxy = await stage.serve(make_fleet({"web": [], "mail": []}, listener=BY_NAME, header_timeout=0.3))
    plain, plain_writer = await stage.connect()
    plain_writer.write(b"GET / HTTP/1.1\r\n\r\n")
    slow, slow_writer = await stage.connect()
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionResetError):
            assert await plain.read() == b""
        slow_writer.write(b"\x16\x03\x01\x20\x00")
        while not slow.at_eof():
            slow_writer.write(b"\x01")  # a byte now and then is no hello either
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(slow.read(1), 0.02)
    await until(lambda: all_over(proxy))


@pytest_asyncio.fixture
async def start(stage: Stage) -> AsyncIterator[Callable[..., Any]]:
    running: list[EdgeProcess] = []

    async def begin(fleet: Fleet, *listeners: Listener) -> EdgeProcess:
        declared = replace(fleet.regions[REGION].edges[0], listen=listeners)
        process = EdgeProcess(fleet, declared, SystemClock(), loop=asyncio.get_running_loop())
        await process.start()
        running.append(process)
        return process

    yield begin
    for process in running:
        await process.stop()


async def test_tls_may_end_here_and_begin_anew_towards_the_server(
    stage: Stage, start: Callable[..., Any], tmp_path: Path
) -> None:
    server = await shows(certified("backend.internal"), b"behind")(stage)
    roots = tmp_path / "roots.pem"
    AUTHORITY.cert_pem.write_to_path(roots)
    tls = ServerTls(ca=str(roots), server_name="backend.internal")
    pair = write_pair(tmp_path, "shop.example")
    fleet = make_fleet({"web": [server]}, pool={"tls": tls}, tls=TlsSettings((pair,)), drain_timeout=0.1)
    process = await start(fleet, replace(TCP, tls=True))
    assert await ask_tls(process.listening[0].port, "shop.example") == b"behind"
    await until(lambda: all_over(process.proxy))


async def test_where_tls_ends_here_names_tell_pools_apart_as_well(
    stage: Stage, start: Callable[..., Any], tmp_path: Path
) -> None:
    origins = [await stage.origin(saying(name)) for name in (b"a", b"b")]
    tls = TlsSettings((write_pair(tmp_path, "a.example"), write_pair(tmp_path, "b.example")))
    pools = {"a": [origins[0].address], "b": [origins[1].address]}
    listener = replace(TCP, tls=True, pool="a", server_names={"b.example": "b"})
    process = await start(make_fleet(pools, tls=tls, drain_timeout=0.1), listener)
    port = process.listening[0].port
    assert [await ask_tls(port, name) for name in ("a.example", "b.example")] == [b"a", b"b"]


async def test_a_reload_leaves_connections_alone_and_sends_new_ones_elsewhere(
    stage: Stage, start: Callable[..., Any]
) -> None:
    old, new = await stage.origin(echo), await stage.origin(saying(b"new"))
    fleet = make_fleet({"web": [old.address]}, drain_timeout=0.1)
    process = await start(fleet, TCP)
    stage.port = process.listening[0].port
    reader, writer = await stage.connect()
    writer.write(b"before")
    assert await reader.readexactly(6) == b"before"
    # Another pool on the same socket, and the one before is gone; then another socket.
    other = make_fleet({"other": [new.address]}, drain_timeout=0.1)
    edge = replace(process.edge, listen=(replace(TCP, pool="other"),))
    await process.take_up(other, edge)
    assert await greeted(stage) == b"new"
    writer.write(LARGE)
    writer.write_eof()
    async with asyncio.timeout(10):
        assert await reader.read() == LARGE
    elsewhere = replace(TCP, address=SocketAddress("127.0.0.1", free_port()), pool="other")
    await process.take_up(other, replace(edge, listen=(elsewhere,)))
    with pytest.raises(ConnectionRefusedError):
        await stage.connect()
    stage.port = elsewhere.address.port
    assert await greeted(stage) == b"new"
