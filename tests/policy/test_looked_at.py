"""What a decision says it looked at: whatever happens elsewhere, the answer stays as it is."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from all_kinds import SERVICE, seeds, some_fleet, some_world
from fleets import LONDON, NEW_YORK, NOW, TOKYO, MapLocator, client, drained, fleet, region, state, world
from hypothesis import given, settings

from gslb.fleet import AllDown, Answers
from gslb.geo.location import Coordinates
from gslb.policy.base import Client
from gslb.policy.decision import Decision, decide
from gslb.policy.failover import Failover
from gslb.policy.share import SHARES
from gslb.world import Verdict

PLACES = MapLocator({"10.1.0.0/16": LONDON, "10.2.0.0/16": TOKYO, "10.3.0.0/16": NEW_YORK})


def some_client(random: Random) -> Client:
    return replace(client(f"10.{random.randint(0, 4)}.2.1", PLACES), share=random.randrange(SHARES))


def told(decision: Decision) -> tuple[object, ...]:
    """All of a decision that an answer follows from, and what its own upkeep goes by."""
    return (
        decision.answering,
        decision.alias,
        decision.chosen,
        decision.healthy,
        decision.ttl,
        decision.shrinks_at,
        decision.versions,
        decision.looked_at,
    )


@settings(max_examples=200)
@given(seeds)
def test_no_change_of_a_region_that_was_not_looked_at_alters_an_answer(random):
    made = some_fleet(random)
    service, who, before = made.services[SERVICE], some_client(random), some_world(random, made)
    decision = decide(made, service, who, before, NOW)
    changed = some_world(random, made).regions
    elsewhere = {name: each for name, each in changed.items() if name not in decision.looked_at}
    # All of them, and each alone as well: it may be that two changes hide one another.
    for change in (elsewhere, *({name: each} for name, each in elsewhere.items())):
        after = replace(before, regions={**before.regions, **change})
        assert told(decide(made, service, who, after, NOW)) == told(decision)


@given(seeds)
def test_a_decision_looks_at_its_services_regions_from_the_preferred_one_on(random):
    made = some_fleet(random)
    service, who = made.services[SERVICE], some_client(random)
    preferred = decide(made, service, who, world(names=tuple(made.regions)), NOW).order
    decision = decide(made, service, who, some_world(random, made), NOW)
    assert decision.looked_at == preferred[: len(decision.looked_at)]
    if decision.chosen is not None:
        assert decision.chosen in decision.looked_at


NAMES = ("a", "b", "c")


def looked_at(*states, answers=Answers(), own=None, all_down=AllDown.ANSWER_ALL) -> tuple[str, ...]:  # noqa: B008 (frozen)
    """Of a client that prefers a to b, and b to c."""
    places = {
        name: region(name, Coordinates(0, 0), (f"192.0.2.{number}", f"2001:db8::{number}"))
        for number, name in enumerate(NAMES, 1)
    }
    made = fleet((Failover(NAMES),), regions=places | (own or {}), all_down=all_down)
    service = replace(made.services[SERVICE], answers=answers)
    return decide(made, service, client("10.1.0.1"), world(*states, names=NAMES), NOW).looked_at


def test_a_healthy_preferred_region_is_all_that_is_looked_at():
    assert looked_at() == ("a",)


def test_the_regions_passed_over_are_looked_at_and_the_one_that_answers_instead():
    assert looked_at(drained("a")) == ("a", "b")
    assert looked_at(state("a", Verdict.DOWN), state("b", Verdict.DOWN)) == NAMES


def test_who_answers_with_several_regions_looks_at_all_of_them():
    assert looked_at(answers=Answers(regions=2)) == ("a", "b")
    assert looked_at(drained("b"), answers=Answers(regions=2)) == NAMES


def test_a_region_without_one_of_the_ip_versions_leads_to_the_next_that_has_it():
    only4 = region("a", Coordinates(0, 0), ("192.0.2.1",))
    assert looked_at(own={"a": only4}) == ("a", "b")


def test_when_none_can_answer_every_region_is_looked_at():
    down = [state(name, Verdict.DOWN) for name in NAMES]
    for choice in AllDown:
        assert looked_at(*down, all_down=choice) == NAMES


def test_a_hostname_that_answers_is_looked_at_alone():
    cdn = replace(region("a", Coordinates(0, 0), ()), edges=(), hostname="a.cdn.test")
    assert looked_at(own={"a": cdn}) == ("a",)
    assert looked_at(drained("a"), own={"a": cdn}) == ("a", "b")
