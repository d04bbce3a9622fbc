"""What edges' reports say of the load of whole regions, against what they carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gslb.fleet import Fleet, Region
from gslb.world import RegionState, Report, World

LEAST_LIVE = 0.01
"""A region that hardly lives still has some capacity, so that its load is a number."""


@dataclass(frozen=True, slots=True)
class Load:
    """Of one region, over the last report interval.

    demand, capacity: requests per second; capacity None: neither declared nor learned. error_rate: 0 to 1.
    """

    demand: float
    capacity: float | None
    error_rate: float


def loads(fleet: Fleet, world: World) -> Mapping[str, Load]:
    """The loads of all regions of which there are reports; all that `world` has are fresh."""
    return {
        name: _load(fleet.regions[name], world.region(name), reports)
        for name, reports in world.reports.items()
        if reports and name in fleet.regions
    }


def _load(region: Region, state: RegionState, reports: Sequence[Report]) -> Load:
    demand = sum(report.requests_per_second for report in reports)
    errors = sum(report.requests_per_second * report.error_rate for report in reports)
    if region.capacity is not None:
        capacity: float | None = region.capacity * max(LEAST_LIVE, state.live)
    else:
        capacity = _learned(reports)
    return Load(demand, capacity, errors / demand if demand > 0 else 0.0)


def _learned(reports: Sequence[Report]) -> float | None:
    """What edges estimate for all their services together.

    None as soon as one that is asked for has no estimate: the sum would be of something else than the demand.
    An estimate already leaves out servers that are gone.
    """
    total = 0.0
    for report in reports:
        for service in report.services:
            if service.capacity is not None:
                total += service.capacity
            elif service.requests_per_second > 0:
                return None
    return total or None
