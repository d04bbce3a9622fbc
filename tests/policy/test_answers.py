"""How much an answer carries: several regions, a bound, a rotation; and what never changes with health."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from fleets import NOW, client, coordinates, drained, fleet, policies, region, state, world
from hypothesis import given
from hypothesis import strategies as st

from gslb.fleet import AllDown, Answers, TimeToLive
from gslb.geo.location import Coordinates
from gslb.policy.decision import decide
from gslb.policy.failover import Failover
from gslb.policy.share import SHARES
from gslb.world import TargetState, Verdict, World

SERVICE = "www.shop.test"
NAMES = ("a", "b", "c", "d")
IN_ORDER = Failover(NAMES)
STEADY = 1000.0
SOON = 7.0


def four(**addresses):
    """Regions a to d, asked for in this order; each has one IPv4 and one IPv6 address unless given."""
    return {
        name: region(
            name, Coordinates(0, 0), addresses.get(name, (f"192.0.2.{number}", f"2001:db8::{number}"))
        )
        for number, name in enumerate(NAMES, 1)
    }


def decided(answers, *states, regions=None, who=None, **made):
    service_fleet = fleet((IN_ORDER,), regions=regions or four(), **made)
    service = replace(service_fleet.services[SERVICE], answers=answers)
    return decide(service_fleet, service, who or client("10.1.0.1"), world(*states, names=NAMES), NOW)


def told(decision, version=4):
    return [
        (each.region, [str(address) for address in each.addresses])
        for each in decision.answering.get(version, ())
    ]


def down(name, *addresses, verdict=Verdict.UP):
    targets = {each: TargetState(f"{name}/{each}", Verdict.DOWN, NOW, "", STEADY) for each in addresses}
    return state(name, verdict, targets=targets)


def of_share(share):
    return replace(client("10.1.0.1"), share=share)


def test_one_region_answers_unless_the_service_says_otherwise():
    assert told(decided(Answers())) == [("a", ["192.0.2.1"])]


def test_the_best_eligible_regions_answer_in_the_order_of_the_policies():
    decision = decided(Answers(regions=3), drained("b"))
    assert told(decision) == [("a", ["192.0.2.1"]), ("c", ["192.0.2.3"]), ("d", ["192.0.2.4"])]
    assert told(decision, 6) == [("a", ["2001:db8::1"]), ("c", ["2001:db8::3"]), ("d", ["2001:db8::4"])]
    assert decision.outcome[0] == "A is answered with a (192.0.2.1), then c (192.0.2.3), then d (192.0.2.4)"


def test_addresses_bounds_each_region_and_each_ip_version():
    regions = four(a=("192.0.2.1", "192.0.2.11", "192.0.2.12", "2001:db8::1", "2001:db8::11"))
    decision = decided(Answers(regions=2, addresses=1), regions=regions)
    assert told(decision) == [("a", ["192.0.2.1"]), ("b", ["192.0.2.2"])]
    assert told(decision, 6) == [("a", ["2001:db8::1"]), ("b", ["2001:db8::2"])]


def test_only_live_addresses_are_added():
    regions = four(b=("192.0.2.2", "192.0.2.22"), c=("192.0.2.3",))
    decision = decided(Answers(regions=3), down("b", "192.0.2.2"), down("c", "192.0.2.3"), regions=regions)
    assert told(decision) == [("a", ["192.0.2.1"]), ("b", ["192.0.2.22"]), ("d", ["192.0.2.4"])]


def test_fewer_regions_answer_when_fewer_are_alive():
    states = [state(name, Verdict.DOWN) for name in "bcd"]
    assert told(decided(Answers(regions=3), *states)) == [("a", ["192.0.2.1"])]


def test_regions_without_the_ip_version_are_passed_over():
    regions = four(a=("192.0.2.1",), c=("192.0.2.3",))
    decision = decided(Answers(regions=2), regions=regions)
    assert told(decision) == [("a", ["192.0.2.1"]), ("b", ["192.0.2.2"])]
    assert told(decision, 6) == [("b", ["2001:db8::2"]), ("d", ["2001:db8::4"])]


def test_a_version_that_only_a_lost_region_has_is_answered_with_it_alone():
    regions = four(a=("192.0.2.1",), d=("192.0.2.4",))
    lost = [state(name, Verdict.DOWN) for name in "bc"]
    assert told(decided(Answers(regions=3), *lost, regions=regions), 6) == [("b", ["2001:db8::2"])]


@pytest.mark.parametrize(
    ("all_down", "regions"),
    [(AllDown.ANSWER_ALL, ["a", "c", "d"]), (AllDown.LAST_KNOWN, ["c"]), (AllDown.SERVFAIL, [])],
)
def test_when_all_are_down_the_answer_is_as_full_as_the_service_says_but_nothing_drained(all_down, regions):
    states = [drained("b"), *(state(name, Verdict.DOWN, since=NOW - 50) for name in "ad")]
    states.append(state("c", Verdict.DOWN, since=NOW - 5))
    decision = decided(Answers(regions=4), *states, all_down=all_down)
    assert [name for name, _ in told(decision)] == regions


def test_a_drained_region_answers_alone_when_there_is_nothing_else():
    decision = decided(Answers(regions=4), *(drained(name) for name in NAMES))
    assert [name for name, _ in told(decision)] == ["a"]


def ttl(answers, *states, **made):
    return decided(answers, *states, ttl=TimeToLive(30, 5, 60), **made).ttl


def test_the_time_to_live_takes_account_of_every_region_in_the_answer():
    assert ttl(Answers(regions=2), state("b", flip_in=SOON)) == 7
    assert ttl(Answers(regions=2), state("c", flip_in=SOON)) == 30
    assert ttl(Answers(regions=1), state("b", flip_in=SOON)) == 30


def test_the_time_to_live_takes_account_of_a_lost_region_that_would_join_the_answer():
    lost = state("d", Verdict.DOWN, flip_in=SOON)
    assert ttl(Answers(regions=3), lost) == 30, "three others are there"
    assert ttl(Answers(regions=3), lost, state("b", Verdict.DOWN)) == 7


def test_the_time_to_live_takes_account_of_regions_that_would_replace_a_dead_address():
    regions = four(a=("192.0.2.1", "2001:db8::1"), b=("2001:db8::2",), c=("2001:db8::3",))
    states = [down("a", "192.0.2.1"), state("d", Verdict.DOWN, flip_in=SOON)]
    assert ttl(Answers(), *states, regions=regions) == 7


def test_every_address_comes_first_for_equally_many_clients():
    regions = four(a=("192.0.2.1",), b=("192.0.2.2", "192.0.2.22", "192.0.2.23"), c=("192.0.2.3",))
    answers = Answers(regions=3, rotate=True)
    first = Counter(
        str(decided(answers, regions=regions, who=of_share(share)).addresses[0]) for share in range(SHARES)
    )
    assert len(first) == 5
    assert max(first.values()) - min(first.values()) <= 1


def test_rotation_keeps_regions_together_and_loses_no_address():
    regions = four(a=("192.0.2.1", "192.0.2.11"), b=("192.0.2.2", "192.0.2.22"))
    orders = set()
    for share in range(64):
        decision = decided(Answers(regions=2, rotate=True), regions=regions, who=of_share(share))
        assert {name: sorted(addresses) for name, addresses in told(decision)} == {
            "a": ["192.0.2.1", "192.0.2.11"],
            "b": ["192.0.2.2", "192.0.2.22"],
        }
        orders.add(decision.addresses)
        assert any("share" in note for note in decision.notes)
    assert len(orders) == 8, "either region first, each begun at either address"


def test_a_bound_on_rotated_addresses_leaves_none_of_them_unused():
    regions = four(a=tuple(f"192.0.2.{number}" for number in range(100, 108)))
    answers = Answers(addresses=2, rotate=True)
    decisions = [decided(answers, regions=regions, who=of_share(share)) for share in range(64)]
    windows = {each.addresses for decision in decisions for each in decision.answering[4]}
    assert {len(window) for window in windows} == {2}
    assert len({address for window in windows for address in window}) == 8


def test_a_rotated_answer_says_that_it_looked_at_the_share():
    ranked, rotated = decided(Answers(regions=2)), decided(Answers(regions=2, rotate=True))
    assert not ranked.consulted.share
    assert rotated.consulted.share
    assert (ranked.scope, rotated.scope) == (0, 24)


hostnames = st.sampled_from(("", "", "www.a.example.net"))


@st.composite
def made_fleets(draw):
    """Two to five regions of either kind, with up to three addresses of each version, and any answers."""
    names = [f"r{number}" for number in range(draw(st.integers(2, 5)))]
    regions = {}
    for number, name in enumerate(names):
        count = st.integers(0, 3)
        addresses = [f"192.0.2.{number * 10 + each}" for each in range(draw(count))]
        addresses += [f"2001:db8::{number}{each}" for each in range(draw(count))]
        made = region(name, draw(coordinates), addresses or ["192.0.2.250"])
        if draw(hostnames):
            made = replace(made, edges=(), hostname=f"www.{name}.example.net")
        regions[name] = made
    made_fleet = fleet(
        draw(policies(names)),
        regions=regions,
        all_down=draw(st.sampled_from(list(AllDown))),
        ttl=TimeToLive(20, 1, 60),
    )
    answers = st.builds(Answers, st.integers(1, 4), st.none() | st.integers(1, 3), st.booleans())
    return made_fleet, replace(made_fleet.services[SERVICE], answers=draw(answers))


def drawn_state(draw, each, flip_in=STEADY):
    """Any state that observations of the region's addresses can lead to."""
    verdicts = [draw(st.sampled_from(list(Verdict))) for edge in each.edges for _ in edge.addresses]
    addresses = [str(address) for edge in each.edges for address in edge.addresses]
    targets = {
        address: TargetState(f"{each.name}/{address}", verdict, NOW - 5, "", flip_in)
        for address, verdict in zip(addresses, verdicts, strict=True)
    }
    if each.hostname is not None:
        verdict = draw(st.sampled_from(list(Verdict)))
    elif Verdict.UP in verdicts:
        verdict = Verdict.UP
    else:
        verdict = Verdict.DOWN if set(verdicts) == {Verdict.DOWN} else Verdict.UNKNOWN
    since = NOW - draw(st.floats(1, 1000))
    return state(each.name, verdict, targets=targets, flip_in=flip_in, since=since)


def answer_of(decision):
    return decision.chosen is None, decision.alias, decision.answering


@given(st.data())
def test_no_region_can_alter_the_answer_within_its_time_to_live(data):
    made, service = data.draw(made_fleets())
    states = {name: drawn_state(data.draw, each) for name, each in made.regions.items()}
    restless = data.draw(st.sampled_from(list(made.regions)))
    states[restless] = replace(states[restless], flip_in=SOON)
    who = client(f"10.{data.draw(st.integers(0, 4))}.2.1")
    before = decide(made, service, who, World(NOW, states), NOW)
    states[restless] = drawn_state(data.draw, made.regions[restless])
    after = decide(made, service, who, World(NOW, states), NOW)
    if answer_of(before) != answer_of(after):
        assert before.ttl == SOON


@given(st.data())
def test_whether_there_is_data_depends_on_nothing_but_the_fleet(data):
    made, service = data.draw(made_fleets())
    states = {name: drawn_state(data.draw, each) for name, each in made.regions.items()}
    decision = decide(made, service, client("10.1.0.1"), World(NOW, states), NOW)
    declared = {
        address.version for each in made.regions.values() for edge in each.edges for address in edge.addresses
    }
    assert decision.versions == (declared or {4, 6})
    if decision.alias is not None:
        assert decision.answering == {}
    elif decision.chosen is not None:
        assert set(decision.answering) == declared
        assert all(each.addresses for groups in decision.answering.values() for each in groups)


@given(st.data())
def test_all_addresses_in_the_scope_get_the_same_answer(data):
    # Networks that rules name are for the locator to tell apart, and this one knows none.
    made, service = data.draw(made_fleets().filter(lambda each: not each[0].networks()))
    states = {name: drawn_state(data.draw, each) for name, each in made.regions.items()}
    known = World(NOW, states)
    decision = decide(made, service, client("10.1.2.3"), known, NOW)
    network = ip_network(f"10.1.2.3/{decision.scope}", strict=False)
    other = ip_address(int(network[0]) + data.draw(st.integers(0, network.num_addresses - 1)))
    assert answer_of(decide(made, service, client(str(other)), known, NOW)) == answer_of(decision)


@given(st.integers(0, 255), st.integers(0, 255), st.integers(1, 4))
def test_a_client_network_always_gets_the_same_order(network, host, wanted):
    answers = Answers(regions=wanted, rotate=True)
    one, other = client(f"10.1.{network}.0"), client(f"10.1.{network}.{host}")
    assert decided(answers, who=one).answering == decided(answers, who=other).answering
