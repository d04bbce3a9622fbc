"""What requests themselves show of servers, and what follows: ejection, return, panic, slow starts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from time import monotonic

import pytest
import pytest_asyncio
from edge_stage import REGION, Origin, Stage, answering, make_fleet, ok, read_message, until
from ports import free_port

from edge.pool import PoolState
from edge.proxy.proxy import Proxy
from edge.server import ServerState
from edge.serving import prepare
from gslb.fleet import Ejection, Route, ServerMode, SlowStart, SocketAddress
from gslb.fleet_edge import Connections, Retries
from gslb.world import Verdict

pytestmark = pytest.mark.production_loop

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
BROKEN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"
EAGER = Ejection(errors=3, time=0.2, most_time=0.2)
LASTING = Ejection(errors=3, time=60.0)


@pytest_asyncio.fixture(params=[True, False], ids=["compiled", "general"])
async def either(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[Stage]:
    stage.compiled = request.param
    yield stage


async def hanging_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes a connection and a request, and closes."""
    await read_message(reader)


def refusing() -> SocketAddress:
    return SocketAddress("127.0.0.1", free_port())


def web(proxy: Proxy) -> PoolState:
    return proxy.pools.by_name["web"]


def first(proxy: Proxy) -> ServerState:
    return web(proxy).servers[0]


async def good(stage: Stage, count: int) -> list[Origin]:
    return [await stage.origin(answering(ok())) for _ in range(count)]


async def ask(stage: Stage, count: int) -> Counter[int]:
    """How often each status came."""
    return Counter([(await stage.ask(GET)).status for _ in range(count)])


async def shares(stage: Stage, count: int) -> Counter[str]:
    """How many requests each server answered."""
    return Counter([str((await stage.ask(GET)).get("x-gslb-server")) for _ in range(count)])


# Requests without an answer.


@pytest.mark.parametrize("hangs_up", [True, False], ids=["hangs up", "refuses"])
async def test_a_server_that_gives_no_answers_is_ejected_and_nobody_notices(
    either: Stage, hangs_up: bool
) -> None:
    bad = (await either.origin(hanging_up)).address if hangs_up else refusing()
    addresses = [bad, *(origin.address for origin in await good(either, 2))]
    proxy = await either.serve(
        make_fleet({"web": addresses}, routes=[Route(None, "/", "web")], pool={"ejection": LASTING})
    )
    assert await ask(either, 30) == {200: 30}
    server = first(proxy)
    assert server.ejected
    assert not server.usable
    assert server.failures + server.connect_failures == server.requests == 3
    assert server.standing.ejected is not None
    assert server.standing.ejected.reason == "3 requests in a row without a response"


async def test_it_comes_back_when_its_time_is_over(either: Stage) -> None:
    healed = asyncio.Event()

    async def healing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        if healed.is_set():
            writer.write(ok())

    bad = await either.origin(healing)
    proxy = await either.one_pool(bad, *await good(either, 1), pool={"ejection": EAGER})
    server = first(proxy)
    for _ in range(2):
        async with asyncio.timeout(10):
            while not server.ejected:
                assert (await either.ask(GET)).status == 200
        # Nobody asks meanwhile: it is time alone that brings it back.
        await until(lambda: not server.ejected)
        assert server.usable
    healed.set()
    assert (await shares(either, 4))[str(bad.address)] == 2
    assert server.standing.failures == 0


async def test_an_answer_in_between_ends_the_row(either: Stage) -> None:
    count = 0

    async def every_third(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_message(reader)
        count += 1
        if count % 3 == 0:
            writer.write(ok())

    proxy = await either.one_pool(
        await either.origin(every_third),
        *await good(either, 1),
        pool={"ejection": LASTING, "connections": Connections(idle=0)},
    )
    assert await ask(either, 40) == {200: 40}
    assert first(proxy).failures > 3
    assert not first(proxy).ejected


async def test_ejection_can_be_switched_off(either: Stage) -> None:
    never = Ejection(errors=None, server_errors=None)
    proxy = await either.one_pool(
        await either.origin(hanging_up), *await good(either, 1), pool={"ejection": never}
    )
    assert await ask(either, 30) == {200: 30}
    assert first(proxy).failures == 15


# Answers that are none.


@pytest.mark.parametrize("server_errors", [None, 3])
async def test_answers_of_500_eject_only_where_that_is_said(either: Stage, server_errors: int | None) -> None:
    bad = await either.origin(answering(BROKEN))
    ejection = replace(LASTING, server_errors=server_errors)
    proxy = await either.one_pool(bad, *await good(either, 2), pool={"ejection": ejection})
    failed = 10 if server_errors is None else server_errors
    assert await ask(either, 30) == {500: failed, 200: 30 - failed}
    assert first(proxy).ejected == (server_errors is not None)


async def test_a_server_whose_answers_are_worse_than_the_others_is_ejected(either: Stage) -> None:
    ejection = Ejection(
        errors=None, server_errors=None, success_rate=1.0, interval=0.1, requests=5, time=60.0
    )
    bad = await either.origin(answering(BROKEN))
    proxy = await either.one_pool(
        bad, *await good(either, 3), pool={"ejection": ejection}, retries=Retries(on=frozenset({500}))
    )
    async with asyncio.timeout(20):
        while not first(proxy).ejected:
            assert (await either.ask(GET)).status == 200
    assert first(proxy).standing.ejected is not None
    assert "of its requests succeeded" in first(proxy).standing.ejected.reason
    assert (await shares(either, 9))[str(bad.address)] == 0


# Who never is.


@pytest.mark.parametrize("count", [1, 2])
async def test_the_last_server_never_is(either: Stage, count: int) -> None:
    bad = [await either.origin(hanging_up) for _ in range(count)]
    proxy = await either.one_pool(*bad, pool={"ejection": LASTING})
    assert await ask(either, 12) == {502: 12}
    assert sum(server.ejected for server in web(proxy).servers) == count - 1
    assert web(proxy).usable == 1


async def test_an_ejected_server_is_used_once_all_others_are_down(either: Stage) -> None:
    bad, other = await either.origin(hanging_up), (await good(either, 1))[0]
    proxy = await either.one_pool(bad, other, pool={"ejection": LASTING})
    await ask(either, 8)
    assert first(proxy).ejected
    proxy.pools.judge(f"{REGION}/web/{other.address}", Verdict.DOWN, "test", 0.0)
    before = bad.connections
    assert await ask(either, 1) == {502: 1}
    assert bad.connections > before
    proxy.pools.judge(f"{REGION}/web/{other.address}", Verdict.UP, "test", 0.0)
    assert await ask(either, 4) == {200: 4}


# Panic.


async def test_too_few_usable_servers_bring_back_those_that_checks_call_down(either: Stage) -> None:
    three = await good(either, 3)
    proxy = await either.one_pool(*three, pool={"panic": 0.6})
    targets = [f"{REGION}/web/{origin.address}" for origin in three]
    proxy.pools.judge(targets[0], Verdict.DOWN, "test", 0.0)
    assert not web(proxy).panics
    assert len(await shares(either, 6)) == 2
    for target in targets[1:]:
        proxy.pools.judge(target, Verdict.DOWN, "test", 0.0)
        assert web(proxy).panics
        assert set((await shares(either, 6)).values()) == {2}
    for target in targets[:2]:
        proxy.pools.judge(target, Verdict.UP, "test", 0.0)
    assert not web(proxy).panics
    assert len(await shares(either, 6)) == 2


async def test_no_panic_brings_back_what_an_operator_took_away(either: Stage) -> None:
    kept, away = await good(either, 2)
    fleet = make_fleet(
        {"web": [kept.address, (away.address, 1, False, None, ServerMode.MAINTENANCE)]},
        routes=[Route(None, "/", "web")],
        pool={"panic": 1.0},
    )
    proxy = await either.serve(fleet)
    proxy.pools.judge(f"{REGION}/web/{kept.address}", Verdict.DOWN, "test", 0.0)
    assert await shares(either, 4) == {str(kept.address): 4}


# Slow start.


async def test_the_share_of_a_server_that_comes_back_grows(either: Stage) -> None:
    slowly = {"slow_start": SlowStart(time=1000.0, least=0.1)}
    back, other = await good(either, 2)
    proxy = await either.one_pool(back, other, pool=slowly)
    server, target = first(proxy), f"{REGION}/web/{back.address}"
    assert server.started_at is None  # who is there from the first has no others to learn from
    assert (await shares(either, 20))[str(back.address)] == 10
    proxy.pools.judge(target, Verdict.DOWN, "test", 0.0)
    proxy.pools.judge(target, Verdict.UP, "test", 0.0)
    assert server.weight == pytest.approx(0.1)
    few = (await shares(either, 44))[str(back.address)]
    assert 1 <= few <= 8
    web(proxy).warm(monotonic() + 500.0)
    half = (await shares(either, 60))[str(back.address)]
    assert few < half <= 24
    web(proxy).warm(monotonic() + 1001.0)
    assert server.weight == 1
    assert (await shares(either, 20))[str(back.address)] == pytest.approx(10, abs=1)


async def test_who_was_ejected_or_is_new_starts_slowly_too(either: Stage) -> None:
    slowly = {"slow_start": SlowStart(time=1000.0), "ejection": EAGER}
    bad, other, new = await either.origin(hanging_up), *await good(either, 2)
    proxy = await either.one_pool(bad, other, pool=slowly)
    await ask(either, 8)
    assert first(proxy).ejected
    await until(lambda: not first(proxy).ejected)
    assert first(proxy).weight < 0.2
    fleet = make_fleet({"web": [other.address, new.address]}, routes=[Route(None, "/", "web")], pool=slowly)
    proxy.use(prepare(fleet, proxy.edge))
    stayed, came = web(proxy).servers
    assert stayed.weight == 1
    assert came.weight < 0.2


async def test_checks_that_see_a_server_come_back_end_its_ejection(either: Stage) -> None:
    proxy = await either.one_pool(
        await either.origin(hanging_up), *await good(either, 1), pool={"ejection": LASTING}
    )
    assert await ask(either, 20) == {200: 20}
    assert first(proxy).ejected
    target = first(proxy).server.target
    proxy.pools.judge(target, Verdict.UP, "it was never down", 0.0)
    assert first(proxy).ejected
    proxy.pools.judge(target, Verdict.DOWN, "test", 0.0)
    proxy.pools.judge(target, Verdict.UP, "test", 0.0)
    assert not first(proxy).ejected
    assert first(proxy).usable
