"""Requests beyond a route's rate or a pool's concurrency: what they get, and what they cost others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
import pytest_asyncio
from edge_stage import REGION, Message, Origin, Seen, Stage, answering, make_fleet, ok, read_message, until

from edge.proxy.proxy import Proxy
from edge.serving import prepare
from edge.shared_rate_limit import SharedBuckets
from gslb.balancing import BalancingKey, KeyKind
from gslb.fleet import ConcurrencyLimit, Fleet, Priority, RateLimit, Route, SocketAddress
from gslb.fleet_edge import Connections
from gslb.world import Verdict

pytestmark = pytest.mark.production_loop

HOUR = 3600.0
THREE = RateLimit(requests=3, per=HOUR, burst=3)
VOUCHED = (ip_network("127.0.0.0/8"),)


@pytest_asyncio.fixture(params=[True, False], ids=["compiled", "general"])
async def either(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[Stage]:
    stage.compiled = request.param
    yield stage


def get(*fields: str, path: str = "/") -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode()


def from_address(number: int) -> bytes:
    return get(f"X-Forwarded-For: 203.0.113.{number}")


def limited(*addresses: SocketAddress, limit: RateLimit = THREE, **options: Any) -> Fleet:
    routes = [Route(None, "/", "web", rate_limit=limit)]
    return make_fleet({"web": list(addresses)}, routes=routes, trusted_proxies=VOUCHED, **options)


async def statuses(stage: Stage, *requests: bytes) -> list[int]:
    return [(await stage.ask(request)).status for request in requests]


async def server(stage: Stage, seen: Seen | None = None) -> SocketAddress:
    return (await stage.origin(answering(ok(), seen))).address


# Rates.


async def test_what_is_too_much_gets_429_and_no_server_sees_it(either: Stage) -> None:
    seen = Seen()
    await either.serve(limited(await server(either, seen)))
    reader, writer = await either.connect()
    answers: list[Message] = []
    for _ in range(5):
        writer.write(get())
        answers.append(await read_message(reader))  # the connection stays good
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert len(seen.requests) == 3
    assert either.proxy.counters.refusals == {429: 2}
    for answer in answers[3:]:
        # A third of an hour until there is one more; what was refused puts it off no further.
        assert answer.get("retry-after") == "1200"
        assert answer.get("x-gslb-region") == REGION
        assert b"3 requests in 3600 s are the most for one client here" in answer.body


async def test_both_ways_of_asking_count_together(either: Stage) -> None:
    await either.serve(limited(await server(either)))
    chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    odd = get("TE: trailers", "Connection: TE")
    assert await statuses(either, get(), chunked, odd, get(), chunked, odd) == [200] * 3 + [429] * 3


async def test_clients_are_told_apart_by_address(either: Stage) -> None:
    await either.serve(limited(await server(either)))
    assert await statuses(either, *map(from_address, (1, 1, 1, 2, 1, 2))) == [200] * 4 + [429, 200]


async def test_or_by_a_header_and_who_brings_none_by_address(either: Stage) -> None:
    by_header = replace(THREE, key=BalancingKey(KeyKind.HEADER, "x-key"))
    await either.serve(limited(await server(either), limit=by_header))
    assert await statuses(either, *[get("X-Key: a")] * 4, get("X-Key: b")) == [200] * 3 + [429, 200]
    assert await statuses(either, *map(from_address, (1, 1, 1, 1, 2))) == [200] * 3 + [429, 200]


async def test_or_not_at_all(either: Stage) -> None:
    await either.serve(limited(await server(either), limit=replace(THREE, key=None)))
    assert await statuses(either, *map(from_address, (1, 2, 3, 4))) == [200] * 3 + [429]
    answer = await either.ask(get())
    assert b"for all clients together" in answer.body


async def test_routes_count_for_themselves(either: Stage) -> None:
    address = await server(either)
    routes = [
        Route(None, "/a", "web", rate_limit=THREE),
        Route(None, "/b", "web", rate_limit=THREE),
        Route(None, "/", "web"),
    ]
    await either.serve(make_fleet({"web": [address]}, routes=routes))
    assert await statuses(either, *[get(path="/a")] * 4) == [200] * 3 + [429]
    assert await statuses(either, *[get(path="/b")] * 4) == [200] * 3 + [429]
    assert await statuses(either, *[get(path="/c")] * 4) == [200] * 4


async def test_another_file_keeps_the_counts_of_a_route_that_stays(either: Stage) -> None:
    address = await server(either)
    proxy = await either.serve(limited(address))
    assert await statuses(either, *[get()] * 2) == [200] * 2

    def use(fleet: Fleet) -> None:
        proxy.use(prepare(fleet, proxy.edge))

    use(limited(address, pool={"connections": Connections(idle=1)}))
    assert await statuses(either, *[get()] * 2) == [200, 429]
    use(limited(address, limit=replace(THREE, requests=4, burst=4)))
    assert await statuses(either, *[get()] * 5) == [200] * 4 + [429]
    use(make_fleet({"web": [address]}, routes=[Route(None, "/", "web")]))
    assert await statuses(either, *[get()] * 5) == [200] * 5


PATHS = pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "general"])


@PATHS
async def test_a_request_is_counted_once_when_its_server_has_a_name(stage: Stage, compiled: bool) -> None:
    stage.compiled = compiled
    named = SocketAddress("localhost", (await server(stage)).port)
    await stage.serve(limited(named, pool={"connections": Connections(idle=0)}))
    assert await statuses(stage, *[get()] * 4) == [200] * 3 + [429]


@PATHS
async def test_a_request_is_counted_once_when_no_server_is_healthy(stage: Stage, compiled: bool) -> None:
    stage.compiled = compiled
    address = await server(stage)
    proxy = await stage.serve(limited(address))
    proxy.pools.judge(f"{REGION}/web/{address}", Verdict.DOWN, "test", 0.0)
    assert await statuses(stage, *[get()] * 4) == [503] * 3 + [429]


async def test_a_request_is_counted_once_however_many_servers_are_tried(either: Stage) -> None:
    async def hanging_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)

    bad, dead = (await either.origin(hanging_up)).address, await either.origin(hanging_up)
    await dead.kill()
    await either.serve(limited(dead.address, bad, await server(either)))
    assert await statuses(either, *[get()] * 4) == [200] * 3 + [429]


async def test_a_limit_that_edges_count_together_from_now_on_begins_anew(either: Stage) -> None:
    address = await server(either)
    proxy = await either.serve(limited(address))
    assert await statuses(either, *[get()] * 4) == [200] * 3 + [429]
    proxy.use(prepare(limited(address, limit=replace(THREE, shared=True)), proxy.edge))
    ((_, buckets),) = proxy.rates.items()
    assert isinstance(buckets, SharedBuckets)
    assert await statuses(either, get()) == [200]


# Concurrency.


class Busy:
    """A server that answers nobody before it is told to."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_message(reader)
            await self.told.wait()
            writer.write(ok())


def by_priority(origin: Origin, settings: ConcurrencyLimit) -> Fleet:
    routes = [Route(None, f"/{each}", "web", priority=each) for each in Priority]
    return make_fleet({"web": [origin.address]}, routes=routes, pool={"concurrency": settings})


async def admitted(
    stage: Stage, proxy: Proxy, priority: Priority, wanted: Sequence[bool]
) -> list[asyncio.Task[Message]]:
    """Ask so often, each time expecting to be admitted or not; the tasks of those that were."""
    pool = proxy.pools.by_name["web"]
    asking = []
    for let_in in wanted:
        before = pool.in_flight
        task = asyncio.ensure_future(stage.ask(get(path=f"/{priority}")))
        await until(lambda task=task, before=before: task.done() or pool.in_flight > before)  # type: ignore[misc]
        assert task.done() != let_in
        if let_in:
            asking.append(task)
            continue
        answer = task.result()
        assert (answer.status, answer.get("retry-after")) == (503, "1")
        assert b"as many requests in pool web as it can take" in answer.body
    return asking


async def test_what_is_too_many_gets_503_at_once_and_what_matters_more_passes(either: Stage) -> None:
    busy = Busy()
    proxy = await either.serve(by_priority(await either.origin(busy), ConcurrencyLimit(most=20)))
    low, normal, high = Priority.LOW, Priority.NORMAL, Priority.HIGH
    asking = await admitted(either, proxy, low, [True] * 16 + [False] * 2)
    asking += await admitted(either, proxy, normal, [True] * 3 + [False] * 2)
    asking += await admitted(either, proxy, low, [False])
    asking += await admitted(either, proxy, high, [True, False])
    busy.told.set()
    assert {(await task).status for task in asking} == {200}
    assert proxy.counters.refusals == {503: 6}
    assert (await either.ask(get(path="/low"))).status == 200


async def test_one_request_is_always_let_in(either: Stage) -> None:
    busy = Busy()
    proxy = await either.serve(by_priority(await either.origin(busy), ConcurrencyLimit(most=1)))
    (task,) = await admitted(either, proxy, Priority.LOW, [True, False])
    busy.told.set()
    assert (await task).status == 200


async def test_another_bound_holds_for_those_who_come_next(either: Stage) -> None:
    busy = Busy()
    origin = await either.origin(busy)
    proxy = await either.serve(by_priority(origin, ConcurrencyLimit(most=1)))
    asking = await admitted(either, proxy, Priority.HIGH, [True, False])
    for most, wanted in ((3, [True, True, False]), (2, [False]), (None, [True] * 5)):
        proxy.use(prepare(by_priority(origin, ConcurrencyLimit(most=most)), proxy.edge))
        asking += await admitted(either, proxy, Priority.HIGH, wanted)
    busy.told.set()
    assert {(await task).status for task in asking} == {200}


async def test_a_bound_that_adapts_serves_and_stays_between_its_bounds(either: Stage) -> None:
    origin = await either.origin(answering(ok()))
    settings = ConcurrencyLimit(most=20, adaptive=True, least=10)
    proxy = await either.serve(by_priority(origin, settings))
    limit = proxy.pools.by_name["web"].concurrency

    async def client() -> Counter[int]:
        reader, writer = await either.connect()
        said: Counter[int] = Counter()
        for _ in range(100):
            writer.write(get(path="/low"))
            said[(await read_message(reader)).status] += 1
            assert 10 <= limit.limit <= 20
        return said

    assert sum(await asyncio.gather(*(client() for _ in range(5))), Counter()) == {200: 500}
