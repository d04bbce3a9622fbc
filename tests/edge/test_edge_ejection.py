"""Which servers are ejected for how their requests went, for how long, and who never is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.ejection import LEAST_COMPARED, Ejections, panics
from gslb.fleet_pool import Ejection

SETTINGS = Ejection(
    errors=3, interval=10.0, requests=100, time=10.0, most_time=35.0, share=0.5, success_rate=None
)
COMPARING = replace(SETTINGS, errors=None, success_rate=1.4)


class Pool:
    """Servers a, b, …, of which some are down as checks see it."""

    def __init__(self, names, settings=SETTINGS):
        self.names = names
        self.down = set()
        self.ejections = Ejections(settings, names, self.others)

    def others(self, name):
        return set(self.names) - self.down - set(self.ejections.ejected) - {name}

    def fail(self, name, times=1, now=0.0, *, answered=False):
        return [self.ejections.failed(name, now, answered=answered) for _ in range(times)]

    def compare(self, first, second):
        """What comes of two intervals' ends, with these totals."""
        assert self.ejections.compare(0.0, first) == ()
        return self.ejections.compare(10.0, second)

    @property
    def ejected(self):
        return set(self.ejections.ejected)


def test_requests_in_a_row_without_a_response_eject():
    pool = Pool("abc")
    assert pool.fail("a", 3, now=5.0) == [False, False, True]
    standing = pool.ejections.standings["a"]
    assert standing.ejected is pool.ejections.ejected["a"]
    assert standing.ejected.reason == "3 requests in a row without a response"
    assert standing.ejected.until == 15.0
    assert pool.ejections.standings["b"].ejected is None


def test_a_single_request_can_be_enough():
    pool = Pool("abc", replace(SETTINGS, errors=1))
    pool.fail("a")
    assert pool.ejections.ejected["a"].reason == "a request without a response"


def test_a_success_ends_the_row():
    pool = Pool("abc")
    pool.fail("a", 2)
    assert pool.ejections.standings["a"].failures == 2
    pool.ejections.succeeded("a")
    assert pool.ejections.standings["a"].failures == 0
    assert pool.fail("a", 2) == [False, False]


def test_a_response_of_500_ends_the_row_without_a_response():
    pool = Pool("abc")
    pool.fail("a", 2)
    pool.fail("a", answered=True)
    assert pool.fail("a", 2) == [False, False]
    assert pool.fail("a") == [True]


def test_server_errors_count_both_kinds():
    pool = Pool("abc", replace(SETTINGS, errors=None, server_errors=3))
    assert pool.fail("a", answered=True) == [False]
    assert pool.fail("a", answered=False) == [False]
    assert pool.fail("a", answered=True) == [True]
    assert pool.ejections.ejected["a"].reason == "3 requests in a row without a response below 500"


def test_responses_of_500_alone_eject_nobody_where_they_are_not_looked_at():
    assert not any(Pool("abc", replace(SETTINGS, server_errors=None)).fail("a", 50, answered=True))


def test_responses_of_500_eject_nobody_while_most_others_fail_as_well():
    pool = Pool("abcd", replace(SETTINGS, errors=None, server_errors=3))
    for name in "bc":
        pool.fail(name, 2, answered=True)
    assert not any(pool.fail("a", 50, answered=True))
    pool.ejections.succeeded("b")
    assert pool.fail("a", 1, answered=True) == [True]


def test_who_is_back_begins_anew():
    pool = Pool("abc")
    pool.fail("a", 3, now=0.0)
    assert pool.fail("a", 9, now=1.0) == [False] * 9  # they were on their way before
    assert pool.ejections.ended(9.9) == ()
    assert pool.ejections.ended(10.0) == ("a",)
    assert pool.ejections.standings["a"].ejected is None
    assert pool.fail("a", 3, now=10.0) == [False, False, True]


def test_who_is_known_to_be_well_is_back_at_once():
    pool = Pool("abc")
    pool.fail("a", 3, now=0.0)
    pool.ejections.readmit("a", 1.0)
    pool.ejections.readmit("b", 1.0)
    assert pool.ejected == set()
    assert pool.fail("a", 3, now=1.0) == [False, False, True]


def test_each_ejection_in_a_row_is_longer_up_to_a_bound():
    pool, now, lasted = Pool("abc"), 100.0, []
    for _ in range(6):
        pool.fail("a", 3, now=now)
        until = pool.ejections.ejected["a"].until
        lasted.append(until - now)
        now = until
        assert pool.ejections.ended(now) == ("a",)
    assert lasted == [10.0, 20.0, 30.0, 35.0, 35.0, 35.0]


@pytest.mark.parametrize(("well", "lasts"), [(9.0, 30.0), (10.0, 20.0), (25.0, 10.0), (1000.0, 10.0)])
def test_time_spent_well_makes_the_next_ejection_shorter(well, lasts):
    pool, now = Pool("abc"), 0.0
    for _ in range(2):
        pool.fail("a", 3, now=now)
        now = pool.ejections.ejected["a"].until
        pool.ejections.ended(now)
    pool.fail("a", 3, now=now + well)
    assert pool.ejections.ejected["a"].until == now + well + lasts


def test_no_more_than_the_share_and_the_next_failure_asks_again():
    pool = Pool("abcd")
    for name in "abc":
        pool.fail(name, 3)
    assert pool.ejected == {"a", "b"}
    assert pool.ejections.ended(10.0) == ("a", "b")
    assert pool.fail("c", now=10.0) == [True]


def test_one_always_may_be_ejected_if_there_are_others():
    assert Pool("ab", replace(SETTINGS, share=0.0)).fail("a", 3)[-1]
    assert not Pool("a", replace(SETTINGS, share=1.0)).fail("a", 3)[-1]


@pytest.mark.parametrize(("servers", "share", "most"), [(100, 0.29, 29), (10, 0.3, 3), (3, 1.0, 2)])
def test_the_share_is_exact(servers, share, most):
    names = [str(number) for number in range(servers)]
    pool = Pool(names, replace(SETTINGS, share=share))
    for name in names:
        pool.fail(name, 3)
    assert len(pool.ejected) == most


def test_the_last_server_that_is_usable_is_never_ejected():
    pool = Pool("abc")
    pool.down = {"b", "c"}
    assert not any(pool.fail("a", 50))
    pool.down = {"b"}
    assert pool.fail("a") == [True]


def test_all_can_be_readmitted_at_once():
    pool = Pool("abcd")
    pool.fail("a", 3, now=0.0)
    pool.fail("b", 3, now=1.0)
    assert pool.ejections.readmit_all(2.0) == ("a", "b")
    assert pool.ejections.readmit_all(2.0) == ()
    assert pool.ejected == set()
    pool.fail("a", 3, now=2.0)
    assert pool.ejections.ejected["a"].until == 22.0


def test_a_server_that_is_unknown_is_no_error():
    pool = Pool("abc")
    assert pool.fail("z", 9)[-1] is False
    pool.ejections.succeeded("z")


def test_servers_that_stay_keep_their_standing_over_a_reload():
    pool = Pool("abcd")
    pool.fail("a", 3)
    pool.fail("b", 2)
    kept = pool.ejections.standings["b"]
    pool.names = "abce"
    pool.ejections.use(SETTINGS, pool.names, 1.0)
    assert pool.ejected == {"a"}
    assert pool.ejections.standings["b"] is kept
    assert set(pool.ejections.standings) == set("abce")
    assert pool.fail("b", now=1.0) == [True]


def test_a_reload_readmits_who_is_beyond_what_may_be_ejected():
    pool = Pool("abcd")
    pool.fail("a", 3, now=0.0)
    pool.fail("b", 3, now=1.0)
    pool.ejections.use(SETTINGS, "abc", 2.0)
    assert pool.ejected == {"b"}  # whose time would have ended later
    assert pool.ejections.standings["a"].ejected is None
    pool.ejections.use(SETTINGS, "b", 3.0)
    assert pool.ejected == set()


def test_a_reload_that_looks_at_nothing_readmits_all():
    pool = Pool("abcd")
    pool.fail("a", 3)
    pool.ejections.use(replace(SETTINGS, errors=None, server_errors=None), "abcd", 2.0)
    assert pool.ejected == set()
    assert not any(pool.fail("a", 50, now=3.0))


def test_a_success_rate_far_below_the_others_ejects():
    pool = Pool("abcd", COMPARING)
    before = dict.fromkeys("abcd", (5000, 4000))
    after = {"a": (6000, 4001), "b": (6000, 4003), "c": (6000, 4000), "d": (6000, 4200)}
    assert pool.compare(before, after) == ("d",)
    assert pool.ejections.ejected["d"].reason == "80.0% of its requests succeeded, of its pool's 94.9%"
    assert pool.ejections.ejected["d"].until == 20.0


def test_rates_are_compared_once_in_an_interval():
    pool = Pool("abcd", COMPARING)
    worse = {"a": (200, 0), "b": (200, 0), "c": (200, 0), "d": (200, 50)}
    assert pool.ejections.compare(3.0, dict.fromkeys("abcd", (0, 0))) == ()
    assert pool.ejections.compare(12.9, worse) == ()
    assert pool.ejections.compares_at == 13.0
    assert pool.ejections.compare(13.0, worse) == ("d",)


def test_what_was_before_the_first_look_or_while_none_looked_counts_for_nothing():
    pool = Pool("abcd", COMPARING)
    worse = {"a": (200, 0), "b": (200, 0), "c": (200, 0), "d": (200, 50)}
    assert pool.ejections.compare(0.0, worse) == ()
    pool.ejections.use(SETTINGS, "abcd", 1.0)
    assert pool.ejections.compare(10.0, worse) == ()
    pool.ejections.use(COMPARING, "abcd", 50.0)
    assert pool.ejections.compare(50.0, {name: (2 * n, 2 * f) for name, (n, f) in worse.items()}) == ()
    assert pool.ejected == set()


def test_servers_with_few_requests_are_not_compared():
    nothing = dict.fromkeys("abcd", (0, 0))
    after = {"a": (100, 0), "b": (100, 0), "c": (100, 0), "d": (99, 99)}
    assert Pool("abcd", COMPARING).compare(nothing, after) == ()
    assert Pool("abcd", COMPARING).compare(nothing, {**after, "d": (100, 99)}) == ("d",)


def test_too_few_servers_are_not_compared():
    names = "abcdefgh"[: LEAST_COMPARED - 1]
    pool = Pool(names, replace(COMPARING, success_rate=0.5))
    after = {**dict.fromkeys(names, (1000, 0)), "a": (1000, 999)}
    assert pool.compare(dict.fromkeys(names, (0, 0)), after) == ()


def test_a_failure_among_many_requests_is_no_outlier():
    pool = Pool("abcdefgh", COMPARING)
    after = {**dict.fromkeys("abcdefgh", (1000, 0)), "a": (1000, 1)}
    assert pool.compare(dict.fromkeys("abcdefgh", (0, 0)), after) == ()


def test_of_several_outliers_the_worst_goes_first():
    pool = Pool("abcdefgh", replace(COMPARING, success_rate=1.0, share=0.2))
    after = {**dict.fromkeys("abcdefgh", (1000, 0)), "a": (1000, 300), "b": (1000, 400)}
    assert pool.compare(dict.fromkeys("abcdefgh", (0, 0)), after) == ("b",)


names = st.sampled_from("abcde")
events = st.lists(
    st.one_of(
        st.tuples(st.just("fails"), names, st.booleans()),
        st.tuples(st.just("succeeds"), names),
        st.tuples(st.just("goes down"), names),
        st.tuples(st.just("comes up"), names),
        st.tuples(st.just("time"), st.floats(0.0, 30.0)),
    ),
    max_size=120,
)


@given(
    events,
    st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.99, 1.0]),
    st.integers(1, 3),
    st.one_of(st.none(), st.integers(1, 3)),
)
def test_bounds_hold_whatever_happens(events, share, errors, server_errors):
    settings = replace(SETTINGS, share=share, errors=errors, server_errors=server_errors)
    pool, now = Pool("abcde", settings), 0.0
    for what, *rest in events:
        if what == "fails":
            before = pool.ejected
            ejected = pool.ejections.failed(rest[0], now, answered=rest[1])
            assert ejected is (pool.ejected != before)
            if ejected:
                assert set(pool.names) - pool.down - pool.ejected
        elif what == "succeeds":
            pool.ejections.succeeded(rest[0])
        elif what == "goes down":
            pool.down.add(rest[0])
        elif what == "comes up":
            pool.down.discard(rest[0])
        else:
            now += rest[0]
            pool.ejections.ended(now)
        assert len(pool.ejected) <= max(1, share * 5)
        for name, standing in pool.ejections.standings.items():
            assert standing.unanswered <= standing.failures
            assert standing.ejected is pool.ejections.ejected.get(name)
            assert standing.ejected is None or now <= standing.ejected.until <= now + 35.0


@given(st.lists(st.tuples(names, st.sampled_from(["answered", "silent", "fine"])), max_size=60), st.data())
def test_rows_of_one_server_are_nothing_to_the_others(events, data):
    def standings(order):
        # Thresholds out of reach: it is the rows that are looked at.
        pool = Pool("abcde", replace(SETTINGS, errors=1000, server_errors=1000))
        for name, how in order:
            if how == "fine":
                pool.ejections.succeeded(name)
            else:
                pool.ejections.failed(name, 0.0, answered=how == "answered")
        return {name: (each.failures, each.unanswered) for name, each in pool.ejections.standings.items()}

    # Any other interleaving in which each server's own events keep their order.
    left = {name: [event for event in events if event[0] == name] for name in "abcde"}
    turns = data.draw(st.permutations([name for name, _ in events]))
    assert standings([left[name].pop(0) for name in turns]) == standings(events)


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=8),
    st.floats(0.1, 3.0),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_no_comparison_ejects_the_best_or_too_many(counts, success_rate, share):
    names = "abcdefgh"[: len(counts)]
    pool = Pool(names, replace(COMPARING, success_rate=success_rate, share=share, requests=0))
    ejected = pool.compare(dict.fromkeys(names, (0, 0)), dict(zip(names, counts, strict=True)))
    assert pool.ejected == set(ejected)
    assert len(ejected) <= max(1, share * len(names))
    rates = {name: 1 - min(1.0, f / n) for name, (n, f) in zip(names, counts, strict=True) if n}
    for name in ejected:
        assert rates[name] < max(rates.values())


@pytest.mark.parametrize(
    ("usable", "servers", "threshold", "expected"),
    [
        (0, 4, 0.5, True),
        (1, 4, 0.5, True),
        (2, 4, 0.5, False),
        (4, 4, 0.5, False),
        (7, 100, 0.07, False),  # where 0.07 × 100 is more than 7
        (6, 100, 0.07, True),
        (0, 4, 0.0, False),
        (0, 0, 1.0, False),
        (3, 4, 1.0, True),
        (4, 4, 1.0, False),
    ],
)
def test_panic_is_below_the_threshold_and_never_at_it(usable, servers, threshold, expected):
    assert panics(usable, servers, threshold) is expected
