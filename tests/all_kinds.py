"""Services of every kind and worlds of every kind, from a seed: hypothesis would need 30 ms to draw one, and
what is compared with what is learned by comparing often."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_network
from random import Random

from fleets import COUNTRIES, NOW, REGION_NAMES, fleet, region
from hypothesis import strategies as st

from gslb.fleet import (
    AllDown,
    Answers,
    Bounds,
    Fleet,
    GeoSettings,
    LocationOverride,
    Region,
    Service,
    Spill,
    TimeToLive,
)
from gslb.geo.location import Coordinates, IPAddress, Location
from gslb.geo.locator import Locator
from gslb.policy.failover import Failover
from gslb.policy.geo import Geo, GeoRule
from gslb.policy.nearest import Nearest
from gslb.policy.weighted import Weighted
from gslb.world import (
    EVERYBODY,
    Intake,
    Override,
    OverrideKind,
    RegionState,
    TargetState,
    Verdict,
    World,
)

seeds = st.integers(0, 2**32 - 1).map(Random)

SERVICE = "www.shop.test"

_FAMILIES = ((4,), (6,), (4, 6), (4, 6), (4, 4, 4), (4, 4, 6, 6), ())
"""The IP versions of a region's addresses; none: it is somebody else's hostname."""

_TIMES_TO_LIVE = (TimeToLive(), TimeToLive(20, 1, 60), TimeToLive(600, 0, 3600))
_NETWORKS = tuple(
    map(
        ip_network,
        (
            "10.0.0.0/9",
            "10.1.2.0/24",
            "11.0.0.0/8",
            "2001:db8::/32",
            "2001:db8:0:1:8000::/65",
            "2001:0:1234::/48",
            "2002:a01::/32",
            "64:ff9b::a01:0/112",
        ),
    )
)
"""What rules go by; some lie in one another, and in networks whose addresses carry IPv4 ones."""

_OVERRIDES = tuple(
    LocationOverride(ip_network(network), location)
    for network, location in (
        ("10.1.0.0/16", Location("override", Coordinates(51.5, -0.1), "GB", "EU", asn=64500)),
        ("10.2.0.0/16", Location("override", Coordinates(35.7, 139.7), "JP", "AS", asn=64501)),
        ("10.130.0.0/16", Location("override", country="BR")),
        ("2001:db8:1::/48", Location("override", asn=64501)),
        ("2002:a02::/32", Location("override", country="ZA")),
    )
)

_KINDS = (*Verdict, *OverrideKind, "one down", "IPv4 down", "all down")
_OUT = (Verdict.DOWN, OverrideKind.FORCED_DOWN, OverrideKind.DRAIN)
_SECONDS = (0.0, 4.5, 12.0, 100.0)


@cache
def locator(*, mapped: bool) -> Locator:
    """The bundled database and what an operator may say beside it. mapped: with the network map."""
    made = Locator(GeoSettings(overrides=_OVERRIDES), _NETWORKS)
    assert not mapped or made.map_networks()
    return made


def some_address(random: Random) -> IPAddress:
    """Of a client: from anywhere, or near what an operator tells apart; IPv4 also as IPv6 carries it."""
    number = random.choice((random.getrandbits(32), 0x0A000000 | random.getrandbits(24)))
    if random.random() < 0.5:
        return IPv4Address(number)
    kind = random.randrange(7)
    low = random.choice((0, 1, random.getrandbits(64)))
    if kind == 0:
        return IPv6Address(0x2002 << 112 | number << 80 | low)
    if kind == 1:
        server = random.choice((0x1234, random.getrandbits(16))) << 80
        return IPv6Address(0x20010000 << 96 | server | (number ^ 0xFFFFFFFF))
    if kind == 2:
        return IPv6Address(random.choice((0x64FF9B << 96, 0xFFFF << 32, 0)) | number)
    if kind == 3:
        return IPv6Address(0x20010DB8 << 96 | random.randrange(3) << 80 | random.randrange(3) << 64 | low)
    return IPv6Address(0x2 << 124 | random.getrandbits(24) << 100 | low)


def some_region(random: Random, name: str, number: int) -> Region:
    """One with some addresses, or a hostname. number: tells its addresses from those of others."""
    addresses = [
        f"192.0.2.{number * 10 + at}" if version == 4 else f"2001:db8::{number * 10 + at}"
        for at, version in enumerate(random.choice(_FAMILIES))
    ]
    place = Coordinates(random.uniform(-90, 90), random.uniform(-180, 180))
    bounds = Bounds(Spill()) if random.random() < 0.5 else Bounds()
    made = replace(region(name, place, addresses), bounds=bounds)
    return made if addresses else replace(made, edges=(), hostname=f"{name}.cdn.test")


def some_policies(random: Random, names: Sequence[str]) -> tuple[object, ...]:
    """One to three."""
    return tuple(_some_policy(random, names) for _ in range(random.choice((1, 1, 2, 3))))


def _some_policy(random: Random, names: Sequence[str]) -> object:
    kind = random.choice((Nearest, Nearest, Failover, Weighted, Geo))
    if kind is Nearest:
        return Nearest()
    if kind is Failover:
        return Failover(_some(random, names))
    if kind is Weighted:
        return Weighted(tuple((name, random.choice((0, 1, 1, 50.5))) for name in _some(random, names)))
    return Geo(tuple(_some_rule(random, names) for _ in range(random.randint(1, 3))))


def _some_rule(random: Random, names: Sequence[str]) -> GeoRule:
    """With one condition or two."""
    conditions = {
        "country": frozenset(random.sample(COUNTRIES, 2)),
        "continent": frozenset({random.choice(("EU", "AS"))}),
        "asn": frozenset({random.choice((64500, 64501))}),
        "network": tuple(random.sample(_NETWORKS, 2)),
    }
    held = random.sample(list(conditions), random.randint(1, 2))
    return GeoRule(_some(random, names), **{name: conditions[name] for name in held})


def _some(random: Random, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(random.sample(names, random.randint(1, len(names))))


def some_service(random: Random, made: Fleet, name: str = SERVICE) -> Service:
    """Answered from all of the fleet's regions, in some order."""
    regions = random.sample(list(made.regions), len(made.regions))
    return Service(
        name,
        "shop.test",
        tuple(regions),
        some_policies(random, regions),
        random.choice(_TIMES_TO_LIVE),
        random.choice(list(AllDown)),
        Answers(random.choice((1, 1, 2, 3)), random.choice((None, None, 1, 2)), random.random() < 0.4),
        frozenset(random.choice(((), ("web",), ("web", "media")))),
    )


def some_fleet(random: Random, services: Sequence[str] = (SERVICE,), **more: object) -> Fleet:
    """One to six regions anywhere, with addresses of some IP versions or a hostname. more: see `fleet`."""
    names = REGION_NAMES[: random.randint(1, len(REGION_NAMES))]
    regions = {name: some_region(random, name, number) for number, name in enumerate(names, 1)}
    if random.random() < 0.6:
        regions = {name: each for name, each in regions.items() if each.edges} or regions
    made = fleet(regions=regions, **more)
    return replace(made, services={name: some_service(random, made, name) for name in services})


def some_world(random: Random, made: Fleet, at: float = NOW) -> World:
    """Anything at all; but often all is well, so that little is looked at, or all is lost."""
    kinds = random.choice(((Verdict.UP,), _OUT, _KINDS, _KINDS))
    return World(at, {name: some_state(random, made, name, kinds, at) for name in made.regions})


def some_state(
    random: Random, made: Fleet, name: str, kinds: Sequence[str] = _KINDS, at: float = NOW
) -> RegionState:
    """Of a region, some of its addresses down perhaps."""
    kind, seconds = random.choice(kinds), random.choice(_SECONDS)
    addresses = [address for edge in made.regions[name].edges for address in edge.addresses]
    down = {
        "one down": addresses[:1],
        "IPv4 down": [address for address in addresses if address.version == 4],
        "all down": addresses,
    }.get(kind, [])
    targets = {str(each): TargetState(str(each), Verdict.DOWN, at, "", 1.0) for each in down}
    override = _some_override(random, name, OverrideKind(kind), at) if kind in list(OverrideKind) else None
    verdict = Verdict(kind) if kind in list(Verdict) else Verdict.UP
    state = RegionState(name, verdict, at - seconds, "", seconds, override, targets)
    return _less_than_whole(random, made, state, at) if random.random() < 0.4 else state


def _less_than_whole(random: Random, made: Fleet, state: RegionState, at: float) -> RegionState:
    """The same, but that it may not take everybody, or not have what every service wants."""
    parts = (0.0, 0.1, 0.5, 0.93, 1.0)
    intake = Intake(random.choice(parts), random.choice(parts), random.choice(parts), "is full", at)
    said = random.sample(list(made.services), random.randint(0, 1))
    return replace(
        state,
        intake=intake if random.random() < 0.7 else EVERYBODY,
        overrides={
            name: replace(_some_override(random, state.region, kind, at), service=name)
            for name in said
            for kind in random.sample(list(OverrideKind), 1)
        },
        without=frozenset(random.choice(((), ("web",), ("web", "media")))),
        thin=random.random() < 0.2,
    )


def _some_override(random: Random, region: str, kind: OverrideKind, at: float) -> Override:
    until = random.choice((None, at + 12.0, at + 100.0))
    return Override(
        region,
        kind,
        "ana",
        "",
        at - 5,
        until,
        weight=random.choice((0.0, 0.25, 1.0)) if kind is OverrideKind.WEIGHT else None,
        held=((region, random.choice(list(Verdict))),) if kind is OverrideKind.HOLD else (),
    )


def without_scope(answer: bytes | None) -> bytes | None:
    """The same with scope 0 in its client subnet, if it has one.

    For a moment after a change of the world, what the last one wanted to know of a client narrows the scope.
    """
    if answer is None:
        return None
    found = list(_SUBNET.finditer(answer))
    return answer[: found[-1].end()] + b"\0" + answer[found[-1].end() + 1 :] if found else answer


_SUBNET = re.compile(rb"\0\x08\0[\x04-\x14]\0[\1\2][\0-\x80]", re.DOTALL)
"""The head of the option (RFC 7871 6), up to the scope."""
