"""How many observers it takes: any, shares, all; and that by none silence alone brings a target down."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_fleet import observation

from gslb.fleet import Quorum
from gslb.health.quorum import MAJORITY, brought_down_by_silence, conclude, votes_needed
from gslb.world import Observation, TargetState, Verdict

T = "eu-west/192.0.2.1"
ANY, ALL = Quorum(0.0, True), Quorum(1.0, False)
TWO_THIRDS = Quorum(2 / 3, False)
UP, DOWN, UNKNOWN = Verdict.UP, Verdict.DOWN, Verdict.UNKNOWN
LETTERS = {"u": UP, "d": DOWN, "-": UNKNOWN}


def voices(said: str, since: float = 0.0) -> list[Observation]:
    """`uud`: the first two observers say up, the third down; each a second later than the one before."""
    return [
        observation(observer=f"ns{number}", verdict=LETTERS[letter], since=since + number)
        for number, letter in enumerate(said)
    ]


@pytest.mark.parametrize(
    ("quorum", "opinions", "needed"),
    [
        (ANY, 1, 1),
        (ANY, 100, 1),
        (MAJORITY, 1, 1),
        (MAJORITY, 2, 2),
        (MAJORITY, 3, 2),
        (MAJORITY, 4, 3),
        (ALL, 1, 1),
        (ALL, 7, 7),
        (Quorum(0.5, False), 4, 2),
        (Quorum(0.5, False), 3, 2),
        (TWO_THIRDS, 3, 2),
        (TWO_THIRDS, 6, 4),
        (Quorum(0.29, False), 100, 29),
        (Quorum(0.55, True), 100, 56),
        # More than all, or at least none, is what nobody means.
        (Quorum(1.0, True), 3, 3),
        (Quorum(0.0, False), 3, 1),
    ],
)
def test_how_many_must_say_down(quorum: Quorum, opinions: int, needed: int) -> None:
    assert votes_needed(quorum, opinions) == needed


@pytest.mark.parametrize(
    ("quorum", "said", "verdict", "since", "reason"),
    [
        (ANY, "uuu", UP, 2.0, "3 of 3 observers: 200"),
        (ANY, "uud", DOWN, 2.0, "1 of 3 observers, any suffices: connection refused"),
        (ANY, "dd", DOWN, 0.0, "2 of 2 observers, any suffices: connection refused"),
        (ANY, "d", DOWN, 0.0, "1 of 1 observer: connection refused"),
        (ANY, "d-", DOWN, 0.0, "1 of 1 observer: connection refused"),
        (ANY, "---", UNKNOWN, 0.0, "no fresh observations"),
        (MAJORITY, "ddu", DOWN, 1.0, "2 of 3 observers: connection refused"),
        (ALL, "ddu", UP, 2.0, "1 of 3 observers, all are needed to call it down: 200"),
        (ALL, "ddd", DOWN, 2.0, "3 of 3 observers, all are needed: connection refused"),
        (ALL, "dd-", DOWN, 1.0, "2 of 2 observers, all are needed: connection refused"),
        (TWO_THIRDS, "dduu", UP, 3.0, "2 of 4 observers, 3 are needed to call it down: 200"),
        (TWO_THIRDS, "dddu", DOWN, 2.0, "3 of 4 observers, 3 suffice: connection refused"),
        (Quorum(0.5, False), "du", DOWN, 0.0, "1 of 2 observers, any suffices: connection refused"),
    ],
)
def test_what_follows_since_when_and_how_it_is_said(
    quorum: Quorum, said: str, verdict: Verdict, since: float, reason: str
) -> None:
    state = conclude(T, voices(said), quorum)
    assert (state.verdict, state.since, state.reason) == (verdict, since, reason)


@pytest.mark.parametrize(
    ("quorum", "before", "now", "by_silence"),
    [
        # Silent observers are left out of `now`; a dot keeps the place.
        (MAJORITY, "uud", "..d", True),
        (MAJORITY, "uud", ".dd", False),
        (MAJORITY, "uudd", ".udd", True),
        (MAJORITY, "uuudd", ".dd..", False),  # those who said down before they fell silent count as well
        (Quorum(0.4, True), "uud", ".ud", True),
        (Quorum(0.4, True), "uuu", "uud", False),
        (ALL, "uud", "..d", True),
        (ALL, "ud", "dd", False),
        (ANY, "uuu", "..d", False),  # it is news, whoever else is silent
        (ANY, "u", "", False),  # unknown is not down
    ],
)
def test_who_was_brought_down_by_silence(quorum: Quorum, before: str, now: str, by_silence: bool) -> None:
    assert conclude(T, voices(before), quorum).verdict is UP
    heard = [each for letter, each in zip(now, voices(now.replace(".", "-")), strict=True) if letter != "."]
    assert brought_down_by_silence(of(before, quorum), conclude(T, heard, quorum), quorum) == by_silence


def of(said: str, quorum: Quorum) -> TargetState:
    return conclude(T, voices(said), quorum)


QUORUMS = st.sampled_from([ANY, MAJORITY, ALL, TWO_THIRDS, Quorum(0.4, True), Quorum(0.25, False)])
SAID = st.text("ud-", max_size=7)


@given(QUORUMS, SAID)
def test_no_falling_silent_is_more_than_silence(quorum: Quorum, said: str) -> None:
    """Whoever is left out, a target that was UP is held, for nobody said anything new."""
    before = conclude(T, voices(said), quorum)
    if before.verdict is not UP:
        return
    for left in range(2 ** len(said)):
        heard = [each for number, each in enumerate(voices(said)) if left >> number & 1]
        now = conclude(T, heard, quorum)
        assert now.verdict is not DOWN or brought_down_by_silence(before, now, quorum)


@given(QUORUMS, SAID.filter(lambda said: "u" in said or "d" in said))
def test_down_is_what_enough_say_and_since_when_enough_did(quorum: Quorum, said: str) -> None:
    state = conclude(T, voices(said), quorum)
    opinions = said.replace("-", "")
    needed = votes_needed(quorum, len(opinions))
    assert 1 <= needed <= len(opinions)
    assert (state.verdict is DOWN) == (opinions.count("d") >= needed)
    # At `since` the verdict stood already, however those who came to agree later had voted.
    turned = [
        replace(each, verdict=UP if state.verdict is DOWN else DOWN)
        if each.verdict is state.verdict and each.since > state.since
        else each
        for each in state.observations
    ]
    assert conclude(T, turned, quorum).verdict is state.verdict
    turned = [
        replace(each, verdict=UP if state.verdict is DOWN else DOWN)
        if each.verdict is state.verdict and each.since >= state.since
        else each
        for each in state.observations
    ]
    assert conclude(T, turned, quorum).verdict is not state.verdict, "and not before"


@given(QUORUMS, SAID)
def test_more_that_say_down_never_bring_it_up(quorum: Quorum, said: str) -> None:
    worse = conclude(T, voices(said.replace("u", "d", 1)), quorum)
    assert worse.verdict is DOWN or of(said, quorum).verdict is not DOWN
