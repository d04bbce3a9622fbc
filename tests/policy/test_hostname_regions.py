"""Regions that are somebody else's name: probed as one target, ranked like any, answered as a CNAME."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from fleets import NOW, TCP_CHECK, authority, client, drained, fleet, region, state, world

from edge.identity import edge_of
from gslb.admin.documents import decision_document, region_document, reply_document
from gslb.errors import GslbError
from gslb.fleet import AllDown, Answers, Region, SocketAddress, TimeToLive
from gslb.geo.location import Coordinates
from gslb.health.fold import fold_world
from gslb.health.targets import node_targets
from gslb.policy.decision import decide
from gslb.policy.failover import Failover
from gslb.world import Observation, Verdict

SERVICE = "www.shop.test"
CDN = "www.example.cdn.test"
HERE = Coordinates(0, 0)


def hostname(name, target=CDN, probe=SocketAddress(CDN, 443)):  # noqa: B008 (frozen)
    return Region(name, HERE, (), TCP_CHECK, {}, hostname=target, probe=probe)


def mixed(own=("192.0.2.1", "2001:db8::1")):
    """A content delivery network first, then two regions of our own."""
    return {
        "cdn": hostname("cdn"),
        "near": region("near", HERE, own),
        "far": region("far", HERE, ("192.0.2.9",)),
    }


def made(regions, *, answers=None, **more):
    made_fleet = fleet((Failover(tuple(regions)),), regions=regions, **more)
    service = replace(made_fleet.services[SERVICE], answers=answers or Answers())
    return replace(made_fleet, services={SERVICE: service})


def decided(regions, *states, **more):
    made_fleet = made(regions, **more)
    known = world(*states, names=tuple(regions))
    return decide(made_fleet, made_fleet.services[SERVICE], client("10.1.0.1"), known, NOW)


def heard(made_fleet, *observations):
    return fold_world(made_fleet, observations, (), (), at=NOW, store_read_at=NOW)


def seen(verdict, target=f"cdn/{CDN}", flip_in=9.0):
    return Observation(target, "ns1", verdict, "connected in 3 ms", NOW - 60, flip_in=flip_in)


def test_a_chosen_hostname_is_answered_in_place_of_addresses():
    decision = decided(mixed())
    assert (decision.chosen, decision.alias) == ("cdn", CDN)
    assert decision.answering == {}
    assert decision.addresses == ()
    assert decision.outcome == (f"cdn is answered as an alias (CNAME) of {CDN}",)


def test_a_hostname_that_is_not_chosen_has_no_part_in_the_answer():
    regions = {name: mixed()[name] for name in ("near", "cdn", "far")}
    decision = decided(regions, answers=Answers(regions=3))
    assert decision.alias is None
    assert [each.region for each in decision.answering[4]] == ["near", "far"]
    assert [each.region for each in decision.answering[6]] == ["near"]


def test_a_version_that_the_chosen_region_lacks_is_never_sent_to_a_hostname():
    regions = {
        "near": region("near", HERE, ("192.0.2.1",)),
        "cdn": hostname("cdn"),
        "far": region("far", HERE, ("2001:db8::9",)),
    }
    decision = decided(regions)
    assert decision.alias is None
    assert [each.region for each in decision.answering[6]] == ["far"]


def test_a_drained_hostname_gives_way_to_addresses():
    decision = decided(mixed(), drained("cdn"))
    assert (decision.chosen, decision.alias) == ("near", None)
    assert "cdn skipped: drained by ana: maintenance" in decision.reasons


@pytest.mark.parametrize("lost", [(), ("cdn",), ("cdn", "near", "far")])
def test_a_version_that_no_region_has_an_address_of_has_no_data_wherever_a_client_is_sent(lost):
    states = [state(name, Verdict.DOWN) for name in lost]
    decision = decided(mixed(own=("192.0.2.1",)), *states)
    assert decision.versions == {4}
    assert "AAAA has no data: no region of the service has an IPv6 address" in decision.outcome


def test_hostnames_alone_have_data_of_both_versions():
    regions = {"cdn": hostname("cdn"), "other": hostname("other", "www.other.test")}
    assert decided(regions).versions == {4, 6}
    assert decided(regions, state("cdn", Verdict.DOWN)).alias == "www.other.test"


@pytest.mark.parametrize("lost", [(), ("cdn",), ("cdn", "other")])
def test_a_service_of_hostnames_alone_is_told_from_the_fleet_whatever_the_health(lost):
    states = [state(name, Verdict.DOWN) for name in lost]
    alone = {"cdn": hostname("cdn"), "other": hostname("other", "www.other.test")}
    assert decided(alone, *states).only_hostnames
    assert decided(alone, *states, all_down=AllDown.SERVFAIL).only_hostnames
    assert not decided(mixed(), *states).only_hostnames, "also where the hostname is chosen"


def test_when_all_are_down_the_hostname_that_comes_first_is_answered_still():
    states = [
        state("cdn", Verdict.DOWN),
        state("near", Verdict.DOWN, flip_in=8.0),
        state("far", Verdict.DOWN),
    ]
    decision = decided(mixed(), *states)
    assert (decision.alias, decision.healthy) == (CDN, False)
    assert decision.ttl == 8, "the next may come back before it"


def test_the_time_to_live_of_an_alias_ends_before_its_region_could_be_lost():
    bounds = TimeToLive(30, 5, 60)
    assert decided(mixed(), state("cdn", flip_in=8.0), ttl=bounds).ttl == 8
    assert decided(mixed(), state("near", flip_in=8.0), ttl=bounds).ttl == 30
    lost = state("cdn", Verdict.DOWN, flip_in=8.0)
    assert decided(mixed(), lost, ttl=bounds).ttl == 8, "the hostname may come back"


def test_dns_nodes_probe_the_hostname_beside_the_edges():
    targets = node_targets(made(mixed()))
    assert targets[f"cdn/{CDN}"] == (TCP_CHECK, SocketAddress(CDN, 443))
    assert set(targets) == {f"cdn/{CDN}", "near/192.0.2.1", "near/2001:db8::1", "far/192.0.2.9"}


@pytest.mark.parametrize(("verdict", "eligible"), [(Verdict.UP, True), (Verdict.DOWN, False)])
def test_the_verdict_on_the_hostname_is_that_on_the_region(verdict, eligible):
    known = heard(made(mixed()), seen(verdict)).region("cdn")
    assert (known.verdict, known.eligible, known.flip_in) == (verdict, eligible, 9.0)
    assert known.reason == "1 of 1 observer: connected"
    assert list(known.targets) == [CDN]


def test_a_hostname_that_is_not_probed_is_unknown_for_good():
    made_fleet = made({"cdn": hostname("cdn", probe=None)}, ttl=TimeToLive(600, 5, 3600))
    assert node_targets(made_fleet) == {}
    known = heard(made_fleet, seen(Verdict.DOWN))
    decision = decide(made_fleet, made_fleet.services[SERVICE], client("10.1.0.1"), known, NOW)
    assert decision.alias == CDN
    assert decision.ttl == 600
    assert "cdn is UNKNOWN, which counts as eligible: it is not probed" in decision.reasons


def test_documents_tell_the_hostname_and_what_is_answered():
    made_fleet = made(mixed())
    document = region_document(
        made_fleet.regions["cdn"], heard(made_fleet, seen(Verdict.UP)).region("cdn"), ()
    )
    assert document["hostname"] == CDN
    assert [target["address"] for target in document["targets"]] == [CDN]
    told = decision_document(decided(mixed()))
    assert (told["alias"], told["answering"]) == (CDN, {})
    assert told["outcome"] == [f"cdn is answered as an alias (CNAME) of {CDN}"]


def test_an_explanation_of_any_type_tells_the_alias_of_a_service_of_hostnames_alone():
    regions = {"cdn": hostname("cdn"), "other": hostname("other", "www.other.test")}
    asked = authority(made(regions), world(drained("cdn"), names=tuple(regions)))
    document = reply_document(SERVICE, "MX", asked.explain(SERVICE, "MX", ip_address("10.1.0.1"), NOW))
    assert document["answer"] == [f"{SERVICE}. 30 IN CNAME www.other.test."]
    assert document["answered_by"] == ["other"]
    assert document["decision"]["ranked"][1]["reasons"][1:] == ["cdn skipped: drained by ana: maintenance"]


def test_no_edge_runs_in_a_region_that_is_a_hostname():
    with pytest.raises(
        GslbError, match=f"region cdn has no edges: it stands for {CDN} .with edges: near, far"
    ):
        edge_of(made(mixed()), "cdn", None)
