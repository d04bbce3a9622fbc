"""Where clients would go in another world, and whether the regions would bear it: shown before it is done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gslb.fleet import Fleet, Region, Service
from gslb.override_effect import left_without
from gslb.policy.base import Client
from gslb.policy.decision import decide
from gslb.world import Report, World

Flows = Mapping[tuple[str | None, str | None], float]
"""Parts of a service's clients, 0 to 1, by the regions they are sent to before and after; None: SERVFAIL."""


@dataclass(frozen=True, slots=True)
class RegionLoad:
    """What becomes of one region.

    share_before, share_after: of the clients of all services that it has anything to do with, 0 to 1, each
    service counting alike. before, after: requests per second; None where nobody in the fleet reports any.
    reported: whether `before` is what its edges say; else it follows from what those of others say.
    limit: requests per second that it may get, as declared or reported; None: not known.
    """

    region: str
    share_before: float
    share_after: float
    before: float | None
    after: float | None
    reported: bool
    limit: float | None

    @property
    def holds(self) -> bool | None:
        """Whether it bears what it would get; None: that cannot be told."""
        return None if self.after is None or self.limit is None else self.after <= self.limit


@dataclass(frozen=True, slots=True)
class ServiceMove:
    """A service of which clients move. moved: the part of its clients that does, 0 to 1. to: the regions they
    go to, with their parts, greatest first. stranded: whether no region is eligible for it any more."""

    service: str
    moved: float
    to: tuple[tuple[str, float], ...]
    stranded: bool


@dataclass(frozen=True, slots=True)
class WhatIf:
    """regions, services: of the fleet, in its order; services only where clients move or none is left.

    unplaced: requests per second that regions report of services of which the population has no clients
    there: they are taken to stay.
    """

    regions: tuple[RegionLoad, ...]
    services: tuple[ServiceMove, ...]
    unplaced: float

    @property
    def overloaded(self) -> tuple[RegionLoad, ...]:
        """The regions that would get more than they bear, and more than they have now."""
        return tuple(
            each
            for each in self.regions
            if each.holds is False and (each.after or 0.0) > (each.before or 0.0)
        )


def what_if(
    fleet: Fleet, before: World, after: World, population: Iterable[tuple[Client, float]], now: float
) -> WhatIf:
    """What moves if the world `before` becomes `after`; pure. population: clients with their weights, which
    sum to 1. now: seconds since 1970.

    Every client counts for each service as much as its weight says. Loads are scaled so that each region has
    before what its edges report: of a service what they say of it, else its part of what they say of all.
    """
    population = tuple(population)
    flows = _flows(fleet, before, after, population, now)
    reports = {region: told for region, told in before.reports.items() if told}
    rates = _Rates(fleet, reports, flows)
    left = set(left_without(fleet.services.values(), before, after))
    return WhatIf(
        regions=_region_loads(fleet, reports, flows, rates),
        services=tuple(
            _move(name, flows[name], stranded=name in left)
            for name in fleet.services
            if name in left or any(source != target for source, target in flows[name])
        ),
        unplaced=rates.unplaced,
    )


def _flows(
    fleet: Fleet, before: World, after: World, population: Sequence[tuple[Client, float]], now: float
) -> dict[str, Flows]:
    """By service. Those that no decision could tell apart are decided on once."""
    flows: dict[str, Flows] = {}
    for alike in _alike(fleet.services.values(), (before, after)):
        first = alike[0]
        # One world after the other: how regions stand is remembered of the latest world only.
        sources = [decide(fleet, first, client, before, now).chosen for client, _ in population]
        targets = [decide(fleet, first, client, after, now).chosen for client, _ in population]
        moved: defaultdict[tuple[str | None, str | None], float] = defaultdict(float)
        for source, target, (_, weight) in zip(sources, targets, population, strict=True):
            moved[source, target] += weight
        flows.update((service.name, moved) for service in alike)
    return flows


def _alike(services: Iterable[Service], worlds: Sequence[World]) -> list[list[Service]]:
    """Services in groups of which each has the same regions, policies and pools, and the same overrides."""
    groups: defaultdict[object, list[list[Service]]] = defaultdict(list)
    for service in services:
        words = tuple(
            world.region(name).overrides.get(service.name) for world in worlds for name in service.regions
        )
        bucket = groups[service.regions, service.pools, service.all_down, words]
        group = next((each for each in bucket if each[0].policies == service.policies), None)
        if group is None:
            bucket.append([service])
        else:
            group.append(service)
    return [group for bucket in groups.values() for group in bucket]


class _Rates:
    """Requests per second of each service that come to each region before, as far as reports tell."""

    def __init__(
        self, fleet: Fleet, reports: Mapping[str, Sequence[Report]], flows: Mapping[str, Flows]
    ) -> None:
        self.known = bool(reports)
        self.unplaced = 0.0
        self._coming = {name: _coming(flow) for name, flow in flows.items()}
        self._of: dict[tuple[str, str], float] = {}
        for region in fleet.regions:
            if region in reports:
                self._take(region, reports[region])
        for service in fleet.services:
            self._estimate(service, [region for region in fleet.regions if region not in reports])

    def moving(self, service: str, source: str, part: float) -> float:
        """Requests per second of a `part` of the service's clients, who come to `source` before."""
        coming = self._coming[service].get(source, 0.0)
        return self._of.get((service, source), 0.0) * part / coming if coming else 0.0

    def estimated(self, region: str) -> float:
        """Of a region that reports nothing itself, all its services together."""
        return sum(self._of.get((service, region), 0.0) for service in self._coming)

    def _take(self, region: str, reports: Sequence[Report]) -> None:
        told: defaultdict[str, float] = defaultdict(float)
        for report in reports:
            for service in report.services:
                told[service.service] += service.requests_per_second
        if told:
            for name, rate in told.items():
                if self._coming.get(name, {}).get(region):
                    self._of[name, region] = rate
                elif name in self._coming:
                    self.unplaced += rate
            return
        rate = sum(report.requests_per_second for report in reports)
        parts = {name: coming.get(region, 0.0) for name, coming in self._coming.items()}
        total = sum(parts.values())
        if not total:
            self.unplaced += rate
            return
        self._of.update({(name, region): rate * part / total for name, part in parts.items()})

    def _estimate(self, service: str, silent: Sequence[str]) -> None:
        """Regions that say nothing have as many requests for each client as those that do."""
        coming = self._coming[service]
        heard = [region for region in coming if (service, region) in self._of]
        clients = sum(coming[region] for region in heard)
        rate = sum(self._of[service, region] for region in heard)
        for region in silent:
            if clients:
                self._of[service, region] = rate * coming.get(region, 0.0) / clients


def _coming(flows: Flows) -> dict[str, float]:
    """The part of the clients that comes to each region before."""
    coming: defaultdict[str, float] = defaultdict(float)
    for (source, _), part in flows.items():
        if source is not None:
            coming[source] += part
    return dict(coming)


def _region_loads(
    fleet: Fleet, reports: Mapping[str, Sequence[Report]], flows: Mapping[str, Flows], rates: _Rates
) -> tuple[RegionLoad, ...]:
    shares: defaultdict[str | None, list[float]] = defaultdict(lambda: [0.0, 0.0])
    gained: defaultdict[str | None, float] = defaultdict(float)
    for service, flow in flows.items():
        for (source, target), part in flow.items():
            shares[source][0] += part / len(flows)
            shares[target][1] += part / len(flows)
            if source is not None and source != target:
                rate = rates.moving(service, source, part)
                gained[source] -= rate
                gained[target] += rate
    loads = []
    for name, region in fleet.regions.items():
        told = reports.get(name, ())
        now = sum(report.requests_per_second for report in told) if told else rates.estimated(name)
        loads.append(
            RegionLoad(
                region=name,
                share_before=shares[name][0],
                share_after=shares[name][1],
                before=now if rates.known else None,
                # What comes and goes is summed in another order than what is there.
                after=max(0.0, now + gained[name]) if rates.known else None,
                reported=bool(told),
                limit=_limit(region, told),
            )
        )
    return tuple(loads)


def _limit(region: Region, reports: Sequence[Report]) -> float | None:
    """Requests per second up to which a region may be loaded."""
    capacity = region.capacity
    if capacity is None:
        reported = [report.capacity for report in reports if report.capacity is not None]
        capacity = sum(reported) if reported else None
    if capacity is None:
        return None
    return capacity * (region.bounds.spill.hard if region.bounds.spill is not None else 1.0)


def _move(service: str, flows: Flows, *, stranded: bool) -> ServiceMove:
    to: defaultdict[str, float] = defaultdict(float)
    for (source, target), part in flows.items():
        if source != target:
            to[target if target is not None else "SERVFAIL"] += part
    ranked = tuple(sorted(to.items(), key=lambda each: (-each[1], each[0])))
    return ServiceMove(service, sum(to.values()), ranked, stranded)
