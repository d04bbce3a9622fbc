"""How far two databases agree, in the terms that matter here: which region is nearest, and which country."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import accumulate

from gslb.errors import GeoError
from gslb.geo.distance import distance
from gslb.geo.location import Coordinates, IPAddress
from gslb.geo.locator import Locator

# Where several large clouds have regions; far enough apart to matter, near enough to be told apart.
REGIONS = {
    "Virginia": Coordinates(39.04, -77.49),
    "Oregon": Coordinates(45.84, -119.70),
    "Dublin": Coordinates(53.35, -6.26),
    "Frankfurt": Coordinates(50.11, 8.68),
    "Singapore": Coordinates(1.35, 103.82),
    "São Paulo": Coordinates(-23.55, -46.63),
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """Shares are of all addresses compared, 0 to 1; same_subdivision of those where both know one. km.

    extra_distance: where the nearest region differs, how much farther (by the reference) the other's is.
    moved: median distance between the two databases' coordinates.
    """

    addresses: int
    same_region: float
    same_country: float
    same_subdivision: float
    extra_distance: float
    moved: float
    by_country: dict[str, tuple[int, float]]


def sample(reference: Locator, version: int, count: int, *, by: str, seed: int = 1) -> list[IPAddress]:
    """Random addresses that the reference has a record for.

    by: "address": every address is as likely as any other; "network": every leaf of the database is, and
    then every address in it. Raises GeoError when the reference knows no network of this version.
    """
    chance = random.Random(seed)
    bits = 32 if version == 4 else 128
    # The leaves in order, as parallel columns: there may be millions.
    firsts: list[int] = []
    sizes: list[int] = []
    for database in reference.databases:
        for first, length, _ in database.leaves(version):
            firsts.append(first)
            sizes.append(bits - length)
    if not firsts:
        raise GeoError(f"the reference database has no IPv{version} networks", hint="name one that has")
    make: type[IPv4Address] | type[IPv6Address] = IPv4Address if version == 4 else IPv6Address
    if by == "network":
        picked: Sequence[int] = [chance.randrange(len(firsts)) for _ in range(count)]
    else:
        totals = list(accumulate(1 << size for size in sizes))
        picked = [bisect_right(totals, chance.randrange(totals[-1])) for _ in range(count)]
    return [make(firsts[index] + chance.getrandbits(sizes[index])) for index in picked]


def agreement(
    reference: Locator,
    other: Locator,
    addresses: Sequence[IPAddress],
    regions: Sequence[Coordinates] = tuple(REGIONS.values()),
) -> Agreement:
    """Compare on those of `addresses` whose coordinates the reference knows."""
    compared = regions_same = countries_same = subdivisions_same = subdivisions = 0
    extra: list[float] = []
    moved: list[float] = []
    by_country: dict[str, list[int]] = {}
    for address in addresses:
        true, found = reference.locate(address).location, other.locate(address).location
        if true.coordinates is None:
            continue
        compared += 1
        countries_same += true.country == found.country
        if true.subdivision is not None and found.subdivision is not None:
            subdivisions += 1
            subdivisions_same += true.subdivision == found.subdivision
        if found.coordinates is None:
            by_country.setdefault(true.country or "-", []).append(0)
            continue
        moved.append(distance(true.coordinates, found.coordinates))
        best, chosen = _nearest(true.coordinates, regions), _nearest(found.coordinates, regions)
        same = best == chosen
        regions_same += same
        by_country.setdefault(true.country or "-", []).append(same)
        if not same:
            extra.append(
                distance(true.coordinates, regions[chosen]) - distance(true.coordinates, regions[best])
            )
    return Agreement(
        compared,
        regions_same / max(1, compared),
        countries_same / max(1, compared),
        subdivisions_same / max(1, subdivisions),
        sum(extra) / max(1, len(extra)),
        sorted(moved)[len(moved) // 2] if moved else 0.0,
        {country: (len(s), sum(s) / len(s)) for country, s in sorted(by_country.items())},
    )


def _nearest(point: Coordinates, regions: Sequence[Coordinates]) -> int:
    return min(range(len(regions)), key=lambda index: distance(point, regions[index]))
