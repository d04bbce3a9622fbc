"""Random maps of clients, with everything an operator may declare on top of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

from fleets import authority, coordinates, fleet, region, worlds
from hypothesis import strategies as st

from gslb.dns.authority import Authority
from gslb.fleet import Answers, Fleet, GeoSettings, LocationOverride, RateLimitSettings
from gslb.geo import transition
from gslb.geo.location import Coordinates, IPAddress, IPNetwork, Location
from gslb.geo.locator import Locator
from gslb.geo.mmdb_writer import MmdbWriter
from gslb.policy.failover import Failover
from gslb.policy.geo import Geo, GeoRule
from gslb.policy.nearest import Nearest
from gslb.policy.weighted import Weighted

BITS = {4: 32, 6: 128}
RECORDS = (
    {"country": {"iso_code": "GB"}, "location": {"latitude": 51.5, "longitude": -0.1}},
    {"country": {"iso_code": "JP"}, "location": {"latitude": 35.7, "longitude": 139.7}},
    {"country": {"iso_code": "US"}, "location": {"latitude": 40.7, "longitude": -74.0}},
    {"country": {"iso_code": "BR"}},
    {"autonomous_system_number": 64500},
)
OVERRIDES = (
    Location("override", country="JP"),
    Location("override", coordinates=Coordinates(-26.2, 28.0)),
    Location("override", asn=64501),
)


# Few, so that everything that is declared lies inside or beside the rest.
CENTRES = {
    4: ("10.1.2.0", "10.1.3.0", "10.200.0.0", "0.0.0.0", "255.255.255.255"),
    6: (
        "2001:db8:1::",
        "2002:a01:200::",
        "2001:0:0:0:0:0:f5fe:fdff",
        "64:ff9b::a01:200",
        "64:ff9b:0:1::",
        "::ffff:10.1.2.0",
        "::a01:200",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ),
}


@st.composite
def addresses_near(draw: st.DrawFn, version: int) -> IPAddress:
    """An address that shares its first bits with one of the centres."""
    centre = ip_address(draw(st.sampled_from(CENTRES[version])))
    free = draw(st.integers(0, BITS[version]))
    noise = draw(st.integers(0, 2 ** min(free, 32) - 1)) << max(0, free - 32)
    return type(centre)(int(centre) ^ noise)


@st.composite
def networks(draw: st.DrawFn) -> IPNetwork:
    version = draw(st.sampled_from((4, 6)))
    length = draw(st.integers(0, BITS[version]))
    return around(draw(addresses_near(version)), length)


@st.composite
def geo_rules(draw: st.DrawFn, names: Sequence[str]) -> GeoRule:
    country = draw(st.frozensets(st.sampled_from(("GB", "JP", "US")), max_size=1))
    asn = draw(st.frozensets(st.sampled_from((64500, 64501)), max_size=1))
    named = draw(st.lists(networks(), min_size=0 if country or asn else 1, max_size=2))
    first = draw(st.sampled_from(names))
    return GeoRule((first,), country=country, asn=asn, network=tuple(named))


@st.composite
def declared(draw: st.DrawFn) -> Fleet:
    names = ("r1", "r2", "r3")
    regions = {}
    for number, name in enumerate(names, 1):
        count = draw(st.integers(1, 3))
        given = [f"192.0.2.{number * 10 + each}" for each in range(count)]
        if draw(st.booleans()):
            given += [f"2001:db8::{number}{each}" for each in range(count)]
        regions[name] = region(name, draw(coordinates), given)
    if draw(st.booleans()):
        regions["r3"] = replace(regions["r3"], edges=(), hostname="www.example.cdn.test")
    weights = st.tuples(*(st.integers(0, 3) for _ in names)).map(
        lambda drawn: tuple(zip(names, drawn, strict=True))
    )
    policies = st.one_of(
        st.just(Nearest()),
        st.builds(Weighted, weights),
        st.builds(Geo, st.lists(geo_rules(names), min_size=1, max_size=3).map(tuple)),
        st.just(Failover(("r2",))),
    )
    places = st.builds(LocationOverride, networks(), st.sampled_from(OVERRIDES))
    made = fleet(
        draw(st.lists(policies, min_size=1, max_size=3)),
        regions=regions,
        geo=GeoSettings(overrides=tuple(draw(st.lists(places, max_size=6)))),
        rate_limit=RateLimitSettings(enabled=False),
    )
    answers = Answers(draw(st.integers(1, 3)), draw(st.none() | st.just(2)), draw(st.booleans()))
    services = {name: replace(service, answers=answers) for name, service in made.services.items()}
    return replace(made, services=services)


class Stage:
    """A map of clients, who answers them, and the addresses at which something may change."""

    def __init__(self, maps: Sequence[object], known: Authority, edges: Sequence[IPAddress]) -> None:
        self.maps = maps
        self.authority = known
        self.edges = edges

    def __repr__(self) -> str:
        # Shown when a test fails; all of the fleet would fill screens.
        fleet = self.authority.fleet
        services = [(service.policies, service.answers) for service in fleet.services.values()]
        return f"Stage(maps={self.maps}, overrides={fleet.geo.overrides}, services={services})"


@st.composite
def stages(draw: st.DrawFn) -> Stage:
    made = draw(declared())
    entries = st.lists(st.tuples(networks(), st.sampled_from(RECORDS)), min_size=1, max_size=8)
    maps = draw(st.lists(entries, min_size=1, max_size=2))
    with tempfile.TemporaryDirectory() as directory:
        paths = []
        for number, entry in enumerate(maps):
            writer = MmdbWriter("Test-City")
            for network, record in entry:
                writer.insert(network, record)
            path = Path(directory, f"{number}.mmdb")
            writer.write(path, 1_780_000_000)
            paths.append(str(path))
        locator = Locator(replace(made.geo, databases=tuple(paths)), made.networks())
    named = [*made.networks(), *(network for entry in maps for network, _ in entry)]
    return Stage(maps, authority(made, draw(worlds(made)), locator), edges_of(named))


def edges_of(named: Iterable[IPNetwork]) -> list[IPAddress]:
    """The first and the last address of every network and their neighbours outside, IPv4 ones also as
    IPv6 addresses carry them."""
    found: dict[IPAddress, None] = {}
    for network in [*named, *transition.NETWORKS]:
        first, last = network.network_address, network.broadcast_address
        for number in (int(first) - 1, int(first), int(last), int(last) + 1):
            if not 0 <= number < 1 << BITS[network.version]:
                continue
            address = type(first)(number)
            found[address] = None
            if isinstance(address, IPv4Address):
                found.update(dict.fromkeys(carried_by_ipv6(address)))
    return list(found)


def carried_by_ipv6(address: IPv4Address) -> list[IPv6Address]:
    """6to4, Teredo, NAT64 and IPv4-mapped (RFC 3056 2, RFC 4380 4, RFC 6052 2.1, RFC 4291 2.5.5.2)."""
    number = int(address)
    return [
        IPv6Address(0x2002 << 112 | number << 80 | 7),
        IPv6Address(0x20010000 << 96 | 0xCAFE << 64 | (number ^ 0xFFFFFFFF)),
        IPv6Address(0x64FF9B << 96 | number),
        IPv6Address(0xFFFF << 32 | number),
    ]


def around(address: IPAddress, length: int) -> IPNetwork:
    """The network of that prefix length that holds the address."""
    return ip_network((address.packed, length), strict=False)
