"""All zones of a fleet, and which of them speaks for a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gslb.dns.name import Name, ancestors
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


def load_zones(fleet: Fleet) -> Zones:
    """Every zone of the fleet; raises ZoneError with the problems of all of them."""
    problems: list[Problem] = []
    zones: dict[Name, Zone] = {}
    for source in fleet.zones.values():
        names = [service.name for service in fleet.services.values() if service.zone == source.name]
        try:
            zone = load_zone(source, names)
        except ZoneError as error:
            problems.extend(error.problems)
        else:
            zones[zone.apex] = zone
    if problems:
        raise ZoneError(problems)
    return Zones(zones)
