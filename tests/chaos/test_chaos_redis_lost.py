"""Redis dies, comes back empty, slow, read-only or full, or was never there: clients go home."""

from __future__ import annotations

from functools import partial

import pytest
from chaos_fleet import LEASE, NODES, ChaosFleet, MakeFleet
from chaos_processes import observed
from redis import OutOfMemoryError, Redis
from redis_process import RedisServer

from gslb.store import keys

pytestmark = pytest.mark.processes

LOST = "redis is away; going on with what is known"
WEST = "west/192.0.2.1"


def votes(redis: RedisServer) -> int:
    """How many nodes' observations of the west Redis has."""
    with redis.client() as client:
        return sum(client.exists(keys.observation(WEST, name)) for name in NODES)


def heard_after(client: Redis, node: str, moment: float, _: object) -> bool:
    """Whether Redis has heard of the node since then, in ms."""
    return (client.zscore(keys.OBSERVERS, node) or 0.0) > moment


async def test_redis_is_killed_and_nobody_notices(fleet: ChaosFleet, redis: RedisServer) -> None:
    with fleet.clients() as clients:
        redis.kill()
        # Nobody hears the others any more: their leases are over.
        for name in NODES:
            state = await fleet[name].until_observers(name)
            assert not state["store"]["connected"]
            assert state["store"]["last_error"]
        redis.start()
        await fleet.all_hear_all()
    assert clients.strays() == []
    assert fleet.fallen() == {}
    for name in NODES:
        assert len(fleet[name].lines(LOST)) == len(fleet[name].lines("redis is back")) > 0


async def test_redis_comes_back_empty_and_is_filled_again(fleet: ChaosFleet, redis: RedisServer) -> None:
    with fleet.clients() as clients:
        await fleet.command("drain", "asia", "--reason", "works")
        drained = await clients.until("asia", "west")
        redis.restart()
        await fleet["ns1"].until(lambda _: votes(redis) == len(NODES))
        await fleet.all_linked()
        # What an operator said is written again by those who remember it.
        with redis.client() as client:
            await fleet["ns1"].until(lambda _: client.hget(keys.override("asia"), "kind") == "drain")
        await clients.more()
        assert clients.told("asia", since=drained) == {frozenset({"192.0.2.1"})}
        await fleet.command("clear", "asia")
        await clients.until("asia", "asia")
    assert clients.unanswered() == []
    assert clients.told("west") == {frozenset({"192.0.2.1"})}
    assert fleet.fallen() == {}


@pytest.mark.long
async def test_what_falls_while_redis_is_away_is_avoided_and_found_again(
    fleet: ChaosFleet, redis: RedisServer
) -> None:
    with fleet.clients() as clients:
        redis.kill()
        for name in NODES:
            await fleet[name].until_observers(name)
        fleet.edges["asia"].fall()
        await clients.until("asia", "west")
        await fleet.edges["asia"].rise()
        await clients.until("asia", "asia")
    assert clients.unanswered() == []
    assert clients.told("west") == {frozenset({"192.0.2.1"})}
    assert {region for fallen in fleet.fallen().values() for region, _ in fallen} == {"asia"}


@pytest.mark.long
async def test_every_word_takes_redis_three_seconds(fleet: ChaosFleet) -> None:
    with fleet.clients() as clients:
        for node in fleet.nodes.values():
            assert node.to_redis is not None
            node.to_redis.slow(3.0)
        await fleet.all_linked(False)
        for name in NODES:
            state = await fleet[name].until_observers(name)
            assert state["store"]["last_error"] == "timeout"
        for node in fleet.nodes.values():
            assert node.to_redis is not None
            node.to_redis.slow(0.0)
        await fleet.all_hear_all()
    assert clients.strays() == []
    assert fleet.fallen() == {}


@pytest.mark.long
async def test_redis_becomes_a_replica_that_takes_no_writes(fleet: ChaosFleet, redis: RedisServer) -> None:
    with fleet.clients() as clients, redis.client() as client:
        client.replicaof("127.0.0.1", 1)
        await fleet.all_linked(False)
        state = await fleet["ns1"].state()
        assert "read only replica" in state["store"]["last_error"]
        refused = await fleet.attempt("drain", "west", "--reason", "works")
        assert refused.exit_code != 0
        for name in NODES:
            await fleet[name].until_observers(name)
        client.replicaof("NO", "ONE")
        await fleet.all_hear_all()
    assert clients.strays() == []
    assert fleet.fallen() == {}


@pytest.mark.long
async def test_redis_has_no_memory_left_and_nodes_hear_each_other_still(
    fleet: ChaosFleet, redis: RedisServer
) -> None:
    """Else a node that sees a region down alone would prevail with its own clients."""
    fleet["ns1"].to_edges["west"].cut()
    with fleet.clients() as clients, redis.client() as client:
        await fleet["ns2"].until(lambda state: observed(state, "west") == ["down", "up", "up"])
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        with pytest.raises(OutOfMemoryError):
            client.set("something", "else")
        # Redis tells time in ms. Who has not been heard for three leases counts as gone.
        later = max(score for _, score in client.zrange(keys.OBSERVERS, 0, -1, withscores=True))
        later += 4000 * LEASE
        for name in NODES:
            await fleet["ns1"].until(partial(heard_after, client, name, later))
        await fleet.all_hear_all()
        assert clients.strays() == []
        # And operators are heard.
        await fleet.command("drain", "asia", "--reason", "works")
        await clients.until("asia", "west")
    assert clients.told("west") == {frozenset({"192.0.2.1"})}
    assert fleet.fallen() == {}


@pytest.mark.long
async def test_the_password_is_wrong_until_mended(make_fleet: MakeFleet, redis: RedisServer) -> None:
    with redis.client() as client:
        client.config_set("requirepass", "right")
    fleet = await make_fleet(url="redis://:hushhush@127.0.0.1:{port}/0")
    await fleet.start()
    with fleet.clients() as clients:
        await clients.more()
        for name in NODES:
            state = await fleet[name].until_observers(name)
            assert not state["store"]["connected"]
            assert "password" in state["store"]["last_error"]
        with Redis(port=redis.port, password="right") as client:
            client.config_set("requirepass", "hushhush")
        await fleet.all_hear_all()
    assert clients.strays() == []
    assert fleet.fallen() == {}
    assert not any("hushhush" in node.child.log.read_text() for node in fleet.nodes.values())


@pytest.mark.long
@pytest.mark.parametrize("away", ["refuses", "is silent"])
async def test_redis_is_away_when_nodes_start(make_fleet: MakeFleet, away: str) -> None:
    fleet = await make_fleet()
    for node in fleet.nodes.values():
        assert node.to_redis is not None
        if away == "refuses":
            await node.to_redis.refuse()
        else:
            node.to_redis.cut()
    await fleet.start()
    with fleet.clients() as clients:
        await clients.more(2)
        await fleet.all_linked(False)
        for node in fleet.nodes.values():
            assert node.to_redis is not None
            if away == "refuses":
                await node.to_redis.open()
            else:
                node.to_redis.mend()
        await fleet.all_hear_all()
    assert clients.strays() == []
    assert fleet.fallen() == {}
