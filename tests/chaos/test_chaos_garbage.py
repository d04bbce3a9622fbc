"""Somebody writes nonsense under our keys: it counts as nothing, is told once, and harms nobody."""

from __future__ import annotations

from collections import Counter

import pytest
from chaos_fleet import NODES, ChaosFleet
from chaos_processes import Node
from redis_process import RedisServer

from gslb.store import keys

pytestmark = pytest.mark.processes

COMPLAINT = "a key in redis is not as it should be"
WEST, EAST, ASIA = "west/192.0.2.1", "east/192.0.2.2", "asia/192.0.2.3"
SINCE = "2026-11-22T10:00:00.000Z"
WORD = {"region": "west", "kind": "forced_down", "by": "ana", "reason": "", "since": SINCE}
SEEN = {"target": EAST, "observer": "ns8", "state": "down", "reason": "refused", "since": SINCE}
NUMBERS = {"consecutive": "3", "flip_in": "3", "epoch": "1", "sequence": "1"}


async def complained(node: Node, keys: int) -> None:
    """Until the node has complained about so many keys."""
    await node.until(lambda _: len(node.lines(COMPLAINT)) >= keys)


async def test_an_override_is_written_by_hand_and_wrongly(fleet: ChaosFleet, redis: RedisServer) -> None:
    broken = {
        "west": WORD | {"kind": "down"},
        "east": {"region": "east", "kind": "drain"},
        "asia": WORD,  # of another region than its key
    }
    with fleet.clients() as clients, redis.client() as client:
        for region, fields in broken.items():
            client.hset(keys.override(region), mapping=fields)
            client.publish(keys.CHANGES, keys.override(region))
        for name in NODES:
            await complained(fleet[name], len(broken))
        await clients.more()
        assert clients.strays() == []
        # A proper word replaces what is there, whatever it is.
        await fleet.command("drain", "east", "--reason", "works")
        await clients.until("east", "west")
        await fleet.command("clear", "east")
        await clients.until("east", "east")
    assert fleet.fallen() == {}
    for name in NODES:
        told = Counter(line["key"] for line in fleet[name].lines(COMPLAINT))
        assert told == {keys.override(region): 1 for region in broken}


async def test_foreign_values_are_under_our_keys(fleet: ChaosFleet, redis: RedisServer) -> None:
    with fleet.clients() as clients, redis.client() as client:
        client.zadd(keys.OBSERVERS, {"ns7": 2e12, "ns8": 2e12, "ns9": 2e12, b"\xff\xfe": 2e12})
        # Says that the west is down, and would say so for ever.
        client.hset(
            keys.observation(WEST, "ns7"), mapping=SEEN | NUMBERS | {"target": WEST, "observer": "ns7"}
        )
        client.hset(keys.observation(EAST, "ns8"), mapping=SEEN)
        client.pexpire(keys.observation(EAST, "ns8"), 60_000)
        client.set(keys.observation(ASIA, "ns9"), "down")
        client.set(keys.override("asia"), "drain")
        client.hset(keys.override("west"), mapping={b"region": b"\xff\xfe\x00"})
        client.zadd(keys.OVERRIDES, {"*/www.shop.test": 2e12, "nonsense": 2e12})
        client.hset(keys.override("", "www.shop.test"), mapping=WORD)  # of something else than its key
        client.hset(keys.intake("east"), mapping={"region": "east", "shed": "all"})
        client.delete(keys.verdict("west"))
        client.rpush(keys.verdict("west"), "down")
        wrong = {
            keys.observation(WEST, "ns7"),
            keys.observation(EAST, "ns8"),
            keys.observation(ASIA, "ns9"),
            keys.override("asia"),
            keys.override("west"),
            keys.override("", "www.shop.test"),
            keys.intake("east"),
        }
        for name in NODES:
            await complained(fleet[name], len(wrong))
        await clients.more()
        await fleet["ns1"].until(lambda _: client.type(keys.verdict("west")) == "hash")
    assert clients.strays() == []
    assert fleet.fallen() == {}
    for name in NODES:
        told = Counter(line["key"] for line in fleet[name].lines(COMPLAINT))
        assert told == dict.fromkeys(wrong, 1)


@pytest.mark.long
async def test_the_list_of_observers_and_the_history_are_something_else(
    fleet: ChaosFleet, redis: RedisServer
) -> None:
    with fleet.clients() as clients, redis.client() as client:
        client.set(keys.OBSERVERS, "nobody")
        client.delete(keys.EVENTS)
        client.set(keys.EVENTS, "nothing")
        for name in NODES:
            await fleet[name].until(lambda state: "wrong kind" in state["store"]["last_error"])
        client.delete(keys.OBSERVERS, keys.EVENTS)
        await fleet.all_hear_all()
        for name in NODES:
            await fleet[name].until(lambda state: not state["store"]["last_error"])
    assert clients.strays() == []
    assert fleet.fallen() == {}
