"""How many requests a pool may have in flight: fixed, by priority, and by how its servers bear it."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from math import inf
from random import Random
from statistics import mean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.concurrency import ADAPTIVE_MOST, Concurrency
from gslb.fleet_pool import ConcurrencyLimit, Priority

ADAPTIVE = ConcurrencyLimit(adaptive=True)


class Servers:
    """Simulated servers behind a limit: `capacity` requests at a time take `takes` seconds; more wait.

    Requests come at `rate` per second whatever becomes of them. taken: response times of those admitted, in
    the order in which they ended. limits: in force at these times. away: how many were turned away.
    """

    def __init__(self, concurrency, *, capacity, takes, rate):
        self.concurrency = concurrency
        self.capacity, self.takes, self.rate = capacity, takes, rate
        self.random = Random(7)
        self.now = 0.0
        self.in_flight = self.busy = 0
        self.queue = deque()
        self.ends = []
        self.comes = 0.0
        self.forget()

    def forget(self):
        self.taken, self.limits, self.away = [], [], 0

    def run(self, seconds, **changes):
        vars(self).update(changes)
        until = self.now + seconds
        while (now := min(self.comes, self.ends[0][0] if self.ends else inf)) < until:
            self.now = now
            if now == self.comes:
                self._come()
            else:
                self._end(heappop(self.ends)[1])
            while self.queue and self.busy < self.capacity:
                self.busy += 1
                lasts = self.takes * self.random.uniform(0.5, 1.5)
                heappush(self.ends, (self.now + lasts, self.queue.popleft()))
        self.now = until

    def _come(self):
        self.comes = self.now + self.random.expovariate(self.rate)
        if self.concurrency.admits(self.in_flight, Priority.HIGH):
            self.in_flight += 1
            self.queue.append(self.now)
        else:
            self.away += 1

    def _end(self, came):
        self.busy -= 1
        self.taken.append(self.now - came)
        self.limits.append(self.concurrency.limit)
        self.concurrency.sample(self.now - came, self.in_flight, self.now)
        self.in_flight -= 1


def settled(servers, seconds=20):
    """Run on, and look at that alone."""
    servers.forget()
    servers.run(seconds)
    return servers


def test_without_a_limit_all_may_go():
    concurrency = Concurrency(ConcurrencyLimit())
    assert concurrency.limit == inf
    assert all(concurrency.admits(10**9, priority) for priority in Priority)


@pytest.mark.parametrize(
    ("most", "expected"),
    [(1, (1, 1, 1)), (2, (1, 2, 2)), (20, (16, 19, 20)), (100, (80, 95, 100)), (60, (48, 57, 60))],
)
def test_those_who_matter_more_find_room_where_others_do_not(most, expected):
    concurrency = Concurrency(ConcurrencyLimit(most=most))

    def admitted(priority):
        return next(count for count in range(most + 1) if not concurrency.admits(count, priority))

    assert (admitted(Priority.LOW), admitted(Priority.NORMAL), admitted(Priority.HIGH)) == expected


def test_a_fixed_limit_stays_whatever_happens():
    concurrency = Concurrency(ConcurrencyLimit(most=50))
    for number in range(1000):
        concurrency.sample(number / 100, 50, number / 10)
        concurrency.dropped(number / 10)
    assert concurrency.limit == 50


def test_in_an_overload_the_limit_is_near_what_servers_can_do():
    servers = Servers(Concurrency(ADAPTIVE), capacity=20, takes=0.02, rate=500)
    servers.run(10)
    servers.run(20, rate=2000)  # of which they can do half
    settled(servers)
    assert 20 <= mean(servers.limits) <= 40
    assert mean(servers.taken) < 2.5 * 0.02
    assert len(servers.taken) > 0.9 * 20 * 20 / 0.02  # and they do not stand idle


def test_an_overload_from_the_first_is_found_out():
    servers = Servers(Concurrency(ADAPTIVE), capacity=20, takes=0.02, rate=2000)
    servers.run(30)
    settled(servers)
    assert mean(servers.limits) <= 40
    assert mean(servers.taken) < 2.5 * 0.02


def test_a_long_overload_does_not_pass_for_usual():
    servers = Servers(Concurrency(ADAPTIVE), capacity=10, takes=0.05, rate=100)
    servers.run(10)
    servers.run(300, rate=300)
    settled(servers)
    assert mean(servers.limits) <= 25
    assert mean(servers.taken) < 2.5 * 0.05


def test_the_limit_recovers_when_there_are_more_servers():
    servers = Servers(Concurrency(ADAPTIVE), capacity=20, takes=0.05, rate=300)
    servers.run(10)
    servers.run(20, rate=1200)
    assert servers.concurrency.limit < 50
    servers.run(20, capacity=100)
    settled(servers, 10)
    assert servers.away == 0
    assert median(servers.taken) < 0.06


def test_the_limit_recovers_when_servers_get_faster():
    servers = Servers(Concurrency(ADAPTIVE), capacity=20, takes=0.05, rate=300)
    servers.run(10)
    servers.run(20, rate=1500)
    servers.run(30, takes=0.01)
    settled(servers, 10)
    assert servers.away == 0


def test_servers_that_have_room_but_got_slower_get_their_requests_after_a_while():
    servers = Servers(Concurrency(ADAPTIVE), capacity=500, takes=0.05, rate=400)
    servers.run(10)
    servers.run(20, takes=0.25)
    settled(servers, 10)
    assert servers.away == 0


def test_servers_that_do_well_never_lose_a_request_to_the_limit():
    servers = Servers(Concurrency(ADAPTIVE), capacity=200, takes=0.1, rate=600)
    servers.run(60)
    assert servers.away == 0


def test_the_limit_does_not_grow_while_nobody_uses_it():
    servers = Servers(Concurrency(ADAPTIVE), capacity=200, takes=0.1, rate=100)
    servers.run(30)
    assert servers.concurrency.limit <= 100


def test_more_traffic_soon_finds_room_where_servers_have_it():
    servers = Servers(Concurrency(ADAPTIVE), capacity=5000, takes=0.1, rate=300)
    servers.run(10)
    servers.run(10, rate=5000)
    settled(servers, 5)
    assert servers.away == 0


def test_a_server_that_never_answers_costs_room_once_in_a_while():
    concurrency = Concurrency(ADAPTIVE)
    for _ in range(50):
        concurrency.dropped(1.0)
    assert concurrency.limit == 90.0
    for now in range(2, 100):
        concurrency.dropped(float(now))
    assert concurrency.limit == ADAPTIVE.least


def test_a_trial_that_nobody_answers_ends():
    concurrency = Concurrency(ADAPTIVE)
    now, shown = 0.0, []
    while now < 40.0:
        now += 0.02
        # Quick for ten seconds, then with a queue that stays as long as those in flight.
        concurrency.sample(0.05 if now < 10.0 else 0.09, 80, now)
        shown.append(concurrency.limit)
        if len(shown) > 1 and shown[-1] < 0.6 * shown[-2]:
            break
    else:
        raise AssertionError("there was no trial")
    before = shown[-2]
    # Only who went before the trial is answered still.
    for second in range(1, 20):
        concurrency.sample(100.0, 5, now + second)
    assert concurrency.limit >= 0.9 * before


def test_what_was_learnt_outlives_a_reload_within_new_bounds():
    servers = Servers(Concurrency(ADAPTIVE), capacity=20, takes=0.02, rate=500)
    servers.run(10)
    servers.run(20, rate=2000)
    concurrency = servers.concurrency
    learnt = concurrency.limit
    concurrency.use(ADAPTIVE)
    assert concurrency.limit == learnt
    concurrency.use(ConcurrencyLimit(most=12, adaptive=True))
    assert concurrency.limit == 12
    concurrency.use(ConcurrencyLimit())
    assert concurrency.limit == inf
    concurrency.use(ConcurrencyLimit(most=30, adaptive=True))
    assert concurrency.limit <= 30
    concurrency.use(ConcurrencyLimit(most=7))
    assert concurrency.limit == 7


@given(
    st.lists(
        st.tuples(st.floats(0.0, 5.0), st.integers(1, 40), st.floats(0.0, 60.0), st.integers(0, 2000)),
        max_size=40,
    ),
    st.one_of(st.none(), st.integers(1, 2000)),
    st.integers(1, 50),
)
def test_an_adaptive_limit_stays_within_its_bounds(events, most, least):
    concurrency, now = Concurrency(ConcurrencyLimit(most=most, adaptive=True, least=least)), 0.0
    highest = ADAPTIVE_MOST if most is None else most
    for pause, samples, seconds, in_flight in events:
        for _ in range(samples):
            now += pause / samples
            concurrency.sample(seconds, in_flight, now)
            assert min(least, highest) <= concurrency.limit <= highest
        if seconds > 50.0:
            concurrency.dropped(now)
            assert min(least, highest) <= concurrency.limit <= highest
        assert concurrency.admits(0, Priority.LOW)
