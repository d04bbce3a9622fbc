"""Requests and responses over real sockets: framing, headers, keep-alive, pipelining, refusals."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from edge_stage import (
    Message,
    Seen,
    Stage,
    answering,
    make_fleet,
    ok,
    read_chunked,
    read_head,
    read_message,
    until,
)

from edge.proxy.proxy import Proxy
from gslb.fleet import Route, SocketAddress
from gslb.world import Verdict

GET = b"GET /x?y=1 HTTP/1.1\r\nHost: Shop.Example:80\r\n\r\n"
LAST_GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def nothing_in_flight(proxy: Proxy) -> bool:
    return proxy.counters.in_flight == 0 and all(pool.in_flight == 0 for pool in proxy.pools)


async def test_a_request_reaches_the_server_and_its_response_comes_back(stage: Stage) -> None:
    seen = Seen()
    origin = await stage.origin(answering(ok(), seen))
    proxy = await stage.one_pool(origin)
    response = await stage.ask(GET)
    assert response.start == "HTTP/1.1 200 OK"
    assert response.body == b"hello"
    assert response.get("x-gslb-region") == "eu-west"
    assert response.get("x-gslb-server") == str(origin.address)
    assert response.get("connection") is None
    request = seen.requests[0]
    assert request.start == "GET /x?y=1 HTTP/1.1"
    assert request.get("host") == "Shop.Example:80"
    assert request.get("x-forwarded-for") == "127.0.0.1"
    assert request.get("via") == "1.1 eu-west-1"
    assert request.get("x-request-id") == response.get("x-request-id")
    assert nothing_in_flight(proxy)


async def test_connections_are_reused_on_both_sides(stage: Stage) -> None:
    origin = await stage.origin(answering(ok()))
    proxy = await stage.one_pool(origin)
    reader, writer = await stage.connect()
    for _ in range(20):
        writer.write(GET)
        assert (await read_message(reader)).body == b"hello"
    assert (origin.connections, proxy.counters.connections) == (1, 1)


async def test_requests_of_a_pipeline_are_answered_in_order(stage: Stage) -> None:
    async def echo_target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_message(reader)
            await asyncio.sleep(0)
            writer.write(ok(request.start.split()[1].encode() + request.body))

    proxy = await stage.one_pool(await stage.origin(echo_target), await stage.origin(echo_target))
    reader, writer = await stage.connect()
    wire = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n%02d" % (number, number)
        if number % 2
        else b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number
        for number in range(60)
    )
    writer.write(wire + LAST_GET)
    for number in range(60):
        expected = b"/%d" % number + (b"%02d" % number if number % 2 else b"")
        assert (await read_message(reader)).body == expected
    assert (await read_message(reader)).body == b"/"
    assert await reader.read() == b""
    assert nothing_in_flight(proxy)


async def test_thousands_of_pipelined_refusals_do_not_recurse(stage: Stage) -> None:
    await stage.serve(make_fleet({}, routes=[]))
    reader, writer = await stage.connect()
    writer.write(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n" * 3000 + LAST_GET)
    for _ in range(3001):
        assert (await read_message(reader)).status == 404
    assert await reader.read() == b""


async def test_a_request_in_single_bytes_is_the_same_request(stage: Stage) -> None:
    seen = Seen()
    await stage.one_pool(await stage.origin(answering(ok(), seen)))
    reader, writer = await stage.connect()
    for (
        byte
    ) in b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n":
        writer.write(bytes((byte,)))
        await asyncio.sleep(0)
    assert (await read_message(reader)).status == 200
    assert seen.requests[0].body == b"abc"
    assert seen.requests[0].get("t") is None


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nT: x\r\n\r\n",
            b"hello!",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", b""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok(b"after"), b"after"),
    ],
)
async def test_framings_of_responses_keep_both_connections_alive(
    stage: Stage, response: bytes, body: bytes
) -> None:
    origin = await stage.origin(answering(response))
    await stage.one_pool(origin)
    reader, writer = await stage.connect()
    for _ in range(3):
        writer.write(GET)
        message = await read_message(reader)
        if message.status == 103:
            assert message.get("link") == "x"
            message = await read_message(reader)
        assert message.body == body
        assert message.get("x-gslb-server") == str(origin.address)
    assert origin.connections == 1


async def test_head_says_the_length_and_sends_no_body(stage: Stage) -> None:
    origin = await stage.origin(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"))
    await stage.one_pool(origin)
    reader, writer = await stage.connect()
    for _ in range(3):
        writer.write(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        response = await read_message(reader, head_only=True)
        assert response.get("content-length") == "99"
    assert origin.connections == 3  # a server that sent the body after all must not be asked again


async def test_a_response_until_close_is_chunked_for_http_1_1_and_closed_for_1_0(stage: Stage) -> None:
    async def until_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")
        await writer.drain()

    await stage.one_pool(await stage.origin(until_close))
    response = await stage.ask(GET)
    assert (response.get("transfer-encoding"), response.body) == ("chunked", b"all of it")
    response = await stage.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (response.get("connection"), response.get("transfer-encoding")) == ("close", None)
    assert response.body + response.trailing_data == b"all of it"


async def test_http_1_0_clients_get_no_chunks_and_keep_alive_if_they_ask(stage: Stage) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    proxy = await stage.serve(
        make_fleet(
            {
                "c": [(await stage.origin(answering(chunked))).address],
                "l": [(await stage.origin(answering(ok(b"ok")))).address],
            }
        )
    )
    response = await stage.ask(b"GET /c HTTP/1.0\r\n\r\n")
    assert (response.body, response.get("connection")) == (b"ok", "close")
    reader, writer = await stage.connect()
    for _ in range(2):
        writer.write(b"GET /l HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
        response = await read_message(reader)
        assert (response.body, response.get("connection")) == (b"ok", "keep-alive")
    assert nothing_in_flight(proxy)


async def test_expect_continue_travels_to_the_server_and_its_100_back(stage: Stage) -> None:
    seen: list[Message] = []

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        seen.append(head)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.write(ok(await reader.readexactly(5)))
        await reader.read()

    await stage.one_pool(await stage.origin(server))
    reader, writer = await stage.connect()
    writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert (await read_head(reader)).status == 100
    writer.write(b"12345")
    assert (await read_message(reader)).body == b"12345"
    assert seen[0].get("expect") == "100-continue"


async def test_a_server_may_refuse_before_the_body_is_sent(stage: Stage) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()

    proxy = await stage.one_pool(await stage.origin(server))
    response = await stage.ask(
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n"
    )
    assert (response.status, response.get("connection"), response.body) == (413, "close", b"no")
    assert nothing_in_flight(proxy)


async def test_a_client_that_closes_its_half_has_left(stage: Stage) -> None:
    proxy = await stage.one_pool(await stage.origin(answering(ok())))
    reader, writer = await stage.connect()
    writer.write(GET)
    assert (await read_message(reader)).body == b"hello"
    writer.write(GET)
    writer.write_eof()
    await reader.read()
    await until(lambda: not proxy.connections)
    assert nothing_in_flight(proxy)


async def test_upgrades_other_than_websocket_are_ignored(stage: Stage) -> None:
    seen = Seen()
    await stage.one_pool(await stage.origin(answering(ok(), seen)))
    reader, writer = await stage.connect()
    writer.write(
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n"
        b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n\r\n" + GET
    )
    for _ in range(2):
        assert (await read_message(reader)).status == 200
    assert seen.requests[0].get("upgrade") is None
    assert seen.requests[0].get("http2-settings") is None


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n\x16\x03", 501),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 1000 + b"\r\n", 431),
    ],
)
async def test_what_is_refused_closes_the_connection(stage: Stage, request_bytes: bytes, status: int) -> None:
    seen = Seen()
    proxy = await stage.one_pool(await stage.origin(answering(ok(), seen)), max_header_bytes=4096)
    response = await stage.ask(request_bytes)
    assert (response.status, response.get("connection"), response.trailing_data) == (status, "close", b"")
    assert response.body.decode().splitlines()[-1].startswith("request ")
    assert seen.requests == []
    assert proxy.counters.refusals == {status: 1}
    assert nothing_in_flight(proxy)


async def test_a_field_without_end_is_cut_off(stage: Stage) -> None:
    await stage.one_pool(await stage.origin(answering(ok())), max_header_bytes=4096)
    reader, writer = await stage.connect()
    writer.write(b"GET / HTTP/1.1\r\nX: ")
    await writer.drain()
    answer = asyncio.ensure_future(read_message(reader))
    while not answer.done():
        writer.write(b"a" * 512)
        await asyncio.sleep(0.001)
    assert (await answer).status == 431


async def test_requests_before_a_broken_one_are_answered(stage: Stage) -> None:
    await stage.one_pool(await stage.origin(answering(ok())))
    reader, writer = await stage.connect()
    writer.write(GET + GET + b"broken\r\n\r\n" + GET)
    assert [(await read_message(reader)).status for _ in range(3)] == [200, 200, 400]
    assert await reader.read() == b""


async def test_a_body_that_breaks_off_the_protocol_ends_the_exchange(stage: Stage) -> None:
    arrived = asyncio.Event()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        arrived.set()
        await reader.read()

    proxy = await stage.one_pool(await stage.origin(server))
    reader, writer = await stage.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    await arrived.wait()
    writer.write(b"zz\r\n")
    assert (await read_message(reader)).status == 400
    assert nothing_in_flight(proxy)


async def test_no_route_and_no_healthy_server(stage: Stage) -> None:
    origin = await stage.origin(answering(ok()))
    proxy = await stage.serve(make_fleet({"web": [origin.address], "bare": []}))
    missing = await stage.ask(b"GET /else HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n")
    assert (missing.status, missing.get("x-request-id")) == (404, "mine")
    assert (
        missing.body == b"404 Not Found\nregion eu-west has no route for this host and path\nrequest mine\n"
    )
    proxy.pools.by_name["web"].servers[0].judge(Verdict.DOWN, "test", 0.0)
    reader, writer = await stage.connect()
    for pool, of in (("web", 1), ("bare", 0)):
        writer.write(f"GET /{pool} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        down = await read_message(reader)  # on one connection: a refusal of ours keeps it open
        assert down.status == 503
        assert f"region eu-west has no healthy server in pool {pool} (0 of {of})" in down.body.decode()
    assert nothing_in_flight(proxy)


async def test_routes_look_at_a_normalised_path_and_forward_the_original(stage: Stage) -> None:
    seen = Seen()
    cart = await stage.origin(answering(ok(), seen))
    await stage.serve(make_fleet({"cart": [cart.address]}, routes=[Route("shop.example", "/cart", "cart")]))
    request = b"GET /a/../%63art/%2e/1 HTTP/1.1\r\nHost: SHOP.example.:8080\r\n\r\n"
    assert (await stage.ask(request)).status == 200
    assert seen.requests[0].start == "GET /a/../%63art/%2e/1 HTTP/1.1"
    assert (await stage.ask(b"GET /cart/../x HTTP/1.1\r\nHost: shop.example\r\n\r\n")).status == 404


async def test_a_request_that_was_here_already_is_refused(stage: Stage) -> None:
    origin = await stage.origin(answering(ok()))
    await stage.one_pool(origin)
    looped = b"GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 other\r\nVia: 1.0 EU-west-1\r\n\r\n"
    assert (await stage.ask(looped)).status == 508
    assert (await stage.ask(looped.replace(b"EU-west-1", b"eu-west-10"))).status == 200


async def test_the_health_path_tells_the_state_of_the_pools(stage: Stage) -> None:
    proxy = await stage.serve(
        make_fleet({"web": [SocketAddress("127.0.0.1", 1), SocketAddress("127.0.0.1", 2)], "bare": []})
    )
    probe = b"GET /.gslb/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    first, second = proxy.pools.by_name["web"].servers
    response = await stage.ask(probe)
    assert (response.status, response.body) == (200, b"ok\nweb 2/2\n")
    first.judge(Verdict.DOWN, "test", 0.0)
    assert (await stage.ask(probe)).body == b"ok\nweb 1/2\n"
    second.judge(Verdict.DOWN, "test", 0.0)
    response = await stage.ask(probe)
    assert (response.status, response.body) == (503, b"no pool has a usable server\nweb 0/2\n")
    assert proxy.counters.probes == 3
    assert proxy.counters.responses == {}
    head = await stage.ask(probe.replace(b"GET", b"HEAD"), head_only=True)
    assert head.status == 503


async def test_more_connections_than_allowed_are_told_so(stage: Stage) -> None:
    proxy = await stage.one_pool(await stage.origin(answering(ok())), max_connections=2)
    held = [await stage.connect() for _ in range(2)]
    await until(lambda: len(proxy.connections) == 2)
    reader, _ = await stage.connect()
    response = await read_message(reader)
    assert (response.status, response.get("connection")) == (503, "close")
    assert b"its limit" in response.body
    held[0][1].write(GET)
    assert (await read_message(held[0][0])).status == 200
    assert proxy.counters.connections_refused == 1


async def test_an_independent_client_agrees(stage: Stage) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_message(reader)
            writer.write(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
                % (len(request.body), request.body)
                if request.body
                else ok(b"none")
            )
            await writer.drain()

    await stage.one_pool(await stage.origin(server))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stage.port}", trust_env=False) as client:
        assert (await client.get("/")).text == "none"
        assert (await client.post("/", content=b"x" * 100_000)).content == b"x" * 100_000

        async def parts() -> object:
            for _ in range(10):
                yield b"part"

        assert (await client.post("/", content=parts())).content == b"part" * 10  # type: ignore[arg-type]


async def test_chunks_of_a_body_arrive_as_they_are_sent(stage: Stage) -> None:
    """Server-sent events and the like: nothing waits for the end, in either direction."""

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            line = await reader.readuntil(b"\r\n")
            data = (await reader.readexactly(int(line, 16) + 2))[:-2]
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            if not data:
                return

    proxy = await stage.one_pool(await stage.origin(server))
    reader, writer = await stage.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert (await read_head(reader)).status == 200
    for word in (b"one", b"two", b"three"):
        writer.write(b"%x\r\n%b\r\n" % (len(word), word))
        assert await reader.readuntil(b"\r\n") == b"%x\r\n" % len(word)
        assert await reader.readexactly(len(word) + 2) == word + b"\r\n"
    writer.write(b"0\r\n\r\n")
    assert await read_chunked(reader) == b""
    assert nothing_in_flight(proxy)
