"""`nearest`: the region at the smallest great-circle distance first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from gslb.fleet import Region
from gslb.geo.distance import distance
from gslb.geo.location import IPNetwork
from gslb.policy.base import LOCATION, Client, Consults, PolicyOptions, Ranking


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
            return Ranking((names,), {}, "nearest cannot tell: the client's coordinates are unknown")
        measured = sorted((distance(here, region.coordinates), region.name) for region in candidates)
        reasons = {
            name: f"is nearest ({kilometres:.0f} km)" if position == 0 else f"is {kilometres:.0f} km away"
            for position, (kilometres, name) in enumerate(measured)
        }
        return Ranking(_equal_distances_together(measured), reasons)


def _equal_distances_together(measured: Sequence[tuple[float, str]]) -> tuple[tuple[str, ...], ...]:
    tiers: list[tuple[float, list[str]]] = []
    for kilometres, name in measured:
        if tiers and tiers[-1][0] == kilometres:
            tiers[-1][1].append(name)
        else:
            tiers.append((kilometres, [name]))
    return tuple(tuple(names) for _, names in tiers)
