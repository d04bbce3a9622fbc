"""What operators' numbers and edges' reports say of how full a region is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from closed_loop import START, Site, fleet_of, report

from gslb.capacity.load import loads
from gslb.world import RegionState, ServiceReport, World


def world_of(*reports, live=1.0):
    by_region = {}
    for each in reports:
        by_region[each.region] = (*by_region.get(each.region, ()), each)
    return World(START, {"eu": RegionState("eu", live=live)}, by_region)


def service(rps, capacity):
    return ServiceReport(f"s{rps}.example", 1, 1, 0, rps, 0.0, capacity=capacity)


def load_of(site, *reports, live=1.0):
    return loads(fleet_of([site]), world_of(*reports, live=live)).get("eu")


def test_edges_of_a_region_bear_its_load_together():
    load = load_of(Site("eu", 0.0), report("eu", 30.0, errors=0.1), report("eu", 10.0, errors=0.5))
    assert load is not None
    assert (load.demand, load.capacity, load.error_rate) == (40.0, 100.0, pytest.approx(0.2))


def test_servers_that_are_gone_carry_nothing():
    load = load_of(Site("eu", 0.0, capacity=80.0), report("eu", 30.0), live=0.25)
    assert load is not None
    assert load.capacity == 20.0


def test_a_region_without_live_servers_is_full_and_no_division_by_nothing():
    load = load_of(Site("eu", 0.0), report("eu", 30.0), live=0.0)
    assert load is not None
    assert load.capacity
    assert load.demand > load.capacity


def test_what_is_not_declared_is_learned_from_all_services_of_all_edges():
    said = replace(report("eu", 5.0), services=(service(3.0, 40.0), service(2.0, 10.0)))
    load = load_of(Site("eu", 0.0, capacity=None), said, said)
    assert load is not None
    assert load.capacity == 100.0


def test_an_estimate_of_a_part_is_no_estimate_of_the_whole():
    said = replace(report("eu", 5.0), services=(service(3.0, 40.0), service(2.0, None)))
    load = load_of(Site("eu", 0.0, capacity=None), said)
    assert load is not None
    assert load.capacity is None


def test_a_service_nobody_asks_for_needs_no_estimate():
    said = replace(report("eu", 3.0), services=(service(3.0, 40.0), service(0.0, None)))
    load = load_of(Site("eu", 0.0, capacity=None), said)
    assert load is not None
    assert load.capacity == 40.0


def test_nothing_is_known_of_a_silent_region():
    assert load_of(Site("eu", 0.0)) is None
    assert load_of(Site("eu", 0.0), report("elsewhere", 3.0)) is None
