"""Decides to which other region's edge a request goes that has no server here: as DNS would. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from gslb.fleet import Fleet, Region, Service
from gslb.policy import POLICIES
from gslb.policy.base import Client
from gslb.policy.decision import decide
from gslb.world import RegionState, Report, Verdict, World

_NEAREST = POLICIES["nearest"].from_options(POLICIES["nearest"].Options())


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What is known of other regions. away: those to which DNS would send nobody now. full: pairs of a region
    and a pool of it that is known to have no healthy server, or no room. Whatever is in neither may do: it is
    as it should be, or nobody knows."""

    away: frozenset[str] = frozenset()
    full: frozenset[tuple[str, str]] = frozenset()


def neighbourhood(world: World, own: str, pools: Collection[str]) -> Neighbourhood:
    """What `world` says to the region `own` of all others. pools: those that it asks about."""
    others = [name for name in world.regions if name != own]
    return Neighbourhood(
        frozenset(name for name in others if not world.regions[name].eligible),
        frozenset(
            (name, pool)
            for name in others
            for pool in pools
            if (reports := world.reports.get(name)) and not _has_room(reports, pool)
        ),
    )


def _has_room(reports: tuple[Report, ...], pool: str) -> bool:
    """Whether a region has room in a pool, by what its edges say. It takes one edge with a healthy server."""
    if sum(report.utilisation or 0.0 for report in reports) >= 1:
        return False
    return any(each.pool == pool and each.healthy for report in reports for each in report.pools)


@dataclass(frozen=True, slots=True)
class Ranking:
    """In which order other regions come for a client, for each name that is balanced; the rest by distance.

    Made once for a fleet. services: by name.
    """

    fleet: Fleet
    own: str
    services: Mapping[str, Service] = field(default_factory=dict)

    @classmethod
    def of(cls, fleet: Fleet, own: str) -> Ranking:
        return cls(fleet, own, fleet.services)

    def regions(self, host: str, client: Client, known: Neighbourhood, pool: str) -> list[str]:
        """Those that may take a request for `host` into `pool`, the best first. `own` is never among them."""
        fleet = self.fleet
        service = self.services.get(host) or self._any(host)
        states = {
            name: RegionState(name, Verdict.DOWN if name in known.away else Verdict.UP)
            for name in service.regions
        }
        order = decide(fleet, service, client, World(0.0, states), 0.0).order
        return [
            name
            for name in order
            if name != self.own
            and name not in known.away
            and (name, pool) not in known.full
            and takes(fleet.regions[name], pool)
        ]

    def _any(self, host: str) -> Service:
        """For hosts that nobody balances by DNS."""
        return Service(host, "", tuple(self.fleet.regions), (_NEAREST,))


def takes(region: Region, pool: str) -> bool:
    """Whether a region could serve a pool at all."""
    return bool(region.edges) and bool(region.servers.get(pool) or region.discovery.get(pool))
