"""What comes back from another region keeps to this one's limits, and who is asked there has room for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from edge_regions import EAST, GET, POST, WEST, Begin, Regions, beginning, one_each
from edge_stage import REGION, Handler, Origin, Seen, Stage, answering, make_fleet, ok, read_message, until

from edge.counters import Counters
from edge.pool import Pools
from edge.report import make_report, read
from edge.spill_over import Neighbourhood, neighbourhood
from gslb.fleet import ConcurrencyLimit, Fleet, Route, Server, ServerMode, SocketAddress, SpillOver
from gslb.fleet_edge import Connections, Retries, Timeouts
from gslb.world import RegionState, Verdict, World

pytestmark = pytest.mark.production_loop

ONE_AT_A_TIME = {"concurrency": ConcurrencyLimit(most=1)}
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@pytest_asyncio.fixture(params=[True, False], ids=["compiled", "general"])
async def begin(request: pytest.FixtureRequest) -> AsyncIterator[Begin]:
    async with beginning(compiled=request.param) as begin:
        yield begin


def silent(seen: Seen, released: asyncio.Event) -> Handler:
    """Answers only once it is released."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.requests.append(await read_message(reader))
            await released.wait()
            writer.write(ok(WEST.encode()))

    return handle


# What no neighbour took.


async def goes_nowhere(regions: Regions, seen: Seen, released: asyncio.Event, asked: bytes) -> None:
    """While one request is at the server of WEST, which is all that it may have, others get no further."""
    first = asyncio.ensure_future(regions.ask(WEST))
    await until(lambda: len(seen.requests) == 1)
    others = [asyncio.ensure_future(regions.ask(WEST, asked)) for _ in range(5)]
    try:
        await until(lambda: all(each.done() for each in others))
    finally:
        released.set()
        answers = await asyncio.gather(first, *others)
    assert [answer.status for answer in answers] == [200] + [503] * 5
    assert len(seen.requests) == 1
    assert regions.proxies[WEST].counters.spilled == 5


@pytest.mark.parametrize("asked", [GET, POST], ids=["GET", "POST"])
async def test_a_neighbour_that_refuses_sends_nothing_back_over_the_limit(
    stage: Stage, begin: Begin, asked: bytes
) -> None:
    seen, released = Seen(), asyncio.Event()
    servers = {WEST: [await stage.origin(silent(seen, released))], **await one_each(stage, EAST)}
    regions = await begin(servers, spill_over=SpillOver.ON_SATURATION, pool=ONE_AT_A_TIME)
    await regions.close(EAST)
    await goes_nowhere(regions, seen, released, asked)


async def test_an_answer_to_be_retried_sends_nothing_back_over_the_limit(stage: Stage, begin: Begin) -> None:
    seen, released = Seen(), asyncio.Event()
    servers: dict[str, list[Origin]] = {
        WEST: [await stage.origin(silent(seen, released))],
        EAST: [await stage.origin(answering(UNAVAILABLE))],
    }
    retries = Retries(on=frozenset({503}), tries=3)
    regions = await begin(
        servers, spill_over=SpillOver.ON_SATURATION, pool=ONE_AT_A_TIME, route={"retries": retries}
    )
    await goes_nowhere(regions, seen, released, GET)


# What a limit adapts to.


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("spills", [True, False], ids=["a neighbour", "an own server"])
async def test_only_an_own_server_that_does_not_answer_makes_the_limit_smaller(
    stage: Stage, begin: Begin, spills: bool
) -> None:
    own = await stage.origin(answering(ok()) if spills else never)
    regions = await begin(
        {WEST: [own], **await one_each(stage, EAST)},
        pool={"concurrency": ConcurrencyLimit(adaptive=True)},
        route={"timeouts": Timeouts(first_byte=0.1)},
    )
    pool = regions.proxies[WEST].pools.by_name["web"]
    before = pool.concurrency.limit
    if spills:
        # Where the edge of EAST was, somebody is who says nothing: the time limit is this region's own.
        address = regions.proxies[EAST].edge.listen[0].address
        await regions.close(EAST)
        regions.down(WEST)
        with socket.create_server((address.host, address.port)):
            answer = await regions.ask(WEST)
    else:
        answer = await regions.ask(WEST)
    assert answer.status == 504
    assert regions.proxies[WEST].counters.spilled == spills
    assert (pool.concurrency.limit == before) == spills


# What other regions are told.


def seen_from_elsewhere(**declared: Any) -> Neighbourhood:
    """What another region knows of a region whose only server is UP, and declared so."""
    fleet = make_fleet({"web": [SocketAddress("127.0.0.1", 1)]})
    (server,) = fleet.regions[REGION].servers["web"]
    region = replace(fleet.regions[REGION], servers={"web": (replace(server, **declared),)})
    pools = Pools(fleet, region)
    pools.judge(server.target, Verdict.UP, "test", 0.0)
    before, after = (read(Counters(), pools.services, at) for at in (0.0, 1.0))
    report = make_report(region.edges[0], region, before, after, now=1.0, in_flight=0, pools=pools)
    world = World(1.0, {name: RegionState(name) for name in (REGION, EAST)}, {REGION: (report,)})
    return neighbourhood(world, EAST, ["web"])


@pytest.mark.parametrize(
    "declared", [{"mode": ServerMode.MAINTENANCE}, {"mode": ServerMode.DRAIN}, {"weight": 0}], ids=str
)
def test_a_region_whose_servers_were_taken_out_has_no_room_for_others(declared: dict[str, Any]) -> None:
    assert seen_from_elsewhere(**declared) == Neighbourhood(full=frozenset({(REGION, "web")}))


def test_a_region_whose_server_is_ready_has_room() -> None:
    assert seen_from_elsewhere() == Neighbourhood()


# Who waits while the file changes.


def moved_on(fleet: Fleet, address: SocketAddress) -> Fleet:
    """All goes to a pool `new`, and `web` has no server any more."""
    west, east, web = fleet.regions[WEST], fleet.regions[EAST], fleet.pools["web"]
    west = replace(west, servers={"new": (Server(WEST, "new", address),)})
    new = replace(web, name="new", spill_over=SpillOver.OFF)
    return replace(
        fleet,
        regions={WEST: west, EAST: replace(east, servers={})},
        pools={"web": web, "new": new},
        routes=(Route(None, "/", "new"),),
    )


async def test_what_is_asked_behind_a_request_that_waited_in_vain_goes_by_the_new_file(
    stage: Stage, begin: Begin
) -> None:
    seen, released = Seen(), asyncio.Event()
    own, other = await stage.origin(silent(seen, released)), await stage.origin(answering(ok(b"new")))
    regions = await begin({WEST: [own], EAST: []}, pool={"connections": Connections(most=1)})
    web = regions.proxies[WEST].pools.by_name["web"]
    first = asyncio.ensure_future(regions.ask(WEST))
    await until(lambda: len(seen.requests) == 1)
    reader, writer = await regions.connect(WEST)
    writer.write(GET + GET)
    await until(lambda: len(web.waiting) == 1)
    regions.use(moved_on(regions.fleet, other.address))
    assert (await read_message(reader)).status == 503
    second = await read_message(reader)
    assert (second.status, second.body) == (200, b"new")
    released.set()
    assert (await first).status == 200
    writer.close()
