"""Folds observations, reports and overrides into a world: the same facts give everyone the same world."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from gslb.fleet import Fleet, Region
from gslb.health.quorum import NOT_OBSERVED, conclude
from gslb.world import Observation, Override, RegionState, Report, TargetState, Verdict, World

NOT_PROBED = "it is not probed"

_NEVER = 2.0**31
"""Seconds, more than any TTL: what is not probed stays as it is."""


def fold_world(
    fleet: Fleet,
    observations: Iterable[Observation],
    reports: Iterable[Report],
    overrides: Iterable[Override],
    *,
    at: float,
    store_read_at: float | None,
    settle: Callable[[TargetState], TargetState] = lambda state: state,
) -> World:
    """The world at `at` (seconds since 1970), from what is fresh then.

    Freshness of observations and reports is the caller's business (leases); overrides that have ended and
    whatever concerns no region of the fleet are left out here. Of several overrides (reports) for one
    region (edge) the latest counts. settle: has the last word on what follows for each target.
    """
    heard: defaultdict[str, list[Observation]] = defaultdict(list)
    for observation in observations:
        heard[observation.target].append(observation)
    standing = _standing_overrides(overrides, at)
    regions = {
        name: fold_region(name, region_targets(region), heard, standing.get(name), settle)
        for name, region in fleet.regions.items()
    }
    observers = {
        observation.observer
        for state in regions.values()
        for target in state.targets.values()
        for observation in target.observations
    }
    return World(
        at=at,
        regions=regions,
        reports=_latest_reports(fleet, reports),
        observers=tuple(sorted(observers)),
        store_read_at=store_read_at,
    )


def region_targets(region: Region) -> dict[str, str]:
    """The region's edge addresses (text), in the fleet's order, each with its target's name.

    Of a region that is a hostname that one, if it is probed.
    """
    if region.hostname is not None:
        return {region.hostname: region.target} if region.probe is not None else {}
    return {str(address): edge.target(address) for edge in region.edges for address in edge.addresses}


def fold_region(
    name: str,
    targets: Mapping[str, str],
    heard: Mapping[str, Sequence[Observation]],
    override: Override | None,
    settle: Callable[[TargetState], TargetState] = lambda state: state,
) -> RegionState:
    """The state of one region, whose `region_targets` are given; see `fold_world`.

    heard: the fresh observations by target, also of other regions' targets. override: one that holds.
    """
    concluded = {
        address: settle(conclude(target, heard.get(target, ()))) for address, target in targets.items()
    }
    states = tuple(concluded.values())
    verdict = _region_verdict(states)
    deciding = [state for state in states if state.verdict is verdict]
    # A region is up since its first address was, and down since its last one was.
    since = 0.0
    if verdict is not Verdict.UNKNOWN:
        since = (min if verdict is Verdict.UP else max)(state.since for state in deciding)
    return RegionState(
        region=name,
        verdict=verdict,
        since=since,
        reason=_region_reason(verdict, concluded),
        flip_in=min((state.flip_in for state in states), default=_NEVER),
        override=override,
        targets=concluded,
    )


def _region_verdict(states: tuple[TargetState, ...]) -> Verdict:
    verdicts = {state.verdict for state in states}
    if Verdict.UP in verdicts:
        return Verdict.UP
    return Verdict.DOWN if verdicts == {Verdict.DOWN} else Verdict.UNKNOWN


def _region_reason(verdict: Verdict, targets: Mapping[str, TargetState]) -> str:
    """One address speaks for itself; several are counted, and the first that is ill is named."""
    if len(targets) == 1:
        return next(iter(targets.values())).reason
    if not targets:
        return NOT_PROBED
    if all(state.reason == NOT_OBSERVED for state in targets.values()):
        return NOT_OBSERVED
    counted = Verdict.DOWN if verdict is Verdict.DOWN else Verdict.UP
    number = sum(state.verdict is counted for state in targets.values())
    sentence = f"{number} of {len(targets)} addresses {counted}"
    for address, state in targets.items():
        if state.verdict is Verdict.DOWN:
            return f"{sentence}; {address} is down, {state.reason}"
    return sentence


def _standing_overrides(overrides: Iterable[Override], at: float) -> dict[str, Override]:
    standing = [override for override in overrides if override.until is None or override.until > at]
    standing.sort(key=lambda each: (each.since, each.kind.value, each.by, each.reason, each.until or 0.0))
    return {override.region: override for override in standing}


def _latest_reports(fleet: Fleet, reports: Iterable[Report]) -> dict[str, tuple[Report, ...]]:
    latest: defaultdict[str, dict[str, Report]] = defaultdict(dict)
    for report in sorted(reports, key=lambda each: (each.epoch, each.sequence, each.at)):
        latest[report.region][report.edge] = report
    return {name: in_order_of_edges(latest[name]) for name in fleet.regions if name in latest}


def in_order_of_edges(reports: Mapping[str, Report]) -> tuple[Report, ...]:
    """A region's reports, given by edge, as worlds have them."""
    return tuple(reports[edge] for edge in sorted(reports))
