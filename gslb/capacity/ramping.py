"""How a region takes its clients back after an outage: little by little, and no further while it suffers."""

from __future__ import annotations

from gslb.capacity.memory import Remembered
from gslb.capacity.standing import Standing
from gslb.fleet import Region
from gslb.world import RegionState

STEPS = 20
SHORTEST = 1.0
"""Seconds from one step to the next; a ramp of few seconds has fewer steps."""

LATE = 0.25
"""Seconds by which a step may come early, so that one who looks each second does not come a second late."""

LONGEST_STANDSTILL = 5
"""Ramp lengths. What seems to be suffering for longer than this is how the region is, and every ramp ends."""

ERRORS_ALWAYS = 0.05
ERRORS_NEVER = 0.01
"""Error rates: above the first a region suffers whatever it was used to, below the second it does not."""


def ramp(
    region: Region, state: RegionState, known: Remembered, standing: Standing | None, now: float
) -> float:
    """The part of its clients that a region takes, from now on.

    It is small as soon as a region that was well falls, and so it is small already when the region comes
    back: nobody is quick enough to make it small then. standing: None while it is not eligible.
    """
    taken = state.intake.ramp
    seconds = region.bounds.ramp
    if seconds <= SHORTEST:
        return 1.0
    stride = max(1 / STEPS, SHORTEST / seconds)
    if standing is None:
        return round(stride, 3) if known.was_up and taken > stride else taken
    waited = now - max(known.ramped_at, known.turned_at)
    if taken == 1.0 or waited < stride * seconds - LATE:
        return taken
    if waited < LONGEST_STANDSTILL * seconds and _suffers(region, known, standing):
        return taken
    return round(min(1.0, taken + stride), 3)


def _suffers(region: Region, known: Remembered, standing: Standing) -> bool:
    """Whether more clients would do harm. When nothing is known of it now, time alone decides."""
    if not standing.fresh or known.load is None:
        return False
    if standing.utilisation is not None and standing.utilisation > _full(region, standing):
        return True
    return known.load.error_rate > _bearable(known.calm_errors)


def _full(region: Region, standing: Standing) -> float:
    """The utilisation above which it is too full; where all are fuller, it is to bear as much as they do."""
    high = standing.band.high
    # Nobody has declared a watermark where there is no spill; what it carries is known all the same.
    return high if region.bounds.spill is not None else max(1.0, high)


def _bearable(used_to: float | None) -> float:
    """An error rate. used_to: what it was before the fall; None for a process that has not seen that."""
    if used_to is None:
        return ERRORS_ALWAYS
    twice = max(ERRORS_NEVER, 2 * used_to)
    return twice if used_to > ERRORS_ALWAYS else min(ERRORS_ALWAYS, twice)
