"""How full each region is and how full it may be, seen together with all to which its clients could go."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import inf

from gslb.capacity.memory import Memory, Remembered
from gslb.capacity.neighbours import joined
from gslb.fleet import Fleet, Region, Spill
from gslb.world import Intake, OverrideKind, RegionState, World

HELD_INTERVALS = 10
"""For so many intervals the last known load counts, when reports are missing."""

NARROWEST = 0.02
"""No band is narrower, whatever is declared: clients move in parts, and loads are never quite still."""

_ORDINARY = Spill()


@dataclass(frozen=True, slots=True)
class Band:
    """Utilisations. Above `high` a region gives clients away, below `low` it takes them home, and what it
    wants either way is `aim`, in between. Above `hard` no more are meant to come."""

    high: float
    aim: float
    low: float
    hard: float


@dataclass(frozen=True, slots=True)
class Standing:
    """Of an eligible region. utilisation: None when it is not known, or without bound: a hostname's.

    capacity: requests per second. fresh: whether reports say so now, and not memory. gives: whether it can
    give clients away. open: whether others' clients are meant to come: not while it comes back itself.
    joined: all of its set.
    """

    region: str
    spill: Spill
    intake: Intake
    utilisation: float | None
    capacity: float
    fresh: bool
    gives: bool
    open: bool
    band: Band
    joined: frozenset[str] = frozenset()

    @property
    def room(self) -> float:
        """Requests per second that it can still take; infinite when nobody knows."""
        if not self.open:
            return 0.0
        return inf if self.utilisation is None else max(0.0, self.band.aim - self.utilisation) * self.capacity

    @property
    def overfull(self) -> bool:
        return self.utilisation is not None and self.utilisation > self.band.high

    @property
    def closed_by_load(self) -> bool:
        return not self.open or (self.utilisation is not None and self.utilisation >= self.band.hard)


def is_held(state: RegionState) -> bool:
    """Whether an operator wants nothing to move."""
    override = state.deciding_override("")
    return override is not None and override.kind is OverrideKind.HOLD


def survey(
    fleet: Fleet, world: World, memory: Memory, fresh: Collection[str], now: float
) -> Mapping[str, Standing]:
    """All eligible regions. fresh: those of which there are reports."""
    alone = {
        name: _standing(region, state, memory.of(name), now, fresh=name in fresh)
        for name, region in fleet.regions.items()
        if (state := world.region(name)).eligible
    }
    found: dict[str, Standing] = {}
    for together in joined(alone, memory.neighbours(fleet)):
        level = _level([alone[name] for name in together])
        for name in together:
            band = _band(alone[name].spill, level)
            found[name] = replace(alone[name], band=band, joined=together)
    return found


def _standing(region: Region, state: RegionState, known: Remembered, now: float, *, fresh: bool) -> Standing:
    spill = region.bounds.spill or _ORDINARY
    utilisation, capacity = None, inf
    load = known.load
    held = HELD_INTERVALS * spill.interval
    if load is not None and load.capacity and now - known.samples[-1].at <= held and not region.hostname:
        utilisation, capacity = known.utilisation(spill.interval / 3), load.capacity
    return Standing(
        region.name,
        spill,
        state.intake,
        utilisation,
        capacity,
        fresh=fresh and utilisation is not None,
        gives=region.bounds.spill is not None and utilisation is not None and not is_held(state),
        open=state.intake.ramp == 1.0,
        band=_band(spill, 0.0),
    )


def _band(spill: Spill, level: float) -> Band:
    """Around `soft`, or around `level` where all together have more than that to bear."""
    width = max(NARROWEST, spill.hysteresis)
    high = max(spill.soft, level + width / 2)
    return Band(high, high - width / 2, high - width, max(spill.hard, high + spill.hard - spill.soft))


def _level(together: list[Standing]) -> float:
    """The utilisation at which all would be that can be brought to the same one; 0 if one has no bound.

    Who cannot give counts only while others could fill it, who cannot take only while it has too much.
    """
    if any(each.utilisation is None and each.open for each in together):
        return 0.0
    known = [each for each in together if each.utilisation is not None]
    counted = [each for each in known if each.gives and each.open] or known
    for _ in known:
        level = _mean(counted)
        again = [each for each in known if _can_be_brought_to(each, level)]
        if again == counted or not again:
            break
        counted = again
    return _mean(counted)


def _can_be_brought_to(each: Standing, level: float) -> bool:
    if each.utilisation is None:
        return False
    return each.gives if each.utilisation > level else each.open


def _mean(counted: list[Standing]) -> float:
    capacity = sum(each.capacity for each in counted)
    demand = sum(each.capacity * each.utilisation for each in counted if each.utilisation is not None)
    return demand / capacity if capacity else 0.0
