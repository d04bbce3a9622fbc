"""What goes wrong on the way: dead servers, slow ones, broken responses, vanished clients."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct

import pytest
from edge_stage import Message, Origin, Seen, Stage, answering, make_fleet, ok, read_head, read_message, until

from edge.proxy.proxy import Proxy
from gslb.fleet import BalancingMethod, Route, SocketAddress
from gslb.fleet_edge import Connections, Timeouts
from gslb.world import Verdict

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"


def nothing_in_flight(proxy: Proxy) -> bool:
    return proxy.counters.in_flight == 0 and all(pool.in_flight == 0 for pool in proxy.pools)


@contextlib.contextmanager
def refusing_address() -> object:
    """An address that refuses connections for as long as it is held: bound, and not listening."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield SocketAddress(*held.getsockname())


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_a_server_that_refuses_is_passed_over_whatever_the_method(stage: Stage) -> None:
    with refusing_address() as dead:  # type: ignore[attr-defined]
        origin = await stage.origin(answering(ok()))
        proxy = await stage.serve(
            make_fleet({"web": [dead, dead, origin.address]}, routes=[Route(None, "/", "web")])
        )
        reader, writer = await stage.connect()
        for request in (GET, POST) * 3:
            writer.write(request)
            assert (await read_message(reader)).body == b"hello"
        assert proxy.counters.retries > 0
        assert nothing_in_flight(proxy)


async def test_when_all_refuse_it_is_a_502_that_says_so(stage: Stage) -> None:
    with refusing_address() as dead:  # type: ignore[attr-defined]
        proxy = await stage.serve(make_fleet({"cart": [dead, dead, dead]}))
        response = await stage.ask(b"GET /cart HTTP/1.1\r\nHost: a\r\nX-Request-Id: 3f2a\r\n\r\n")
        assert response.status == 502
        assert response.body.decode() == (
            "502 Bad Gateway\nregion eu-west could not reach a server of pool cart (3 tried)\nrequest 3f2a\n"
        )
        assert [server.connect_failures for server in proxy.pools.by_name["cart"].servers] == [1, 1, 1]
        assert nothing_in_flight(proxy)


async def test_a_host_name_that_does_not_resolve_is_a_server_that_cannot_be_reached(stage: Stage) -> None:
    proxy = await stage.serve(
        make_fleet({"web": [SocketAddress("x" * 80, 80), SocketAddress("no.such.host.invalid", 80)]})
    )
    assert (await stage.ask(b"GET /web HTTP/1.1\r\nHost: a\r\n\r\n")).status in (502, 504)
    assert nothing_in_flight(proxy)


async def test_a_server_that_does_not_take_connections_is_a_504(stage: Stage) -> None:
    # A listener whose queue is full drops further SYNs: connecting to it takes for ever.
    with socket.socket() as full, contextlib.ExitStack() as held:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        address = SocketAddress(*full.getsockname())
        proxy = await stage.serve(make_fleet({"web": [address] * 9}, timeouts=Timeouts(connect=0.05)))
        response = await stage.ask(b"GET /web HTTP/1.1\r\nHost: a\r\n\r\n")
        assert response.status == 504
        # Two time-outs are the most that are waited for; a third server may be tried when they ended early.
        assert re.search(r"in time \([23] tried\)", response.body.decode())
        assert nothing_in_flight(proxy)


async def closing_keep_alive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Promises keep-alive and drops the second request unanswered."""
    await read_message(reader)
    writer.write(ok())
    await read_message(reader)


async def test_a_reused_connection_that_dies_gets_an_idempotent_request_a_fresh_one(stage: Stage) -> None:
    origin = await stage.origin(closing_keep_alive)
    proxy = await stage.one_pool(origin)
    reader, writer = await stage.connect()
    for _ in range(4):
        writer.write(GET)
        assert (await read_message(reader)).status == 200
    assert origin.connections == 4
    assert nothing_in_flight(proxy)


async def test_a_request_that_may_have_taken_effect_is_not_sent_twice(stage: Stage) -> None:
    seen = Seen()

    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.requests.append(await read_message(reader))

    proxy = await stage.one_pool(await stage.origin(dying), await stage.origin(dying))
    response = await stage.ask(POST)
    assert response.status == 502
    assert b"before it answered" in response.body
    assert len(seen.requests) == 1
    for idempotent in (POST.replace(b"POST", b"PUT"), GET):
        seen.requests.clear()
        assert (await stage.ask(idempotent)).status == 502
        assert len(seen.requests) == 2  # each server once
    assert nothing_in_flight(proxy)


async def test_idle_connections_that_the_server_closed_are_not_used(stage: Stage) -> None:
    origin = await stage.origin(answering(ok()))
    proxy = await stage.one_pool(origin)
    server = proxy.pools.by_name["web"].servers[0]
    assert (await stage.ask(POST)).status == 200
    assert len(server.idle) == 1
    origin.drop_connections()
    await until(lambda: not server.idle)
    assert (await stage.ask(POST)).status == 200
    assert proxy.counters.retries == 0


async def test_what_comes_on_an_idle_connection_ends_it(stage: Stage) -> None:
    async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(ok())
        await writer.drain()
        await talk.wait()
        writer.write(ok(b"stray"))
        await reader.read()

    talk = asyncio.Event()
    proxy = await stage.one_pool(await stage.origin(chatty))
    server = proxy.pools.by_name["web"].servers[0]
    assert (await stage.ask(GET)).body == b"hello"
    assert len(server.idle) == 1
    talk.set()
    await until(lambda: not server.idle)


async def test_two_responses_to_one_request_do_not_reach_the_next_client(stage: Stage) -> None:
    origin = await stage.origin(answering(ok(b"yours") + ok(b"not yours")))
    await stage.one_pool(origin)
    reader, writer = await stage.connect()
    for _ in range(5):
        writer.write(GET)
        assert (await read_message(reader)).body == b"yours"
    assert origin.connections == 5


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"garbage\r\n\r\n", "does not begin with HTTP/1.0 or HTTP/1.1"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "both Content-Length",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "beside chunked"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "which nobody asked for",
        ),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, "more than 4096 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "in the middle of its head"),
        (b"", "before it answered"),
    ],
)
async def test_a_broken_response_is_a_502(stage: Stage, response: bytes, reason: str) -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(response)

    proxy = await stage.one_pool(await stage.origin(broken), max_header_bytes=4096)
    reader, writer = await stage.connect()
    for _ in range(2):
        writer.write(GET)
        answer = await read_message(reader)  # the client's connection stays good
        assert answer.status == 502
        assert reason in answer.body.decode()
    assert nothing_in_flight(proxy)


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ],
)
async def test_half_a_response_never_looks_whole(stage: Stage, response: bytes) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(response)

    proxy = await stage.one_pool(await stage.origin(half))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await stage.ask(GET)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await stage.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert proxy.counters.aborted_by_server == 2
    assert nothing_in_flight(proxy)


async def test_half_a_response_until_close_is_a_reset(stage: Stage) -> None:
    """A client that knows the end by the connection's end alone must see that this was not it."""

    async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nhalf")
        await writer.drain()
        await forwarded.wait()
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    forwarded = asyncio.Event()
    await stage.one_pool(await stage.origin(resetting))
    reader, writer = await stage.connect()
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await read_head(reader)).status == 200
    assert await reader.readexactly(4) == b"half"
    forwarded.set()
    with pytest.raises(ConnectionError):
        await reader.read()


async def test_a_server_that_does_not_answer_is_a_504(stage: Stage) -> None:
    proxy = await stage.one_pool(await stage.origin(never), timeouts=Timeouts(first_byte=0.1, idle=0.1))
    reader, writer = await stage.connect()
    for request in (GET, POST):
        writer.write(request)
        response = await read_message(reader)
        assert response.status == 504
        assert b"did not answer in time" in response.body
    assert nothing_in_flight(proxy)


async def test_a_server_that_stops_in_the_middle_is_given_up(stage: Stage) -> None:
    async def stopping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await reader.read()

    proxy = await stage.one_pool(await stage.origin(stopping), timeouts=Timeouts(first_byte=0.1, idle=0.1))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await stage.ask(GET)
    assert nothing_in_flight(proxy)


async def test_a_head_that_does_not_come_is_a_408(stage: Stage) -> None:
    proxy = await stage.one_pool(await stage.origin(never), header_timeout=0.1)
    response = await stage.ask(b"GET / HTTP/1.1\r\nHo")
    assert (response.status, response.get("connection")) == (408, "close")
    assert nothing_in_flight(proxy)


async def test_a_body_that_does_not_come_is_a_408(stage: Stage) -> None:
    proxy = await stage.one_pool(await stage.origin(never), body_timeout=0.1)
    response = await stage.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
    assert (response.status, response.get("connection")) == (408, "close")
    assert nothing_in_flight(proxy)


async def test_idle_connections_of_both_sides_expire(stage: Stage) -> None:
    proxy = await stage.one_pool(
        await stage.origin(answering(ok())),
        idle_timeout=0.1,
        pool={"connections": Connections(idle_timeout=0.1)},
    )
    reader, writer = await stage.connect()
    writer.write(GET)
    assert (await read_message(reader)).status == 200
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    await until(lambda: not proxy.pools.by_name["web"].servers[0].idle)
    await until(lambda: not proxy.connections)


async def test_no_more_idle_connections_are_kept_than_allowed(stage: Stage) -> None:
    gate = asyncio.Event()

    async def gated(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        await gate.wait()
        writer.write(ok())
        await reader.read()

    origin = await stage.origin(gated)
    proxy = await stage.one_pool(origin, pool={"connections": Connections(idle=2)})
    asking = [asyncio.ensure_future(stage.ask(GET)) for _ in range(5)]
    await until(lambda: proxy.pools.by_name["web"].in_flight == 5)
    gate.set()
    await asyncio.gather(*asking)
    assert len(proxy.pools.by_name["web"].servers[0].idle) == 2


async def test_a_client_that_leaves_frees_its_server(stage: Stage) -> None:
    left = asyncio.Event()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            left.set()

    origin = await stage.origin(server)
    proxy = await stage.one_pool(origin)
    for request in (GET, POST, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"):
        left.clear()
        _, writer = await stage.connect()
        writer.write(request)
        await until(lambda: proxy.pools.by_name["web"].in_flight == 1)
        await until(lambda: origin.connections > proxy.counters.aborted_by_client)
        writer.transport.abort()
        await asyncio.wait_for(left.wait(), 10)
        await until(lambda: nothing_in_flight(proxy))
    assert proxy.counters.aborted_by_client == 3


async def test_a_client_that_leaves_while_connecting_frees_its_server(stage: Stage) -> None:
    with socket.socket() as full, contextlib.ExitStack() as held:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        proxy = await stage.serve(make_fleet({"web": [SocketAddress(*full.getsockname())]}))
        _, writer = await stage.connect()
        writer.write(b"GET /web HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: proxy.pools.by_name["web"].in_flight == 1)
        writer.transport.abort()
        await until(lambda: nothing_in_flight(proxy))


async def test_a_server_that_goes_down_loses_its_idle_connections(stage: Stage) -> None:
    origins = [await stage.origin(answering(ok())) for _ in range(2)]
    proxy = await stage.one_pool(*origins)
    for _ in range(2):
        await stage.ask(GET)
    first = proxy.pools.by_name["web"].servers[0]
    assert len(first.idle) == 1
    first.judge(Verdict.DOWN, "test", 0.0)
    assert not first.idle
    served = {(await stage.ask(GET)).get("x-gslb-server") for _ in range(4)}
    assert served == {str(origins[1].address)}


@pytest.mark.parametrize("method", [each for each in BalancingMethod if each is not BalancingMethod.THEN])
async def test_no_idempotent_request_fails_when_a_server_is_killed_under_load(
    stage: Stage, method: BalancingMethod
) -> None:
    origins: list[Origin] = [await stage.origin(answering(ok())) for _ in range(3)]
    proxy = await stage.one_pool(*origins, methods={"web": method})
    answered = 0
    killed = False

    async def client() -> list[int]:
        nonlocal answered
        statuses = []
        reader, writer = await stage.connect()
        for _ in range(60):
            writer.write(GET)
            response: Message = await read_message(reader)
            statuses.append(response.status)
            answered += 1
            if answered > 500 and not killed:
                await kill()
        return statuses

    async def kill() -> None:
        nonlocal killed
        killed = True
        busiest = max(origins, key=lambda origin: origin.connections)
        await busiest.kill()

    results = await asyncio.gather(*(client() for _ in range(25)))
    assert killed
    assert {status for statuses in results for status in statuses} == {200}
    assert proxy.counters.retries > 0
    assert nothing_in_flight(proxy)
