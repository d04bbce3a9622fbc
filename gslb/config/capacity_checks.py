"""Finds what is wrong or unwise in how regions share their load out, between entries that are each right."""

from __future__ import annotations

from gslb.config.document import KeyPath
from gslb.config.findings import Findings
from gslb.config.sections import Sections
from gslb.fleet import Fleet, Pool, Region, Service, Spill

_FOR_ALL: KeyPath = ("capacity", "spill")


def check_spills(findings: Findings, sections: Sections) -> None:
    """Report watermarks that cannot be, where they are said; those of all regions once."""
    common = sections.bounds.spill
    if common is not None:
        _check_spill(findings, common, _FOR_ALL)
    for name, region in sections.regions.items():
        own: KeyPath = (*sections.paths["regions", name], "spill")
        if region.bounds.spill is not None and region.bounds.spill != common:
            _check_spill(findings, region.bounds.spill, own)


def _check_spill(findings: Findings, spill: Spill, path: KeyPath) -> None:
    if spill.soft >= spill.hard:
        hint = "soft < hard; hard is 1 unless you say it"
        findings.error(_where(findings, path, "soft", "hard"), "soft is not less than hard", hint)
    if spill.hysteresis >= spill.soft:
        hint = "clients come home below soft - hysteresis: make it smaller"
        findings.error(_where(findings, path, "hysteresis", "soft"), "hysteresis is not less than soft", hint)


def _where(findings: Findings, path: KeyPath, *keys: str) -> KeyPath:
    """The first of these keys that is said, else the whole."""
    places = ((*path, key) for key in keys)
    return next((place for place in places if place in findings.document.value_marks), path)


def advise_on_capacity(findings: Findings, fleet: Fleet, sections: Sections) -> None:
    """Warn of regions that would give clients away if anybody knew when, and of steps that are too fast."""
    for name, region in fleet.regions.items():
        spill = region.bounds.spill
        if spill is None:
            continue
        path = sections.paths["regions", name]
        own: KeyPath = (*path, "spill")
        said = own in findings.document.value_marks
        services = [service for service in fleet.services.values() if name in service.regions]
        if not _is_known(region, services, fleet):
            hint = "say its `capacity`, or bound all pools of a service: `concurrency: {most: 100}`"
            message = "how much it can carry is not said, so that it never gives clients away"
            findings.warn(own if said else path, message, hint, key=not said)
        slowest = max(services, key=lambda service: service.ttl.wanted, default=None)
        if slowest is not None and slowest.ttl.wanted > spill.interval:
            place = (*own, "interval")
            if place not in findings.document.value_marks:
                place = _where(findings, _FOR_ALL, "interval")
            if place == _FOR_ALL and said:
                place = own
            hint = "make the interval as long, or the TTL shorter"
            message = f"a step is over before the clients of {slowest.name} follow: its TTL is longer"
            findings.warn(place, message, hint)


def _is_known(region: Region, services: list[Service], fleet: Fleet) -> bool:
    """Whether anything tells what it can carry: its capacity, or the limits of all pools of a service."""
    if region.capacity is not None:
        return True
    return any(
        service.pools and all(_is_bounded(fleet.pools[pool], fleet) for pool in service.pools)
        for service in services
    )


def _is_bounded(pool: Pool, fleet: Fleet) -> bool:
    """Whether an edge knows the limit; what adapts in several processes, none of them does."""
    return pool.concurrency.most is not None or (pool.concurrency.adaptive and fleet.edge.workers == 1)
