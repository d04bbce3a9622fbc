"""Servers that no failure of their own speaks against, and that stay in use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from edge_stage import REGION, Seen, Stage, answering, make_fleet, ok, read_message, until

from edge.pool import Pools
from gslb.fleet import BalancingMethod, Ejection, Route, SocketAddress
from gslb.world import Verdict

pytestmark = pytest.mark.production_loop

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest_asyncio.fixture(params=[True, False], ids=["compiled", "general"])
async def either(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[Stage]:
    stage.compiled = request.param
    yield stage


async def test_a_server_that_ends_kept_connections_succeeds_as_often_as_others(either: Stage) -> None:
    seen = Seen()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.requests.append(await read_message(reader))
        writer.write(ok())
        seen.requests.append(await read_message(reader))

    origins = [await either.origin(once), *[await either.origin(answering(ok())) for _ in range(4)]]
    proxy = await either.serve(
        make_fleet(
            {"web": [origin.address for origin in origins]},
            routes=[Route(None, "/", "web")],
            methods={"web": BalancingMethod.ROUND_ROBIN},
            pool={"ejection": Ejection(success_rate=1.5, interval=3600.0, requests=5)},
        )
    )
    pool = proxy.pools.by_name["web"]
    await until(lambda: pool.ejections.compares_at > 3600.0)  # what is counted counts from now on
    for _ in range(60):
        assert (await either.ask(GET)).status == 200
    assert len(seen.requests) > pool.servers[0].opened  # some found that their connection had ended

    pool.judge_by_requests(pool.ejections.compares_at)
    assert [(server.failures, server.ejected) for server in pool.servers] == [(0, False)] * 5


@pytest.mark.parametrize(
    ("verdict", "ejected"), [(Verdict.UP, True), (Verdict.UNKNOWN, True), (Verdict.DOWN, False)]
)
def test_servers_that_are_down_do_not_do_better(verdict: Verdict, ejected: bool) -> None:
    fleet = make_fleet(
        {"web": [SocketAddress("127.0.0.1", port) for port in range(1, 6)]},
        pool={"ejection": Ejection(server_errors=3)},
    )
    pools = Pools(fleet, fleet.regions[REGION])
    servers = pools.by_name["web"].servers
    failing, others = servers[:2], servers[2:]
    for server in others:
        pools.judge(server.server.target, verdict, "test", 0.0)
    for _ in range(4):
        for server in failing:
            server.failed(0.1, answered=True)

    assert any(server.ejected for server in failing) == ejected
