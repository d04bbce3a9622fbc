"""Somebody is cut off: from Redis, from the edges, from both, or one way only. Nobody follows his error."""

from __future__ import annotations

from typing import Any

import pytest
from chaos_fleet import NODES, ChaosFleet
from chaos_processes import observed

pytestmark = pytest.mark.processes

OTHERS = ("ns2", "ns3")


def outvoted(state: dict[str, Any], region: str) -> bool:
    """Whether the first node alone sees the region down."""
    return observed(state, region) == ["down", "up", "up"]


async def test_a_node_is_cut_off_from_redis(fleet: ChaosFleet) -> None:
    to_redis = fleet["ns1"].to_redis
    assert to_redis is not None
    with fleet.clients() as clients:
        to_redis.cut()
        await fleet["ns1"].until_observers("ns1")
        for name in OTHERS:
            await fleet[name].until_observers(*OTHERS)
        to_redis.mend()
        await fleet.all_hear_all()
    assert clients.strays() == []
    assert fleet.fallen() == {}


@pytest.mark.long
async def test_what_redis_says_does_not_reach_a_node_any_more(fleet: ChaosFleet) -> None:
    to_redis = fleet["ns1"].to_redis
    assert to_redis is not None
    with fleet.clients() as clients:
        to_redis.deafen()
        await fleet["ns1"].until_linked(False)
        await fleet["ns1"].until_observers("ns1")
        to_redis.mend()
        await fleet.all_hear_all()
    assert clients.strays() == []
    assert fleet.fallen() == {}


@pytest.mark.long
async def test_a_node_is_cut_off_from_the_edges_and_is_outvoted(fleet: ChaosFleet) -> None:
    with fleet.clients() as clients:
        for way in fleet["ns1"].to_edges.values():
            way.cut()
        for node in fleet.nodes.values():
            await node.until(lambda state: all(outvoted(state, region) for region in fleet.regions))
        await clients.more()
        for way in fleet["ns1"].to_edges.values():
            way.mend()
        await fleet.all_well()
    assert clients.strays() == []
    assert fleet.fallen() == {}


@pytest.mark.long
async def test_a_node_is_cut_off_from_the_edges_first_and_then_from_redis(fleet: ChaosFleet) -> None:
    node = fleet["ns1"]
    assert node.to_redis is not None
    with fleet.clients() as clients:
        for way in node.to_edges.values():
            way.cut()
        await node.until(lambda state: all(outvoted(state, region) for region in fleet.regions))
        node.to_redis.cut()
        await node.until_observers("ns1")
        await clients.more()
        assert node.fallen() == [], "that the others are not heard is no news of a region"
        node.to_redis.mend()
        for way in node.to_edges.values():
            way.mend()
        await fleet.all_hear_all()
    assert clients.strays() == []
    assert fleet.fallen() == {}


@pytest.mark.long
async def test_a_node_is_cut_off_from_everything_and_answers_as_if_all_were_well(fleet: ChaosFleet) -> None:
    node = fleet["ns1"]
    assert node.to_redis is not None
    with fleet.clients() as clients:
        node.to_redis.cut()
        for way in node.to_edges.values():
            way.cut()
        # It sees everything down, and nobody says otherwise: then all are as good as ever (`answer_all`).
        await node.until(lambda state: {each["verdict"] for each in state["regions"]} == {"down"})
        await clients.more()
        node.to_redis.mend()
        for way in node.to_edges.values():
            way.mend()
        await fleet.all_hear_all()
        await node.until(lambda state: {each["verdict"] for each in state["regions"]} == {"up"})
        home = [each.ended for each in clients.asked][-1]
        await clients.more()
    # While it loses one region after the other it sends clients to what is left; never nowhere.
    assert clients.unanswered() == []
    assert clients.strays(nodes=OTHERS) == []
    assert clients.strays(since=home) == []
    assert {*fleet.fallen()} <= {"ns1"}


@pytest.mark.long
async def test_two_nodes_that_see_a_region_down_outvote_the_third(fleet: ChaosFleet) -> None:
    with fleet.clients() as clients:
        for name in OTHERS:
            fleet[name].to_edges["asia"].cut()
        await clients.until("asia", "west")
        for name in OTHERS:
            fleet[name].to_edges["asia"].mend()
        await clients.until("asia", "asia")
    assert clients.unanswered() == []
    assert clients.told("west") == {frozenset({"192.0.2.1"})}
    assert {*fleet.fallen()} == {*NODES}
