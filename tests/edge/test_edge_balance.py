"""The balancing methods: shares, order, and who moves when a server fails."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge.balance
from edge.balance import METHODS, make_method
from edge.balance.ip_hash import IpHash
from edge.balance.least_connections import LeastConnections
from edge.balance.round_robin import RoundRobin
from edge.balance.weighted_round_robin import WeightedRoundRobin
from gslb.balancing import Balancing, BalancingMethod, ThenOptions


@dataclass(eq=False)
class Fake:
    name: str
    weight: int = 1
    in_flight: int = 0
    usable: bool = True
    max_in_flight: float = inf
    response_time: float | None = None
    load: float | None = None
    backup: bool = False

    @property
    def full_weight(self) -> int:
        return self.weight


def servers(*weights: int) -> list[Fake]:
    return [Fake("abcdefgh"[index], weight) for index, weight in enumerate(weights)]


def names(picked: object) -> str:
    return "".join(server.name for server in picked)  # type: ignore[attr-defined]


def test_every_method_the_file_may_name_is_here() -> None:
    assert set(METHODS) == {method.value for method in BalancingMethod}


def test_every_method_has_a_file_of_its_own() -> None:
    files = {path.stem for path in Path(edge.balance.__file__).parent.glob("*.py")}
    assert files >= set(METHODS)


@given(
    st.sampled_from(list(BalancingMethod)),
    st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.integers(0, 9)), max_size=8),
    st.integers(1, 5),
)
def test_candidates_are_the_usable_servers_each_once(
    method: BalancingMethod, states: list[tuple[int, bool, int]], turns: int
) -> None:
    pool = [Fake(str(i), weight, busy, usable) for i, (weight, usable, busy) in enumerate(states)]
    options = ThenOptions(first=Balancing(), second=Balancing()) if method == "then" else None
    instance = make_method(Balancing(method, options), pool)
    for turn in range(turns):
        candidates = list(instance.candidates(f"192.0.2.{turn}"))
        assert sorted(server.name for server in candidates) == sorted(s.name for s in pool if s.usable)


def test_round_robin_turns_and_retries_do_not_turn_it() -> None:
    method = RoundRobin(servers(1, 9, 1))
    assert [names(method.candidates("")) for _ in range(4)] == ["abc", "bca", "cab", "abc"]


def test_round_robin_does_not_double_the_share_of_a_holes_successor() -> None:
    pool = servers(1, 1, 1, 1)
    pool[1].usable = False
    method = RoundRobin(pool)
    assert Counter(next(method.candidates("")).name for _ in range(300)) == {"a": 100, "c": 100, "d": 100}


def test_smooth_weighted_round_robin_gives_nginx_sequence() -> None:
    method = WeightedRoundRobin(servers(5, 1, 1))
    assert names(next(method.candidates("")) for _ in range(14)) == "aabacaa" * 2


@given(st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_weighted_shares_are_exact_over_a_round(weights: list[int]) -> None:
    method = WeightedRoundRobin(servers(*weights))
    taken = Counter(next(method.candidates("")).name for _ in range(sum(weights)))
    assert [taken["abcdefgh"[i]] for i in range(len(weights))] == weights


CLIENTS = [f"198.51.{i // 250}.{i % 250}" for i in range(3000)]


def test_ip_hash_keeps_a_client_and_moves_only_those_of_a_lost_server() -> None:
    pool = servers(1, 1, 1, 1)
    method = IpHash(pool)
    before = {client: next(method.candidates(client)).name for client in CLIENTS}
    assert before == {client: next(IpHash(pool).candidates(client)).name for client in CLIENTS}
    pool[2].usable = False
    after = {client: next(method.candidates(client)).name for client in CLIENTS}
    moved = {client for client in CLIENTS if before[client] != after[client]}
    assert moved == {client for client in CLIENTS if before[client] == "c"}
    assert min(Counter(after[client] for client in moved).values()) > len(moved) / 5  # all others share them
    pool[2].usable = True
    assert before == {client: next(method.candidates(client)).name for client in CLIENTS}


def test_ip_hash_moves_only_clients_to_a_server_that_joins() -> None:
    before = {client: next(IpHash(servers(1, 1, 1)).candidates(client)).name for client in CLIENTS[:500]}
    after = {client: next(IpHash(servers(1, 1, 1, 1)).candidates(client)).name for client in CLIENTS[:500]}
    assert {after[client] for client in before if before[client] != after[client]} == {"d"}


def test_ip_hash_shares_follow_weights() -> None:
    method = IpHash(servers(3, 2, 1))
    shares = Counter(next(method.candidates(client)).name for client in CLIENTS)
    assert shares["a"] / len(CLIENTS) == pytest.approx(3 / 6, abs=0.04)
    assert shares["c"] / len(CLIENTS) == pytest.approx(1 / 6, abs=0.04)


def test_least_connections_picks_the_least_for_its_weight() -> None:
    pool = servers(1, 4, 1)
    pool[0].in_flight, pool[1].in_flight, pool[2].in_flight = 2, 4, 3
    assert names(LeastConnections(pool).candidates("")) == "bac"


def test_least_connections_rotates_ties() -> None:
    method = LeastConnections(servers(1, 1, 1))
    assert Counter(next(method.candidates("")).name for _ in range(9)) == {"a": 3, "b": 3, "c": 3}


def test_least_connections_does_not_double_the_share_of_a_holes_successor() -> None:
    pool = servers(1, 1, 1, 1)
    pool[1].usable = False
    method = LeastConnections(pool)
    assert Counter(next(method.candidates("")).name for _ in range(300)) == {"a": 100, "c": 100, "d": 100}


def test_least_connections_follows_weights_while_nothing_else_is_in_flight() -> None:
    pool = servers(1, 4)
    method = LeastConnections(pool)
    assert {next(method.candidates("")).name for _ in range(9)} == {"b"}
    taken = []
    for _ in range(5):
        server = next(method.candidates(""))
        server.in_flight += 1
        taken.append(server.name)
    assert Counter(taken) == {"a": 1, "b": 4}
