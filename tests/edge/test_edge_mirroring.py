"""Routes that send a copy of requests to another pool, whose answers nobody gets."""

from __future__ import annotations

import asyncio

import pytest
from edge_stage import Seen, Stage, answering, make_fleet, ok, read_message

from gslb.fleet import Mirror, Route

pytestmark = [pytest.mark.asyncio, pytest.mark.production_loop]


async def mirrored(stage: Stage, seen: Seen, shadow: Seen, share: float = 1.0) -> None:
    real = await stage.origin(answering(ok(b"real"), seen))
    other = await stage.origin(answering(ok(b"shadow"), shadow))
    routes = [Route(None, "/", "web", mirror=Mirror("shadow", share))]
    await stage.serve(make_fleet({"web": [real.address], "shadow": [other.address]}, routes=routes))


async def until(seen: Seen, count: int) -> None:
    async with asyncio.timeout(5):
        while len(seen.requests) < count:
            await asyncio.sleep(0.005)


async def test_the_copy_is_the_same_and_the_client_hears_the_original(stage: Stage) -> None:
    seen, shadow = Seen(), Seen()
    await mirrored(stage, seen, shadow)
    head = b"POST /a?b=c HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\n\r\n"

    assert (await stage.ask(head + b"2\r\nhi\r\n0\r\n\r\n")).body == b"real"
    await until(shadow, 1)

    (original,), (copy,) = seen.requests, shadow.requests
    assert (copy.start, copy.body) == (original.start, original.body) == ("POST /a?b=c HTTP/1.1", b"hi")
    for name in ("host", "x-one", "x-request-id", "x-forwarded-for"):
        assert copy.get(name) == original.get(name)
    assert stage.proxy.counters.mirrored == 1


async def test_connections_for_copies_are_kept(stage: Stage) -> None:
    seen, shadow = Seen(), Seen()
    await mirrored(stage, seen, shadow)
    for count in range(1, 6):
        await stage.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(shadow, count)
        while any(server.own for server in stage.proxy.pools.by_name["shadow"].servers):
            await asyncio.sleep(0)

    (server,) = stage.proxy.pools.by_name["shadow"].servers
    assert server.opened == 1
    assert server.own == 0


async def test_a_pool_for_copies_that_is_dead_costs_the_client_nothing(stage: Stage) -> None:
    seen = Seen()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)

    other = await stage.origin(hang_up)
    routes = [Route(None, "/", "web", mirror=Mirror("shadow"))]
    real = await stage.origin(answering(ok(b"real"), seen))
    await stage.serve(make_fleet({"web": [real.address], "shadow": [other.address]}, routes=routes))
    for _ in range(3):
        assert (await stage.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).body == b"real"
    await other.kill()
    assert (await stage.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).body == b"real"


async def test_a_body_that_is_too_long_to_keep_is_not_copied(stage: Stage) -> None:
    seen, shadow = Seen(), Seen()
    await mirrored(stage, seen, shadow)
    length = 3 << 20
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length
    assert (await stage.ask(head + bytes(length))).body == b"real"

    assert stage.proxy.counters.mirrored == 0
    assert shadow.requests == []


async def test_a_share_of_them_is_copied(stage: Stage) -> None:
    seen, shadow = Seen(), Seen()
    await mirrored(stage, seen, shadow, share=0.5)
    for _ in range(60):
        await stage.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    # Less likely than one in ten million otherwise.
    assert 10 <= stage.proxy.counters.mirrored <= 50
