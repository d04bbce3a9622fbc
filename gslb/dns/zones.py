"""All zones of a fleet, which of them speaks for a name, and where a name leads among them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from gslb.dns.name import MAXIMUM_NAME_LENGTH, ROOT, Name, ancestors, count_labels, parent, topmost
from gslb.dns.rdata import AAAA, CNAME, DNAME, DS, A, target
from gslb.dns.zone import Zone, load_zone
from gslb.errors import Problem, ZoneError
from gslb.fleet import Fleet, Service


@dataclass(frozen=True, slots=True)
class Leads:
    """Where a name leads within our zones. service: the one that it ends at, if it does.

    nowhere: whether it ends, or goes on in circles, without an address.
    """

    service: str | None = None
    nowhere: bool = False


@dataclass(frozen=True, slots=True)
class Zones:
    """Zones by apex. depth: labels of the longest apex."""

    by_apex: Mapping[Name, Zone]
    depth: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", max(map(count_labels, self.by_apex), default=0))

    def find(self, name: Name) -> Zone | None:
        """The zone with the longest apex at or above `name`, None when we are not authoritative for it."""
        for candidate in ancestors(topmost(name, self.depth)):
            zone = self.by_apex.get(candidate)
            if zone is not None:
                return zone
        return None

    def for_question(self, name: Name, rtype: int) -> Zone | None:
        """Like `find`; but a DS at an apex is a matter of the zone that delegates it (RFC 4035 3.1.4.1).

        A zone further above, or one without NS records for it, knows nothing of it: then the child's "no
        data" is right, and not the other's NXDOMAIN or referral.
        """
        if rtype == DS and name in self.by_apex and name != ROOT:
            above = self.find(parent(name))
            if above is not None and above.cut(name) == name:
                return above
        return self.find(name)

    def leads(self, name: Name) -> Leads:
        """Where a client that asks for addresses of `name` ends, as far as our zones decide about it."""
        seen: set[Name] = set()
        while name not in seen:
            seen.add(name)
            zone = self.find(name)
            if zone is None or zone.cut(name) is not None:
                return Leads()
            onwards = _next(zone, name)
            if isinstance(onwards, Leads):
                return onwards
            name = onwards
        return Leads(nowhere=True)


def _next(zone: Zone, name: Name) -> Name | Leads:
    """The name that `name` stands for (CNAME, DNAME), or what it ends at; `zone` speaks for it."""
    redirect = zone.redirection(name)
    if redirect is not None:
        renamed = name[: -len(redirect.owner)] + (target(DNAME, redirect.data[0]) or ROOT)
        return renamed if len(renamed) <= MAXIMUM_NAME_LENGTH else Leads(nowhere=True)
    source = zone.source_of(name)
    if source is None:
        return Leads(nowhere=True)
    if source in zone.services:
        return Leads(zone.services[source])
    node = zone.nodes[source]
    if CNAME in node:
        return target(CNAME, node[CNAME].data[0]) or ROOT
    return Leads(nowhere=A not in node and AAAA not in node)


def load_zones(fleet: Fleet) -> Zones:
    """Every zone of the fleet; raises ZoneError with the problems of all of them."""
    problems: list[Problem] = []
    zones: dict[Name, Zone] = {}
    below = zones_below(fleet.zones)
    services: dict[str, list[Service]] = defaultdict(list)
    for service in fleet.services.values():
        services[service.zone].append(service)
    for source in fleet.zones.values():
        here = services[source.name]
        try:
            zone = load_zone(
                source,
                [service.name for service in here],
                aliases=[service.name for service in here if service.hostname_regions(fleet.regions)],
                children=below[source.name],
            )
        except ZoneError as error:
            problems.extend(error.problems)
        else:
            zones[zone.apex] = zone
    if problems:
        raise ZoneError(problems)
    return Zones(zones)


def zones_below(zones: Collection[str]) -> dict[str, list[str]]:
    """By each of `zones` those of them that lie below it; all as the fleet spells them."""
    below: dict[str, list[str]] = {zone: [] for zone in zones}
    for zone in zones:
        above = zone.partition(".")[2]
        while above:
            if above in below:
                below[above].append(zone)
            above = above.partition(".")[2]
    return below
