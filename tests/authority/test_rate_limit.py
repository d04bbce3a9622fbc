"""No client network gets more responses a second than it should, nor do all together, and some are exempt."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gslb.dns import rate_limit
from gslb.dns.rate_limit import Limited, Outcome, RateLimiter
from gslb.fleet import RateLimitSettings

SEND, SLIP, DROP = Outcome.SEND, Outcome.SLIP, Outcome.DROP
SETTINGS = RateLimitSettings(
    responses_per_second=5,
    errors_per_second=2,
    ceiling=20,
    slip=2,
    exempt=(ip_network("198.51.100.0/24"), ip_network("2001:db8:e::/48")),
)


def outcomes(limiter: RateLimiter, source: str, count: int, *, error: bool = False, now: float = 7.5) -> str:
    """One letter for each of `count` responses: s sent, t truncated, - dropped."""
    letters = {SEND: "s", SLIP: "t", DROP: "-"}
    return "".join(letters[limiter.judge(source, error, now)] for _ in range(count))


@pytest.mark.parametrize(
    ("slip", "expected"),
    [(0, "sssss------"), (1, "ssssstttttt"), (2, "sssss-t-t-t"), (3, "sssss--t--t"), (100, "sssss------")],
)
def test_over_the_limit_every_nth_is_truncated_and_the_others_dropped(slip: int, expected: str) -> None:
    assert outcomes(RateLimiter(replace(SETTINGS, slip=slip)), "192.0.2.1", 11) == expected


def test_errors_have_a_limit_of_their_own() -> None:
    limiter = RateLimiter(SETTINGS)
    assert outcomes(limiter, "192.0.2.1", 3, error=True) == "ss-"
    assert outcomes(limiter, "192.0.2.1", 6) == "sssss-"
    assert outcomes(limiter, "192.0.2.1", 1, error=True) == "t"


def test_every_second_starts_anew() -> None:
    limiter = RateLimiter(SETTINGS)
    assert outcomes(limiter, "192.0.2.1", 6, now=7.0) == "sssss-"
    assert outcomes(limiter, "192.0.2.1", 1, now=7.999) == "t"
    assert outcomes(limiter, "192.0.2.1", 6, now=8.0) == "sssss-"


def test_a_thread_that_read_the_clock_late_does_not_bring_the_last_second_back() -> None:
    limiter = RateLimiter(SETTINGS)
    assert outcomes(limiter, "192.0.2.1", 4, now=8.0) == "ssss"
    assert outcomes(limiter, "192.0.2.1", 1, now=7.999) == "s"
    assert outcomes(limiter, "192.0.2.1", 1, now=8.001) == "-"


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    limiter = RateLimiter(SETTINGS)
    assert outcomes(limiter, "192.0.2.1", 6, now=1000.0) == "sssss-"
    assert outcomes(limiter, "192.0.2.1", 6, now=500.0) == "sssss-"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.255", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("192.0.2.1", "::ffff:192.0.2.9", True),
        ("2001:db8:0:100::1", "2001:db8:0:1ff:ffff::9", True),
        ("2001:db8:0:100::1", "2001:db8:0:200::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("0.0.0.1", "::1", False),
    ],
)
def test_clients_count_by_network(one: str, other: str, same: bool) -> None:
    limiter = RateLimiter(SETTINGS)
    assert outcomes(limiter, one, 5) == "sssss"
    assert outcomes(limiter, other, 1) == ("-" if same else "s")


@pytest.mark.parametrize(
    ("lengths", "one", "other", "same"),
    [
        ((32, 128), "192.0.2.1", "192.0.2.2", False),
        ((32, 128), "2001:db8::1", "2001:db8::2", False),
        ((8, 16), "192.0.2.1", "192.255.255.255", True),
        ((8, 16), "2001:db8::1", "2001:ffff::1", True),
        ((8, 16), "2001:db8::1", "2002:db8::1", False),
    ],
)
def test_how_large_a_network_is_can_be_said(
    lengths: tuple[int, int], one: str, other: str, same: bool
) -> None:
    settings = replace(SETTINGS, ipv4_prefix_length=lengths[0], ipv6_prefix_length=lengths[1])
    limiter = RateLimiter(settings)
    assert outcomes(limiter, one, 5) == "sssss"
    assert outcomes(limiter, other, 1) == ("-" if same else "s")


@pytest.mark.parametrize("source", ["198.51.100.9", "::ffff:198.51.100.9", "2001:db8:e:1::53"])
def test_the_exempt_are_never_limited(source: str) -> None:
    limiter = RateLimiter(SETTINGS)
    # Not even when all others have used up the ceiling.
    for number in range(20):
        limiter.judge(f"10.0.{number}.1", False, 7.5)
    assert outcomes(limiter, source, 100) == "s" * 100
    assert outcomes(limiter, source, 100, error=True) == "s" * 100
    assert (limiter.exempt, limiter.sent) == (200, 20)


@pytest.mark.parametrize("source", ["198.51.101.9", "198.51.99.255", "2001:db8:f::53"])
def test_the_neighbours_of_the_exempt_are_limited(source: str) -> None:
    assert outcomes(RateLimiter(SETTINGS), source, 6) == "sssss-"


def test_nothing_passes_the_ceiling() -> None:
    limiter = RateLimiter(SETTINGS)
    sent = "".join(outcomes(limiter, f"10.0.{number}.1", 1, error=number % 2 == 1) for number in range(26))
    assert sent == "s" * 20 + "-" * 6
    assert (limiter.sent, limiter.slipped, limiter.dropped) == (20, 0, {"network": 0, "ceiling": 6})


def test_truncated_answers_count_for_the_ceiling_too() -> None:
    limiter = RateLimiter(replace(SETTINGS, ceiling=8))
    assert outcomes(limiter, "192.0.2.1", 14) == "sssss-t-t-t---"
    assert outcomes(limiter, "10.0.0.1", 2) == "--"


def test_what_stood_in_the_way_is_counted() -> None:
    limiter = RateLimiter(SETTINGS)
    outcomes(limiter, "192.0.2.1", 10)
    assert (limiter.sent, limiter.exempt) == (5, 0)
    assert limiter.slipped == 2
    assert limiter.dropped == {"network": 3, "ceiling": 0}


def test_the_beginning_of_limits_is_told_once() -> None:
    limiter = RateLimiter(SETTINGS)
    outcomes(limiter, "192.0.2.1", 5)
    assert limiter.newly_limited() == ()
    outcomes(limiter, "192.0.2.1", 5)
    assert limiter.newly_limited() == (Limited("192.0.2.0/24", False, 5),)
    # Going on, it does not begin again; nor does another network have a line of its own in this second.
    outcomes(limiter, "192.0.3.1", 9, error=True)
    outcomes(limiter, "192.0.2.1", 9, now=8.0)
    assert limiter.newly_limited() == ()
    outcomes(limiter, "2001:db8:0:1234::1", 9, error=True, now=8.9)
    assert limiter.newly_limited() == (Limited("2001:db8:0:1200::/56", True, 2),)
    # After a second without limits it does.
    outcomes(limiter, "192.0.2.1", 9, now=10.0)
    assert limiter.newly_limited() == (Limited("192.0.2.0/24", False, 5),)


def test_reaching_the_ceiling_is_told_once() -> None:
    limiter = RateLimiter(SETTINGS)
    for now in (7.0, 8.0):
        for number in range(30):
            limiter.judge(f"10.0.{number}.1", False, now)
    assert limiter.newly_limited() == (Limited(None, False, 20),)


def test_beginnings_that_nobody_asks_for_do_not_pile_up() -> None:
    limiter = RateLimiter(SETTINGS)
    for now in range(0, 1000, 2):
        outcomes(limiter, "192.0.2.1", 6, now=now)
    assert len(limiter.newly_limited()) <= 10


def test_limited_networks_are_those_of_this_second_and_the_one_before() -> None:
    limiter = RateLimiter(SETTINGS)
    outcomes(limiter, "192.0.2.1", 6, now=7.0)
    outcomes(limiter, "192.0.3.1", 5, now=7.0)
    assert limiter.limited_networks(7.5) == 1
    assert limiter.limited_networks(8.5) == 1
    outcomes(limiter, "192.0.3.1", 6, now=8.0)
    assert limiter.limited_networks(8.5) == 2
    assert limiter.limited_networks(9.5) == 1
    assert limiter.limited_networks(10.5) == 0


def test_the_memory_of_sources_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MEMO_ENTRIES", 8)
    limiter = RateLimiter(replace(SETTINGS, ceiling=1000))
    assert outcomes(limiter, "192.0.2.1", 5) == "sssss"
    for number in range(100):
        limiter.judge(f"10.0.{number}.1", False, 7.5)
        assert len(limiter._networks) <= 8
    # Forgetting whose network it was forgets nothing of what the network got.
    assert outcomes(limiter, "192.0.2.1", 1) == "-"


def test_threads_together_get_no_more_than_one_alone() -> None:
    limiter = RateLimiter(replace(SETTINGS, responses_per_second=300, ceiling=10_000))
    limiter.judge("10.0.0.1", False, 7.5)  # the second has begun
    results: list[str] = []

    def listener() -> None:
        results.append("".join(outcomes(limiter, "192.0.2.1", 1) for _ in range(500)))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=listener) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    letters = Counter("".join(results))
    assert letters == {"s": 300, "t": 850, "-": 850}
    assert (limiter.sent, limiter.slipped, limiter.dropped["network"]) == (301, 850, 850)


SOURCES = [f"192.0.{third}.{last}" for third in range(4) for last in (1, 2)] + [
    f"2001:db8:{group}::1" for group in (1, 2, "e")
]
RESPONSES = st.lists(st.tuples(st.sampled_from(SOURCES), st.booleans(), st.integers(0, 400)), max_size=300)


def network_of(source: str) -> str:
    address = ip_address(source)
    return str(ip_network(f"{source}/{24 if address.version == 4 else 56}", strict=False))


@given(RESPONSES, st.integers(1, 6), st.integers(1, 6), st.integers(1, 25), st.integers(0, 4))
def test_no_limit_is_ever_passed(
    responses: list[tuple[str, bool, int]], answers: int, errors: int, ceiling: int, slip: int
) -> None:
    settings = replace(
        SETTINGS, responses_per_second=answers, errors_per_second=errors, ceiling=ceiling, slip=slip
    )
    limiter = RateLimiter(settings)
    sent: Counter[tuple[int, str, bool]] = Counter()
    together: Counter[int] = Counter()
    over: Counter[tuple[int, str, bool]] = Counter()
    now = 0.0
    for source, error, pause in responses:
        now += pause / 1000
        dropped = dict(limiter.dropped)
        outcome = limiter.judge(source, error, now)
        if source == "2001:db8:e::1":
            assert outcome is SEND
            continue
        key = (int(now), network_of(source), error)
        if outcome is SEND:
            sent[key] += 1
            together[int(now)] += 1
        elif limiter.dropped["ceiling"] > dropped["ceiling"]:
            assert together[int(now)] == ceiling
        else:
            over[key] += 1
            together[int(now)] += outcome is SLIP
            assert sent[key] == (errors if error else answers)
            assert (outcome is SLIP) == (slip > 0 and over[key] % slip == 0)
        assert sent[key] <= (errors if error else answers)
        assert together[int(now)] <= ceiling
        assert limiter.counts <= ceiling
    judged = limiter.sent + limiter.exempt + limiter.slipped + sum(limiter.dropped.values())
    assert judged == len(responses)
