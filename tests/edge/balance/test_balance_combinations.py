"""One server after another, two methods in one, and backups."""

from __future__ import annotations

from collections import Counter

import pytest
from balance_doubles import chosen, fill, names, servers
from hypothesis import given
from hypothesis import strategies as st

from edge.balance.first_available import FirstAvailable
from edge.balance.ip_hash import IpHash
from edge.balance.least_connections import LeastConnections
from edge.balance.round_robin import RoundRobin
from edge.balance.then import Then
from edge.balance.tiers import Tiers

CLIENTS = [f"198.51.{number // 250}.{number % 250}" for number in range(2000)]


def test_one_server_is_filled_after_another():
    pool = servers(1, 1, 1)
    for server, most in zip(pool, (2, 3, 9), strict=True):
        server.max_in_flight = most
    method = FirstAvailable(pool)
    assert names(fill(method, 7)) == "aabbbcc"
    pool[0].in_flight -= 1
    assert names(method.candidates("")) == "acb"


def test_a_first_server_without_a_bound_takes_all():
    assert names(fill(FirstAvailable(servers(1, 1)), 50)) == "a" * 50


def pinned(pool, bound=None):
    return Then(pool, IpHash(pool), LeastConnections(pool), bound)


def test_clients_stay_on_their_server_while_it_has_room():
    pool = servers(1, 1, 1)
    for server in pool:
        server.max_in_flight = 5
        server.in_flight = 4
    pool[0].in_flight = 0  # the least connected, which nobody is sent to for that
    assert chosen(pinned(pool), CLIENTS) == chosen(IpHash(pool), CLIENTS)


def test_clients_of_a_full_server_go_to_the_least_connected_and_no_others_move():
    pool = servers(1, 1, 1)
    pool[1].max_in_flight = pool[1].in_flight = 5
    pool[2].in_flight = 1
    at_home = chosen(IpHash(pool), CLIENTS)
    for client, name in chosen(pinned(pool), CLIENTS).items():
        assert name == ("a" if at_home[client] == "b" else at_home[client])
    client = next(client for client in CLIENTS if at_home[client] == "b")
    assert names(pinned(pool).candidates(client)) == "acb"


def test_clients_of_a_dead_server_are_pinned_to_another():
    pool = servers(1, 1, 1)
    pool[1].usable = False
    method = pinned(pool)
    during = chosen(method, CLIENTS)
    assert during == chosen(method, CLIENTS) == chosen(IpHash(pool), CLIENTS)


def test_retries_go_to_the_least_connected():
    pool = servers(1, 1, 1, 1)
    for number, server in enumerate(pool):
        server.in_flight = number
    for client in CLIENTS[:50]:
        first, *others = pinned(pool).candidates(client)
        assert [server.in_flight for server in others] == sorted(set(range(4)) - {first.in_flight})


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(1, 100))
def test_one_client_cannot_fill_its_server_beyond_the_bound(weights, requests):
    pool = servers(*weights)
    method = pinned(pool, bound=1.5)
    home = next(method.candidates("198.51.100.1"))
    for _ in range(requests):
        next(method.candidates("198.51.100.1")).in_flight += 1
    assert home.in_flight <= 1.5 * requests * home.weight / sum(weights) + 1


def test_full_everywhere_means_the_second_methods_order_with_the_favourite_last():
    pool = servers(1, 1, 1)
    for server in pool:
        server.max_in_flight = 0
    at_home = chosen(IpHash(pool), CLIENTS[:1])[CLIENTS[0]]
    assert names(pinned(pool).candidates(CLIENTS[0])) == "abc".replace(at_home, "") + at_home


def backed_up():
    pool = servers(1, 1, 1, 1)
    pool[1].backup = pool[3].backup = True
    return pool


def test_backups_serve_only_while_no_normal_server_is_usable():
    pool = backed_up()
    method = Tiers(pool, RoundRobin)
    assert Counter(next(method.candidates("")).name for _ in range(100)) == {"a": 50, "c": 50}
    pool[0].usable = False
    assert Counter(next(method.candidates("")).name for _ in range(100)) == {"c": 100}
    pool[2].usable = False
    assert Counter(next(method.candidates("")).name for _ in range(100)) == {"b": 50, "d": 50}
    pool[0].usable = True
    assert Counter(next(method.candidates("")).name for _ in range(100)) == {"a": 100}


@pytest.mark.parametrize("usable", ["abcd", "acd", "abd", "bd", "d", ""])
def test_a_tier_is_all_the_candidates_there_are(usable):
    pool = backed_up()
    for server in pool:
        server.usable = server.name in usable
    normal = [name for name in usable if name in "ac"]
    expected = normal or [name for name in usable if name in "bd"]
    assert sorted(names(Tiers(pool, LeastConnections).candidates(""))) == expected


def test_a_pool_of_backups_only_serves():
    pool = servers(1, 1)
    pool[0].backup = pool[1].backup = True
    assert names(Tiers(pool, RoundRobin).candidates("")) == "ab"
