"""Least connections, response time and load: who is chosen, and what is in flight then."""

from __future__ import annotations

from collections import Counter

import pytest
from balance_doubles import fill, names, servers
from hypothesis import given
from hypothesis import strategies as st

from edge.balance.least_connections import LeastConnections
from edge.balance.least_loaded import LeastLoaded
from edge.balance.least_response_time import LeastResponseTime

WEIGHTS = st.lists(st.integers(1, 9), min_size=1, max_size=8)


@given(WEIGHTS, st.lists(st.none() | st.integers(0, 50), max_size=150))
def test_least_connections_never_lets_two_servers_differ_by_more_than_a_request(weights, steps):
    pool = servers(*weights)
    method = LeastConnections(pool)
    for step in steps:
        if step is None:
            server = next(method.candidates(""))
            # Whoever gets one had no more for its weight, with it, than any other would have.
            assert all(
                (server.in_flight + 1) / server.weight <= (each.in_flight + 1) / each.weight for each in pool
            )
            server.in_flight += 1
        else:
            ending = pool[step % len(pool)]
            ending.in_flight = max(0, ending.in_flight - 1)


@given(WEIGHTS, st.integers(0, 200))
def test_least_connections_fills_a_pool_by_weight_within_one_request(weights, requests):
    pool = servers(*weights)
    fill(LeastConnections(pool), requests)
    for server in pool:
        for other in pool:
            assert server.in_flight / server.weight <= (other.in_flight + 1) / other.weight


def test_response_time_counts_for_each_request_in_flight_and_against_weight():
    pool = servers(1, 1, 2)
    for server, seconds in zip(pool, (0.010, 0.030, 0.050), strict=True):
        server.response_time = seconds
    assert names(LeastResponseTime(pool).candidates("")) == "acb"  # 10, 25, 30 ms
    pool[0].in_flight = 3
    assert names(LeastResponseTime(pool).candidates("")) == "cba"  # 25, 30, 40 ms


def test_in_flight_is_in_inverse_proportion_to_response_time():
    pool = servers(1, 1)
    pool[0].response_time, pool[1].response_time = 0.010, 0.040
    assert Counter(names(fill(LeastResponseTime(pool), 100))) == {"a": 80, "b": 20}


def test_servers_not_known_yet_are_tried_one_request_at_a_time():
    pool = servers(1, 1, 1, 1)
    pool[0].response_time = 0.010
    assert names(fill(LeastResponseTime(pool), 8)) == "bcdaaaaa"


def test_while_nothing_is_known_least_connections_decide():
    pool = servers(1, 1, 1)
    assert Counter(names(fill(LeastResponseTime(pool), 9))) == {"a": 3, "b": 3, "c": 3}


@pytest.mark.parametrize("make", [LeastResponseTime, LeastLoaded])
def test_equals_take_turns_and_a_hole_does_not_double_its_successors_share(make):
    pool = servers(1, 1, 1, 1)
    for server in pool:
        server.response_time, server.load = 0.02, 0.5
    pool[1].usable = False
    method = make(pool)
    assert Counter(next(method.candidates("")).name for _ in range(300)) == {"a": 100, "c": 100, "d": 100}


def test_the_least_loaded_is_first_and_a_full_one_last():
    pool = servers(1, 1, 1)
    pool[0].load, pool[1].load, pool[2].load = 1.0, 0.5, 0.2
    assert names(LeastLoaded(pool).candidates("")) == "cba"


def test_in_flight_follows_room_so_that_an_old_figure_brings_no_rush():
    pool = servers(1, 1, 2)
    pool[0].load, pool[1].load, pool[2].load = 0.6, 0.2, 0.4
    fill(LeastLoaded(pool), 120)
    assert [server.in_flight for server in pool] == [20, 40, 60]


def test_a_server_that_was_full_a_moment_ago_is_not_left_to_stand_idle():
    pool = servers(1, 1)
    pool[0].load, pool[1].load = 1.0, 0.0
    fill(LeastLoaded(pool), 130)
    assert [server.in_flight for server in pool] == [30, 100]


@given(WEIGHTS, st.sampled_from([None, 0.0, 0.3]), st.integers(0, 100))
def test_without_figures_or_with_equal_ones_loads_are_least_connections(weights, load, requests):
    loaded, plain = servers(*weights), servers(*weights)
    for server in loaded:
        server.load = load
    fill(LeastLoaded(loaded), requests)
    fill(LeastConnections(plain), requests)
    for server in loaded:
        for other in loaded:
            assert server.in_flight / server.weight <= (other.in_flight + 1) / other.weight + 1e-9
    if load is None:
        assert [server.in_flight for server in loaded] == [server.in_flight for server in plain]


def test_who_tells_nothing_counts_as_the_average_of_the_usable():
    pool = servers(1, 1, 1, 1)
    pool[0].load, pool[1].load = 0.2, 0.6
    pool[3].load, pool[3].usable = 1.0, False
    assert names(LeastLoaded(pool).candidates("")) == "acb"
