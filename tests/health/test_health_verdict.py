"""Rise and fall: when a verdict flips, what it says of itself on the way, and what is worth telling."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_fleet import CHECK

from gslb.fleet import HealthCheck
from gslb.health.checks import ProbeOutcome
from gslb.health.verdict import is_news, pause_after, reason_class, step
from gslb.world import Observation, Verdict

GOOD = ProbeOutcome(True, "200 in 12 ms", 0.012)
BAD = ProbeOutcome(False, "connection refused", 0.001)


def follow(
    outcomes: list[ProbeOutcome], previous: Observation | None = None, check: HealthCheck = CHECK
) -> list[Observation]:
    seen = []
    for number, outcome in enumerate(outcomes):
        previous = step(
            previous, outcome, target="t", observer="ns1", check=check, now=100.0 + number, epoch=7
        )
        seen.append(previous)
    return seen


@pytest.mark.parametrize(("outcome", "verdict"), [(GOOD, Verdict.UP), (BAD, Verdict.DOWN)])
def test_the_first_outcome_decides_at_once(outcome: ProbeOutcome, verdict: Verdict) -> None:
    (first,) = follow([outcome])
    assert first == Observation(
        target="t",
        observer="ns1",
        verdict=verdict,
        reason=outcome.reason,
        since=100.0,
        consecutive=1,
        flip_in=3.0 if outcome.ok else 2.0,
        epoch=7,
        sequence=1,
    )


def test_unknown_is_decided_by_the_next_outcome() -> None:
    unknown = replace(follow([GOOD])[0], verdict=Verdict.UNKNOWN, consecutive=0)
    (after,) = follow([BAD], unknown)
    assert (after.verdict, after.since, after.sequence) == (Verdict.DOWN, 100.0, 2)


def test_three_failures_in_a_row_end_up_and_two_successes_end_down() -> None:
    seen = follow([GOOD, GOOD, BAD, BAD, BAD, BAD, GOOD, GOOD])
    assert [(each.verdict.value, each.consecutive, each.since, each.flip_in) for each in seen] == [
        ("up", 1, 100.0, 3.0),
        ("up", 2, 100.0, 3.0),
        ("up", -1, 100.0, 2.0),
        ("up", -2, 100.0, 1.0),
        ("down", 3, 104.0, 2.0),
        ("down", 4, 104.0, 2.0),
        ("down", -1, 104.0, 1.0),
        ("up", 2, 107.0, 3.0),
    ]
    assert [each.reason for each in seen[2:5]] == [
        "connection refused (failure 1 of 3)",
        "connection refused (failure 2 of 3)",
        "connection refused",
    ]
    assert seen[6].reason == "200 in 12 ms (success 1 of 2)"


def test_one_success_forgives_failures() -> None:
    seen = follow([GOOD, BAD, BAD, GOOD, BAD, BAD])
    assert {each.verdict for each in seen} == {Verdict.UP}
    assert [each.consecutive for each in seen] == [1, -1, -2, 1, -1, -2]


def test_what_confirms_a_doubt_comes_faster() -> None:
    quick = replace(CHECK, interval=5.0, fast_interval=0.5)
    seen = follow([GOOD, BAD, BAD, BAD, BAD, GOOD, GOOD], check=quick)
    assert [(each.verdict.value, pause_after(each, quick), each.flip_in) for each in seen] == [
        ("up", 5.0, 6.0),
        ("up", 0.5, 1.0),
        ("up", 0.5, 0.5),
        ("down", 5.0, 5.5),
        ("down", 5.0, 5.5),
        ("down", 0.5, 0.5),
        ("up", 5.0, 6.0),
    ]
    assert pause_after(None, quick) == 0.5
    assert pause_after(replace(seen[0], verdict=Verdict.UNKNOWN, consecutive=0), quick) == 0.5
    assert pause_after(None, CHECK) == pause_after(seen[1], CHECK) == CHECK.interval


@given(
    st.lists(st.booleans(), min_size=1, max_size=40),
    st.none() | st.floats(0.1, 5.0),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_an_outcome_later_a_flip_is_that_much_nearer(
    oks: list[bool], fast: float | None, rise: int, fall: int
) -> None:
    check = replace(CHECK, interval=5.0, fast_interval=fast, rise=rise, fall=fall)
    last = follow([GOOD if ok else BAD for ok in oks], check=check)[-1]
    waited, now = 0.0, last
    while now.verdict is last.verdict:
        waited += pause_after(now, check)
        (now,) = follow([BAD if last.verdict is Verdict.UP else GOOD], now, check)
    assert last.flip_in == pytest.approx(waited)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_what_always_holds(oks: list[bool]) -> None:
    seen = follow([GOOD if ok else BAD for ok in oks])
    for number, (before, after) in enumerate(zip([None, *seen], seen, strict=False)):
        assert after.sequence == number + 1
        assert after.consecutive != 0
        assert after.flip_in > 0
        if before is None:
            continue
        flipped = before.verdict is not after.verdict
        assert (after.since != before.since) == flipped
        if flipped:
            needed = CHECK.fall if before.verdict is Verdict.UP else CHECK.rise
            assert len(set(oks[number + 1 - needed : number + 1])) == 1
            assert before.flip_in == CHECK.interval, "flip_in had said that it could be the next one"
            assert is_news(before, after)


def test_a_moment_is_kept_to_the_millisecond_as_it_travels() -> None:
    after = step(None, GOOD, target="t", observer="o", check=CHECK, now=1_800_000_000.123456, epoch=1)
    assert after.since == 1_800_000_000.123


def test_news_is_what_matters_to_others() -> None:
    base = follow([GOOD, GOOD])[-1]
    assert is_news(None, base)
    assert not is_news(base, replace(base, reason="200 in 340 ms", consecutive=99, sequence=99))
    assert is_news(base, replace(base, verdict=Verdict.DOWN))
    assert is_news(base, replace(base, consecutive=-1))
    assert is_news(base, replace(base, reason="204 in 12 ms"))
    assert is_news(base, replace(base, flip_in=1.0))
    assert is_news(base, replace(base, since=1.0))


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("200 in 12 ms", "200"),
        ("200 in 0.4 ms (success 1 of 2)", "200 (success 1 of 2)"),
        ("timeout after 500 ms", "timeout after 500 ms"),
        ("connection refused", "connection refused"),
    ],
)
def test_reason_class(reason: str, expected: str) -> None:
    assert reason_class(reason) == expected
