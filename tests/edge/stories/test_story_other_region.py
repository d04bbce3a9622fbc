"""A region loses every server, or has too few: the neighbour answers, and the requests come home again."""

from __future__ import annotations

import asyncio

import pytest
from redis_process import RedisServer
from story_load import SECOND, Load
from story_world import EAST, WEST, World

pytestmark = pytest.mark.processes

CLIENTS = [("GET", "/web?delay=0.01"), ("GET", "/web"), ("POST", "/web"), ("GET", "/web")] * 3


async def test_requests_of_a_region_without_servers_go_to_the_neighbour_and_come_home(
    world: World, redis_server: RedisServer
) -> None:
    west, east = [await world.origins(2) for _ in range(2)]
    pools = {"web": {"spill_over": "on_failure"}}
    edge, _ = await world.edges({WEST: west, EAST: east}, pools, redis=redis_server.url)
    async with Load(edge.port, CLIENTS) as load:
        await load.more(SECOND // 2)
        assert {each.region for each in load.asked} == {WEST}
        await asyncio.gather(*(server.kill() for server in west))
        gone = await load.more(1)
        await load.more(SECOND)
        assert {each.region for each in load.since(gone)} == {EAST}
        await world.start(*west)
        for server in west:
            await load.until_answered_by(server.name)
        home = await load.more(1)
        await load.more(SECOND)
        assert {each.region for each in load.since(home)} == {WEST}
    assert load.failed("GET") == []
    lost = load.failed("POST")
    # Those that were at servers when they died; a client has one request at a time.
    assert len(lost) <= CLIENTS.count(("POST", "/web")), lost


async def test_what_a_region_has_no_room_for_is_answered_by_the_neighbour(
    world: World, redis_server: RedisServer
) -> None:
    # Each region can do 2 servers × 2 at a time / 40 ms = 100 requests a second: one alone could not do all.
    west, east = [await world.origins(2) for _ in range(2)]
    pools = {"web": {"spill_over": "on_saturation", "connections": {"most": 2}, "queue": {"size": 50}}}
    edge, _ = await world.edges({WEST: west, EAST: east}, pools, redis=redis_server.url)
    clients = [("GET", "/web?delay=0.04"), ("POST", "/web?delay=0.04")] * 6
    async with Load(edge.port, clients, rate=150) as load:
        await load.more(SECOND)
    assert load.failed("GET") == load.failed("POST") == []
    assert {each.region for each in load.asked} == {WEST, EAST}
    assert {each.server for each in load.asked if each.region == WEST} == {each.name for each in west}
    assert {each.server for each in load.asked if each.region == EAST} == {each.name for each in east}
