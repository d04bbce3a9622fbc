"""The world that all servers of the benchmark answer for: names, regions, and one database of locations."""

from __future__ import annotations

import random
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from gslb.geo.database import Database
from gslb.geo.location import Coordinates
from gslb.geo.mmdb_writer import MmdbWriter
from gslb.geo.records import complete, read_record

ZONE = "bench.test"
NAMES = tuple(f"n{number:03d}" for number in range(1000))
WWW = "www"
TTL = 30
"""Seconds."""


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


def bundled_database() -> Path:
    """The database that gslb ships."""
    import gslb.geo

    return Path(str(gslb.geo.__file__)).parent / "data" / "world.mmdb"


def write_database(source: Database, path: Path) -> None:
    """Write the IPv4 part of `source` in the form that every server reads.

    That is MaxMind's City schema to the letter: the bundled file leaves out what follows from the country,
    the continent, and has coordinates in single precision; gdnsd reads them in double precision only.
    """
    writer = MmdbWriter("GeoLite2-City", ip_version=4, description="for the benchmark of gslb")
    handles: dict[int, int] = {}
    for first, length, handle in source.leaves(4):
        if handle not in handles:
            handles[handle] = writer.add(_city_record(source.record(handle)))
        writer.insert_prefix(first, length, handles[handle])
    writer.write(path, source.metadata.build_epoch)


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
    """Random /24 networks that lie in one leaf of `database`, and where their clients belong."""
    chosen: list[Sample] = []
    generator = random.Random(seed)
    while len(chosen) < count:
        number = generator.randrange(1 << 24, 224 << 24) & ~255
        handle, length = database.find4(number)
        if length <= 24:
            continent = complete(read_record(database.record(handle))).continent
            region = next((region for region in REGIONS if continent in region.continents), DEFAULT)
            chosen.append(Sample(IPv4Network((number, 24)), region.address))
    return chosen
