"""What holds for every balancing method: all usable servers, each once, whatever state they are in."""

from __future__ import annotations

from random import Random

import pytest
from balance_doubles import EVERY, Fake, names, servers
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.balance import METHODS, make_method
from edge.balance.consistent_hash import ConsistentHash
from edge.balance.ip_hash import IpHash
from edge.balance.least_connections import LeastConnections
from edge.balance.least_response_time import LeastResponseTime
from edge.balance.power_of_two import PowerOfTwo
from edge.balance.random import WeightedRandom
from edge.balance.round_robin import RoundRobin
from edge.balance.then import Then
from edge.balance.tiers import Tiers
from gslb.balancing import ConsistentHashOptions, PowerOfTwoOptions

ALL = {
    **{name: lambda pool, name=name: make_method(EVERY[name], pool) for name in METHODS},
    "random": lambda pool: WeightedRandom(pool, Random(1)),
    "consistent_hash, bounded": lambda pool: ConsistentHash(pool, ConsistentHashOptions(bound=1.25)),
    "power_of_two": lambda pool: PowerOfTwo(pool, random=Random(1)),
    "power_of_two by time": lambda pool: PowerOfTwo(pool, PowerOfTwoOptions(response_time=True), Random(1)),
    "ip_hash then least_connections": lambda pool: Then(pool, IpHash(pool), LeastConnections(pool)),
    "bounded ip_hash then round_robin": lambda pool: Then(pool, IpHash(pool), RoundRobin(pool), 1.5),
    "tiers without backups": lambda pool: Tiers(pool, LeastResponseTime),
}

STATES = st.builds(
    Fake,
    name=st.integers(0, 10**6).map(lambda number: f"10.0.0.1:{number}"),
    weight=st.integers(1, 5),
    in_flight=st.integers(0, 9),
    usable=st.booleans(),
    max_in_flight=st.sampled_from([0, 1, 3, float("inf")]),
    response_time=st.none() | st.floats(0, 30),
    load=st.none() | st.floats(0, 1),
)
POOLS = st.lists(STATES, max_size=8, unique_by=lambda server: server.name)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=40)
@given(pool=POOLS, keys=st.lists(st.text(max_size=8), min_size=1, max_size=4), random=st.randoms())
def test_candidates_are_the_usable_servers_each_once(name, pool, keys, random):
    method = ALL[name](pool)
    for key in keys:
        for server in pool:
            server.usable = random.random() < 0.7
        candidates = list(method.candidates(key))
        assert sorted(names(candidates)) == sorted(names(server for server in pool if server.usable))
        assert len(candidates) == len(set(candidates))


@pytest.mark.parametrize("name", ALL)
def test_a_server_without_weight_is_in_nobodys_way_while_it_is_not_usable(name):
    pool = servers(2, 0, 1)
    pool[1].usable = False
    method = ALL[name](pool)
    for key in ("one", "another", "a third"):
        assert sorted(names(method.candidates(key))) == ["a", "c"]


@pytest.mark.parametrize("name", ALL)
def test_a_pool_without_usable_servers_has_no_candidates(name):
    assert list(ALL[name]([]).candidates("anybody")) == []
    pool = servers(1, 2)
    pool[0].usable = pool[1].usable = False
    assert list(ALL[name](pool).candidates("anybody")) == []


@pytest.mark.parametrize("make", [IpHash, ConsistentHash])
@given(pool=POOLS, keys=st.lists(st.text(), max_size=5), random=st.randoms())
def test_edges_agree_on_a_keys_servers_whatever_order_they_know_them_in(make, pool, keys, random):
    elsewhere = random.sample(pool, len(pool))
    for key in keys:
        assert names(make(pool).candidates(key)) == names(make(elsewhere).candidates(key))


def test_a_seed_makes_random_methods_repeatable():
    for make in (WeightedRandom, lambda pool, random: PowerOfTwo(pool, random=random)):
        runs = []
        for _ in range(2):
            method = make(servers(*range(1, 9)), Random(7))
            runs.append([names(method.candidates("")) for _ in range(50)])
        assert runs[0] == runs[1]
        assert len(set(runs[0])) > 10
