"""`nearest`: the region at the smallest great-circle distance first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import ClassVar, Self

from gslb.fleet import Region
from gslb.geo.distance import distance
from gslb.geo.location import Coordinates, IPNetwork
from gslb.policy.base import LOCATION, Client, Consults, Explanation, PolicyOptions, Ranking


class NearestOptions(PolicyOptions):
    """`nearest` has no options."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """Ranks by distance; a client whose place is unknown leaves all regions equal."""

    name: ClassVar[str] = "nearest"
    Options: ClassVar[type[PolicyOptions]] = NearestOptions

    @classmethod
    def from_options(cls, options: PolicyOptions) -> Self:
        return cls()

    @property
    def consults(self) -> Consults:
        return LOCATION

    def networks(self) -> Sequence[IPNetwork]:
        return ()

    def rank(self, client: Client, candidates: Sequence[Region]) -> Ranking:
        here = client.location.coordinates
        if here is None:
            names = tuple(region.name for region in candidates)
            return Ranking((names,), _cannot_tell)
        return _measured(here, _Sites(candidates))


class _Sites:
    """Candidates as a key, by identity: to compare regions would cost more than to measure anew."""

    __slots__ = ("_identities", "regions")

    def __init__(self, regions: Sequence[Region]) -> None:
        self.regions = tuple(regions)
        self._identities = tuple(map(id, regions))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sites) and other._identities == self._identities

    def __hash__(self) -> int:
        return hash(self._identities)


# Locations ask again for each record type and service, and all of them whenever the world has changed.
@lru_cache(maxsize=4096)
def _measured(here: Coordinates, sites: _Sites) -> Ranking:
    measured = sorted((distance(here, region.coordinates), region.name) for region in sites.regions)
    return Ranking(_equal_distances_together(measured), lambda: _explained(measured))


def _equal_distances_together(measured: Sequence[tuple[float, str]]) -> tuple[tuple[str, ...], ...]:
    if len({kilometres for kilometres, _ in measured}) == len(measured):
        return tuple((name,) for _, name in measured)
    return tuple(tuple(name for _, name in equal) for _, equal in groupby(measured, itemgetter(0)))


def _explained(measured: Sequence[tuple[float, str]]) -> Explanation:
    return Explanation(
        {
            name: f"is nearest ({kilometres:.0f} km)" if position == 0 else f"is {kilometres:.0f} km away"
            for position, (kilometres, name) in enumerate(measured)
        }
    )


def _cannot_tell() -> Explanation:
    return Explanation(note="nearest cannot tell: the client's coordinates are unknown")
