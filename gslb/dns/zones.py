"""All zones of a fleet, and which of them speaks for a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gslb.dns.name import ROOT, Name, ancestors, parent
from gslb.dns.rdata import DS
from gslb.dns.zone import Zone, load_zone
from gslb.errors import Problem, ZoneError
from gslb.fleet import Fleet


@dataclass(frozen=True, slots=True)
class Zones:
    """Zones by apex."""

    by_apex: Mapping[Name, Zone]

    def find(self, name: Name) -> Zone | None:
        """The zone with the longest apex at or above `name`, None when we are not authoritative for it."""
        for candidate in ancestors(name):
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


def load_zones(fleet: Fleet) -> Zones:
    """Every zone of the fleet; raises ZoneError with the problems of all of them."""
    problems: list[Problem] = []
    zones: dict[Name, Zone] = {}
    for source in fleet.zones.values():
        services = [service for service in fleet.services.values() if service.zone == source.name]
        try:
            zone = load_zone(
                source,
                [service.name for service in services],
                aliases=[service.name for service in services if service.hostname_regions(fleet.regions)],
                children=zones_below(source.name, fleet.zones),
            )
        except ZoneError as error:
            problems.extend(error.problems)
        else:
            zones[zone.apex] = zone
    if problems:
        raise ZoneError(problems)
    return Zones(zones)


def zones_below(zone: str, zones: Iterable[str]) -> list[str]:
    """Those of `zones` that lie below `zone`; all as the fleet spells them."""
    return [other for other in zones if other.endswith(f".{zone}")]
