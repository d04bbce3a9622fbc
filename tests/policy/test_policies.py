"""Each policy keeps its promise; and each lives in one file that is registered."""

from __future__ import annotations

import pkgutil
from collections import defaultdict
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from fleets import LONDON, PLACES, client, coordinates, fleet, locations, policies
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import gslb.policy
from gslb.fleet import Region
from gslb.geo.location import Coordinates, Located, Location
from gslb.policy import POLICIES, Client
from gslb.policy.failover import Failover
from gslb.policy.geo import Geo, GeoRule
from gslb.policy.nearest import MOST_RANKED, MOST_RANKINGS, Nearest, _remembered
from gslb.policy.share import SHARES, share_of, share_prefix_length
from gslb.policy.weighted import Weighted

REGIONS = list(fleet().regions.values())


def test_every_policy_is_one_registered_file():
    files = {module.name for module in pkgutil.iter_modules(gslb.policy.__path__)}
    others = {"answering", "base", "candidates", "decision", "intake", "preferences", "reasons", "share"}
    assert files - set(POLICIES) == others
    for name, policy in POLICIES.items():
        assert policy.name == name
        assert policy.__module__ == f"gslb.policy.{name}"
        assert policy.__doc__


@given(st.data())
def test_every_policy_ranks_every_candidate_exactly_once(data):
    located = Located(data.draw(locations), 16)
    address = ip_address("10.1.2.3")
    who = Client(address, located, data.draw(st.integers(0, SHARES - 1)))
    for policy in data.draw(policies(tuple(PLACES))):
        ranking = policy.rank(who, REGIONS)
        assert sorted(name for tier in ranking.tiers for name in tier) == sorted(PLACES)
        assert set(ranking.explain().reasons) <= set(PLACES)


@given(coordinates, st.lists(coordinates, min_size=1, max_size=60))
def test_nearest_ranks_as_the_distances_do_to_the_last_bit_and_equals_by_name(here, places):
    from gslb.geo.distance import distance

    # Every second place again, so that there are equal distances.
    sites = [
        replace(REGIONS[0], name=f"r{n}", coordinates=each) for n, each in enumerate(places + places[::2])
    ]
    who = Client(ip_address("10.1.2.3"), Located(Location("database", here), 16), 0)
    by_distance = defaultdict(list)
    for site in sites:
        by_distance[distance(here, site.coordinates)].append(site.name)
    expected = tuple(tuple(sorted(by_distance[kilometres])) for kilometres in sorted(by_distance))
    assert Nearest().rank(who, sites).tiers == expected


@pytest.mark.parametrize("regions", [1, 3, 40, 1000, 100_000])
def test_what_nearest_remembers_is_bounded_by_regions_and_not_by_rankings_alone(regions):
    most = _remembered(regions.bit_length()).cache_info().maxsize
    assert 1 <= most <= MOST_RANKINGS
    assert most * regions <= MOST_RANKED


def test_nearest_without_coordinates_leaves_all_equal_and_says_so():
    who = Client(ip_address("10.9.9.9"), Located(Location("default"), 0), 0)
    ranking = Nearest().rank(who, REGIONS)
    assert len(ranking.tiers) == 1
    assert "unknown" in ranking.explain().note


def test_nearest_measures_anew_when_a_region_has_moved():
    """A reload may give the same names other places; what was measured before must not outlive it."""
    who = client("10.1.0.1")
    assert Nearest().rank(who, REGIONS).tiers[0] == ("eu-west",)
    moved = [
        replace(region, coordinates=LONDON.coordinates) if region.name == "us-east" else region
        for region in REGIONS
    ]
    ranking = Nearest().rank(who, moved)
    assert ranking.tiers[0] == ("us-east",)
    assert ranking.explain().reasons["us-east"] == "is nearest (0 km)"


def test_failover_keeps_its_order_and_puts_the_rest_behind():
    ranking = Failover(("ap-southeast", "eu-west")).rank(client("10.1.0.1"), REGIONS)
    assert ranking.tiers == (("ap-southeast",), ("eu-west",), ("us-east",))


def chosen_by_share(weights):
    policy = Weighted(tuple(weights.items()))
    located = Located(LONDON, 16)
    return [
        policy.rank(Client(ip_address("10.0.0.1"), located, share), REGIONS).tiers[0][0]
        for share in range(SHARES)
    ]


def test_weighted_divides_by_weight():
    chosen = chosen_by_share({"us-east": 50, "eu-west": 30, "ap-southeast": 20})
    for name, weight in {"us-east": 0.5, "eu-west": 0.3, "ap-southeast": 0.2}.items():
        assert chosen.count(name) / SHARES == pytest.approx(weight, abs=0.025)


def test_growing_one_weight_moves_clients_to_that_region_only():
    before = chosen_by_share({"us-east": 50, "eu-west": 30, "ap-southeast": 20})
    after = chosen_by_share({"us-east": 50, "eu-west": 60, "ap-southeast": 20})
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert moved
    assert {new for _, new in moved} == {"eu-west"}


def test_weight_zero_comes_last():
    chosen = chosen_by_share({"us-east": 1, "eu-west": 0})
    assert set(chosen) == {"us-east"}


def test_a_share_is_one_for_a_whole_client_network():
    assert share_of(ip_address("203.0.113.1")) == share_of(ip_address("203.0.113.255"))
    assert share_of(ip_address("2001:db8:1::1")) == share_of(ip_address("2001:db8:1:ffff::1"))
    shares = {share_of(ip_address(f"203.0.{third}.0")) for third in range(256)}
    assert len(shares) > 200


def test_carried_addresses_are_where_and_what_the_ipv4_address_is():
    """6to4 of 203.0.113.7 (RFC 3056), and NAT64 of it (RFC 6052)."""
    plain = ip_address("203.0.113.7")
    for text, prefix_length in (("2002:cb00:7107::1", 40), ("64:ff9b::cb00:7107", 120)):
        carrying = ip_address(text)
        assert share_of(carrying) == share_of(plain)
        assert share_prefix_length(carrying) == prefix_length
        by_network = Geo((GeoRule(("ap-southeast",), network=(ip_network("203.0.113.0/24"),)),))
        who = Client(carrying, Located(LONDON, 16), 0)
        assert by_network.rank(who, REGIONS).tiers[0] == ("ap-southeast",)


def rule(*regions, **conditions):
    return GeoRule(regions, **{name: frozenset(values) for name, values in conditions.items()})


def first(policy, address="10.1.0.1"):
    return policy.rank(client(address), REGIONS).tiers[0]


def test_the_most_specific_geo_rule_wins_whatever_the_order_of_the_file():
    rules = [
        rule("us-east", continent={"EU"}),
        rule("ap-southeast", country={"GB"}),
        rule("eu-west", subdivision={"GB-LND"}),
        rule("us-east", asn={64500}),
        GeoRule(("ap-southeast",), network=(ip_network("10.1.0.0/24"),)),
        GeoRule(("eu-west",), network=(ip_network("10.1.0.0/16"),)),
    ]
    expected = ["us-east", "ap-southeast", "eu-west", "us-east", "ap-southeast", "ap-southeast"]
    for count, region in enumerate(expected, 1):
        assert first(Geo(tuple(rules[:count]))) == (region,)
        assert first(Geo(tuple(reversed(rules[:count])))) == (region,)


def test_a_geo_rule_tells_by_what_it_matched():
    networks = (ip_network("10.0.0.0/8"), ip_network("10.1.0.0/16"))
    matching = GeoRule(("us-east",), country=frozenset({"GB"}), asn=frozenset({64500}), network=networks)
    why = Geo((matching,)).rank(client("10.1.0.1"), REGIONS).explain()
    assert why.note == "the geo rule for network 10.1.0.0/16, AS64500, country GB applies"
    assert why.reasons == {"us-east": "is choice 1 of the rule for network 10.1.0.0/16, AS64500, country GB"}


def test_all_conditions_of_a_rule_must_hold():
    both = Geo((rule("us-east", country={"GB"}, asn={1}),))
    assert len(first(both)) == 3
    assert "no geo rule matches" in both.rank(client("10.1.0.1"), REGIONS).explain().note


def test_a_geo_rule_needs_a_condition_and_regions():
    with pytest.raises(ValidationError, match="needs a condition"):
        Geo.Options.model_validate({"rules": [{"regions": ["us-east"]}]})
    with pytest.raises(ValidationError):
        Geo.Options.model_validate({"rules": [{"country": "GB", "regions": []}]})
    with pytest.raises(ValidationError, match="CIDR"):
        Geo.Options.model_validate({"rules": [{"network": [10], "regions": ["us-east"]}]})
    options = Geo.Options.model_validate({"rules": [{"country": "gb", "regions": ["us-east"]}]})
    assert Geo.from_options(options).rules[0].country == {"GB"}


def test_regions_named_in_options_are_told_with_their_paths():
    options = Geo.Options.model_validate({"rules": [{"country": ["GB"], "regions": ["a", "b"]}]})
    assert options.region_names() == ((("rules", 0, "regions", 0), "a"), (("rules", 0, "regions", 1), "b"))


def test_regions_at_equal_distance_share_a_tier():
    twins = [Region(name, Coordinates(10, 10), (), REGIONS[0].check, {}) for name in ("one", "two")]
    assert Nearest().rank(client("10.1.0.1"), twins).tiers == (("one", "two"),)
