"""The node of a Redis Cluster that has our keys is lost: clients do not notice, and nothing need be done."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_fleet import MakeFleet
from redis_cluster import RedisCluster

from gslb.demo.redis_server import find_server_binary

pytestmark = [pytest.mark.processes, pytest.mark.long]

TWO = ("ns1", "ns2")


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    directory = Path(tempfile.mkdtemp(prefix="gslb-cluster-"))
    made = RedisCluster(find_server_binary(), directory)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(directory, ignore_errors=True)


async def test_the_replica_takes_over(make_fleet: MakeFleet, cluster: RedisCluster) -> None:
    fleet = await make_fleet(redis=None, nodes=TWO)
    fleet.use_redis(cluster.url)
    await fleet.start()
    await fleet.all_hear_all()
    await fleet.command("drain", "asia", "--reason", "works")
    with fleet.clients() as clients:
        await clients.until("asia", "west")
        lost = await asyncio.to_thread(cluster.owner)
        cluster.kill(lost)
        await fleet.all_linked(False)
        before = len(clients.asked)
        await clients.more()
        await asyncio.to_thread(cluster.until_others_own, lost)
        await fleet.all_linked()
        await fleet.all_hear_all()
        # What an operator said is on the replica as well; and what is said now reaches everybody.
        meanwhile = clients.asked[before:]
        await fleet.command("drain", "east", "--reason", "more works")
        await clients.until("east", "west")
        await fleet.command("clear", "asia")
        await clients.until("asia", "asia")
        await asyncio.to_thread(cluster.mend)
        await clients.more()
    assert {frozenset({"192.0.2.1"})} == {each.addresses for each in meanwhile if each.region != "east"}
    assert clients.unanswered() == []
    assert fleet.fallen() == {}


async def test_without_a_replica_it_is_away_until_it_is_started_again(
    make_fleet: MakeFleet, cluster: RedisCluster
) -> None:
    fleet = await make_fleet(redis=None, nodes=TWO)
    fleet.use_redis(cluster.url)
    await fleet.start()
    await fleet.all_hear_all()
    await fleet.command("drain", "asia", "--reason", "works")
    with fleet.clients() as clients:
        await clients.until("asia", "west")
        for find in (cluster.replica, cluster.owner):
            cluster.kill(await asyncio.to_thread(find))
        await fleet.all_linked(False)
        since = await clients.until("asia", "west")
        result = await fleet.attempt("drain", "east")
        assert result.exit_code != 0
        await asyncio.to_thread(cluster.mend)
        await fleet.all_linked()
        # Its memory was all there was: the nodes give back what they hold.
        await clients.until("asia", "west")
        await clients.more(2)
    assert clients.unanswered() == []
    assert clients.told("asia", since=since) == {frozenset({"192.0.2.1"})}
    assert fleet.fallen() == {}
