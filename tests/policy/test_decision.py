"""Decisions: eligibility before preference, always a reason, TTLs that end before the state can flip."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from fleets import NOW, authority, client, drained, fleet, fleets, region, state, world, worlds
from hypothesis import given
from hypothesis import strategies as st

from gslb.dns.name import from_text
from gslb.dns.query import IN
from gslb.dns.rdata import A
from gslb.fleet import AllDown, TimeToLive
from gslb.geo.location import Coordinates
from gslb.policy import Explanation, Ranking
from gslb.policy.base import NOTHING
from gslb.policy.decision import decide as policy_decide
from gslb.policy.failover import Failover
from gslb.policy.nearest import Nearest
from gslb.world import Override, OverrideKind, TargetState, Verdict

LONDON, TOKYO = "10.1.0.1", "10.2.0.1"


def decide(known, address=LONDON, **made):
    return authority(fleet(**made), known).decide("www.shop.test", client(address), NOW)


def order(decision):
    return [ranked.region for ranked in decision.ranked]


@given(st.data())
def test_an_eligible_region_is_always_preferred_to_an_ineligible_one(data):
    made = data.draw(fleets())
    known = data.draw(worlds(made))
    address = f"10.{data.draw(st.integers(0, 4))}.2.1"
    decision = authority(made, known).decide("www.shop.test", client(address), NOW)
    names = order(decision)
    assert sorted(names) == sorted(made.regions)
    flags = [ranked.eligible for ranked in decision.ranked]
    assert flags == sorted(flags, reverse=True)
    assert flags == [known.region(name).eligible for name in names]
    if any(flags):
        assert known.region(decision.chosen).eligible
        assert decision.chosen == names[0]
    elif made.services["www.shop.test"].all_down is AllDown.SERVFAIL:
        assert decision.chosen is None
        assert decision.addresses == ()
    else:
        assert decision.chosen is not None


@given(st.data())
def test_what_is_remembered_of_fleets_and_worlds_is_never_taken_for_that_of_others(data):
    """Services, fleets and worlds are found by identity; the same in fresh objects is decided anew."""
    asked = []
    for _ in range(3):
        made = data.draw(fleets())
        asked += [(made, data.draw(worlds(made))) for _ in range(2)]
    for made, known in data.draw(st.permutations(asked * 2)):
        service = made.services["www.shop.test"]
        fresh = replace(service, regions=(*service.regions,))
        elsewhere = replace(known, regions=dict(known.regions))
        for address in (LONDON, TOKYO):
            decided = policy_decide(made, service, client(address), known, NOW)
            anew = policy_decide(replace(made), fresh, client(address), elsewhere, NOW)
            assert decided == anew
            assert decided.reasons == anew.reasons


@given(st.data())
def test_every_decision_has_a_reason_and_a_time_to_live_within_bounds(data):
    made = data.draw(fleets())
    decision = authority(made, data.draw(worlds(made))).decide("www.shop.test", client(LONDON), NOW)
    bounds = made.services["www.shop.test"].ttl
    assert decision.reasons
    assert bounds.minimum <= decision.ttl <= max(bounds.minimum, bounds.wanted)


@given(st.data())
def test_that_a_family_has_no_addresses_never_depends_on_health(data):
    made = data.draw(fleets())
    decision = authority(made, data.draw(worlds(made))).decide("www.shop.test", client(LONDON), NOW)
    if decision.chosen is None:
        return
    declared = {
        address.version for each in made.regions.values() for edge in each.edges for address in edge.addresses
    }
    assert {address.version for address in decision.addresses} == declared


@dataclass(frozen=True)
class Talkative:
    """A policy that likes every region the same, and counts how often it is asked why."""

    told: list[str]
    consults = NOTHING

    def rank(self, client, candidates):
        return Ranking((tuple(region.name for region in candidates),), self._explain)

    def _explain(self):
        self.told.append("why")
        return Explanation({"us-east": "is liked"}, "all are liked")


def test_sentences_are_made_for_those_who_read_them_and_for_no_packet():
    told = []
    made = authority(fleet(policies=(Talkative(told), Nearest())), world(state("eu-west", Verdict.DOWN)))
    made.reply(from_text("www.shop.test"), A, IN, client(LONDON), NOW)
    assert told == []
    decision = made.decide("www.shop.test", client(LONDON), NOW)
    assert (decision.chosen, decision.order) == ("us-east", ("us-east", "ap-southeast", "eu-west"))
    assert told == []
    assert decision.notes == ("all are liked",)
    assert told
    assert decision.ranked[0].reasons[0] == "us-east is liked"
    assert decision.reasons == (
        *decision.notes,
        *(each for ranked in decision.ranked for each in ranked.reasons),
    )


def test_a_decision_tells_of_the_moment_it_was_made_at_and_equals_a_later_one_that_does_the_same():
    made = authority(fleet(), world(state("eu-west", Verdict.DOWN, since=NOW - 12, reason="refused")))
    now, later = (made.decide("www.shop.test", client(LONDON), at) for at in (NOW, NOW + 7))
    assert now == later
    assert "eu-west skipped: DOWN for 12 s, refused" in now.reasons
    assert "eu-west skipped: DOWN for 19 s, refused" in later.reasons


def test_the_nearest_region_comes_first_and_says_how_far_it_is():
    decision = decide(world())
    assert order(decision) == ["eu-west", "us-east", "ap-southeast"]
    assert decision.ranked[0].reasons == ("eu-west is nearest (464 km)",)
    assert order(decide(world(), TOKYO))[0] == "ap-southeast"


def test_a_region_that_is_down_is_skipped_and_says_since_when():
    decision = decide(world(state("eu-west", Verdict.DOWN, since=NOW - 12, reason="3 of 3 observers")))
    assert decision.chosen == "us-east"
    assert "eu-west skipped: DOWN for 12 s, 3 of 3 observers" in decision.reasons


def test_a_drained_region_is_skipped_and_says_by_whom_and_until_when():
    decision = decide(world(drained("eu-west", until=1_800_007_200.0)))
    assert decision.chosen == "us-east"
    assert "eu-west skipped: drained by ana until 10:00 UTC: maintenance" in decision.reasons


def test_a_region_forced_up_is_eligible_though_it_is_observed_down():
    override = Override("eu-west", OverrideKind.FORCED_UP, "ana", "", NOW)
    decision = decide(world(state("eu-west", Verdict.DOWN, reason="refused", override=override)))
    assert decision.chosen == "eu-west"
    assert "eu-west forced up by ana" in decision.reasons
    assert "eu-west DOWN for 60 s, refused" in decision.reasons


def test_a_region_forced_up_answers_with_its_own_addresses_though_all_are_down():
    targets = {
        address: TargetState(address, Verdict.DOWN, NOW, "", 5.0) for address in ("192.0.2.2", "2001:db8::2")
    }
    override = Override("eu-west", OverrideKind.FORCED_UP, "ana", "", NOW)
    decision = decide(world(state("eu-west", Verdict.DOWN, override=override, targets=targets)))
    assert [str(address) for address in decision.addresses] == ["192.0.2.2", "2001:db8::2"]


def test_an_override_that_ends_another_day_says_which():
    decision = decide(world(drained("eu-west", until=NOW + 3 * 86400)))
    assert any("until 2027-01-18 08:00 UTC" in reason for reason in decision.reasons)


def test_a_drained_region_that_is_unknown_does_not_call_itself_eligible():
    override = Override("eu-west", OverrideKind.DRAIN, "ana", "", NOW)
    decision = decide(world(state("eu-west", Verdict.UNKNOWN, override=override)))
    assert not any("counts as eligible" in reason for reason in decision.reasons)


def test_unknown_is_not_down():
    assert decide(world(state("eu-west", Verdict.UNKNOWN))).chosen == "eu-west"


def all_down(*, newest):
    return world(
        *(
            state(name, Verdict.DOWN, since=NOW - (5 if name == newest else 50))
            for name in ("us-east", "eu-west", "ap-southeast")
        )
    )


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [(AllDown.ANSWER_ALL, "eu-west"), (AllDown.LAST_KNOWN, "ap-southeast"), (AllDown.SERVFAIL, None)],
)
def test_when_all_regions_are_down_the_service_says_what_to_do(choice, chosen):
    decision = decide(all_down(newest="ap-southeast"), all_down=choice)
    assert decision.chosen == chosen
    assert "no region is eligible" in decision.notes[-1]


def test_nothing_is_called_skipped_when_there_is_nothing_else():
    decision = decide(all_down(newest="eu-west"))
    assert "eu-west DOWN for 5 s, " in decision.reasons
    assert not any("skipped" in reason for reason in decision.reasons)


def test_a_time_to_live_below_the_wanted_one_says_why():
    assert not decide(world()).notes
    (note,) = decide(world(state("eu-west", flip_in=12.0))).notes
    assert note == "the TTL is 12 s, not 30 s: the state behind it could change sooner"


def test_a_drain_outlives_an_outage_of_all_regions():
    known = world(drained("eu-west"), state("us-east", Verdict.DOWN), state("ap-southeast", Verdict.DOWN))
    assert decide(known).chosen == "us-east"


def test_time_to_live_ends_before_the_state_could_flip():
    assert decide(world()).ttl == 30
    assert decide(world(state("eu-west", flip_in=12.7))).ttl == 12
    assert decide(world(state("eu-west", flip_in=1.0))).ttl == 5
    assert decide(world(state("us-east", flip_in=12.0))).ttl == 30, "a region that is not asked for"
    preferred = state("eu-west", Verdict.DOWN, flip_in=9.0)
    assert decide(world(preferred)).ttl == 9, "the nearest may come back"


def test_time_to_live_ends_with_an_override_and_says_when_it_must_shrink():
    decision = decide(world(drained("eu-west", until=NOW + 20)), ttl=TimeToLive(30, 5, 60))
    assert decision.ttl == 20
    assert decision.shrinks_at == NOW
    steady = decide(world(drained("eu-west", until=NOW + 600)), ttl=TimeToLive(30, 5, 60))
    assert (steady.ttl, steady.shrinks_at) == (30, NOW + 570)
    ending = decide(world(drained("eu-west", until=NOW + 3)), ttl=TimeToLive(30, 5, 60))
    assert (ending.ttl, ending.shrinks_at) == (5, None), "it cannot become smaller"


def test_an_address_that_is_down_is_not_answered_while_another_of_the_region_is_up():
    regions = {"only": region("only", Coordinates(0, 0), ("192.0.2.1", "192.0.2.2"))}
    targets = {
        "192.0.2.1": TargetState("only/192.0.2.1", Verdict.DOWN, NOW, "", 5.0),
        "192.0.2.2": TargetState("only/192.0.2.2", Verdict.UP, NOW, "", 5.0),
    }
    made = fleet(regions=regions)
    known = world(state("only", targets=targets), names=("only",))
    decision = authority(made, known).decide("www.shop.test", client(LONDON), NOW)
    assert [str(address) for address in decision.addresses] == ["192.0.2.2"]


def test_a_family_that_the_best_region_lacks_is_answered_from_the_next():
    regions = {
        "near": region("near", Coordinates(51, 0), ("192.0.2.1",)),
        "far": region("far", Coordinates(0, 100), ("192.0.2.2", "2001:db8::2")),
    }
    made = fleet(regions=regions)
    decision = authority(made, world(names=tuple(regions))).decide("www.shop.test", client(LONDON), NOW)
    assert [str(address) for address in decision.addresses] == ["192.0.2.1", "2001:db8::2"]
    assert {version: each.region for version, (each,) in decision.answering.items()} == {4: "near", 6: "far"}


def test_policies_compose_each_splits_what_the_one_before_left_equal():
    decision = decide(world(), policies=(Failover(("ap-southeast",)), Nearest()))
    assert order(decision) == ["ap-southeast", "eu-west", "us-east"]
    assert decision.ranked[0].reasons == (
        "ap-southeast is choice 1 of the failover order",
        "ap-southeast is 10848 km away",
    )
