"""Consistent hashing: shares by weight, who moves when a server comes or goes, and the bound on load."""

from __future__ import annotations

from collections import Counter
from math import ceil

import pytest
from balance_doubles import chosen, fill, names, servers, shares
from hypothesis import given
from hypothesis import strategies as st

from edge.balance import consistent_hash
from edge.balance.consistent_hash import ConsistentHash
from gslb.balancing import ConsistentHashOptions

KEYS = [f"/products/{number}" for number in range(10_000)]
ADDRESSES = [f"198.51.{number // 250}.{number % 250}" for number in range(10_000)]


@pytest.mark.parametrize("keys", [KEYS, ADDRESSES], ids=["paths", "addresses"])
def test_shares_follow_weights(keys):
    taken = shares(ConsistentHash(servers(3, 2, 1)), keys)
    assert taken == pytest.approx({"a": 3 / 6, "b": 2 / 6, "c": 1 / 6}, abs=0.02)


def test_a_pool_of_a_hundred_is_divided_fairly():
    taken = shares(ConsistentHash(servers(*[1] * 100)), [f"user {number}" for number in range(30_000)])
    assert len(taken) == 100
    assert max(taken.values()) < 1.25 / 100
    assert min(taken.values()) > 0.75 / 100


def test_a_server_that_leaves_moves_its_own_keys_only_and_all_others_share_them():
    pool = servers(1, 1, 2, 1, 1)
    before = chosen(ConsistentHash(pool), KEYS)
    after = chosen(ConsistentHash(pool[:2] + pool[3:]), KEYS)
    moved = {key for key in KEYS if before[key] != after[key]}
    assert moved == {key for key in KEYS if before[key] == "c"}
    assert len(moved) / len(KEYS) == pytest.approx(2 / 6, abs=0.02)
    assert min(Counter(after[key] for key in moved).values()) > len(moved) / 5


def test_a_server_that_joins_or_grows_takes_keys_and_moves_no_others():
    before = chosen(ConsistentHash(servers(1, 1, 1)), KEYS)
    for larger in (servers(1, 1, 1, 1), servers(1, 1, 2)):
        after = chosen(ConsistentHash(larger), KEYS)
        moved = [key for key in KEYS if before[key] != after[key]]
        assert {after[key] for key in moved} == {larger[-1].name}
        assert len(moved) / len(KEYS) == pytest.approx(3 / 12 if len(larger) == 4 else 1 / 6, abs=0.02)


def test_a_server_that_is_merely_down_gets_its_keys_back():
    pool = servers(1, 1, 1, 1)
    method = ConsistentHash(pool)
    before = chosen(method, KEYS)
    pool[2].usable = False
    during = chosen(method, KEYS)
    assert {key for key in KEYS if before[key] != during[key]} == {k for k in KEYS if before[k] == "c"}
    assert during == chosen(ConsistentHash(pool[:2] + pool[3:]), KEYS)  # as if it had left
    pool[2].usable = True
    assert chosen(method, KEYS) == before


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=8),
    st.sampled_from([1.0, 1.1, 1.25, 2.0]),
    st.integers(1, 120),
    st.data(),
)
def test_no_server_gets_more_than_the_bound_allows_even_for_one_key(weights, bound, requests, data):
    pool = servers(*weights)
    for server in pool[1:]:
        server.usable = data.draw(st.booleans())
    method = ConsistentHash(pool, ConsistentHashOptions(bound=bound))
    for _ in range(requests):
        server = next(method.candidates("the one that everybody wants"))
        server.in_flight += 1
    total = sum(server.weight for server in pool if server.usable)
    for server in pool:
        assert server.in_flight <= ceil(bound * requests * server.weight / total + 1e-9)


def test_keys_stay_with_their_server_while_it_is_below_the_bound():
    pool = servers(1, 1, 1, 1)
    bounded = ConsistentHash(pool, ConsistentHashOptions(bound=1.25))
    wanted = chosen(ConsistentHash(pool), KEYS)
    assert chosen(bounded, KEYS) == wanted
    for server in pool:
        server.in_flight = 100
    pool[1].in_flight = 140  # 1.25 × 441 / 4 is less
    moved = {key for key, name in chosen(bounded, KEYS).items() if name != wanted[key]}
    assert moved == {key for key in KEYS if wanted[key] == "b"}


def test_a_busy_server_is_passed_over_and_still_the_last_to_be_tried():
    pool = servers(1, 1, 1)
    method = ConsistentHash(pool, ConsistentHashOptions(bound=1.25))
    first, *_ = method.candidates("somebody")
    first.in_flight = 50
    assert list(method.candidates("somebody"))[-1] is first


def test_where_servers_are_equally_near_edges_agree_by_their_names(monkeypatch):
    monkeypatch.setattr(consistent_hash, "_numbers", lambda name: [7] * 2**15)
    pool = servers(1, 1, 1)
    for order in (pool, pool[::-1]):
        assert names(ConsistentHash(order).candidates("somebody")) == "abc"


def test_without_a_bound_one_key_has_one_server():
    assert len(set(fill_one_key(ConsistentHash(servers(1, 1, 1)), 100))) == 1


def fill_one_key(method, requests):
    return [fill(method, 1)[0].name for _ in range(requests)]
