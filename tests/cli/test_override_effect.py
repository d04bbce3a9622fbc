"""What a word would make of the world: who is left eligible, what comes first, what a hold keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fleets import NOW, fleet, state, world
from hypothesis import given
from hypothesis import strategies as st

from gslb.override_effect import (
    eligible_regions,
    keeps_clients_away,
    left_without,
    override_on,
    subject_text,
    verdicts_to_hold,
    with_override,
    without_override,
)
from gslb.world import Override, OverrideKind, Verdict

FLEET = fleet(services=("www.shop.test", "api.shop.test"))
WWW, API = FLEET.services.values()
REGIONS = tuple(FLEET.regions)


def word(kind: OverrideKind, region: str = "eu-west", service: str = "", **more: object) -> Override:
    return Override(region, kind, "ana", "", NOW, None, service, **more)


def test_a_word_on_a_region_concerns_all_its_services():
    after = with_override(FLEET, world(), word(OverrideKind.DRAIN))
    assert eligible_regions(WWW, after) == eligible_regions(API, after) == ("us-east", "ap-southeast")


def test_a_word_on_a_service_in_a_region_concerns_nothing_else():
    after = with_override(FLEET, world(), word(OverrideKind.DRAIN, service="www.shop.test"))
    assert eligible_regions(WWW, after) == ("us-east", "ap-southeast")
    assert eligible_regions(API, after) == REGIONS


def test_a_word_on_a_service_everywhere_gives_way_to_one_in_a_region():
    here = word(OverrideKind.FORCED_UP, service="www.shop.test")
    everywhere = word(OverrideKind.FORCED_DOWN, "", "www.shop.test")
    for first, second in ((here, everywhere), (everywhere, here)):
        after = with_override(FLEET, with_override(FLEET, world(), first), second)
        assert eligible_regions(WWW, after) == ("eu-west",)
        assert override_on(FLEET, after, "", "www.shop.test") == everywhere
        assert override_on(FLEET, after, "eu-west", "www.shop.test") == here
        assert override_on(FLEET, after, "us-east", "www.shop.test") is None
    cleared = without_override(FLEET, after, "eu-west", "www.shop.test")
    assert eligible_regions(WWW, cleared) == (), "the word on the service everywhere holds again"


SUBJECTS = [("eu-west", ""), ("eu-west", "www.shop.test"), ("", "www.shop.test")]


@given(st.sampled_from(SUBJECTS), st.sampled_from([OverrideKind.DRAIN, OverrideKind.FORCED_UP]))
def test_what_is_taken_back_was_never_said(subject, kind):
    before = world(state("us-east", Verdict.DOWN))
    said = with_override(FLEET, before, word(kind, *subject))
    assert without_override(FLEET, said, *subject) == before


def test_services_are_left_without_a_region_only_if_they_had_one():
    down = world(state("us-east", Verdict.DOWN), state("ap-southeast", Verdict.DOWN))
    after = with_override(FLEET, down, word(OverrideKind.DRAIN))
    assert left_without(FLEET.services.values(), down, after) == ("www.shop.test", "api.shop.test")
    assert left_without(FLEET.services.values(), after, after) == ()
    assert left_without(FLEET.services.values(), world(), after) == ("www.shop.test", "api.shop.test")
    nothing = with_override(FLEET, down, word(OverrideKind.WEIGHT, weight=0.0))
    assert left_without(FLEET.services.values(), down, nothing) == ("www.shop.test", "api.shop.test")
    little = with_override(FLEET, down, word(OverrideKind.WEIGHT, weight=0.1))
    assert left_without(FLEET.services.values(), down, little) == ()


def test_a_hold_makes_nobody_eligible_who_is_not():
    served = replace(WWW, pools=frozenset({"web"}))
    fleet_of_pools = replace(FLEET, services={served.name: served})
    before = world(
        state("us-east", Verdict.DOWN),
        state("eu-west", thin=True),
        state("ap-southeast", without=frozenset({"web"})),
    )
    held = verdicts_to_hold(fleet_of_pools, before, "", served.name)
    assert held == dict.fromkeys(REGIONS, Verdict.DOWN)
    after = with_override(
        fleet_of_pools, before, word(OverrideKind.HOLD, "", served.name, held=tuple(held.items()))
    )
    assert eligible_regions(served, after) == eligible_regions(served, before) == ()
    assert verdicts_to_hold(FLEET, world(), "eu-west", "") == {"eu-west": Verdict.UP}


@pytest.mark.parametrize(
    ("said", "away"),
    [
        (word(OverrideKind.DRAIN), True),
        (word(OverrideKind.FORCED_DOWN), True),
        (word(OverrideKind.WEIGHT, weight=0.0), True),
        (word(OverrideKind.WEIGHT, weight=0.5), False),
        (word(OverrideKind.FORCED_UP), False),
        (word(OverrideKind.HOLD, held=(("eu-west", Verdict.UP),)), False),
    ],
)
def test_which_words_keep_clients_away(said, away):
    after = with_override(FLEET, world(), said)
    assert keeps_clients_away(after.region("eu-west"), "") == (said if away else None)
    assert keeps_clients_away(after.region("us-east"), "") is None


def test_subjects_are_named_as_people_say_them():
    assert subject_text("eu-west", "") == "eu-west"
    assert subject_text("eu-west", "www.test") == "www.test in eu-west"
    assert subject_text("", "www.test") == "www.test everywhere"
