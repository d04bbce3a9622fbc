"""A target that falls again and again is held down: for how long, what it says of that, and what ends it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_fleet import CHECK

from gslb.clock import FakeClock
from gslb.fleet import Damping, HealthCheck, SocketAddress
from gslb.health.checks import ProbeOutcome
from gslb.health.prober import Prober
from gslb.health.verdict import Seen, is_news, pause_after, reason_class, see
from gslb.world import Observation, Verdict

GOOD = ProbeOutcome(True, "200 in 12 ms", 0.012)
BAD = ProbeOutcome(False, "connection refused", 0.001)
QUICK = replace(
    CHECK, interval=1.0, rise=1, fall=1, damping=Damping(flaps=3, window=60.0, hold=10.0, most=35.0)
)


class Watched:
    """One target, probed once a second."""

    def __init__(self, check: HealthCheck = QUICK) -> None:
        self.check = check
        self.clock = FakeClock()
        self.seen: Seen | None = None
        self.told: list[Observation] = []

    def see(self, ok: bool) -> Observation:
        self.seen = see(
            self.seen,
            GOOD if ok else BAD,
            target="t",
            observer="ns1",
            check=self.check,
            now=self.clock.now(),
            monotonic=self.clock.monotonic(),
            epoch=1,
        )
        self.clock.advance(1.0)
        self.told.append(self.seen.observation)
        return self.seen.observation

    def follow(self, outcomes: str) -> str:
        """`+` is a success, `-` a failure; the verdicts, `U` and `D`."""
        return "".join("U" if self.see(each == "+").verdict is Verdict.UP else "D" for each in outcomes)

    def seconds_until_up(self) -> int:
        """Successes, one a second, until it is UP."""
        for seconds in range(1, 1000):
            if self.see(True).verdict is Verdict.UP:
                return seconds
        raise AssertionError("never")


@pytest.mark.parametrize(
    ("flaps", "outcomes", "verdicts"),
    [
        (0, "+-+-+-+-+-+", "UDUDUDUDUDU"),
        (3, "+-+-+-+++++", "UDUDUDDDDDD"),
        (2, "+-+-++", "UDUDDD"),
        (1, "+-++", "UDDD"),
        (3, "-+-+-++", "DUDUDUU"),  # the first outcome is no fall
    ],
)
def test_from_its_nth_fall_on_it_is_held(flaps: int, outcomes: str, verdicts: str) -> None:
    watched = Watched(replace(QUICK, damping=replace(QUICK.damping, flaps=flaps)))
    assert watched.follow(outcomes) == verdicts


def test_each_further_fall_holds_it_twice_as_long_but_not_beyond_the_most() -> None:
    watched = Watched()
    watched.follow("+-+-+-")
    held = [watched.seconds_until_up()]
    for _ in range(4):
        watched.follow("-")
        held.append(watched.seconds_until_up())
    # The success that reaches rise begins the hold, one that comes when it is over ends it.
    assert held == [11, 21, 36, 36, 36]


def test_a_hold_is_counted_from_when_rise_was_reached() -> None:
    watched = Watched(replace(QUICK, rise=3))
    watched.follow("+-+++-+++-")
    assert watched.follow("-----++") == "DDDDDDD"
    assert watched.seconds_until_up() == 11


def test_a_failure_in_a_hold_begins_it_anew_and_is_no_fall() -> None:
    watched = Watched()
    watched.follow("+-+-+-")
    assert watched.follow("+++++-") == "DDDDDD"
    assert watched.seconds_until_up() == 11


def test_after_a_quiet_window_all_is_forgotten() -> None:
    watched = Watched()
    watched.follow("+-+-+-")
    watched.seconds_until_up()
    watched.follow("+" * 60)
    assert watched.follow("-+-+-+") == "DUDUDD"


def test_a_long_outage_is_no_flapping() -> None:
    watched = Watched()
    watched.follow("+-+-+-")
    watched.follow("-" * 60)
    assert watched.seconds_until_up() == 1
    assert watched.follow("-+") == "DU", "what was forgotten does not come back"


def test_falls_that_lie_apart_are_no_flapping() -> None:
    watched = Watched()
    for _ in range(6):
        assert watched.follow("-+") == "DU"
        watched.follow("+" * 30)
    assert watched.told[-1].verdict is Verdict.UP


def test_steps_of_the_wall_clock_change_nothing() -> None:
    def verdicts(steps: float) -> list[tuple[Verdict, str, float]]:
        watched = Watched()
        for number, each in enumerate("+-+-+-+++++++++++++++-+++++"):
            watched.clock.step(steps * (-1) ** number)
            watched.see(each == "+")
        return [(each.verdict, each.reason, each.flip_in) for each in watched.told]

    assert verdicts(3600.0) == verdicts(0.0)


def test_it_says_why_and_for_how_long_and_that_is_no_news_with_each_probe() -> None:
    watched = Watched()
    watched.follow("+-+-+-")
    assert watched.told[-1].reason == "connection refused"
    assert watched.told[-1].flip_in == 8.0, "a success would begin a hold"
    watched.told.clear()
    watched.seconds_until_up()
    held = watched.told[:-1]
    assert [each.reason for each in held[:2]] == [
        "200 in 12 ms; held down for 10 s more after 3 falls in 4 s",
        "200 in 12 ms; held down for 9 s more after 3 falls in 4 s",
    ]
    assert {reason_class(each.reason) for each in held} == {"200; held down after 3 falls in 4 s"}
    assert [each.flip_in for each in held] == [8.0, 8.0, 8.0, 4.0, 4.0, 4.0, 4.0, 2.0, 2.0, 1.0]
    news = [is_news(before, after) for before, after in pairwise(held)]
    assert sum(news) == 3
    assert watched.told[-1].reason == "200 in 12 ms"


def test_one_fall_is_said_as_one() -> None:
    watched = Watched(replace(QUICK, damping=replace(QUICK.damping, flaps=1)))
    watched.follow("+-")
    assert watched.see(True).reason == "200 in 12 ms; held down for 10 s more after 1 fall"


def test_what_is_held_is_not_probed_faster() -> None:
    watched = Watched(replace(QUICK, rise=2, fast_interval=0.1))
    watched.follow("+-++-++-")
    assert pause_after(watched.see(True), watched.check) == 0.1, "one of two"
    assert pause_after(watched.see(True), watched.check) == 1.0


def test_a_hold_is_bounded_however_often_a_target_falls_and_whatever_is_declared() -> None:
    watched = Watched(replace(QUICK, damping=Damping(flaps=50, window=1e9, hold=1.0, most=5.0)))
    for _ in range(3000):
        watched.follow("-+")
    assert watched.seen is not None
    assert len(watched.seen.flapping.falls) < 100
    watched.check = replace(watched.check, damping=replace(watched.check.damping, flaps=1))
    watched.follow("-")
    assert watched.seconds_until_up() == 6


@given(
    st.lists(st.booleans(), min_size=1, max_size=120),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 4),
    st.floats(1.0, 100.0),
    st.floats(0.0, 20.0),
    st.floats(1.0, 50.0),
)
def test_what_always_holds(
    oks: list[bool], rise: int, fall: int, flaps: int, window: float, hold: float, most: float
) -> None:
    watched = Watched(replace(QUICK, rise=rise, fall=fall, damping=Damping(flaps, window, hold, most)))
    undamped = Watched(replace(QUICK, rise=rise, fall=fall, damping=Damping(flaps=0)))
    for ok in oks:
        before = watched.told[-1] if watched.told else None
        after, plain = watched.see(ok), undamped.see(ok)
        assert after.verdict is Verdict.DOWN or plain.verdict is Verdict.UP, "it only ever holds down"
        assert after.sequence == plain.sequence
        assert after.flip_in > 0
        if before is not None and before.verdict is not after.verdict:
            assert before.flip_in <= watched.check.interval, "flip_in had said that it could be the next one"
    # Nothing is held for longer than the most after it is well for good.
    assert watched.seconds_until_up() <= rise + most + 1


class Scripted:
    """A check that answers as told."""

    def __init__(self) -> None:
        self.ok = True

    async def probe(self, target: SocketAddress, timeout: float) -> ProbeOutcome:
        return GOOD if self.ok else BAD


async def test_a_prober_goes_on_counting_falls_through_other_targets_and_steps_of_the_clock() -> None:
    clock, scripted, told = FakeClock(), Scripted(), list[Observation]()
    check = replace(QUICK, check=scripted)
    address = SocketAddress("192.0.2.1", 80)
    prober = Prober({"t": (check, address)}, "ns1", clock, told.append, 1)

    async def probe(outcomes: str) -> str:
        begin = len(told)
        for each in outcomes:
            scripted.ok = each == "+"
            await prober.initial_round(30.0)
            clock.advance(1.0)
        return "".join("U" if each.verdict is Verdict.UP else "D" for each in told[begin:])

    assert await probe("+-+-+") == "UDUDU"
    prober.use({"t": (check, SocketAddress("192.0.2.2", 80))})
    clock.step(-3600.0)
    assert await probe("-+++++++++++") == "DDDDDDDDDDDU"
    prober.use({})
    prober.use({"t": (check, address)})
    assert await probe("+-+") == "UDU", "one that went is forgotten"
