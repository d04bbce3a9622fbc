"""Processes die and start again, alone, together, or in the dark: what they knew is not lost on clients."""

from __future__ import annotations

import time
from typing import Any

import pytest
from chaos_clients import ask
from chaos_fleet import NODES, ChaosFleet, MakeFleet
from chaos_processes import get
from redis_process import RedisServer

pytestmark = [pytest.mark.processes, pytest.mark.long]


def reports(state: dict[str, Any], region: str) -> list[dict[str, Any]]:
    """Those of a region that a node holds."""
    return next(list(each["reports"]) for each in state["regions"] if each["region"] == region)


async def test_a_node_is_killed_and_starts_in_the_dark(fleet: ChaosFleet) -> None:
    """Neither Redis nor any edge can be reached: it answers at once, as it did before."""
    node = fleet["ns1"]
    assert node.to_redis is not None
    fleet.edges["asia"].fall()
    with fleet.clients() as clients:
        await clients.until("asia", "west")
        await fleet.command("drain", "east", "--reason", "works")
        await clients.until("east", "west")
    # What is known goes to the disk every few seconds.
    await node.until(lambda _: "drain" in fleet.kept_by("ns1"))
    node.kill()
    await node.gone()
    for way in (node.to_redis, *node.to_edges.values()):
        way.cut()
    await fleet.start("ns1")
    assert not (await node.state())["store"]["connected"]
    answers = {region: ask("ns1", node.port, region).addresses for region in fleet.regions}
    assert answers == dict.fromkeys(fleet.regions, frozenset({"192.0.2.1"}))


async def test_two_of_three_nodes_are_killed_at_once(fleet: ChaosFleet) -> None:
    with fleet.clients("ns3") as clients:
        for name in ("ns1", "ns2"):
            fleet[name].kill()
        for name in ("ns1", "ns2"):
            await fleet[name].gone()
        await fleet.start("ns1", "ns2")
        await fleet.all_hear_all()
        with fleet.clients() as all_clients:
            await all_clients.more()
    assert clients.strays() == []
    assert all_clients.strays() == []
    assert fleet.fallen() == {}


async def test_everything_is_killed_at_once_and_redis_forgets(fleet: ChaosFleet, redis: RedisServer) -> None:
    for node in fleet.nodes.values():
        node.kill()
    redis.kill()
    for node in fleet.nodes.values():
        await node.gone()
    await fleet.start()
    with fleet.clients() as clients:
        await clients.more()
        redis.start()
        await fleet.all_hear_all()
    assert clients.strays() == []
    assert fleet.fallen() == {}


async def test_an_edge_is_cut_off_from_redis_and_serves_on(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet(real=("west",))
    await fleet.start()
    await fleet.settled()
    edge = fleet.real["west"]
    assert edge.to_redis is not None
    with fleet.clients() as clients:
        for name in NODES:
            await fleet[name].until(lambda state: bool(reports(state, "west")))
        edge.to_redis.cut()
        for name in NODES:
            await fleet[name].until(lambda state: not reports(state, "west"))
        await clients.more()
        assert b"served by west" in await get(edge.port, "/", host="www.shop.test")
        edge.to_redis.mend()
        for name in NODES:
            await fleet[name].until(lambda state: bool(reports(state, "west")))
    assert clients.strays() == []
    assert fleet.fallen() == {}


async def test_an_edge_is_killed_and_starts_again(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet(real=("asia",))
    await fleet.start()
    await fleet.settled()
    with fleet.clients() as clients:
        fleet.real["asia"].child.kill()
        await clients.until("asia", "west")
        await fleet.start("asia")
        await clients.until("asia", "asia")
        settled = time.monotonic()
        await clients.more()
    assert clients.unanswered() == []
    assert clients.strays(since=settled) == []
    assert clients.told("west") == {frozenset({"192.0.2.1"})}
