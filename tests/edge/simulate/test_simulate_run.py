"""What people rely on when they believe a simulation: it loses nothing, repeats, and shows known effects."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.simulate.choices import CHOICES, try_out
from edge.simulate.load import Load, SimulatedServer, Tail, course, rate_for
from edge.simulate.scenario import Illness, afflict, even_servers
from gslb.balancing import Balancing, BalancingMethod

REQUESTS = 5_000


def load_of(utilisation=0.7, *, servers=10, ill=None, mean=0.02, **rest):
    pool = afflict(even_servers(servers, workers=4), ill or Illness())
    rate = rate_for(pool, utilisation, mean)
    return Load(pool, rate, **{"requests": REQUESTS, "leaving_after": REQUESTS // 2, **rest})


def tried(name, load):
    return try_out(load, CHOICES[name])


def test_every_method_of_a_fleets_file_can_be_simulated():
    assert {balancing.name for balancing in CHOICES.values()} == set(BalancingMethod)


@pytest.mark.parametrize("name", CHOICES)
def test_the_same_load_ends_the_same_way_and_another_seed_another(name):
    load = load_of(ill=Illness(slow=1, failing=1, leaving=1), edges=2)
    assert tried(name, load) == tried(name, load)
    assert tried(name, replace(load, seed=2)).seconds != tried(name, load).seconds


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(list(CHOICES)),
    utilisation=st.floats(0.1, 3),
    servers=st.integers(2, 6),
    workers=st.integers(1, 3),
    most=st.sampled_from([1, 3, float("inf")]),
    slow=st.integers(0, 1),
    leaving=st.integers(0, 1),
    failing_share=st.floats(0, 1),
    edges=st.integers(1, 3),
    tail=st.sampled_from(Tail),
)
def test_every_request_ends_once(
    name, utilisation, servers, workers, most, slow, leaving, failing_share, edges, tail
):
    ill = Illness(slow=slow, failing=1 - slow, failing_share=failing_share, leaving=leaving)
    pool = afflict(even_servers(servers, workers, most), ill)
    load = Load(
        pool, rate_for(pool, utilisation, 0.02), 300, tail=tail, clients=20, edges=edges, leaving_after=150
    )
    outcome = tried(name, load)
    assert outcome.unserved == 0
    assert outcome.requests == 300
    assert len(outcome.seconds) + outcome.errors == 300
    assert min(outcome.seconds, default=0) >= 0
    assert all(0 <= server.utilisation <= 1.000001 for server in outcome.servers)
    assert all(server.most_in_flight <= most * edges for server in outcome.servers)


def test_requests_without_a_usable_server_are_errors():
    gone = SimulatedServer("gone", leaves=True)
    outcome = tried("round_robin", Load((gone,), rate=10, requests=10, leaving_after=4))
    assert (outcome.unserved, outcome.errors, len(outcome.seconds)) == (6, 6, 4)


def test_one_request_at_a_time_takes_what_its_work_takes():
    load = Load((SimulatedServer("one"),), rate=0.001, requests=100, tail=Tail.CONSTANT)
    assert tried("random", load).seconds == pytest.approx([0.02] * 100)


def test_a_queue_behaves_as_the_books_say():
    """M/M/1 at half its capacity: the mean response takes twice the work."""
    one = SimulatedServer("one", workers=1)
    load = Load((one,), rate_for([one], 0.5, 0.02), 50_000, tail=Tail.EXPONENTIAL)
    outcome = tried("random", load)
    assert sum(outcome.seconds) / len(outcome.seconds) == pytest.approx(0.04, rel=0.05)
    assert outcome.servers[0].utilisation == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize("tail", Tail)
def test_the_work_of_all_tails_is_the_same_on_average(tail):
    load = load_of(tail=tail, requests=100_000)
    assert sum(course(load).work) / 100_000 == pytest.approx(load.mean, rel=0.05)


def test_what_comes_is_the_same_whoever_answers_it():
    few, many = (course(load_of(clients=clients, edges=edges)) for clients, edges in ((10, 1), (1000, 3)))
    assert (few.at, few.work) == (many.at, many.work)


def test_some_clients_send_more_than_others_unless_told_otherwise():
    def most(skew):
        keys = course(load_of(skew=skew, clients=100)).keys
        return Counter(keys).most_common(1)[0][1] / len(keys)

    assert most(1.0) == pytest.approx(0.19, abs=0.03)
    assert most(0.0) < 0.02


def test_a_slow_server_hurts_those_who_do_not_look():
    load = load_of(ill=Illness(slow=1))
    chance, two, timed = (
        tried(name, load).percentile(0.99) for name in ("random", "power_of_two", "least_response_time")
    )
    assert two < chance / 10
    assert timed < chance / 10


def test_a_server_that_fails_at_once_draws_traffic_unless_failures_count_as_slow():
    load = load_of(ill=Illness(failing=1))
    errors = {name: tried(name, load).errors / REQUESTS for name in CHOICES}
    assert errors["least_connections"] > 0.4
    assert errors["power_of_two"] > 0.15
    assert errors["round_robin"] == pytest.approx(0.1, abs=0.001)
    assert errors["power_of_two+time"] < 0.02
    assert errors["least_response_time"] < 0.005


def test_clients_stay_where_they_are_while_servers_do():
    """One of ten leaves: with a hash its clients move, once each, and no others."""
    load = load_of(utilisation=0.3, clients=100, ill=Illness(leaving=1))
    assert tried("ip_hash", replace(load, leaving_after=REQUESTS)).moved == 0
    assert 0 < tried("ip_hash", load).moved * (REQUESTS - 100) <= 30
    assert tried("round_robin", load).moved > 0.8


def test_a_server_that_leaves_gets_nothing_more():
    load = load_of(ill=Illness(leaving=1))
    shares = [server.requests / REQUESTS for server in tried("round_robin", load).servers]
    assert shares[-1] == pytest.approx(0.05, abs=0.001)


def test_the_first_server_does_not_take_everything_where_no_bound_is_given():
    assert tried("first_available", load_of()).servers[1].requests > 0


def test_a_backup_gets_nothing_while_others_are_usable():
    pool = (*even_servers(3, 4), SimulatedServer("backup", backup=True))
    load = Load(pool, rate_for(pool, 0.7, 0.02), 1000)
    assert load.rate == rate_for(pool[:3], 0.7, 0.02)
    outcome = try_out(load, Balancing(BalancingMethod.LEAST_CONNECTIONS))
    assert outcome.servers[3].requests == 0
