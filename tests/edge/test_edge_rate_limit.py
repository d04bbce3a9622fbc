"""Rate limits: how many requests of a client are admitted, by one process and by several that share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import rate_limit
from edge.rate_limit import Buckets, client_of
from edge.shared_rate_limit import MOST_TOLD, Admitted, SharedBuckets, client_name, limit_name
from gslb.balancing import BalancingKey, KeyKind
from gslb.fleet import RateLimit, Route

START = 86_400.0
TEN = RateLimit(10, burst=5)

limits = st.builds(
    RateLimit, st.integers(1, 1000), st.sampled_from([0.1, 1.0, 60.0, 3600.0]), st.integers(1, 20)
)
steps = st.lists(st.floats(0.0, 0.5) | st.just(0.0), min_size=1, max_size=80)


def admitted(buckets: Buckets, moments: list[float], key: str = "a") -> list[float]:
    return [moment for moment in moments if not buckets.take(key, moment)]


def moments_of(waits: list[float]) -> list[float]:
    moments = [START]
    for wait in waits:
        moments.append(moments[-1] + wait)
    return moments


def test_a_burst_is_admitted_and_then_one_as_often_as_one_is_refilled() -> None:
    buckets = Buckets(TEN)
    assert admitted(buckets, [START] * 8) == [START] * 5
    assert buckets.take("a", START) == pytest.approx(0.1)
    assert buckets.take("a", START + 0.04) == pytest.approx(0.06)
    assert buckets.take("a", START + 0.1) == 0.0
    assert buckets.take("a", START + 0.1) == pytest.approx(0.1)
    assert admitted(buckets, [START + 60.0] * 8) == [START + 60.0] * 5


def test_who_keeps_to_the_rate_is_never_refused() -> None:
    for requests, per in ((10, 1.0), (7, 1.0), (1000, 1.0), (1, 3600.0)):
        buckets = Buckets(RateLimit(requests, per))
        moments = [START + number * per / requests for number in range(5000)]
        assert admitted(buckets, moments) == moments


def test_clients_do_not_pay_for_one_another() -> None:
    buckets = Buckets(RateLimit(1, 60.0))
    assert [buckets.take(key, START) for key in "aab"] == [0.0, pytest.approx(60.0), 0.0]


@given(limits, steps)
def test_no_stretch_of_time_has_more_than_the_burst_and_what_is_refilled(
    limit: RateLimit, waits: list[float]
) -> None:
    taken = admitted(Buckets(limit), moments_of(waits))
    for first, begun in enumerate(taken):
        for last, ended in enumerate(taken[first:], 1):
            assert last <= limit.burst + (ended - begun) * limit.requests / limit.per + 1e-3


@given(limits, steps)
def test_what_a_refusal_says_holds_and_it_costs_nothing(limit: RateLimit, waits: list[float]) -> None:
    asked, spared = Buckets(limit), Buckets(limit)
    for moment in moments_of(waits):
        wait = asked.take("a", moment)
        if not wait:
            assert spared.take("a", moment) == 0.0
        else:
            assert asked.take("a", moment + wait * 0.99 - 1e-6) > 0.0
        assert asked.remaining("a", moment) == spared.remaining("a", moment)
    now = START + sum(waits)
    assert spared.take("a", now + asked.take("a", now)) == 0.0


@given(limits, steps)
def test_as_many_remain_as_are_then_admitted(limit: RateLimit, waits: list[float]) -> None:
    buckets = Buckets(limit)
    assert buckets.remaining("a", START) == limit.burst
    admitted(buckets, moments_of(waits))
    now = START + sum(waits)
    remaining = buckets.remaining("a", now)
    assert len(admitted(buckets, [now] * (limit.burst + 1))) == remaining


def test_memory_is_bounded_and_who_is_full_again_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MOST_KEYS", 4)
    buckets = Buckets(RateLimit(1, 10.0, burst=2))
    for key in "aabcd":
        buckets.take(key, START)
    assert buckets.take("a", START + 11.0) == 0.0  # known still, with one of two gone
    buckets.take("e", START + 12.0)  # b, c and d are full again
    assert len(buckets) == 2
    assert buckets.remaining("a", START + 12.0) == 0


def test_where_all_are_busy_the_one_not_asked_for_the_longest_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_limit, "MOST_KEYS", 3)
    buckets = Buckets(RateLimit(1, 3600.0))
    for key in "abc":
        buckets.take(key, START)
    assert buckets.take("a", START + 1.0) > 0.0  # refused, but asked for
    buckets.take("d", START + 2.0)
    assert len(buckets) == 3
    assert [buckets.remaining(key, START + 2.0) for key in "abcd"] == [0, 1, 0, 0]


class Together:
    """Several processes and what stands for Redis: the rule of its script, at times that the test says."""

    def __init__(self, limit: RateLimit, processes: int) -> None:
        self.all = [SharedBuckets(limit) for _ in range(processes)]
        self._full_at: dict[str, float] = {}

    def exchange(self, process: SharedBuckets, now: float) -> None:
        told = process.tell(now)
        missing = []
        for key, noted in told:
            before = self._full_at.get(key, float("-inf"))
            self._full_at[key] = max(noted.full_at, before + noted.count * process.cost)
            missing.append(self._full_at[key] - now)
        process.learn([key for key, _ in told], missing, now)


def test_what_others_admitted_is_learnt_and_paid_back() -> None:
    together = Together(TEN, 2)
    one, other = together.all
    assert len(admitted(one, [START] * 9)) == len(admitted(other, [START] * 9)) == 5
    together.exchange(one, START)
    together.exchange(other, START)
    assert other.take("a", START) == pytest.approx(0.6), "five too many, and one to be refilled"
    assert other.take("a", START + 0.59) > 0.0
    assert other.take("a", START + 0.6) == 0.0


def test_a_process_that_shares_with_nobody_refuses_nothing_more_for_it() -> None:
    together = Together(RateLimit(10), 1)
    (one,) = together.all
    for number in range(300):
        assert one.take("a", START + number * 0.1) == 0.0
        together.exchange(one, START + number * 0.1 + 0.07)


def test_what_was_told_is_not_told_again() -> None:
    one = SharedBuckets(TEN)
    admitted(one, [START, START, START + 5.0])
    assert one.tell(START + 5.0) == [("a", Admitted(3, START + 5.1))]
    assert one.tell(START + 5.0) == []


def test_the_busiest_are_told_of_first_and_the_others_later_if_it_still_matters() -> None:
    one = SharedBuckets(RateLimit(10, burst=100))
    for number in range(6):
        admitted(one, [START] * (number + 1), str(number))
    assert {key for key, _ in one.tell(START + 0.25, most=2)} == {"5", "4"}
    assert {key for key, _ in one.tell(START + 0.25, most=MOST_TOLD)} == {"3", "2"}


def test_what_is_learnt_never_gives_back_what_was_spent_here() -> None:
    one = SharedBuckets(TEN)
    admitted(one, [START] * 5)
    one.learn(["a", "b", "c"], [0.0, 0.2, -1.0], START)
    assert [one.remaining(key, START) for key in "abc"] == [0, 3, 5]
    assert len(one) == 2


INTERVAL = 0.2


@given(
    st.builds(RateLimit, st.sampled_from([5, 10, 100]), st.just(1.0), st.integers(1, 20)),
    st.integers(2, 4),
    st.lists(st.tuples(st.integers(0, 3), st.floats(0.0, 0.3), st.integers(1, 30)), max_size=60),
)
def test_together_they_admit_no_more_than_is_promised(
    limit: RateLimit, processes: int, visits: list[tuple[int, float, int]]
) -> None:
    together = Together(limit, processes)
    now = START
    told = [START + INTERVAL * number / processes for number in range(processes)]
    taken: list[float] = []
    for which, wait, times in visits:
        now += wait
        while (due := min(told)) <= now:
            process = told.index(due)
            together.exchange(together.all[process], due)
            told[process] = due + INTERVAL
        taken += admitted(together.all[which % processes], [now] * times)
    rate = limit.requests / limit.per
    excess = (processes - 1) * (limit.burst + rate * INTERVAL)
    for first, begun in enumerate(taken):
        for last, ended in enumerate(taken[first:], 1):
            assert last <= limit.burst + rate * (ended - begun) + excess + 1e-3


def test_alone_each_admits_its_part() -> None:
    limit = RateLimit(12, burst=6)
    parts = [SharedBuckets(limit) for _ in range(3)]
    for part in parts:
        part.divide(3)
        moments = [START + number / 100 for number in range(1001)]
        assert len(admitted(part, moments)) == 2 + 40
    parts[0].divide(1)
    assert parts[0].remaining("b", START) == 6


def test_alone_each_admits_one_at_a_time_however_small_its_part() -> None:
    part = SharedBuckets(RateLimit(1))
    part.divide(50)
    assert [part.take("a", START), part.take("a", START)] == [0.0, pytest.approx(50.0)]


ROUTE = Route("shop.example", "/api", "web", frozenset(("GET", "POST")))


def test_the_name_of_a_limit_tells_where_it_holds_and_follows_from_all_it_says() -> None:
    name = limit_name(ROUTE, TEN)
    assert name.startswith("shop.example/api:")
    assert name == limit_name(Route("shop.example", "/api", "other", frozenset(("POST", "GET"))), TEN)
    different = [
        limit_name(Route(None, "/api", "web", ROUTE.methods), TEN),
        limit_name(Route("shop.example", "/api", "web"), TEN),
        limit_name(ROUTE, RateLimit(11, burst=5)),
        limit_name(ROUTE, RateLimit(10, burst=5, key=None)),
        limit_name(ROUTE, RateLimit(10, burst=5, key=BalancingKey(KeyKind.HEADER, "x"))),
    ]
    assert len({name, *different}) == 6
    assert different[0].startswith("*/api:")


def test_what_may_be_a_credential_is_not_told_in_clear() -> None:
    assert client_name(TEN, "198.51.100.7") == "198.51.100.7"
    assert client_name(RateLimit(1, key=None), "") == "*"
    for kind in (KeyKind.HEADER, KeyKind.COOKIE, KeyKind.QUERY):
        name = client_name(RateLimit(1, key=BalancingKey(kind, "token")), "sesame")
        assert "sesame" not in name
        assert len(name) == 32


def test_an_ipv6_network_is_one_client():
    assert client_of("2001:db8:1:2::1") == client_of("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert client_of("2001:db8:1:3::1") != client_of("2001:db8:1:2::1")
    assert client_of("fe80::1%eth0") == "fe80::/64"
    assert client_of("192.0.2.1") == "192.0.2.1"
    assert client_of("not:an:address") == "not:an:address"
