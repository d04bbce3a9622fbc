"""Fleets, worlds and locators made for tests, by hand or by hypothesis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from hypothesis import strategies as st

from gslb.dns.authority import Authority
from gslb.dns.zones import load_zones
from gslb.fleet import (
    AllDown,
    DnsSettings,
    Edge,
    EdgeSettings,
    Fleet,
    GeoSettings,
    HealthCheck,
    Listener,
    RateLimitSettings,
    RedisSettings,
    Region,
    Service,
    SocketAddress,
    TimeToLive,
    ZoneSource,
)
from gslb.geo.location import Coordinates, Located, Location
from gslb.health.checks import CHECKS
from gslb.policy import Client
from gslb.policy.failover import Failover
from gslb.policy.geo import Geo, GeoRule
from gslb.policy.nearest import Nearest
from gslb.policy.share import share_of
from gslb.policy.weighted import Weighted
from gslb.world import Override, OverrideKind, RegionState, TargetState, Verdict, World

NOW = 1_800_000_000.0

ZONE = r"""
$TTL 3600
@    IN SOA ns1 hostmaster 7 7200 900 1209600 300
@    IN NS ns1
ns1  IN A 192.0.2.53
txt  IN TXT "hello" "world"
alias IN CNAME www
far  IN CNAME www.elsewhere.test.
loop IN CNAME loop2
loop2 IN CNAME loop
deep.er IN A 192.0.2.7
*.wild IN TXT "any"
old  IN DNAME new
www.new IN A 192.0.2.8
odd  IN CNAME a\.b
a\.b IN A 192.0.2.9
sub  IN NS ns.sub
sub  IN NS ns.elsewhere.test.
ns.sub IN A 192.0.2.99
"""

TCP_CHECK = HealthCheck(
    "tcp", CHECKS["tcp"].from_options(CHECKS["tcp"].Options()), interval=2.0, timeout=1.0, rise=2, fall=3
)

UNLIMITED = RateLimitSettings(enabled=False)
"""A test's clock stands still, and many questions fall into one of its seconds."""

PLACES = {
    "us-east": Coordinates(39.04, -77.49),
    "eu-west": Coordinates(53.35, -6.26),
    "ap-southeast": Coordinates(1.35, 103.82),
}


def region(
    name: str, coordinates: Coordinates, addresses: Sequence[str], check: HealthCheck = TCP_CHECK
) -> Region:
    """A region with one edge."""
    parsed = tuple(ip_address(address) for address in addresses)
    probe = {address: SocketAddress(str(address), 80) for address in parsed}
    edge = Edge(f"{name}-1", name, parsed, 80, tuple(map(Listener, probe.values())), probe)
    return Region(name, coordinates, (edge,), check, {})


def fleet(
    policies: Sequence[object] = (Nearest(),),
    *,
    regions: Mapping[str, Region] | None = None,
    ttl: TimeToLive | None = None,
    all_down: AllDown = AllDown.ANSWER_ALL,
    geo: GeoSettings | None = None,
    zone: str = ZONE,
    services: Sequence[str] = ("www.shop.test",),
    **dns: object,
) -> Fleet:
    """Three regions (unless given) and one policy for every service."""
    if regions is None:
        regions = {
            name: region(name, place, (f"192.0.2.{number}", f"2001:db8::{number}"))
            for number, (name, place) in enumerate(PLACES.items(), 1)
        }
    made = {
        name: Service(name, "shop.test", tuple(regions), tuple(policies), ttl or TimeToLive(), all_down)
        for name in services
    }
    return Fleet(
        file="test.yaml",
        regions=regions,
        pools={},
        routes=(),
        services=made,
        zones={"shop.test": ZoneSource("shop.test", zone, "test.zone")},
        redis=RedisSettings(),
        geo=geo or GeoSettings(),
        dns=DnsSettings(**{"nodes": {}, "rate_limit": UNLIMITED, **dns}),
        edge=EdgeSettings(),
    )


class MapLocator:
    """A locator over a list of disjoint IPv4 networks; anything else is nowhere."""

    network_map = None

    def __init__(self, places: Mapping[str, Location]) -> None:
        self._places = {ip_network(text): location for text, location in places.items()}
        self._nowhere = Location(source="default")

    def locate(self, address: IPv4Address | IPv6Address) -> Located:
        for network, location in self._places.items():
            if address in network:
                return Located(location, network.prefixlen)
        return Located(self._nowhere, 0 if not self._places else address.max_prefixlen)


LONDON = Location("database", Coordinates(51.5, -0.13), "GB", "EU", "GB-LND", 64500, "London")
TOKYO = Location("database", Coordinates(35.68, 139.69), "JP", "AS", None, 64501, "Tokyo")
NEW_YORK = Location("database", Coordinates(40.71, -74.0), "US", "NA", "US-NY", 64502, "New York")
LOCATOR = MapLocator({"10.1.0.0/16": LONDON, "10.2.0.0/16": TOKYO, "10.3.0.0/16": NEW_YORK})


def state(name: str, verdict: Verdict = Verdict.UP, **more: object) -> RegionState:
    """A region's state, steady enough not to lower TTLs."""
    return RegionState(name, verdict, **{"since": NOW - 60, "reason": "", "flip_in": 1000.0, **more})


def world(*states: RegionState, names: Sequence[str] = tuple(PLACES)) -> World:
    """All regions UP but for those given."""
    given = {each.region: each for each in states}
    return World(NOW, {name: given.get(name) or state(name) for name in names})


def drained(name: str, **more: object) -> RegionState:
    """A region that an operator has drained."""
    override = Override(name, OverrideKind.DRAIN, "ana", "maintenance", NOW - 5, **more)
    return state(name, override=override)


def authority(made: Fleet | None = None, known: World | None = None, locator: object = LOCATOR) -> Authority:
    """Everything an answer depends on."""
    made = made or fleet()
    return Authority(made, load_zones(made), locator, known or world(names=tuple(made.regions)))


def client(address: str, locator: MapLocator = LOCATOR) -> Client:
    """The client at an address."""
    parsed = ip_address(address)
    return Client(parsed, locator.locate(parsed), share_of(parsed))


REGION_NAMES = tuple(f"r{number}" for number in range(6))
COUNTRIES = ("GB", "JP", "US", "BR", "ZA")
coordinates = st.builds(
    Coordinates, st.floats(-90, 90, allow_nan=False), st.floats(-180, 180, allow_nan=False)
)
locations = st.builds(
    Location,
    source=st.just("database"),
    coordinates=st.none() | coordinates,
    country=st.none() | st.sampled_from(COUNTRIES),
    continent=st.none() | st.sampled_from(("EU", "AS", "NA")),
    asn=st.none() | st.integers(64500, 64502),
)


def policies(names: Sequence[str]) -> st.SearchStrategy[tuple[object, ...]]:
    """One to three policies over the regions named."""
    some = st.lists(st.sampled_from(list(names)), min_size=1, max_size=len(names), unique=True).map(tuple)
    rule = st.builds(
        GeoRule,
        regions=some,
        country=st.frozensets(st.sampled_from(COUNTRIES), max_size=2),
        continent=st.frozensets(st.sampled_from(("EU", "AS")), max_size=1),
        asn=st.frozensets(st.integers(64500, 64502), max_size=1),
        network=st.lists(
            st.sampled_from([ip_network("10.0.0.0/9"), ip_network("10.1.2.0/24"), ip_network("11.0.0.0/8")]),
            max_size=2,
        ).map(tuple),
    ).filter(lambda rule: rule.country or rule.continent or rule.asn or rule.network)
    weights = st.lists(st.tuples(st.sampled_from(list(names)), st.floats(0, 100)), min_size=1, max_size=5)
    one = st.one_of(
        st.just(Nearest()),
        st.builds(Failover, some),
        st.builds(Weighted, weights.map(lambda pairs: tuple(dict(pairs).items()))),
        st.builds(Geo, st.lists(rule, min_size=1, max_size=3).map(tuple)),
    )
    return st.lists(one, min_size=1, max_size=3).map(tuple)


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """Two to six regions anywhere, with addresses of either family or both."""
    names = REGION_NAMES[: draw(st.integers(2, len(REGION_NAMES)))]
    families = st.sampled_from((("4",), ("6",), ("4", "6")))
    regions = {}
    for number, name in enumerate(names, 1):
        addresses = []
        for family in draw(families):
            addresses.append(f"192.0.2.{number}" if family == "4" else f"2001:db8::{number}")
        regions[name] = region(name, draw(coordinates), addresses)
    return fleet(
        draw(policies(names)),
        regions=regions,
        all_down=draw(st.sampled_from(list(AllDown))),
        ttl=draw(st.sampled_from((TimeToLive(), TimeToLive(20, 1, 60)))),
    )


@st.composite
def worlds(draw: st.DrawFn, made: Fleet) -> World:
    """Any states of the fleet's regions, overrides included."""
    overrides = st.none() | st.builds(
        Override,
        region=st.just(""),
        kind=st.sampled_from(list(OverrideKind)),
        by=st.just("ana"),
        reason=st.sampled_from(("", "maintenance")),
        since=st.just(NOW - 10),
        until=st.none() | st.floats(NOW + 1, NOW + 100),
    )
    states = {}
    for name, each in made.regions.items():
        targets = {
            str(address): TargetState(str(address), draw(st.sampled_from(list(Verdict))), NOW - 5, "", 5.0)
            for edge in each.edges
            for address in edge.addresses
        }
        states[name] = RegionState(
            name,
            draw(st.sampled_from(list(Verdict))),
            NOW - draw(st.floats(0, 1000)),
            "3 of 3 observers",
            draw(st.floats(0, 60)),
            draw(overrides),
            targets,
        )
    return World(NOW, states)
