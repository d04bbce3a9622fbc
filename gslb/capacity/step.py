"""Moves intakes on: from loads, falls and returns follows how many clients each region takes from now on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gslb.capacity.falling import caps
from gslb.capacity.load import loads
from gslb.capacity.memory import CAP_HOLDS, Memory, Remembered
from gslb.capacity.ramping import ramp
from gslb.capacity.reasons import reason
from gslb.capacity.shifting import Scene, Shift, shifts
from gslb.capacity.standing import HELD_INTERVALS, Standing, is_held, survey
from gslb.fleet import Fleet, Region
from gslb.world import Intake, RegionState, World

WORTH_A_CAP = 0.02
"""Several processes see a fall with loads that differ a little; who differs by less than this is silent."""


def step(fleet: Fleet, world: World, memory: Memory, now: float) -> Mapping[str, Intake]:
    """The intakes that are to change, by region, each with the next sequence.

    Does no I/O; `memory` is told of the world. now: seconds by a clock that never steps back, always the
    same one; `since` of what changes is `world.at`. Any number of processes may call this: a region moves
    on only when its last step, whoever made it, was seen an interval ago.
    """
    known = loads(fleet, world)
    fallen = memory.note(fleet, world, known, now)
    if not _concerned(fleet, world):
        return {}
    standings = survey(fleet, world, memory, known.keys(), now)
    scene = Scene(standings, memory.neighbours(fleet), memory, now)
    for name, takes in caps(scene, fallen).items():
        memory.of(name).cap = takes, now + CAP_HOLDS
    shifted = shifts(scene)
    moved: dict[str, Intake] = {}
    for name, region in fleet.regions.items():
        state = world.region(name)
        if is_held(state):
            continue
        standing, remembered = standings.get(name), memory.of(name)
        shed, takes = shifted.get(name) or _unobserved(region, state, remembered, standing, now)
        after = replace(
            state.intake,
            shed=shed,
            takes=_capped(takes, remembered, now),
            ramp=ramp(region, state, remembered, standing, now),
        )
        if after != state.intake:
            moved[name] = replace(
                after,
                reason=reason(state.intake, after, standing),
                since=world.at,
                sequence=state.intake.sequence + 1,
            )
    return moved


def _concerned(fleet: Fleet, world: World) -> bool:
    """Whether anything is declared that intakes follow from, or was."""
    return any(
        region.bounds.spill is not None or region.bounds.ramp > 0 or not world.region(name).intake.whole
        for name, region in fleet.regions.items()
    )


def _unobserved(
    region: Region, state: RegionState, known: Remembered, standing: Standing | None, now: float
) -> Shift:
    """What becomes of shed and takes without a look at the load: they stay.

    When it has not been known for long how full the region is, they become whole little by little: to hold on
    to what was right once would be a guess, and so would be to let go at once.
    """
    shed, takes = state.intake.shed, state.intake.takes
    spill = region.bounds.spill
    if spill is None:
        return Shift(0.0, 1.0)
    if standing is None or standing.utilisation is not None or now - known.moved_at < spill.interval:
        return Shift(shed, takes)
    if now - max(known.measured_at, known.turned_at) < HELD_INTERVALS * spill.interval:
        return Shift(shed, takes)
    return Shift(max(0.0, shed - spill.max_shift / 2), min(1.0, takes + spill.max_shift))


def _capped(takes: float, known: Remembered, now: float) -> float:
    cap, until = known.cap
    return cap if now < until and cap < takes - WORTH_A_CAP else takes
