"""What an edge tells of each balanced name: counted alike by both paths, and reported over an interval."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edge_stage import REGION, Origin, Stage, answering, make_fleet, ok

from edge.counters import Counters, Latency
from edge.pool import Pools
from edge.report import estimated_capacity, make_report, read
from gslb.balancing import Balancing, BalancingMethod
from gslb.config.service_pools import pools_of_services
from gslb.fleet import ConcurrencyLimit, Fleet, Route, Service, SocketAddress

pytestmark = pytest.mark.production_loop

REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


def with_services(fleet: Fleet, *names: str) -> Fleet:
    pools = pools_of_services(names, fleet.routes)
    services = {name: Service(name, "example", (REGION,), (), pools=pools[name]) for name in names}
    return replace(fleet, services=services)


def get(host: str, path: str = "/") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


@pytest.fixture(params=[True, False], ids=["compiled", "general"])
def either(stage: Stage, request: pytest.FixtureRequest) -> Stage:
    stage.compiled = request.param
    return stage


@pytest.mark.asyncio
async def test_requests_count_for_the_service_that_they_name(either: Stage) -> None:
    good, bad = await either.origin(answering(ok())), await either.origin(answering(REFUSED))
    routes = [Route(None, "/", "web"), Route("b.example", "/bad", "bad")]
    fleet = make_fleet({"web": [good.address], "bad": [bad.address]}, routes=routes)
    proxy = await either.serve(with_services(fleet, "a.example", "b.example"))
    stats = {each.name: each for each in proxy.pools.services}
    assert stats["a.example"].pools == ("web",)
    assert stats["b.example"].pools == ("bad", "web")

    for host, path in (("A.example:80", "/"), ("a.example", "/x"), ("b.example", "/bad"), ("c.example", "/")):
        await either.ask(get(host, path))
    for server in proxy.pools.by_name["web"].servers:
        server.judge(server.verdict.DOWN, "test", 0.0)
    assert (await either.ask(get("b.example"))).status == 503

    assert (stats["a.example"].requests, stats["a.example"].errors) == (2, 0)
    assert (stats["b.example"].requests, stats["b.example"].errors, stats["b.example"].refused) == (2, 2, 1)


@pytest.mark.asyncio
async def test_a_service_goes_on_counting_when_another_fleet_is_taken_up(either: Stage) -> None:
    origin = await either.origin(answering(ok()))
    fleet = make_fleet({"web": [origin.address]}, routes=[Route(None, "/", "web")])
    pools = (await either.serve(with_services(fleet, "a.example"))).pools
    await either.ask(get("a.example"))
    pools.services.use(with_services(fleet, "b.example", "a.example"), fleet.regions[REGION])

    assert {each.name: each.requests for each in pools.services} == {"a.example": 1, "b.example": 0}


def test_the_report_tells_of_the_time_between_two_readings() -> None:
    fleet = make_fleet({"web": [SocketAddress("127.0.0.1", 1)]}, routes=[Route(None, "/", "web")])
    fleet = with_services(fleet, "a.example")
    region = fleet.regions[REGION]
    pools = Pools(fleet, region)
    (stats,) = pools.services
    stats.latency.add(9.0)
    before = read(Counters(), pools.services, 10.0)
    for _ in range(98):
        stats.latency.add(0.002)
    stats.latency.add(0.2)
    stats.refused, stats.errors = 1, 1
    after = read(Counters(), pools.services, 12.0)
    report = make_report(region.edges[0], region, before, after, now=1.0, in_flight=0, pools=pools)
    (service,) = report.services

    assert (service.service, service.healthy, service.servers) == ("a.example", 1, 1)
    assert service.requests_per_second == 50.0
    assert service.error_rate == 0.01
    assert service.p50 is not None
    assert 0.001 <= service.p50 <= 0.0025
    assert service.p99 is not None
    assert 0.001 <= service.p99 <= 0.25
    assert (service.capacity, service.utilisation) == (100.0, 0.5)


def test_capacity_follows_from_limits_and_response_times() -> None:
    def pools(limit: ConcurrencyLimit) -> list:
        fleet = make_fleet({"web": [SocketAddress("127.0.0.1", 1)]}, pool={"concurrency": limit})
        return list(Pools(fleet, fleet.regions[REGION]))

    latency = Latency()
    assert estimated_capacity(pools(ConcurrencyLimit(most=10)), latency, 1) is None
    for _ in range(10):
        latency.add(0.05)
    assert estimated_capacity(pools(ConcurrencyLimit(most=10)), latency, 1) == pytest.approx(200)
    assert estimated_capacity(pools(ConcurrencyLimit(most=10)), latency, 4) == pytest.approx(800)
    assert estimated_capacity(pools(ConcurrencyLimit()), latency, 1) is None
    assert estimated_capacity(pools(ConcurrencyLimit(adaptive=True)), latency, 2) is None


@pytest.mark.asyncio
@pytest.mark.parametrize("told", [b"TEXT cpu_utilization=0.75", b"what is this"])
async def test_a_response_tells_how_loaded_its_server_is(either: Stage, told: bytes) -> None:
    response = b"HTTP/1.1 200 OK\r\nEndpoint-Load-Metrics: %b\r\nContent-Length: 0\r\n\r\n" % told
    origin: Origin = await either.origin(answering(response))
    proxy = await either.one_pool(origin, methods={"web": Balancing(BalancingMethod.LEAST_LOADED)})
    (server,) = proxy.pools.servers.values()
    server.load = 0.5
    await either.ask(get("a.example"))

    assert server.load == (0.75 if told.startswith(b"TEXT") else 0.5)


@pytest.mark.asyncio
async def test_nobody_listens_for_loads_that_no_method_goes_by(either: Stage) -> None:
    response = (
        b"HTTP/1.1 200 OK\r\nendpoint-load-metrics: TEXT cpu_utilization=1\r\nContent-Length: 0\r\n\r\n"
    )
    proxy = await either.one_pool(await either.origin(answering(response)))
    answer = await either.ask(get("a.example"))

    assert answer.get("endpoint-load-metrics") == "TEXT cpu_utilization=1"
    assert [server.load for server in proxy.pools.servers.values()] == [None]
