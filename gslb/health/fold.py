"""Folds observations, reports and overrides into a world: the same facts give everyone the same world."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from types import MappingProxyType

from gslb.fleet import Fleet, Quorum, Region
from gslb.health.live import live
from gslb.health.quorum import NOT_OBSERVED, conclude
from gslb.world import (
    EVERYBODY,
    Intake,
    Observation,
    Override,
    RegionState,
    Report,
    TargetState,
    Verdict,
    World,
)

NOT_PROBED = "it is not probed"

Settle = Callable[[TargetState, Quorum], TargetState]
"""Has the last word on what follows for a target, from what its quorum gave."""

_NEVER = 2.0**31
"""Seconds, more than any TTL: what is not probed stays as it is."""


def as_concluded(state: TargetState, quorum: Quorum) -> TargetState:
    """Nothing but what is fresh counts."""
    return state


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one region beside what observers see. All of it holds, and is of this region.

    override: on the region. overrides: on services here, by name. reports: the newest of each edge.
    """

    override: Override | None = None
    overrides: Mapping[str, Override] = field(default_factory=dict)
    reports: Sequence[Report] = ()
    intake: Intake = EVERYBODY


_NOTHING = Known()


def fold_world(
    fleet: Fleet,
    observations: Iterable[Observation],
    reports: Iterable[Report],
    overrides: Iterable[Override],
    *,
    at: float,
    store_read_at: float | None,
    intakes: Mapping[str, Intake] = MappingProxyType({}),
    settle: Settle = as_concluded,
) -> World:
    """The world at `at` (seconds since 1970), from what is fresh then.

    Freshness of observations and reports is the caller's business (leases); overrides that have ended and
    whatever concerns no region of the fleet are left out here. Of several overrides (reports) for one
    region and service (edge) the latest counts. settle: has the last word on what follows for each target.
    """
    heard: defaultdict[str, list[Observation]] = defaultdict(list)
    for observation in observations:
        heard[observation.target].append(observation)
    standing = _standing_overrides(overrides, at)
    latest = _latest_reports(fleet, reports)
    services = services_of_regions(fleet)
    regions = {}
    for name, region in fleet.regions.items():
        known = Known(
            override=standing[name].get(""),
            overrides=overrides_here(standing[name], standing[""], services.get(name, frozenset())),
            reports=latest.get(name, ()),
            intake=intakes.get(name, EVERYBODY),
        )
        regions[name] = fold_region(region, heard, known, settle)
    observers = {
        observation.observer
        for state in regions.values()
        for target in state.targets.values()
        for observation in target.observations
    }
    return World(
        at=at,
        regions=regions,
        reports=latest,
        observers=tuple(sorted(observers)),
        store_read_at=store_read_at,
    )


def services_of_regions(fleet: Fleet) -> Mapping[str, Set[str]]:
    """By region, the services that are answered from there; regions without any are missing."""
    services: defaultdict[str, set[str]] = defaultdict(set)
    for service in fleet.services.values():
        for region in service.regions:
            services[region].add(service.name)
    return services


def overrides_here(
    said_here: Mapping[str, Override], said_everywhere: Mapping[str, Override], services: Set[str]
) -> dict[str, Override]:
    """By service, the overrides on services of one region, whose `services` are given.

    said_here: of this region, by service, with that on the region itself under an empty name. It beats what
    was said of a service wherever it is, which concerns those regions alone that it is answered from.
    """
    everywhere = {service: each for service, each in said_everywhere.items() if service in services}
    return {**everywhere, **{service: each for service, each in said_here.items() if service}}


def region_targets(region: Region) -> dict[str, str]:
    """The region's edge addresses (text), in the fleet's order, each with its target's name.

    Of a region that is a hostname that one, if it is probed.
    """
    if region.hostname is not None:
        return {region.hostname: region.target} if region.probe is not None else {}
    return {str(address): edge.target(address) for edge in region.edges for address in edge.addresses}


def fold_region(
    region: Region,
    heard: Mapping[str, Sequence[Observation]],
    known: Known = _NOTHING,
    settle: Settle = as_concluded,
) -> RegionState:
    """The state of one region; see `fold_world`.

    heard: the fresh observations by target, also of other regions' targets. flip_in is the probes' alone:
    the next report may change what follows at any moment, as an operator may, so nothing could be promised
    but 0, which would give every answer of a region that is well the shortest TTL.
    """
    quorum = region.check.quorum
    concluded = {
        address: settle(conclude(target, heard.get(target, ()), quorum), quorum)
        for address, target in region_targets(region).items()
    }
    states = tuple(concluded.values())
    verdict = _region_verdict(states)
    deciding = [state for state in states if state.verdict is verdict]
    # A region is up since its first address was, and down since its last one was.
    since = 0.0
    if verdict is not Verdict.UNKNOWN:
        since = (min if verdict is Verdict.UP else max)(state.since for state in deciding)
    reason = _region_reason(verdict, concluded)
    of_servers = live(region, concluded, known.reports)
    if of_servers.thin and verdict is not Verdict.DOWN:
        reason = f"{reason}; {of_servers.thin}"
    return RegionState(
        region=region.name,
        verdict=verdict,
        since=since,
        reason=reason,
        flip_in=min((state.flip_in for state in states), default=_NEVER),
        override=known.override,
        targets=concluded,
        overrides=known.overrides,
        without=of_servers.without,
        live=of_servers.share,
        thin=bool(of_servers.thin),
        intake=known.intake,
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


def _standing_overrides(overrides: Iterable[Override], at: float) -> defaultdict[str, dict[str, Override]]:
    """By region (empty: wherever the service is) and service (empty: the region itself)."""
    standing = [override for override in overrides if holds(override, at)]
    standing.sort(key=lambda each: (each.since, each.kind.value, each.by, each.reason, each.until or 0.0))
    by_region: defaultdict[str, dict[str, Override]] = defaultdict(dict)
    for override in standing:
        by_region[override.region][override.service] = override
    return by_region


def holds(override: Override, at: float) -> bool:
    """Whether it has not ended by then (seconds since 1970)."""
    return override.until is None or override.until > at


def _latest_reports(fleet: Fleet, reports: Iterable[Report]) -> dict[str, tuple[Report, ...]]:
    latest: defaultdict[str, dict[str, Report]] = defaultdict(dict)
    for report in sorted(reports, key=lambda each: (each.epoch, each.sequence, each.at)):
        latest[report.region][report.edge] = report
    return {name: in_order_of_edges(latest[name]) for name in fleet.regions if name in latest}


def in_order_of_edges(reports: Mapping[str, Report]) -> tuple[Report, ...]:
    """A region's reports, given by edge, as worlds have them."""
    return tuple(reports[edge] for edge in sorted(reports))
