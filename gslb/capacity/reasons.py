"""The sentence that tells why a region does not take everybody; begins alike for as long as it does so."""

from __future__ import annotations

from gslb.capacity.standing import Standing
from gslb.world import Intake

WHOLE = "takes everybody"


def reason(before: Intake, after: Intake, standing: Standing | None) -> str:
    """Why an intake is as it is now, to follow the region's name. standing: None if it is not eligible."""
    if after.whole:
        return WHOLE
    said = []
    if after.ramp < 1.0:
        said.append(f"comes back step by step, with {after.ramp:.0%} of its clients so far")
    if after.shed > 0.0:
        said.append(f"gives clients away ({after.shed:.0%} of the way)")
    if after.takes < 1.0:
        said.append(f"takes only some of others' clients ({after.takes:.1%})")
    return ", ".join(said) + _load(before, after, standing)


def _load(before: Intake, after: Intake, standing: Standing | None) -> str:
    if standing is None:
        return ""
    if standing.utilisation is None:
        return "" if (before.shed, before.takes) == (after.shed, after.takes) else ": its load is not known"
    told = f": at {standing.utilisation:.2f} of its capacity"
    if standing.overfull:
        return f"{told}, more than {standing.band.high:.2f}"
    return f"{told}, less than {standing.band.low:.2f}" if standing.utilisation < standing.band.low else told
