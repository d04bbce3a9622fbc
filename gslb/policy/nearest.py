"""`nearest`: the region at the smallest great-circle distance first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from math import asin, cos, radians, sin, sqrt
from operator import attrgetter
from typing import ClassVar, NamedTuple, Self

from gslb.fleet import Region
from gslb.geo.distance import EARTH_RADIUS, distance
from gslb.geo.location import Coordinates, IPNetwork
from gslb.policy.base import LOCATION, Client, Consults, Explanation, PolicyOptions, Ranking
from gslb.policy.candidates import Candidates

MOST_RANKINGS = 4096
"""How many rankings are remembered at most of candidates of about one number."""

MOST_RANKED = 1 << 20
"""How many regions those rankings may have together: what is remembered of each is 8 bytes."""


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
        return _remembered(len(candidates).bit_length())(here, Candidates.of(candidates))


class _Sites(NamedTuple):
    """Candidates by name, so that those at equal distances stay in that order, with what every measurement
    needs of their places. tiers: each alone. points: latitude (radians), its cosine, longitude (degrees)."""

    tiers: tuple[tuple[str], ...]
    points: tuple[tuple[float, float, float], ...]


@lru_cache(maxsize=128)
def _sites(candidates: Candidates) -> _Sites:
    regions = sorted(candidates, key=attrgetter("name"))
    latitudes = [radians(region.coordinates.latitude) for region in regions]
    points = [
        (latitude, cos(latitude), region.coordinates.longitude)
        for latitude, region in zip(latitudes, regions, strict=True)
    ]
    return _Sites(tuple((region.name,) for region in regions), tuple(points))


@cache
def _remembered(bits: int) -> Callable[[Coordinates, Candidates], Ranking]:
    """The ranking of candidates whose number has so many bits.

    Locations ask again for each record type and service, and all of them whenever the world has changed.
    """
    return lru_cache(maxsize=max(1, min(MOST_RANKINGS, MOST_RANKED >> bits)))(_ranked)


def _ranked(here: Coordinates, candidates: Candidates) -> Ranking:
    tiers, points = _sites(candidates)
    measured = _distances(here, points)
    order = sorted(range(len(measured)), key=measured.__getitem__)
    # To keep the distances for the few who ask why would take ten times the memory.
    return Ranking(_equal_distances_together(measured, order, tiers), lambda: _explained(here, candidates))


def _distances(here: Coordinates, points: Sequence[tuple[float, float, float]]) -> list[float]:
    """To each point what `gslb.geo.distance` gives, to the last bit, without what is the same every time."""
    latitude, longitude = radians(here.latitude), here.longitude
    cosine, diameter = cos(latitude), 2 * EARTH_RADIUS
    measured = []
    for other, other_cosine, other_longitude in points:
        half_height, half_width = sin((other - latitude) / 2), sin(radians(other_longitude - longitude) / 2)
        root = sqrt(half_height**2 + cosine * other_cosine * half_width**2)
        # Rounding can lift the root of antipodes just above 1.
        measured.append(diameter * asin(root if root < 1.0 else 1.0))
    return measured


def _equal_distances_together(
    measured: Sequence[float], order: Sequence[int], tiers: Sequence[tuple[str]]
) -> tuple[tuple[str, ...], ...]:
    if len(set(measured)) == len(measured):
        return tuple([tiers[index] for index in order])
    return tuple(
        tuple([tiers[index][0] for index in equal]) for _, equal in groupby(order, measured.__getitem__)
    )


def _explained(here: Coordinates, candidates: Sequence[Region]) -> Explanation:
    measured = sorted((distance(here, region.coordinates), region.name) for region in candidates)
    return Explanation(
        {
            name: f"is nearest ({kilometres:.0f} km)" if position == 0 else f"is {kilometres:.0f} km away"
            for position, (kilometres, name) in enumerate(measured)
        }
    )


def _cannot_tell() -> Explanation:
    return Explanation(note="nearest cannot tell: the client's coordinates are unknown")
