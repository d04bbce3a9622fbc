"""Weighted round robin is smooth, as nginx's is: exact shares, no bursts, none after an outage either."""

from __future__ import annotations

from balance_doubles import names, servers
from hypothesis import given
from hypothesis import strategies as st

from edge.balance.weighted_round_robin import WeightedRoundRobin

WEIGHTS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@given(WEIGHTS, st.integers(1, 3))
def test_no_server_is_ever_a_whole_turn_ahead_of_its_share(weights, rounds):
    pool = servers(*weights)
    method = WeightedRoundRobin(pool)
    taken = dict.fromkeys(pool, 0)
    total = sum(weights)
    for turn in range(1, rounds * total + 1):
        taken[next(method.candidates(""))] += 1
        for server, count in taken.items():
            assert count * total < turn * server.weight + total
            # Nobody is ahead by a turn, so that nobody is behind by more than all others can be ahead.
            assert count * total >= turn * server.weight - (len(pool) - 1) * total


def test_a_light_server_is_in_the_middle_of_a_heavy_ones_turns():
    method = WeightedRoundRobin(servers(6, 1, 1))
    assert names(next(method.candidates("")) for _ in range(8)) == "aabaacaa"


def nginx(weights, usable_at_each_turn):
    """The choices of ngx_http_upstream_get_peer, with weights that no failure has lowered."""
    current = [0] * len(weights)
    for usable in usable_at_each_turn:
        best, total = None, 0
        for index, weight in enumerate(weights):
            if not usable[index]:
                continue
            current[index] += weight
            total += weight
            if best is None or current[index] > current[best]:
                best = index
        if best is not None:
            current[best] -= total
        yield best


@given(WEIGHTS, st.data())
def test_choices_are_nginx_choices_whatever_servers_come_and_go(weights, data):
    pool = servers(*weights)
    method = WeightedRoundRobin(pool)
    flags = st.lists(st.booleans(), min_size=len(pool), max_size=len(pool))
    turns = data.draw(st.lists(flags, max_size=40))
    choices = []
    for usable in turns:
        for server, is_usable in zip(pool, usable, strict=True):
            server.usable = is_usable
        server = next(method.candidates(""), None)
        choices.append(None if server is None else pool.index(server))
    assert choices == list(nginx(weights, turns))


@given(WEIGHTS, st.integers(0, 30), st.integers(1, 200))
def test_a_server_that_comes_back_gets_no_burst(weights, before, outage):
    pool = servers(*weights)
    method = WeightedRoundRobin(pool)
    for _ in range(before):
        next(method.candidates(""))
    pool[0].usable = False
    for _ in range(outage):
        next(method.candidates(""), None)
    pool[0].usable = True
    after = [next(method.candidates("")) for _ in range(sum(weights))]
    assert abs(after.count(pool[0]) - pool[0].weight) <= 1
