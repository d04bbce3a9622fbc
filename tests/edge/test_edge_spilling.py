"""Requests that have no server in their region are answered by another one's, and come home again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network

import pytest
import pytest_asyncio
from edge_regions import ASIA, EAST, GET, POST, WEST, Begin, beginning, one_each, spilled
from edge_stage import Seen, Stage, read_message
from ports import free_port

from edge.spill_over import Neighbourhood
from gslb.fleet import SocketAddress, SpillOver
from gslb.fleet_edge import Retries
from gslb.world import Verdict

pytestmark = pytest.mark.production_loop

CHUNKED = (
    b"POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
)


@pytest_asyncio.fixture(params=[True, False], ids=["compiled", "general"])
async def begin(request: pytest.FixtureRequest) -> AsyncIterator[Begin]:
    async with beginning(compiled=request.param) as begin:
        yield begin


# Without a healthy server.


@pytest.mark.parametrize("mode", [SpillOver.ON_FAILURE, SpillOver.ON_SATURATION])
async def test_the_next_region_answers_for_servers_that_are_down(
    stage: Stage, begin: Begin, mode: SpillOver
) -> None:
    regions = await begin(await one_each(stage, WEST, EAST), spill_over=mode)
    at_home = await regions.ask(WEST)
    assert (at_home.body, at_home.get("x-gslb-spilled-from")) == (WEST.encode(), None)
    regions.down(WEST)
    for _ in range(3):
        answer = await regions.ask(WEST)
        assert answer.status == 200
        assert spilled(answer, WEST, EAST)
        assert answer.get("x-gslb-server") == str(regions.fleet.regions[EAST].servers["web"][0].address)
    assert regions.proxies[WEST].counters.spilled == 3
    assert regions.proxies[EAST].counters.spilled == 0
    regions.judge(WEST, Verdict.UP)
    at_home = await regions.ask(WEST)
    assert (at_home.body, at_home.get("x-gslb-region")) == (WEST.encode(), WEST)
    assert regions.proxies[WEST].counters.spilled == 3


async def test_a_region_without_servers_of_a_pool_is_served_by_others(stage: Stage, begin: Begin) -> None:
    regions = await begin({WEST: [], **await one_each(stage, EAST)})
    assert spilled(await regions.ask(WEST), WEST, EAST)


async def test_what_does_not_spill_over_stays(stage: Stage, begin: Begin) -> None:
    regions = await begin(await one_each(stage, WEST, EAST), spill_over=SpillOver.OFF)
    regions.down(WEST)
    answer = await regions.ask(WEST)
    assert (answer.status, answer.get("x-gslb-region")) == (503, WEST)
    assert regions.proxies[WEST].counters.spilled == regions.proxies[EAST].counters.requests == 0


async def test_a_changed_file_begins_it_and_ends_it(stage: Stage, begin: Begin) -> None:
    regions = await begin(await one_each(stage, WEST, EAST), spill_over=SpillOver.OFF)
    regions.down(WEST)
    for mode, status in ((SpillOver.ON_FAILURE, 200), (SpillOver.OFF, 503)):
        pool = replace(regions.fleet.pools["web"], spill_over=mode)
        regions.use(replace(regions.fleet, pools={"web": pool}))
        assert (await regions.ask(WEST)).status == status


async def test_a_region_that_is_away_or_full_or_gone_leaves_it_to_the_next(
    stage: Stage, begin: Begin
) -> None:
    regions = await begin(await one_each(stage, WEST, EAST, ASIA))
    regions.down(WEST)
    neighbours = regions.proxies[WEST].neighbours
    first = (await regions.ask(WEST)).body.decode()
    (second,) = {EAST, ASIA} - {first}
    for known in (Neighbourhood(away=frozenset({first})), Neighbourhood(full=frozenset({(first, "web")}))):
        neighbours.known = known
        assert spilled(await regions.ask(WEST), WEST, second)
    neighbours.known = Neighbourhood()
    assert spilled(await regions.ask(WEST), WEST, first)
    await regions.close(first)
    assert spilled(await regions.ask(WEST), WEST, second)


async def test_requests_arrive_whole_and_with_their_client(stage: Stage, begin: Begin) -> None:
    seen = Seen()
    regions = await begin(
        await one_each(stage, WEST, EAST, seen=seen), trusted_proxies=(ip_network("127.0.0.0/8"),)
    )
    regions.down(WEST)
    behind = b"X-Forwarded-For: 203.0.113.7\r\nX-Request-Id: 3f2a\r\n\r\n"
    for request in (GET, POST, CHUNKED):
        head, _, body = request.partition(b"\r\n\r\n")
        assert spilled(await regions.ask(WEST, head + b"\r\n" + behind + body), WEST, EAST)
        (arrived,) = seen.requests
        assert arrived.start.encode() == head.partition(b"\r\n")[0]
        assert arrived.body == (b"" if request is GET else b"hello")
        assert arrived.get("host") == "shop.example"
        assert arrived.get("x-forwarded-for") == "203.0.113.7, 127.0.0.1, 127.0.0.1"
        assert (arrived.get("x-real-ip"), arrived.get("x-request-id")) == ("203.0.113.7", "3f2a")
        assert arrived.get("x-gslb-spilled-from") == WEST
        seen.requests.clear()


async def test_connections_to_a_neighbour_are_used_again(stage: Stage, begin: Begin) -> None:
    regions = await begin(await one_each(stage, WEST, EAST))
    regions.down(WEST)
    for request in (GET, POST, CHUNKED) * 3:
        assert spilled(await regions.ask(WEST, request), WEST, EAST)
    assert regions.proxies[EAST].counters.connections == 1
    assert regions.proxies[WEST].counters.spilled == 9


# Where nobody can help.


async def test_when_all_regions_are_dead_there_is_an_answer_at_once_and_no_loop(
    stage: Stage, begin: Begin
) -> None:
    regions = await begin(await one_each(stage, WEST, EAST, ASIA))
    regions.down(WEST, EAST, ASIA)
    answer = await regions.ask(WEST)
    assert answer.status == 503
    assert answer.get("x-gslb-spilled-from") == WEST
    asked = {name: proxy.counters.requests for name, proxy in regions.proxies.items()}
    assert asked.pop(WEST) == 1
    assert sum(asked.values()) == regions.proxies[WEST].counters.spilled == 1
    # Once the others have told of it, they are not even asked.
    dead = frozenset({(EAST, "web"), (ASIA, "web")})
    regions.proxies[WEST].neighbours.known = Neighbourhood(full=dead)
    answer = await regions.ask(WEST)
    assert (answer.status, answer.get("x-gslb-region"), answer.get("x-gslb-spilled-from")) == (
        503,
        WEST,
        None,
    )
    assert regions.proxies[WEST].counters.spilled == 1


async def test_a_503_of_a_neighbour_goes_to_the_next_where_retries_say_so(stage: Stage, begin: Begin) -> None:
    retries = Retries(on=frozenset({503}))
    regions = await begin(await one_each(stage, WEST, EAST, ASIA), retries=retries)
    regions.down(WEST)
    first = (await regions.ask(WEST)).body.decode()
    (second,) = {EAST, ASIA} - {first}
    regions.down(first)
    assert spilled(await regions.ask(WEST), WEST, second)


async def test_what_has_spilled_over_once_goes_no_further(stage: Stage, begin: Begin) -> None:
    regions = await begin(await one_each(stage, WEST, EAST))
    from_asia = GET.replace(b"\r\n\r\n", b"\r\nX-GSLB-Spilled-From: ap-south\r\n\r\n")
    assert (await regions.ask(WEST, from_asia)).body == WEST.encode()
    regions.down(WEST)
    answer = await regions.ask(WEST, from_asia)
    assert (answer.status, answer.get("x-gslb-region")) == (503, WEST)
    assert regions.proxies[EAST].counters.requests == 0


# Before checks know.


@pytest.mark.parametrize("request_", [GET, POST, CHUNKED], ids=["GET", "POST", "chunked"])
async def test_servers_that_refuse_are_all_tried_before_the_request_leaves(
    stage: Stage, begin: Begin, request_: bytes
) -> None:
    dead = [SocketAddress("127.0.0.1", free_port()) for _ in range(3)]
    regions = await begin({WEST: dead, **await one_each(stage, EAST)})
    assert spilled(await regions.ask(WEST, request_), WEST, EAST)
    assert [server.connect_failures for server in regions.proxies[WEST].pools.by_name["web"].servers] == [
        1
    ] * 3


async def test_only_what_may_be_repeated_leaves_a_server_that_dies(stage: Stage, begin: Begin) -> None:
    taken = Seen()

    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.requests.append(await read_message(reader))

    regions = await begin({WEST: [await stage.origin(dying)], **await one_each(stage, EAST)})
    for request in (POST, CHUNKED):
        answer = await regions.ask(WEST, request)
        assert (answer.status, answer.get("x-gslb-region")) == (502, WEST)
    assert regions.proxies[EAST].counters.requests == 0
    assert spilled(await regions.ask(WEST), WEST, EAST)
    assert spilled(await regions.ask(WEST, POST.replace(b"POST", b"PUT")), WEST, EAST)
    assert len(taken.requests) == 4
