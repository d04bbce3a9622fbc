"""The world that all servers of the benchmark answer for: names, regions, and one database of locations."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from gslb.geo.database import Database
from gslb.geo.distance import distance
from gslb.geo.location import Coordinates, Location
from gslb.geo.mmdb_writer import MmdbWriter
from gslb.geo.records import complete, read_record

ZONE = "bench.test"
WWW = "www"
TTL = 30
"""Seconds."""

ALTERED = 50
"""One of so many networks lies elsewhere in the altered database."""

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Region:
    """continents: whose clients it serves, as two-letter codes."""

    name: str
    address: str
    continents: tuple[str, ...]
    coordinates: Coordinates


REGIONS = (
    Region("americas", "192.0.2.1", ("NA", "SA"), Coordinates(39.04, -77.49)),
    Region("emea", "198.51.100.1", ("EU", "AF"), Coordinates(53.35, -6.26)),
    Region("asia", "203.0.113.1", ("AS", "OC", "AN"), Coordinates(1.35, 103.82)),
)
DEFAULT = REGIONS[0]
"""Where clients go whose continent nobody knows."""

STATIC_RECORDS = f"""\
$ORIGIN {ZONE}.
$TTL 3600
@ SOA ns1 hostmaster 1 7200 900 1209600 300
@ NS ns1
ns1 A 192.0.2.53
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """A client network, and the address that every server must answer it with."""

    network: IPv4Network
    expected: str


def names(count: int) -> tuple[str, ...]:
    """The names that the generator asks for, www, which it asks for when there is one only, among them."""
    return (*(f"n{number:04d}" for number in range(count)), WWW)


def random_regions(count: int, seed: int) -> tuple[Region, ...]:
    """Regions all over the map, each with an address of its own, for the policy `nearest`."""
    generator = random.Random(seed)
    return tuple(
        Region(
            f"r{number:04d}",
            f"198.18.{number >> 8}.{number & 255}",
            (),
            Coordinates(round(generator.uniform(-60, 70), 4), round(generator.uniform(-180, 180), 4)),
        )
        for number in range(count)
    )


def bundled_database() -> Path:
    """The database that gslb ships."""
    import gslb.geo

    return Path(str(gslb.geo.__file__)).parent / "data" / "world.mmdb"


def write_database(
    source: Database, path: Path, *, coarse: bool = False, kept: Sequence[Sample] | None = None
) -> None:
    """Write the IPv4 part of `source` in the form that every server reads.

    That is MaxMind's City schema to the letter: the bundled file leaves out what follows from the country,
    the continent, and has coordinates in single precision; gdnsd reads them in double precision only.
    coarse: one location for every /16, which is written in a moment. kept: for an altered database, in which
    some networks lie elsewhere, but none of these.
    """
    writer = MmdbWriter("GeoLite2-City", ip_version=4, description="for the benchmark of gslb")
    handles: dict[int, int] = {}
    untouched = sorted(int(sample.network.network_address) for sample in kept or ())
    before: int | None = None
    for number, (first, length, handle) in enumerate(_coarse(source) if coarse else source.leaves(4)):
        if handle not in handles:
            handles[handle] = writer.add(_city_record(source.record(handle)))
        record = handles[handle]
        if kept is not None and number % ALTERED == 0 and not _holds(first, length, untouched):
            record = record if before is None else before
        writer.insert_prefix(first, length, record)
        before = handles[handle]
    writer.write(path, source.metadata.build_epoch + (0 if kept is None else _DAY))


def _coarse(source: Database) -> Iterator[tuple[int, int, int]]:
    for first in range(1 << 24, 224 << 24, 1 << 16):
        handle, _ = source.find4(first)
        if handle:
            yield first, 16, handle


def _holds(first: int, length: int, numbers: Sequence[int]) -> bool:
    at = bisect_left(numbers, first)
    return at < len(numbers) and numbers[at] < first + (1 << 32 - length)


def _city_record(record: object) -> dict[str, object]:
    location = complete(read_record(record))
    city: dict[str, object] = {}
    if location.continent is not None:
        city["continent"] = {"code": location.continent}
    if location.country is not None:
        city["country"] = {"iso_code": location.country}
    if location.coordinates is not None:
        latitude, longitude = location.coordinates.latitude, location.coordinates.longitude
        city["location"] = {"latitude": latitude, "longitude": longitude}
    if location.subdivision is not None:
        city["subdivisions"] = [{"iso_code": location.subdivision.partition("-")[2]}]
    return city


def samples(database: Database, count: int, seed: int) -> list[Sample]:
    """Random /24 networks that lie in one leaf of `database`, and where their clients belong by continent."""
    return [
        Sample(network, next((r for r in REGIONS if location.continent in r.continents), DEFAULT).address)
        for network, location in _networks(database, count, seed)
    ]


def nearest_samples(database: Database, regions: Sequence[Region], count: int, seed: int) -> list[Sample]:
    """Likewise, and which of `regions` is nearest to them; networks without a known place are left out."""
    return [
        Sample(network, _nearest(location.coordinates, regions).address)
        for network, location in _networks(database, count, seed)
        if location.coordinates is not None
    ]


def _nearest(place: Coordinates, regions: Sequence[Region]) -> Region:
    return min(regions, key=lambda region: distance(region.coordinates, place))


def _networks(database: Database, count: int, seed: int) -> Iterator[tuple[IPv4Network, Location]]:
    generator = random.Random(seed)
    while count:
        number = generator.randrange(1 << 24, 224 << 24) & ~255
        handle, length = database.find4(number)
        if length <= 24:
            count -= 1
            yield IPv4Network((number, 24)), complete(read_record(database.record(handle)))
