"""What follows from a service's regions alone, worked out once and not for every client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple, overload

from gslb.fleet import Fleet, Region, Service
from gslb.geo.location import IPAddress
from gslb.world import RegionState, World

IP_VERSIONS = (4, 6)
_BOTH = frozenset(IP_VERSIONS)

MOST_FLEETS = 2
"""How many fleets are remembered: the one in force, and the one that is to follow it."""

MOST_NAMES = 1 << 20
"""How many names the candidates of a fleet may have together before they are all forgotten."""

MOST_STANDINGS = 1 << 14
"""How many candidates of one world may have their standing remembered before all are forgotten."""

_Addresses = Mapping[int, Mapping[str, tuple[IPAddress, ...]]]

_name = attrgetter("name")


class Standing(NamedTuple):
    """How candidates stand in one world. states: of every one. ineligible: those that are not eligible."""

    states: Mapping[str, RegionState]
    ineligible: frozenset[str]


class Candidates(Sequence[Region]):
    """A service's regions, in its order; equal only to itself, so that it may be a key.

    names: theirs. held: the IP versions that any of them has an address of. addresses: by version and
    region, of all regions of the fleet that have any.
    """

    __slots__ = ("_regions", "addresses", "held", "names", "only_hostnames", "versions")

    def __init__(self, regions: Sequence[Region], addresses: _Addresses | None = None) -> None:
        self._regions = tuple(regions)
        self.names: tuple[str, ...] = tuple(map(_name, self._regions))
        self.addresses = _addresses(self._regions) if addresses is None else addresses
        self.held = frozenset(
            version for version in IP_VERSIONS if not self.addresses[version].keys().isdisjoint(self.names)
        )
        self.only_hostnames = all(region.hostname is not None for region in self._regions)
        self.versions = _BOTH if self.only_hostnames else self.held

    @classmethod
    def of(cls, regions: Sequence[Region]) -> Candidates:
        """`regions` as candidates, the very same if they are."""
        return regions if isinstance(regions, cls) else cls(regions)

    @overload
    def __getitem__(self, index: int) -> Region: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Region, ...]: ...

    def __getitem__(self, index: int | slice) -> Region | tuple[Region, ...]:
        return self._regions[index]

    def __iter__(self) -> Iterator[Region]:
        return iter(self._regions)

    def __len__(self) -> int:
        return len(self._regions)


class _OfFleet:
    """The candidates of a fleet's services. Both stay the identical objects for as long as they are kept
    here, so that they can be found by identity: to compare or to hash them would cost more."""

    __slots__ = ("_addresses", "_found", "_names", "fleet")

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._addresses = _addresses(fleet.regions.values())
        # By the identity of the names; these are kept beside, lest another object get their identity.
        self._found: dict[int, tuple[tuple[str, ...], Candidates]] = {}
        self._names = 0

    def find(self, names: tuple[str, ...]) -> Candidates:
        found = self._found.get(id(names))
        if found is None:
            if self._names >= MOST_NAMES:
                self._found, self._names = {}, 0
            candidates = Candidates([self.fleet.regions[name] for name in names], self._addresses)
            found = self._found[id(names)] = names, candidates
            self._names += len(names)
        return found[1]


_fleets: dict[int, _OfFleet] = {}


def candidates_of(fleet: Fleet, service: Service) -> Candidates:
    """The regions of `service`, the identical object for services with the identical tuple of regions."""
    of_fleet = _fleets.get(id(fleet))
    if of_fleet is None:
        # Threads that come here at once lose at most what each other found.
        for known in list(_fleets)[: 1 - MOST_FLEETS]:
            _fleets.pop(known, None)
        of_fleet = _fleets[id(fleet)] = _OfFleet(fleet)
    return of_fleet.find(service.regions)


_latest: tuple[Mapping[str, RegionState], dict[Candidates, Standing]] = {}, {}


def standing_of(candidates: Candidates, world: World) -> Standing:
    """How `candidates` stand in `world`; remembered for one world only, the latest that was asked about."""
    global _latest
    regions, known = _latest
    if regions is not world.regions or len(known) >= MOST_STANDINGS:
        _latest = regions, known = world.regions, {}
    standing = known.get(candidates)
    if standing is None:
        names = candidates.names
        heard_of = regions.keys() >= set(names)
        states = regions if heard_of else {name: world.region(name) for name in names}
        ineligible = frozenset([name for name in names if not states[name].eligible])
        standing = known[candidates] = Standing(states, ineligible)
    return standing


def _addresses(regions: Iterable[Region]) -> _Addresses:
    by_version: dict[int, dict[str, tuple[IPAddress, ...]]] = {version: {} for version in IP_VERSIONS}
    for region in regions:
        for version, held in by_version.items():
            addresses = [
                address for edge in region.edges for address in edge.addresses if address.version == version
            ]
            if addresses:
                held[region.name] = tuple(addresses)
    return by_version
