"""The compiled limiter judges as the one in Python does, and loses nothing between threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gslb.dns.rate_limit import Limited, Outcome, RateLimiter
from gslb.fleet import RateLimitSettings

limiting = pytest.importorskip("gslb.dns.compiled.limiter", reason="the compiled modules are not built")
Limiter = limiting.Limiter

SETTINGS = RateLimitSettings(
    responses_per_second=5,
    errors_per_second=2,
    ceiling=20,
    slip=2,
    exempt=(ip_network("198.51.100.0/24"), ip_network("198.51.101.0/25"), ip_network("2001:db8:e::/48")),
)
SOURCES = [
    *(f"192.0.{third}.{last}" for third in range(4) for last in (1, 255)),
    *(f"2001:db8:{group}::1" for group in (1, 2, "e", "1:1ff", "1:200")),
    *("::ffff:192.0.2.9", "fe80::1%eth0", "fe80::2%eth0", "0.0.0.1", "::1", "255.255.255.255"),
    *("198.51.99.255", "198.51.100.0", "198.51.101.127", "198.51.101.128", "::ffff:198.51.100.9"),
    *("2001:db8:d:ffff:ffff:ffff:ffff:ffff", "2001:db8:e:ffff:ffff:ffff:ffff:ffff", "2001:db8:f::"),
]
RESPONSES = st.lists(
    st.tuples(st.sampled_from(SOURCES), st.booleans(), st.integers(-1200, 2500)), max_size=200
)


def outcomes(limiter: object, source: str, count: int, *, error: bool = False, now: float = 7.5) -> str:
    """One letter for each of `count` responses: s sent, t truncated, - dropped."""
    letters = {Outcome.SEND: "s", Outcome.SLIP: "t", Outcome.DROP: "-"}
    judge: Callable[[str, bool, float], Outcome] = limiter.judge  # type: ignore[attr-defined]
    return "".join(letters[judge(source, error, now)] for _ in range(count))


@given(
    RESPONSES,
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 25),
    st.integers(0, 4),
    st.sampled_from([(24, 56), (32, 128), (8, 16), (20, 65), (31, 63), (32, 64)]),
)
def test_every_response_fares_as_in_python(
    responses: list[tuple[str, bool, int]],
    answers: int,
    errors: int,
    ceiling: int,
    slip: int,
    lengths: tuple[int, int],
) -> None:
    settings = replace(
        SETTINGS,
        responses_per_second=answers,
        errors_per_second=errors,
        ceiling=ceiling,
        slip=slip,
        ipv4_prefix_length=lengths[0],
        ipv6_prefix_length=lengths[1],
    )
    compiled, plain = Limiter(settings), RateLimiter(settings)
    now = 1_700_000_000.0
    for source, error, pause in responses:
        now += pause / 1000 if abs(pause) > 600 else 0.01
        assert compiled.judge(source, error, now) is plain.judge(source, error, now)
        assert compiled.limited_networks(now) == plain.limited_networks(now)
        assert networks(compiled.newly_limited()) == networks(plain.newly_limited())
        assert compiled.counts == plain.counts
    for total in ("sent", "exempt", "slipped", "dropped"):
        assert getattr(compiled, total) == getattr(plain, total)


def networks(begun: tuple[Limited, ...]) -> list[Limited]:
    return [limited for limited in begun if limited.network is not None]


def test_reaching_the_ceiling_is_told_once_while_it_lasts() -> None:
    limiter = Limiter(SETTINGS)
    for now in (7.0, 8.0, 11.0):
        for number in range(30):
            limiter.judge(f"10.0.{number}.1", False, now)
    assert limiter.newly_limited() == (Limited(None, False, 20), Limited(None, False, 20))
    assert limiter.newly_limited() == ()


def test_the_ceiling_is_told_also_if_a_truncated_answer_reaches_it() -> None:
    limiter = Limiter(replace(SETTINGS, responses_per_second=1, ceiling=1, slip=1))
    assert outcomes(limiter, "192.0.2.1", 3) == "s--"
    assert limiter.dropped == {"network": 0, "ceiling": 2}
    assert limiter.newly_limited() == (Limited(None, False, 1),)


def test_beginnings_that_nobody_asks_for_do_not_pile_up() -> None:
    limiter = Limiter(SETTINGS)
    for now in range(0, 1000, 2):
        outcomes(limiter, "192.0.2.1", 6, now=now)
    assert limiter.newly_limited() == (Limited("192.0.2.0/24", False, 5),) * 10
    outcomes(limiter, "192.0.3.1", 3, error=True, now=1001)
    assert limiter.newly_limited() == (Limited("192.0.3.0/24", True, 2),)


def test_seconds_without_end_leave_no_trace() -> None:
    # Slots carry 16 bits of the window's number, which come round again.
    limiter = Limiter(replace(SETTINGS, ceiling=4), most_slots=8)
    for second in range(140_000):
        assert limiter.rehearse(["192.0.2.1", "10.0.0.1"], False, float(second), 1) == (2, 0, 0)
        assert limiter.counts == 2


def test_a_network_that_finds_no_place_shares_the_count_of_another() -> None:
    limiter = Limiter(replace(SETTINGS, ceiling=1_000_000), most_slots=64)
    sources = [f"10.{high}.{low}.1" for high in range(20) for low in range(100)]
    sent, slipped, dropped = limiter.rehearse(sources, False, 7.5, 1)
    assert limiter.counts == 64
    assert sent == 64 * 5
    assert (limiter.sent, limiter.slipped, limiter.dropped["network"]) == (sent, slipped, dropped)
    # The next second finds them all empty.
    assert limiter.rehearse(sources[:300], False, 8.5, 1)[0] > 64


def test_a_table_that_is_large_enough_counts_every_network_apart() -> None:
    limiter = Limiter(replace(SETTINGS, ceiling=60_000, responses_per_second=2))
    sources = [f"10.{high}.{low}.1" for high in range(100) for low in range(200)]
    for now in (7.5, 8.5, 9.5):
        assert limiter.rehearse(sources, False, now, 2) == (40_000, 0, 0)
        assert limiter.counts == 20_000
        assert limiter.rehearse(sources[:3000], False, now, 2) == (0, 3000, 3000)


def together(threads: int, work: Callable[[int], None]) -> None:
    """Run `work` in so many threads that begin at once; it gets the thread's number."""
    start = threading.Barrier(threads)
    failures: list[BaseException] = []

    def begin(number: int) -> None:
        start.wait(30)
        try:
            work(number)
        except BaseException as failure:
            failures.append(failure)

    running = [threading.Thread(target=begin, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failures:
        raise failures[0]


def test_threads_without_the_gil_get_no_more_together_than_one_alone() -> None:
    limiter = Limiter(replace(SETTINGS, responses_per_second=30_000, errors_per_second=7, ceiling=10_000_000))
    sources = [f"10.0.{third}.{last}" for third in range(20) for last in (1, 2)]
    limiter.judge("192.0.2.1", False, 7.5)  # the second has begun
    results: list[tuple[int, int, int]] = []
    together(4, lambda _: results.append(limiter.rehearse(sources, False, 7.5, 10_000)))
    sent, slipped, dropped = (sum(column) for column in zip(*results, strict=True))
    assert (sent, slipped, dropped) == (20 * 30_000, 500_000, 500_000)
    assert (limiter.sent, limiter.slipped, limiter.dropped["network"]) == (sent + 1, slipped, dropped)
    assert (limiter.counts, limiter.limited_networks(7.5)) == (21, 20)


def test_threads_that_take_places_at_once_never_count_a_network_twice() -> None:
    limiter = Limiter(replace(SETTINGS, responses_per_second=3, slip=0, ceiling=10_000_000))
    sources = [f"10.{high}.{low}.1" for high in range(100) for low in range(200)]
    limiter.judge("192.0.2.1", False, 7.5)
    orders = [sources, sources[::-1]] * 2
    results: list[tuple[int, int, int]] = []
    together(4, lambda number: results.append(limiter.rehearse(orders[number], False, 7.5, 1)))
    assert sum(sent for sent, _, _ in results) == 60_000
    assert limiter.counts == 20_001


def test_the_ceiling_holds_for_all_threads() -> None:
    limiter = Limiter(replace(SETTINGS, responses_per_second=1_000_000, ceiling=100_000))
    limiter.judge("192.0.2.1", False, 7.5)
    results: list[tuple[int, int, int]] = []
    together(4, lambda number: results.append(limiter.rehearse([f"10.0.{number}.1"], False, 7.5, 100_000)))
    assert sum(sent for sent, _, _ in results) == 99_999
    assert limiter.newly_limited() == (Limited(None, False, 100_000),)


def test_threads_that_enter_seconds_together_and_apart_lose_no_response_from_the_totals() -> None:
    limiter = Limiter(replace(SETTINGS, responses_per_second=100, slip=0, ceiling=10_000_000))
    results: list[int] = []

    def work(_: int) -> None:
        results.append(
            sum(limiter.rehearse(["10.0.0.1"], False, float(second), 50)[0] for second in range(2000))
        )

    together(4, work)
    assert limiter.sent == sum(results)
    assert limiter.sent + limiter.dropped["network"] == 4 * 2000 * 50


@pytest.mark.parametrize("source", ["", "10.0.0", "localhost", "10.0.0.0/8"])
def test_what_is_no_address_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Limiter(SETTINGS).judge(source, False, 7.5)
