"""The power of two choices: the less busy of two, shares by weight, and no pile on a server."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from balance_doubles import fill, names, servers, shares

from edge.balance.power_of_two import PowerOfTwo
from edge.balance.random import WeightedRandom
from gslb.balancing import PowerOfTwoOptions

REQUESTS = [""] * 20_000


def test_equal_idle_servers_have_equal_shares():
    taken = shares(PowerOfTwo(servers(1, 1, 1, 1), random=Random(1)), REQUESTS)
    assert taken == pytest.approx(dict.fromkeys("abcd", 0.25), abs=0.015)


def test_the_busiest_server_of_all_is_never_chosen():
    pool = servers(1, 1, 1, 1)
    pool[2].in_flight = 1
    assert set(shares(PowerOfTwo(pool, random=Random(1)), REQUESTS)) == {"a", "b", "d"}


def test_with_two_usable_servers_it_is_the_less_busy_for_its_weight():
    pool = servers(1, 4, 1)
    pool[0].in_flight, pool[1].in_flight = 1, 4
    pool[2].usable = False
    method = PowerOfTwo(pool, random=Random(1))
    assert {names(method.candidates("")) for _ in range(100)} == {"ba"}


def test_what_is_in_flight_follows_weights_while_servers_are_busy():
    pool = servers(*[1] * 10, *[4] * 10)
    fill(PowerOfTwo(pool, random=Random(1)), 5000)
    for server in pool:
        assert server.in_flight == pytest.approx(5000 * server.weight / 50, abs=3 * server.weight)


def test_spread_stays_small_where_that_of_random_choice_grows():
    spread = {}
    for make in (PowerOfTwo, WeightedRandom):
        pool = servers(*[1] * 100)
        fill(make(pool, random=Random(1)), 10_000)
        in_flight = [server.in_flight for server in pool]
        spread[make] = max(in_flight) - min(in_flight)
    assert spread[PowerOfTwo] <= 8
    assert spread[WeightedRandom] > 4 * spread[PowerOfTwo]


def test_a_hole_doubles_nobodys_share():
    pool = servers(1, 1, 1, 1, 1)
    pool[1].usable = False
    taken = shares(PowerOfTwo(pool, random=Random(1)), REQUESTS)
    assert taken == pytest.approx(dict.fromkeys("acde", 0.25), abs=0.015)


def test_many_edges_that_see_the_same_do_not_rush_at_the_idle_server():
    pool = servers(*[1] * 10)
    for server in pool[1:]:
        server.in_flight = 3
    edges = [PowerOfTwo(pool, random=Random(seed)) for seed in range(1000)]
    rush = Counter(next(edge.candidates("")).name for edge in edges)
    assert rush["a"] / 1000 == pytest.approx(2 / 10, abs=0.04)


def test_response_times_count_if_they_shall():
    pool = servers(1, 1)
    pool[0].response_time, pool[1].response_time = 0.5, 0.1
    pool[1].in_flight = 2
    by_connections = PowerOfTwo(pool, random=Random(1))
    by_time = PowerOfTwo(pool, PowerOfTwoOptions(response_time=True), Random(1))
    assert names(by_connections.candidates("")) == "ab"
    assert names(by_time.candidates("")) == "ba"
