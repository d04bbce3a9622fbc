"""A small world in a loop: clients who follow intakes with delay, loads that follow clients, real steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from small_fleet import CHECK

from gslb.capacity.memory import Memory
from gslb.capacity.step import step
from gslb.fleet import (
    Bounds,
    DnsSettings,
    Edge,
    EdgeSettings,
    Fleet,
    GeoSettings,
    RedisSettings,
    Region,
    Service,
    SocketAddress,
    Spill,
)
from gslb.geo.distance import distance
from gslb.geo.location import Coordinates
from gslb.policy import Nearest
from gslb.policy.intake import PARTS, RELUCTANCES, walk
from gslb.world import Intake, RegionState, Report, ServiceReport, Verdict, World

SPILL = Spill(interval=10.0)
START = 1_800_000_000.0


@dataclass(frozen=True)
class Site:
    """A region: where on the equator it is (degrees east), what it carries, what becomes of the rest."""

    name: str
    at: float
    capacity: float | None = 100.0
    bounds: Bounds = field(default_factory=lambda: Bounds(SPILL))
    hostname: str | None = None


@dataclass(frozen=True)
class Crowd:
    """Clients in one place, who ask for `demand` requests per second in all."""

    at: float
    demand: float


def fleet_of(sites: Sequence[Site], services: Mapping[str, Sequence[str]] | None = None) -> Fleet:
    """All serve one service, unless said otherwise."""
    services = services or {"www.example": [site.name for site in sites]}
    return Fleet(
        file="regions.yaml",
        regions={site.name: _region(place, site) for place, site in enumerate(sites, 1)},
        pools={},
        routes=(),
        services={
            name: Service(name, "example", tuple(regions), (Nearest(),)) for name, regions in services.items()
        },
        zones={},
        redis=RedisSettings(),
        geo=GeoSettings(),
        dns=DnsSettings(nodes={}),
        edge=EdgeSettings(),
    )


def _region(place: int, site: Site) -> Region:
    edges: tuple[Edge, ...] = ()
    if site.hostname is None:
        address = ip_address(f"192.0.2.{place}")
        edges = (Edge("edge1", site.name, (address,), 80, (), {address: SocketAddress(str(address), 80)}),)
    return Region(
        site.name,
        Coordinates(0.0, site.at),
        edges,
        CHECK,
        {},
        capacity=site.capacity,
        hostname=site.hostname,
        bounds=site.bounds,
    )


def report(
    region: str, rps: float, *, capacity: float | None = 100.0, errors: float = 0.0, at: float = START
) -> Report:
    services = (ServiceReport("www.example", 1, 1, 0, rps, errors, capacity=capacity),)
    return Report(region, "edge1", at, rps, 0, errors, capacity, None, services=services)


@dataclass
class Cell:
    """Clients of one place, part and moment of asking: a resolver, as it were."""

    order: tuple[str, ...]
    reluctance: int
    part: int
    demand: float
    phase: float
    region: str = ""


class Loop:
    """Seconds go by one by one. lag: seconds for which clients stay where they were sent.

    nodes: so many processes run the same steps, each with a memory of its own.
    """

    def __init__(
        self,
        sites: Sequence[Site],
        crowds: Sequence[Crowd],
        *,
        lag: float = 10.0,
        nodes: int = 1,
        every: int = 4,
    ) -> None:
        self.fleet = fleet_of(sites)
        self.service = self.fleet.services["www.example"]
        self.states = {
            site.name: RegionState(site.name, Verdict.UP, reason="probes succeed") for site in sites
        }
        self.lag = lag
        self.now = 1000.0
        self.memories = [Memory() for _ in range(nodes)]
        self.silent: set[str] = set()
        self.errors: dict[str, float] = {}
        self.factor = 1.0
        self.changes: list[tuple[float, str, Intake]] = []
        self.cells = [cell for crowd in crowds for cell in self._cells(crowd, every)]
        self._ways: dict[tuple[tuple[str, ...], int, int], str] = {}
        for cell in self.cells:
            cell.region = self._way(cell)

    def _cells(self, crowd: Crowd, every: int) -> list[Cell]:
        here = Coordinates(0.0, crowd.at)
        places = {name: region.coordinates for name, region in self.fleet.regions.items()}
        order = tuple(sorted(places, key=lambda name: (distance(here, places[name]), name)))
        home = places[order[0]]
        farther = distance(here, places[order[1]]) - distance(here, home)
        most = min(distance(home, places[name]) for name in order[1:])
        reluctance = min(RELUCTANCES - 1, int(RELUCTANCES * farther / most))
        parts = range(0, PARTS, every)
        each = crowd.demand / len(parts)
        return [Cell(order, reluctance, part, each, (part * 37 % PARTS) / PARTS) for part in parts]

    def _way(self, cell: Cell) -> str:
        key = (cell.order, cell.reluctance, cell.part)
        if key not in self._ways:
            eligible = [name for name in cell.order if self.states[name].eligible]
            way = walk(
                self.service,
                eligible,
                cell.order[0],
                self.states,
                cell.part,
                lambda: cell.reluctance,
                lambda _: True,
            )
            self._ways[key] = (way.order or cell.order)[0]
        return self._ways[key]

    @property
    def demands(self) -> dict[str, float]:
        found = dict.fromkeys(self.fleet.regions, 0.0)
        for cell in self.cells:
            found[cell.region] += cell.demand * self.factor
        return found

    def utilisation(self, name: str) -> float:
        return self.demands[name] / (self.fleet.regions[name].capacity or 1.0)

    @property
    def utilisations(self) -> dict[str, float]:
        return {name: round(self.utilisation(name), 3) for name in self.fleet.regions}

    def intake(self, name: str) -> Intake:
        return self.states[name].intake

    def change(self, name: str, **fields: object) -> None:
        """Something about a region's state is other from now on."""
        self.states[name] = replace(self.states[name], **fields)  # type: ignore[arg-type]
        self._ways.clear()

    def world(self) -> World:
        demands = self.demands
        return World(
            at=START + self.now,
            regions=dict(self.states),
            reports={
                name: (
                    report(name, demands[name], capacity=region.capacity, errors=self.errors.get(name, 0.0)),
                )
                for name, region in self.fleet.regions.items()
                if name not in self.silent and region.hostname is None
            },
        )

    def second(self) -> None:
        self.now += 1.0
        for cell in self.cells:
            if self.lag <= 1 or int((self.now + cell.phase * self.lag) % self.lag) == 0:
                cell.region = self._way(cell)
        world = self.world()
        # As when Redis lets one of them win.
        for memory in self.memories:
            for name, intake in step(self.fleet, world, memory, self.now).items():
                if intake.sequence > self.intake(name).sequence:
                    self.change(name, intake=intake)
                    self.changes.append((self.now, name, intake))
        # A node looks again as soon as the world has changed.
        after = self.world()
        for memory in self.memories:
            memory.note(self.fleet, after, {}, self.now)

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.second()

    def changes_since(self, then: float) -> list[tuple[float, str, Intake]]:
        return [change for change in self.changes if change[0] > then]
