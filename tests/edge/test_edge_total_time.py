"""When the time for a whole request is over: only where the server was to answer, it speaks against it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from edge_stage import Handler, Seen, Stage, answering, make_fleet, ok, until

from edge.proxy.proxy import Proxy
from gslb.fleet import Route
from gslb.fleet_edge import Timeouts

pytestmark = [pytest.mark.asyncio, pytest.mark.production_loop]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
UNFINISHED = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx"
WITHHELD = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n"
LONG = ok(bytes(30_000_000))  # more than all buffers between a server and a client hold


@pytest_asyncio.fixture(params=[True, False], ids=["compiled", "general"])
async def either(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[Stage]:
    stage.compiled = request.param
    yield stage


async def short(stage: Stage, handler: Handler) -> Proxy:
    origin = await stage.origin(handler)
    routes = [Route(None, "/", "web", timeouts=Timeouts(total=0.2))]
    return await stage.serve(make_fleet({"web": [origin.address]}, routes=routes))


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def failures(proxy: Proxy) -> tuple[int, int]:
    """All that were counted, and those in a row."""
    (server,) = proxy.pools.by_name["web"].servers
    return server.failures, server.standing.failures


async def test_a_client_that_sends_slowly_says_nothing_about_the_server(either: Stage) -> None:
    proxy = await short(either, answering(ok()))
    for _ in range(2):
        assert (await either.ask(UNFINISHED)).status == 504
    assert failures(proxy) == (0, 0)


async def test_a_client_that_takes_slowly_says_nothing_about_the_server(either: Stage) -> None:
    seen = Seen()
    proxy = await short(either, answering(LONG, seen))
    _, writer = await either.connect()
    writer.write(GET)
    await until(lambda: len(seen.requests) == 1 and not proxy.counters.in_flight)

    assert proxy.counters.aborted_by_server == 1
    assert failures(proxy) == (0, 0)


@pytest.mark.parametrize("asked", [GET, WITHHELD], ids=["GET", "Expect: 100-continue"])
async def test_a_server_that_does_not_answer_has_failed(either: Stage, asked: bytes) -> None:
    proxy = await short(either, never)

    assert (await either.ask(asked)).status == 504
    assert failures(proxy) == (1, 1)
