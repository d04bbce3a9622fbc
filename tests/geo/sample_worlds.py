"""Random databases, overrides and named networks that crowd into a few corners, where errors hide."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import sample_databases as databases
from hypothesis import strategies as st

from gslb.fleet import GeoSettings, LocationOverride
from gslb.geo import transition
from gslb.geo.location import Coordinates, IPAddress, IPNetwork, Location
from gslb.geo.locator import Locator

DEFAULT = Location("default", country="US", coordinates=Coordinates(39.04, -77.49))

World = tuple[list[dict[str, object]], list[IPNetwork], list[IPNetwork]]
"""The content of each database file, the networks that are overridden, and those that are only named."""

_crowded = st.one_of(
    st.builds(
        lambda low, length: ip_network((0x51020000 | low, length), strict=False),
        st.integers(0, 0xFFFF),
        st.integers(6, 32),
    ),
    st.builds(
        lambda base, low, length: ip_network((base | low << 78, length), strict=False),
        st.sampled_from([0x2A00 << 112, 0x2002_5102 << 96, 0x2001 << 112, 0, 0x64FF9B << 96]),
        st.integers(0, 0xFFFF),
        st.integers(0, 128),
    ),
)
_records = st.sampled_from(
    [
        databases.MAXMIND_CITY,
        databases.MAXMIND_COUNTRY,
        databases.MAXMIND_ASN,
        databases.IPINFO,
        databases.FLAT,
    ]
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    files = draw(
        st.lists(st.dictionaries(_crowded.map(str), _records, min_size=1, max_size=8), min_size=1, max_size=3)
    )
    networks = st.lists(_crowded, max_size=4, unique=True)
    return files, draw(networks), draw(networks)


def override(network: str, country: str = "NZ") -> LocationOverride:
    return LocationOverride(ip_network(network), Location(f"override {network}", country=country))


def locator_of(world: World, directory: Path) -> Locator:
    """Over files that are written into the directory."""
    files, overridden, named = world
    paths = tuple(databases.write(directory / f"{n}.mmdb", file) for n, file in enumerate(files))
    countries = ("FR", "IT", "NZ", "CL")
    overrides = tuple(override(str(n), country) for n, country in zip(overridden, countries, strict=False))
    return Locator(GeoSettings(databases=paths, overrides=overrides, default=DEFAULT), named)


def networks_of(world: World) -> list[IPNetwork]:
    """All that the world tells apart."""
    files, overridden, named = world
    return [ip_network(text) for file in files for text in file] + overridden + named


def near(networks: list[IPNetwork]) -> st.SearchStrategy[IPAddress]:
    """Addresses within the networks, and such as carry IPv4 addresses."""

    def address(network: IPNetwork, noise: int) -> IPAddress:
        return network.network_address + noise % network.num_addresses

    carriers = st.builds(address, st.sampled_from(transition.NETWORKS), st.integers(0, 2**112))
    return st.builds(address, st.sampled_from(networks), st.integers(0, 2**128)) | carriers
