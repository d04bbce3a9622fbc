"""A server that starts slowly gets its part of what it gets later on, by every method that heeds weights."""

import pytest
from balance_doubles import EVERY, Fake, servers, shares

from edge.balance import make_method

KEYS = [f"192.0.2.{number % 256}, {number}" for number in range(20_000)]
HASHING = ["ip_hash", "consistent_hash", "then"]


def a_quarter_of(*weights):
    """A pool whose first server has a quarter of its weight by now."""
    pool = servers(*weights)
    pool[0].weight = pool[0].full_weight / 4
    return pool


@pytest.mark.parametrize("name", ["round_robin", "random", "weighted_round_robin"])
def test_a_quarter_of_its_weight_is_a_quarter_of_a_turn(name):
    divided = shares(make_method(EVERY[name], a_quarter_of(1, 1, 1)), KEYS)

    assert divided["a"] == pytest.approx(1 / 9, rel=0.05)
    assert divided["b"] == pytest.approx(4 / 9, rel=0.05)


@pytest.mark.parametrize("name", HASHING)
def test_a_quarter_of_its_keys_are_there_already_and_the_rest_where_they_were(name):
    pool = servers(1, 1, 1)
    method = make_method(EVERY[name], pool)

    def owners():
        return {key: next(method.candidates(key)).name for key in KEYS}

    complete = owners()
    pool[0].usable = False
    without = owners()
    pool[0].usable = True
    pool[0].weight = 0.25
    begun = owners()

    mine = [key for key in KEYS if complete[key] == "a"]
    there = [key for key in mine if begun[key] == "a"]
    assert len(there) == pytest.approx(len(mine) / 4, rel=0.1)
    assert all(begun[key] == without[key] for key in KEYS if begun[key] != "a")


@pytest.mark.parametrize("name", HASHING)
def test_a_key_that_has_come_stays(name):
    pool = servers(1, 1, 1)
    method = make_method(EVERY[name], pool)
    come = set()
    for tenth in range(1, 11):
        pool[0].weight = tenth / 10
        now = {key for key in KEYS if next(method.candidates(key)).name == "a"}
        assert come <= now
        come = now


@pytest.mark.parametrize("name", ["least_connections", "least_response_time", "least_loaded"])
def test_the_least_has_in_flight_by_its_present_weight(name):
    pool = a_quarter_of(4, 4, 4)
    for server in pool:
        server.response_time = 0.1
    method = make_method(EVERY[name], pool)
    for number in range(90):
        next(method.candidates(f"client {number}")).in_flight += 1

    assert [server.in_flight for server in pool] == [10, 40, 40]


@pytest.mark.parametrize("name", EVERY)
def test_it_is_taken_when_there_is_no_other(name):
    pool = a_quarter_of(4)
    method = make_method(EVERY[name], pool)

    assert all(next(method.candidates(key)) is pool[0] for key in KEYS[:50])


@pytest.mark.parametrize("name", EVERY)
def test_all_are_candidates_once_while_one_starts_slowly(name):
    method = make_method(EVERY[name], a_quarter_of(4, 4, 4))

    for key in KEYS[:50]:
        assert sorted(server.name for server in method.candidates(key)) == ["a", "b", "c"]


def test_a_bound_leaves_room_at_some_server_though_all_start_slowly():
    pool = [Fake("a", weight=0.1, full_weight=1), Fake("b", weight=0.1, full_weight=1)]
    from edge.balance.bounded_load import in_flight_per_weight

    assert any(each.in_flight < in_flight_per_weight(pool, 1.0) * each.weight for each in pool)
