"""What copies of requests cost the pool that they go to, and what they say of its servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from edge_stage import REGION, Handler, Seen, Stage, answering, make_fleet, ok, read_message, until

from edge.pool import PoolState
from edge.proxy.proxy import Proxy
from edge.serving import prepare
from gslb.fleet import ConcurrencyLimit, Ejection, Mirror, Route
from gslb.fleet_edge import Connections, QueueSettings

pytestmark = [pytest.mark.asyncio, pytest.mark.production_loop]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SHADOW = b"GET /shadow HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def mirrored(stage: Stage, real: Handler, *shadows: Handler, **pool: Any) -> Proxy:
    """All is copied but what is for the pool of copies itself. pool: settings of both pools."""
    web = [(await stage.origin(real)).address]
    shadow = [(await stage.origin(handler)).address for handler in shadows]
    routes = [Route(None, "/shadow", "shadow"), Route(None, "/", "web", mirror=Mirror("shadow"))]
    return await stage.serve(make_fleet({"web": web, "shadow": shadow}, routes=routes, pool=pool))


def shadow(proxy: Proxy) -> PoolState:
    return proxy.pools.by_name["shadow"]


async def copied(stage: Stage, count: int) -> None:
    """Ask so often; each copy is over before the next begins."""
    for _ in range(count):
        assert (await stage.ask(GET)).body == b"real"
        await until(lambda: not shadow(stage.proxy).own)
    assert stage.proxy.counters.mirrored == count


async def test_a_server_that_answers_copies_in_between_is_not_ejected(stage: Stage) -> None:
    count = 0

    async def every_other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_message(reader)
        count += 1
        if count % 2:
            writer.write(LAST)

    handlers = every_other, answering(ok())
    proxy = await mirrored(stage, answering(ok(b"real")), *handlers, ejection=Ejection(errors=2))
    await copied(stage, 12)

    server = shadow(proxy).servers[0]
    assert (server.requests, server.failures) == (6, 3)
    assert not server.ejected


async def test_a_server_that_answers_no_copies_is_ejected(stage: Stage) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)

    handlers = hang_up, answering(ok())
    proxy = await mirrored(stage, answering(ok(b"real")), *handlers, ejection=Ejection(errors=2))
    await copied(stage, 4)

    assert [server.ejected for server in shadow(proxy).servers] == [True, False]


async def test_a_kept_connection_that_has_ended_says_nothing_about_the_server(stage: Stage) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(ok())
        await read_message(reader)

    proxy = await mirrored(stage, answering(ok(b"real")), once)
    await copied(stage, 2)

    (server,) = shadow(proxy).servers
    assert (server.requests, server.opened) == (2, 1)
    assert (server.failures, server.standing.failures) == (0, 0)


async def test_upgrades_are_not_copied(stage: Stage) -> None:
    seen = Seen()
    proxy = await mirrored(stage, answering(SWITCHED), answering(SWITCHED, seen))
    reader, writer = await stage.connect()
    writer.write(UPGRADE)

    assert (await read_message(reader)).status == 101
    assert proxy.counters.mirrored == 0
    assert seen.requests == []
    writer.close()


async def test_a_request_ends_well_whose_pool_for_copies_is_gone_meanwhile(stage: Stage) -> None:
    proxy = await mirrored(stage, answering(ok(b"real")), answering(ok()))
    reader, writer = await stage.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
    (server,) = proxy.pools.by_name["web"].servers
    await until(lambda: server.own == 1)
    fleet = make_fleet({"web": [server.server.address]}, routes=[Route(None, "/", "web")])
    proxy.use(prepare(fleet, fleet.regions[REGION].edges[0]))
    writer.write(b"cd")

    assert (await read_message(reader)).body == b"real"
    assert proxy.counters.mirrored == 0


@pytest.mark.parametrize(
    "bound",
    [
        {"concurrency": ConcurrencyLimit(most=3)},
        {"connections": Connections(most=1), "queue": QueueSettings(size=1, timeout=5.0)},
    ],
    ids=lambda bound: next(iter(bound)),
)
async def test_copies_leave_room_for_requests_that_somebody_waits_for(
    stage: Stage, bound: dict[str, Any]
) -> None:
    seen, released = Seen(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.requests.append(await read_message(reader))
            await released.wait()
            writer.write(ok(b"shadow"))

    proxy = await mirrored(stage, answering(ok(b"real")), slow, **bound)
    for _ in range(10):
        assert (await stage.ask(GET)).body == b"real"
    counters, pool = proxy.counters, shadow(proxy)
    assert (counters.mirrored, counters.mirrored_not) == (2, 8)

    asked = asyncio.create_task(stage.ask(SHADOW))
    await until(lambda: pool.own + len(pool.waiting) == (3 if "concurrency" in bound else 2) or asked.done())
    released.set()
    assert (await asked).body == b"shadow"
    await until(lambda: not pool.own)
