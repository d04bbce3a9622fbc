"""What follows from a service's regions alone, worked out once and not for every client."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
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
    """How candidates stand for a service in one world. states: of every one. ineligible: those that are not
    eligible. choosy: those of the others that do not take everybody."""

    states: Mapping[str, RegionState]
    ineligible: frozenset[str]
    choosy: frozenset[str]


class Candidates(Sequence[Region]):
    """A service's regions, in its order; equal only to itself, so that it may be a key.

    names: theirs. held: the IP versions that any of them has an address of. addresses: by version and
    region, of all regions of the fleet that have any. spill: whether any of them gives clients away when it
    is full.
    """

    __slots__ = ("_regions", "addresses", "held", "names", "only_hostnames", "spill", "versions")

    def __init__(self, regions: Sequence[Region], addresses: _Addresses | None = None) -> None:
        self._regions = tuple(regions)
        self.names: tuple[str, ...] = tuple(map(_name, self._regions))
        self.addresses = _addresses(self._regions) if addresses is None else addresses
        self.held = frozenset(
            version for version in IP_VERSIONS if not self.addresses[version].keys().isdisjoint(self.names)
        )
        self.spill = any(region.bounds.spill is not None for region in self._regions)
        self.only_hostnames = all(region.hostname is not None for region in self._regions)
        self.versions = _BOTH if self.only_hostnames else self.held

    @classmethod
    def of(cls, regions: Sequence[Region]) -> Candidates:
        """`regions` as candidates, the very same if they are."""
        return regions if isinstance(regions, cls) else cls(regions)

    def has_all_versions(self, region: str) -> bool:
        """Whether a region has an address of every IP version that any of them has."""
        return all(region in self.addresses[version] for version in self.held)

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


class _OfWorld:
    """How candidates stand in one world. Services for which nobody has said anything share what is found."""

    __slots__ = ("_apart", "known", "regions")

    def __init__(self, regions: Mapping[str, RegionState]) -> None:
        self.regions = regions
        self._apart = frozenset(name for state in regions.values() for name in state.overrides)
        self.known: dict[Hashable, Standing] = {}

    def find(self, candidates: Candidates, service: Service, world: World) -> Standing:
        told = service.name if service.name in self._apart else ""
        key = (candidates, service.pools, told)
        standing = self.known.get(key)
        if standing is None:
            if len(self.known) >= MOST_STANDINGS:
                self.known.clear()
            standing = self.known[key] = _standing(candidates, service, world)
        return standing


_latest = _OfWorld({})


def standing_of(candidates: Candidates, service: Service, world: World) -> Standing:
    """How `candidates` stand for a service in `world`; remembered for one world only, the latest that was
    asked about."""
    global _latest
    latest = _latest
    if latest.regions is not world.regions:
        _latest = latest = _OfWorld(world.regions)
    return latest.find(candidates, service, world)


def _standing(candidates: Candidates, service: Service, world: World) -> Standing:
    names = candidates.names
    heard_of = world.regions.keys() >= set(names)
    states = world.regions if heard_of else {name: world.region(name) for name in names}
    eligible = [name for name in names if states[name].eligible_for(service.name, service.pools)]
    choosy = [
        name for name in eligible if not states[name].intake.whole or states[name].weight(service.name) < 1.0
    ]
    return Standing(states, frozenset(names).difference(eligible), frozenset(choosy))


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
