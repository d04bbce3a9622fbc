"""A region falls and comes back: its clients overrun nobody, and it is not overrun by them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from closed_loop import SPILL, Crowd, Loop, Site, fleet_of, report

from gslb.capacity.memory import Memory
from gslb.capacity.step import step
from gslb.fleet import Bounds
from gslb.world import Intake, Override, OverrideKind, RegionState, Verdict, World

SITES = [Site("west", 0.0), Site("middle", 20.0), Site("east", 50.0), Site("far", 120.0)]
CROWDS = [Crowd(0, 60), Crowd(5, 10), Crowd(20, 50), Crowd(50, 40), Crowd(120, 30)]
RAMPED = [replace(site, bounds=Bounds(SPILL, ramp=40.0)) for site in SITES]


def fall(loop, name="west"):
    loop.change(name, verdict=Verdict.DOWN)


def rise(loop, name="west"):
    loop.change(name, verdict=Verdict.UP)


def test_the_nearest_takes_what_it_has_room_for_and_the_next_one_the_rest():
    loop = Loop(SITES, CROWDS)
    loop.run(30)
    fall(loop)
    loop.second()
    # 25 of 70 fit below the middle of the band, and then 35 of the 45 that are left. A few are there already.
    assert loop.intake("middle").takes == pytest.approx(25 / 70, abs=0.04)
    assert loop.intake("east").takes == pytest.approx(35 / 45, abs=0.04)
    assert loop.intake("far").whole
    loop.run(60)
    assert max(loop.utilisations.values()) <= SPILL.soft + 0.05


def test_that_does_not_wait_for_any_interval():
    loop = Loop(SITES, [Crowd(0, 60), Crowd(5, 70), Crowd(20, 50), Crowd(50, 40), Crowd(120, 30)])
    while not loop.changes:
        loop.second()
    fall(loop)
    loop.second()
    assert loop.intake("middle").takes < 1.0


def test_what_fits_nowhere_is_borne_evenly():
    crowds = [Crowd(0, 80), Crowd(5, 40), Crowd(20, 90), Crowd(50, 80), Crowd(120, 70)]
    loop = Loop(SITES, crowds)
    loop.run(5)
    fall(loop)
    loop.run(30)
    left = [loop.utilisation(name) for name in ("middle", "east", "far")]
    assert max(left) - min(left) < 0.1


def test_all_nodes_ask_for_the_same_and_none_of_them_twice():
    loop = Loop(SITES, CROWDS, nodes=4)
    loop.run(30)
    fall(loop)
    loop.run(5)
    assert [intake.sequence for _, _, intake in loop.changes] == [1, 1]


def test_a_drain_is_a_fall():
    loop = Loop(SITES, CROWDS)
    loop.run(30)
    loop.change("west", override=Override("west", OverrideKind.DRAIN, "ann", "new racks", 0.0))
    loop.second()
    assert loop.intake("middle").takes < 1.0


def test_a_process_that_begins_in_an_outage_leaves_things_as_they_are():
    loop = Loop(SITES, CROWDS)
    fall(loop)
    loop.run(5)
    assert loop.changes == []


def test_everybody_is_taken_again_once_nobody_needs_it():
    loop = Loop(SITES, CROWDS)
    loop.run(30)
    fall(loop)
    loop.run(60)
    rise(loop)
    loop.run(60)
    assert all(loop.intake(site.name).whole for site in SITES)


def test_a_region_comes_back_step_by_step():
    loop = Loop(RAMPED, CROWDS)
    loop.run(30)
    fall(loop)
    loop.run(30)
    assert loop.intake("west").ramp == 0.05  # before anybody can come
    rise(loop)
    seen = []
    for _ in range(60):
        loop.second()
        seen.append(loop.intake("west").ramp)
    assert seen == sorted(seen)
    assert seen[0] == 0.05
    assert seen[20] == pytest.approx(0.5, abs=0.1)
    assert seen[39] == 1.0
    assert max(later - earlier for earlier, later in pairwise(seen)) <= 0.051


def test_several_nodes_let_it_come_back_no_faster():
    loop = Loop(RAMPED, CROWDS, nodes=3)
    loop.run(30)
    fall(loop)
    loop.run(30)
    rise(loop)
    loop.run(20)
    assert loop.intake("west").ramp == pytest.approx(0.5, abs=0.1)


def test_who_falls_while_coming_back_begins_anew():
    loop = Loop(RAMPED, CROWDS)
    loop.run(30)
    fall(loop)
    loop.run(10)
    rise(loop)
    loop.run(20)
    fall(loop)
    loop.run(2)
    assert loop.intake("west").ramp == 0.05


def test_after_a_drain_it_comes_back_step_by_step_too():
    loop = Loop(RAMPED, CROWDS)
    loop.run(30)
    loop.change("west", override=Override("west", OverrideKind.DRAIN, "ann", "", 0.0))
    loop.run(10)
    loop.change("west", override=None)
    loop.run(3)
    assert loop.intake("west").ramp < 0.2


def test_it_comes_back_no_further_while_it_suffers():
    loop = Loop(RAMPED, CROWDS)
    loop.run(30)
    fall(loop)
    loop.run(30)
    rise(loop)
    loop.run(10)
    loop.errors["west"] = 0.2
    reached = loop.intake("west").ramp
    loop.run(20)
    assert loop.intake("west").ramp <= reached + 0.05
    loop.errors["west"] = 0.0
    loop.run(60)
    assert loop.intake("west").ramp == 1.0


def test_errors_that_were_always_there_are_no_sign():
    loop = Loop(RAMPED, CROWDS)
    loop.errors["west"] = 0.1
    loop.run(30)
    fall(loop)
    loop.run(30)
    rise(loop)
    loop.run(60)
    assert loop.intake("west").ramp == 1.0


def test_a_node_that_began_in_the_outage_does_not_take_few_errors_for_suffering():
    loop = Loop(RAMPED, CROWDS)
    loop.errors["west"] = 0.03
    loop.run(30)
    fall(loop)
    loop.run(10)
    loop.memories = [Memory()]
    loop.run(5)
    rise(loop)
    loop.run(45)
    assert loop.intake("west").ramp == 1.0


def test_no_standstill_is_for_ever():
    bounds = Bounds(SPILL, ramp=4.0)
    loop = Loop([replace(site, bounds=bounds) for site in SITES], CROWDS)
    loop.run(30)
    fall(loop)
    loop.run(10)
    loop.errors["west"] = 0.5
    rise(loop)
    loop.run(15)
    assert loop.intake("west").ramp == 0.25
    loop.run(10)
    assert loop.intake("west").ramp == 0.5
    loop.run(40)
    assert loop.intake("west").ramp == 1.0


def test_who_has_declared_no_watermark_comes_back_to_what_was_usual():
    bounds = Bounds(None, ramp=40.0)
    sites = [Site("west", 0.0, bounds=bounds), Site("east", 20.0, 1000.0, bounds)]
    loop = Loop(sites, [Crowd(-2, 98)], lag=1.0, every=1)
    loop.run(30)
    fall(loop)
    loop.run(10)
    rise(loop)
    loop.run(45)
    assert loop.intake("west").ramp == 1.0
    assert loop.utilisation("west") == pytest.approx(0.98)


def test_where_all_are_too_full_it_comes_back_to_bear_as_much_as_they_do():
    loop = Loop(RAMPED[:3], [Crowd(-2, 100), Crowd(20, 100), Crowd(50, 100)], lag=1.0)
    loop.run(30)
    fall(loop)
    loop.run(30)
    rise(loop)
    loop.run(80)
    assert loop.intake("west").ramp == 1.0


def test_when_nothing_is_known_of_it_time_alone_decides():
    loop = Loop(RAMPED, CROWDS)
    loop.run(30)
    fall(loop)
    loop.run(30)
    loop.silent = {"west"}
    rise(loop)
    loop.run(50)
    assert loop.intake("west").ramp == 1.0


@pytest.mark.parametrize("first", [Verdict.UNKNOWN, Verdict.DOWN])
def test_a_region_that_was_never_seen_well_does_not_come_back_but_begins(first):
    loop = Loop(RAMPED, CROWDS)
    loop.change("west", verdict=first)
    loop.run(10)
    rise(loop)
    loop.run(5)
    assert loop.intake("west").ramp == 1.0


def test_a_process_that_begins_while_a_region_comes_back_goes_on_where_others_were():
    loop = Loop(RAMPED, CROWDS)
    loop.change("west", intake=Intake(ramp=0.4, sequence=7))
    loop.run(9)
    assert 0.45 <= loop.intake("west").ramp < 0.7


def test_without_a_ramp_everybody_comes_back_at_once():
    loop = Loop(SITES, CROWDS)
    loop.run(30)
    fall(loop)
    loop.run(10)
    assert loop.intake("west").ramp == 1.0


def test_a_region_that_gives_clients_away_gives_no_more_away_while_it_is_down():
    loop = Loop(SITES, [Crowd(0, 60), Crowd(5, 70), Crowd(20, 50), Crowd(50, 40), Crowd(120, 30)])
    loop.run(60)
    fall(loop)
    shed = loop.intake("west").shed
    loop.run(60)
    assert loop.intake("west").shed == shed > 0


def test_what_is_moved_on_has_the_next_sequence_and_the_time_of_the_world():
    fleet, memory = fleet_of(SITES), Memory()
    state = RegionState("west", Verdict.UP, intake=Intake(sequence=41))
    world = World(123.0, {"west": state}, {"west": (report("west", 140.0),)})
    assert step(fleet, world, memory, 0.0) == {}
    intake = step(fleet, replace(world, at=456.0), memory, SPILL.interval)["west"]
    assert (intake.sequence, intake.since) == (42, 456.0)
