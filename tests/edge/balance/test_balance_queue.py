"""How methods do in a simulated pool with a slow server, or with one that fails at once."""

from __future__ import annotations

from random import Random

import pytest
from queue_model import pool, run

from edge.balance.consistent_hash import ConsistentHash
from edge.balance.ip_hash import IpHash
from edge.balance.least_connections import LeastConnections
from edge.balance.least_response_time import LeastResponseTime
from edge.balance.power_of_two import PowerOfTwo
from edge.balance.random import WeightedRandom
from edge.balance.round_robin import RoundRobin
from gslb.balancing import ConsistentHashOptions, PowerOfTwoOptions

REQUESTS = 10_000


def power_of_two(servers):
    return PowerOfTwo(servers, random=Random(2))


def power_of_two_by_time(servers):
    return PowerOfTwo(servers, PowerOfTwoOptions(response_time=True), Random(2))


def at_random(servers):
    return WeightedRandom(servers, Random(2))


def simulate(make, *means, failing=0, rate):
    servers, clock = pool(*means, failing=failing)
    return run(make, servers, clock, rate=rate, requests=REQUESTS)


ONE_SLOW = (*[0.01] * 9, 0.1)


@pytest.mark.parametrize(
    ("make", "share"),
    [
        (power_of_two, 0.025),
        (power_of_two_by_time, 0.015),
        (LeastConnections, 0.025),
        (LeastResponseTime, 0.005),
    ],
)
def test_a_server_ten_times_slower_gets_little_and_does_not_fill_up(make, share):
    outcome = simulate(make, *ONE_SLOW, rate=500)
    assert outcome.by_server["server 9"] / REQUESTS < share
    assert outcome.most["server 9"] <= 8
    assert outcome.percentile(0.99) < 0.5


@pytest.mark.parametrize("make", [RoundRobin, at_random])
def test_the_model_shows_what_becomes_of_a_slow_server_that_is_not_avoided(make):
    outcome = simulate(make, *ONE_SLOW, rate=500)
    assert outcome.most["server 9"] > 100
    assert outcome.percentile(0.99) > 10


@pytest.mark.parametrize("make", [power_of_two_by_time, LeastResponseTime])
def test_where_response_times_count_a_server_that_fails_at_once_draws_no_traffic(make):
    assert simulate(make, *[0.01] * 9, failing=1, rate=500).failures < 0.002 * REQUESTS


def test_where_connections_alone_count_it_draws_more_than_its_share_but_two_choices_bound_it():
    tenth = REQUESTS / 10
    assert simulate(LeastConnections, *[0.01] * 9, failing=1, rate=500).failures > tenth
    assert tenth < simulate(power_of_two, *[0.01] * 9, failing=1, rate=500).failures <= 2.1 * tenth


def test_most_in_flight_is_less_with_every_choice_that_looks():
    blind, two, all_of_them = (
        max(simulate(make, *[0.01] * 10, rate=800).most.values())
        for make in (at_random, power_of_two, LeastConnections)
    )
    assert blind > 2 * two
    assert two >= all_of_them


def test_a_recovered_server_is_tried_again():
    servers, clock = pool(*[0.01] * 3)
    for _ in range(10):
        servers[0].ewma.fail(0.0005, 0.0)
    assert run(LeastResponseTime, servers, clock, rate=150, requests=REQUESTS).by_server["server 0"] > 500


def test_bounded_hashing_keeps_what_is_in_flight_even_where_plain_hashing_does_not():
    def bounded(servers):
        return ConsistentHash(servers, ConsistentHashOptions(bound=1.25))

    plain, even = (max(simulate(make, *[0.01] * 10, rate=900).most.values()) for make in (IpHash, bounded))
    assert plain > 2 * even
