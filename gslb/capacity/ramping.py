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
    if taken == 1.0 or waited < stride * seconds - LATE or _suffers(known, standing):
        return taken
    return round(min(1.0, taken + stride), 3)


def _suffers(known: Remembered, standing: Standing) -> bool:
    """Whether more clients would do harm. When nothing is known of it now, time alone decides."""
    if not standing.fresh or known.load is None:
        return False
    if standing.utilisation is not None and standing.utilisation > standing.spill.soft:
        return True
    used_to = known.calm_errors or 0.0
    bearable = max(ERRORS_NEVER, 2 * used_to)
    return known.load.error_rate > (bearable if used_to > ERRORS_ALWAYS else min(ERRORS_ALWAYS, bearable))
