"""An operator drains, weighs, adds and removes servers under load: heeded within a second, at no cost."""

from __future__ import annotations

import asyncio

import pytest
from redis_process import RedisServer
from story_load import SECOND, Load, ask_at_once
from story_world import WEST, Origin, World

pytestmark = pytest.mark.processes

CLIENTS = [("GET", "/web?delay=0.01"), ("GET", "/web"), ("POST", "/web"), ("GET", "/web")] * 3
POOLS = {"web": {"method": "weighted_round_robin"}}


async def drained_and_brought_back(world: World, load: Load, server: Origin) -> None:
    await load.until_answered_by(server.name)
    await world.command("drain", server.target())
    heeded = await load.more(SECOND)
    await load.more(SECOND // 2)
    assert server.name not in load.servers(heeded)
    await world.command("ready", server.target())
    assert await load.until_answered_by(server.name) < SECOND


async def weighed(world: World, load: Load, servers: list[Origin]) -> None:
    """Three of them: the first gets three times as much as the others, who are weighed 1."""
    await world.command("weight", servers[0].target(), "3")
    heeded = await load.more(SECOND)
    await load.more(1000)
    shares = load.servers(heeded)
    assert set(shares) == {each.name for each in servers}
    for server, parts in zip(servers, (3, 1, 1), strict=True):
        assert shares[server.name] == pytest.approx(shares.total() * parts / 5, rel=0.1), shares


async def added(world: World, load: Load, server: Origin) -> None:
    await world.command("add", server.target())
    assert await load.until_answered_by(server.name) < SECOND


async def removed_while_busy(world: World, load: Load, port: int, server: Origin) -> None:
    """Requests that last longer than the removal, and that no edge may send again, end where they are."""
    slow = asyncio.create_task(ask_at_once(port, [("POST", "/web?delay=3")] * 12))
    await load.more(SECOND // 4)
    await world.command("remove", server.target())
    heeded = await load.more(SECOND)
    await load.more(SECOND // 4)
    assert server.name not in load.servers(heeded)
    answers = await slow
    assert [str(each) for each in answers if not each.good] == []
    assert server.name in {each.server for each in answers}


async def test_servers_come_and_go_as_an_operator_says_without_a_failed_request(
    world: World, redis_server: RedisServer
) -> None:
    *servers, fourth = await world.origins(4)
    (edge,) = await world.edges({WEST: servers}, POOLS, redis=redis_server.url)
    async with Load(edge.port, CLIENTS) as load:
        await drained_and_brought_back(world, load, servers[1])
        await weighed(world, load, servers)
        await added(world, load, fourth)
        await removed_while_busy(world, load, edge.port, fourth)
    assert load.failed("GET") == load.failed("POST") == []


async def test_all_workers_of_an_edge_heed_a_drain(world: World, redis_server: RedisServer) -> None:
    servers = await world.origins(3)
    (edge,) = await world.edges({WEST: servers}, POOLS, redis=redis_server.url, workers=2)
    async with Load(edge.port, CLIENTS) as load:
        await drained_and_brought_back(world, load, servers[1])
    assert load.failed("GET") == load.failed("POST") == []
