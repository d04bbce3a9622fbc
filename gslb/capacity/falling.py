"""Where the clients of a region go that has just fallen: spread beforehand, and not from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from gslb.capacity.shifting import TAKES_STEP, Scene
from gslb.capacity.standing import Standing

NOTHING_LEFT = 0.01
"""A smaller part of the demand needs no place of its own."""


def caps(scene: Scene, fallen: Sequence[str]) -> dict[str, float]:
    """The most that `takes` of the remaining regions may be, so that nobody is overrun.

    Clients come to the nearest first, to the next only if that does not take them. So each one takes of those
    that come what it has room for, and the last one the rest. Where there is room for all, distance decides;
    else all are filled to the same level. It is not known where each client would go: what is wrong with
    this the steps after it put right.
    """
    found: dict[str, float] = {}
    for region in fallen:
        for name, takes in _cascade(scene, region).items():
            found[name] = min(takes, found.get(name, 1.0))
    return found


def _cascade(scene: Scene, fallen: str) -> dict[str, float]:
    demand = left = scene.memory.of(fallen).peak(scene.now)
    remaining = scene.around(fallen)
    if demand <= 0:
        return {}
    shares = _shares(remaining, demand)
    found = {}
    for standing in remaining:
        if left <= NOTHING_LEFT * demand:
            break
        if not standing.open:
            continue
        if not standing.gives:  # nothing is changed about it
            left -= left * standing.intake.takes
            continue
        takes = min(1.0, shares[standing.region] / left)
        found[standing.region] = max(TAKES_STEP, round(takes / TAKES_STEP) * TAKES_STEP)
        left -= takes * left
    return found


def _shares(remaining: Sequence[Standing], demand: float) -> dict[str, float]:
    """The requests per second each region should get. If there is no room for all, the level is found at
    which those below it have as much as that."""
    if sum(each.room for each in remaining) >= demand:
        return {each.region: each.room for each in remaining}
    level = _level([each for each in remaining if each.open], demand)
    return {each.region: _below(each, level) if each.open else 0.0 for each in remaining}


def _level(standings: Sequence[Standing], demand: float) -> float:
    """The utilisation to which `demand` fills regions up, the emptiest first."""
    rising = sorted(each.utilisation for each in standings if each.utilisation is not None)
    level = 0.0
    for place, lowest in enumerate(rising):
        filled = [each for each in standings if each.utilisation is not None and each.utilisation <= lowest]
        capacity = sum(each.capacity for each in filled)
        level = (demand + sum((each.utilisation or 0.0) * each.capacity for each in filled)) / capacity
        if place + 1 < len(rising) and level <= rising[place + 1]:
            break
    return level


def _below(standing: Standing, level: float) -> float:
    if standing.utilisation is None:
        return inf
    return max(0.0, level - standing.utilisation) * standing.capacity
