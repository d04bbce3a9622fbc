"""Regions that do not take everybody: who goes on, who stays, and that nobody moves without need."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fleets import LONDON, NEW_YORK, NOW, TOKYO, MapLocator, client, fleet, state, world
from hypothesis import given
from hypothesis import strategies as st

from gslb.fleet import Bounds, Fleet, Spill
from gslb.policy.candidates import candidates_of
from gslb.policy.decision import Decision, decide
from gslb.policy.intake import PARTS, RELUCTANCES, coarse_share, part_of, reluctance
from gslb.policy.share import SHARES
from gslb.world import Intake, Override, OverrideKind, RegionState, TargetState, Verdict

SERVICE = "www.shop.test"
NEAR, FAR = "10.1.0.0/16", "10.2.0.0/16"
PLACES = MapLocator({NEAR: LONDON, FAR: TOKYO, "10.3.0.0/16": NEW_YORK})
BRITON = client("10.1.2.3", PLACES)

fractions = st.floats(0, 1)


def spilling() -> Fleet:
    made = fleet()
    regions = {name: replace(each, bounds=Bounds(Spill())) for name, each in made.regions.items()}
    return replace(made, regions=regions)


MADE = spilling()


def decided(part: int, *states: RegionState, made: Fleet = MADE) -> Decision:
    who = replace(BRITON, share=part * (SHARES // PARTS))
    return decide(made, made.services[SERVICE], who, world(*states), NOW)


def chosen(*states: RegionState) -> list[str]:
    """What each part of the Britons is answered with."""
    return [decided(part, *states).chosen or "" for part in range(PARTS)]


def taking(name: str, **intake: object) -> RegionState:
    return state(name, intake=Intake(reason="is full", **intake))


def moved(*states: RegionState) -> set[int]:
    return {part for part, name in enumerate(chosen(*states)) if name != "eu-west"}


@given(fractions, fractions)
def test_who_has_been_sent_on_stays_away_while_more_are(first, second):
    less, more = sorted((first, second))
    assert moved(taking("eu-west", shed=less)) <= moved(taking("eu-west", shed=more))
    assert moved(taking("eu-west", ramp=more)) <= moved(taking("eu-west", ramp=less))


@pytest.mark.parametrize("ramp", [0.0, 0.25, 0.5, 1.0])
def test_a_region_that_comes_back_takes_just_that_part_of_the_clients(ramp):
    assert len(moved(taking("eu-west", ramp=ramp))) == PARTS * (1 - ramp)


def test_who_gives_nobody_away_keeps_all_and_who_gives_all_away_none():
    assert not moved(taking("eu-west", takes=0.0))
    assert len(moved(taking("eu-west", shed=1.0))) == PARTS


def test_who_loses_less_goes_first():
    candidates = candidates_of(MADE, MADE.services[SERVICE])
    west, east = (MADE.regions[name].coordinates for name in ("eu-west", "us-east"))
    on_the_way = [
        replace(
            BRITON,
            located=replace(
                BRITON.located,
                location=replace(
                    BRITON.location,
                    coordinates=replace(
                        west, longitude=west.longitude + (east.longitude - west.longitude) * step / 8
                    ),
                ),
            ),
        )
        for step in range(4)
    ]
    losses = [reluctance(each, candidates, "eu-west") for each in on_the_way]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == RELUCTANCES - 1
    assert losses[-1] < losses[0]


def test_where_it_is_not_known_where_clients_are_nobody_loses_anything():
    candidates = candidates_of(MADE, MADE.services[SERVICE])
    assert reluctance(client("192.0.2.9", PLACES), candidates, "eu-west") == 0


def test_a_region_takes_only_so_many_of_the_clients_of_another():
    states = (state("eu-west", Verdict.DOWN), taking("us-east", takes=0.25))
    names = chosen(*states)
    assert names.count("us-east") == PARTS // 4
    assert names.count("ap-southeast") == PARTS - PARTS // 4
    assert decided(0, taking("us-east", takes=0.0)).chosen == "eu-west"


def test_when_nobody_takes_a_client_a_full_region_bears_it_before_one_that_is_coming_back():
    states = (
        taking("eu-west", ramp=0.0),
        taking("us-east", takes=0.0),
        taking("ap-southeast", ramp=0.0),
    )
    assert set(chosen(*states)) == {"us-east"}
    assert set(chosen(*(taking(name, shed=1.0, takes=0.0) for name in MADE.regions))) == {"eu-west"}


def test_the_parts_of_the_clients_are_told_apart_in_scope_and_in_reasons():
    whole = decided(0)
    divided = decided(sorted(moved(taking("eu-west", ramp=0.5)))[0], taking("eu-west", ramp=0.5))
    assert not whole.consulted.share
    assert divided.consulted.share
    assert divided.scope == 24
    assert "eu-west is passed over for this part of the clients: it is full" in " ".join(divided.reasons)


@given(st.integers(0, SHARES - 1))
def test_all_shares_of_a_part_are_answered_alike(share):
    known = (taking("eu-west", shed=0.4, ramp=0.7), taking("us-east", takes=0.5))
    made = MADE
    answers = {
        decide(made, made.services[SERVICE], replace(BRITON, share=each), world(*known), NOW).order
        for each in (share, coarse_share(share))
    }
    assert len(answers) == 1
    assert part_of(share) == part_of(coarse_share(share))


def said(kind: OverrideKind, service: str = "", **more: object) -> Override:
    return Override("eu-west", kind, "ana", "", NOW, service=service, **more)


DRAIN, UP = said(OverrideKind.DRAIN), said(OverrideKind.FORCED_UP)
HOLD_DOWN = said(OverrideKind.HOLD, held=(("eu-west", Verdict.DOWN),))
HOLD_UP = said(OverrideKind.HOLD, held=(("eu-west", Verdict.UP),))
NOBODY, HALF = (said(OverrideKind.WEIGHT, weight=weight) for weight in (0.0, 0.5))


@pytest.mark.parametrize(
    ("known", "eligible"),
    [
        (state("eu-west"), True),
        (state("eu-west", Verdict.UNKNOWN), True),
        (state("eu-west", Verdict.DOWN), False),
        (state("eu-west", thin=True), False),
        (state("eu-west", without=frozenset({"web"})), False),
        (state("eu-west", without=frozenset({"media"})), True),
        (state("eu-west", without=frozenset({"web"}), override=UP), True),
        (state("eu-west", Verdict.DOWN, override=UP), True),
        (state("eu-west", override=DRAIN), False),
        (state("eu-west", override=DRAIN, overrides={SERVICE: UP}), True),
        (state("eu-west", override=UP, overrides={SERVICE: DRAIN}), False),
        (state("eu-west", override=DRAIN, overrides={SERVICE: HALF}), False),
        (state("eu-west", overrides={"other.shop.test": DRAIN}), True),
        (state("eu-west", override=DRAIN, overrides={SERVICE: HOLD_UP}), False),
        (state("eu-west", override=UP, overrides={SERVICE: HOLD_DOWN}), True),
        (state("eu-west", override=HOLD_UP, without=frozenset({"web"})), False),
        (
            state(
                "eu-west", overrides={SERVICE: replace(HOLD_UP, service=SERVICE)}, without=frozenset({"web"})
            ),
            True,
        ),
        (state("eu-west", override=NOBODY), False),
        (state("eu-west", override=HALF), True),
        (state("eu-west", override=HOLD_DOWN), False),
        (state("eu-west", Verdict.DOWN, override=HOLD_UP), True),
        (state("eu-west", Verdict.DOWN, thin=True, override=HOLD_UP), True),
    ],
)
def test_whether_new_clients_of_a_service_may_come(known, eligible):
    assert known.eligible_for(SERVICE, frozenset({"web"})) is eligible
    made = replace(MADE, services={SERVICE: replace(MADE.services[SERVICE], pools=frozenset({"web"}))})
    names = {decided(part, known, made=made).chosen for part in range(PARTS)}
    assert ("eu-west" in names) is eligible


def test_a_region_that_is_held_answers_with_all_that_was_not_down_before():
    fallen, dead = (TargetState(text, Verdict.DOWN, since, "", 1.0) for text, since in TARGETS)
    known = state(
        "eu-west", Verdict.DOWN, override=HOLD_UP, targets={fallen.target: fallen, dead.target: dead}
    )
    answering = decided(0, known).answering
    assert [str(each) for each in answering[4][0].addresses] == [fallen.target]
    assert answering[6][0].region != "eu-west"


TARGETS = (("192.0.2.2", NOW + 1), ("2001:db8::2", NOW - 1))


def test_a_weight_is_the_part_of_the_clients_that_a_region_gets():
    assert len(moved(state("eu-west", override=HALF))) == PARTS // 2
    assert moved(state("eu-west", overrides={SERVICE: HALF})) == moved(state("eu-west", override=HALF))
    assert not moved(state("eu-west", overrides={"other.shop.test": HALF}))
