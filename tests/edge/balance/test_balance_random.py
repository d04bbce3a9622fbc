"""Random choice: shares by weight, of first servers and of retries."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from balance_doubles import servers, shares

from edge.balance.random import WeightedRandom

REQUESTS = [""] * 20_000


def test_shares_follow_weights():
    taken = shares(WeightedRandom(servers(5, 3, 2), Random(1)), REQUESTS)
    assert taken == pytest.approx({"a": 0.5, "b": 0.3, "c": 0.2}, abs=0.015)


def test_what_a_lost_server_had_goes_to_the_others_by_weight():
    pool = servers(5, 3, 2)
    pool[0].usable = False
    assert shares(WeightedRandom(pool, Random(1)), REQUESTS) == pytest.approx({"b": 0.6, "c": 0.4}, abs=0.015)


def test_retries_go_to_the_others_by_weight():
    method = WeightedRandom(servers(5, 3, 2), Random(1))
    second = Counter()
    for _ in REQUESTS:
        first, retry, _ = method.candidates("")
        if first.name == "a":
            second[retry.name] += 1
    assert second["b"] / second.total() == pytest.approx(0.6, abs=0.02)


def test_two_instances_do_not_move_in_step():
    pool = servers(1, 1, 1)
    one, other = WeightedRandom(pool), WeightedRandom(pool)
    choices = [(next(one.candidates("")), next(other.candidates(""))) for _ in range(200)]
    assert len(set(choices)) == 9
