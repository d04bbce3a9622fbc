"""Where clients would go: by shares of a population, scaled to what the regions' edges report."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from fleets import NOW, PLACES, fleet, state, world
from hypothesis import given
from hypothesis import strategies as st

from gslb.fleet import Bounds, Spill
from gslb.geo.location import Located, Location
from gslb.override_effect import with_override
from gslb.policy import Client
from gslb.what_if import what_if
from gslb.world import Override, OverrideKind, Report, ServiceReport, Verdict

FLEET = fleet(services=("www.shop.test", "api.shop.test"))


def clients(**parts: float):
    """Clients beside a region, with the part of all that they are."""
    members = []
    for number, (name, part) in enumerate(parts.items(), 1):
        located = Located(Location("database", PLACES[name.replace("_", "-")]), 24)
        for share in range(0, 4096, 32):
            client = Client(ip_address(f"10.{number}.0.1"), located, share)
            members.append((client, part / 128))
    return members


POPULATION = clients(us_east=0.5, eu_west=0.3, ap_southeast=0.2)


def report(region: str, rate: float, capacity: float | None = None, **services: float) -> Report:
    told = tuple(ServiceReport(f"{name}.shop.test", 1, 1, 0, each, 0.0) for name, each in services.items())
    return Report(region, "edge1", NOW, rate, 0, 0.0, capacity, None, (), told)


def before(*reports: Report):
    return replace(world(), reports={each.region: (each,) for each in reports})


def drained(known, region="us-east", service="", kind=OverrideKind.DRAIN, weight=None):
    word = Override(region, kind, "ana", "", NOW, None, service, weight)
    return what_if(FLEET, known, with_override(FLEET, known, word), POPULATION, NOW)


def by_region(outcome):
    return {each.region: each for each in outcome.regions}


def test_without_reports_only_shares_are_told():
    outcome = drained(before())
    regions = by_region(outcome)
    assert [round(each.share_before, 3) for each in outcome.regions] == [0.5, 0.3, 0.2]
    assert [round(each.share_after, 3) for each in outcome.regions] == [0.0, 0.8, 0.2]
    assert regions["us-east"].before is None
    assert regions["eu-west"].after is None
    assert regions["eu-west"].holds is None
    assert [(each.service, round(each.moved, 3)) for each in outcome.services] == [
        ("www.shop.test", 0.5),
        ("api.shop.test", 0.5),
    ]
    assert outcome.services[0].to == (("eu-west", pytest.approx(0.5)),)


def test_loads_are_those_that_edges_report():
    outcome = drained(before(report("us-east", 900), report("eu-west", 100, 800), report("ap-southeast", 50)))
    regions = by_region(outcome)
    assert [each.before for each in outcome.regions] == [900, 100, 50]
    assert [round(each.after) for each in outcome.regions] == [0, 1000, 50]
    assert regions["eu-west"].limit == 800
    assert regions["eu-west"].holds is False
    assert outcome.overloaded == (regions["eu-west"],)
    assert all(each.reported for each in outcome.regions)


def test_reports_on_services_come_before_those_on_all_of_them():
    known = before(
        report("us-east", 1000, www=600, api=100), report("eu-west", 10), report("ap-southeast", 10)
    )
    outcome = drained(known, service="www.shop.test")
    assert [round(each.after) for each in outcome.regions] == [400, 610, 10]
    assert [each.service for each in outcome.services] == ["www.shop.test"]


def test_a_region_that_reports_nothing_is_estimated_by_its_clients():
    outcome = drained(before(report("us-east", 1000), report("eu-west", 600)), "ap-southeast")
    regions = by_region(outcome)
    assert not regions["ap-southeast"].reported
    assert regions["ap-southeast"].before == pytest.approx(400)
    assert sum(each.after for each in outcome.regions) == pytest.approx(2000)


def test_what_nobody_of_the_population_asks_for_stays_and_is_told():
    known = before(report("us-east", 1000), report("eu-west", 7))
    outcome = what_if(FLEET, known, known, clients(us_east=1.0), NOW)
    assert outcome.unplaced == 7
    assert outcome.services == ()
    assert by_region(outcome)["eu-west"].after == 7


def test_a_weight_moves_its_part():
    known = before(report("us-east", 1000), report("eu-west", 0), report("ap-southeast", 0))
    outcome = drained(known, kind=OverrideKind.WEIGHT, weight=0.25)
    assert by_region(outcome)["us-east"].after == pytest.approx(250, rel=0.05)


def test_what_a_region_bears_is_its_hard_watermark():
    regions = {
        name: replace(each, capacity=1000.0, bounds=Bounds(spill=Spill(soft=0.7, hard=0.9)))
        for name, each in FLEET.regions.items()
    }
    declared = replace(FLEET, regions=regions)
    known = before(report("us-east", 950, 5000))
    (us_east, *_) = what_if(declared, known, known, POPULATION, NOW).regions
    assert us_east.limit == pytest.approx(900)
    assert us_east.holds is False
    assert what_if(declared, known, known, POPULATION, NOW).overloaded == (), "it is not this that does it"


def test_a_service_that_nobody_is_left_for_is_told():
    known = replace(before(), regions=world(state("eu-west", Verdict.DOWN)).regions)
    known = with_override(FLEET, known, Override("ap-southeast", OverrideKind.DRAIN, "ana", "", NOW))
    outcome = drained(known, service="www.shop.test")
    assert [(each.service, each.stranded) for each in outcome.services] == [("www.shop.test", True)]


@given(
    st.dictionaries(st.sampled_from(list(PLACES)), st.floats(0, 1e6), min_size=1),
    st.sampled_from(list(PLACES)),
    st.sampled_from(list(Verdict)),
)
def test_no_request_is_lost_or_made_up(rates, region, verdict):
    known = replace(
        before(*(report(name, rate) for name, rate in rates.items())),
        regions=world(state("eu-west", verdict)).regions,
    )
    outcome = drained(known, region)
    total = sum(each.before for each in outcome.regions)
    assert sum(each.after for each in outcome.regions) == pytest.approx(total, abs=1e-6)
    assert sum(each.share_after for each in outcome.regions) == pytest.approx(1.0)
