"""A fleet of any size, made of a declared one: regions where people are, as large as is needed there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from random import Random

from gslb.errors import GslbError
from gslb.fleet import Edge, Fleet, Region, SocketAddress
from gslb.policy.decision import decide
from gslb.simulate.clients import EVERYBODY_WELL
from gslb.simulate.population import Member

_FIRST_ADDRESS = int(IPv4Address("198.18.0.1"))
"""Of a network for tests of devices (RFC 2544), which nobody has."""

_TOTAL = 1_000_000
"""Requests per second that all regions together carry, before some get more and some less."""

_LEAST, _MOST = 0.8, 1.6
"""Times what its part of the world's clients needs is what a region carries."""


def made_up_fleet(fleet: Fleet, count: int, members: Sequence[Member], seed: int = 1) -> Fleet:
    """The fleet with `count` regions `r001` and so on in place of its own; each service is served from all.

    Raises GslbError if there are too few places for them.
    """
    random = Random(f"{seed} regions")
    pattern = next(iter(fleet.regions.values()))
    # Members are in the order of addresses: shuffled, any of them are spread as people are.
    shuffled = list(members)
    random.shuffle(shuffled)
    places = dict.fromkeys(
        member.client.location.coordinates for member in shuffled if member.client.location.coordinates
    )
    if len(places) < count:
        raise GslbError(f"{count} regions are more than there are places", hint="have more resolvers")
    regions = {}
    for number, coordinates in enumerate(list(places)[:count]):
        name = f"r{number + 1:03d}"
        address = IPv4Address(_FIRST_ADDRESS + number)
        edge = Edge(
            name="edge1",
            region=name,
            addresses=(address,),
            port=443,
            listen=(),
            probe={address: SocketAddress(str(address), 443)},
        )
        regions[name] = Region(name, coordinates, (edge,), pattern.check, {}, bounds=pattern.bounds)
    services = {name: replace(service, regions=tuple(regions)) for name, service in fleet.services.items()}
    return _with_capacities(replace(fleet, regions=regions, services=services), members, random)


def _with_capacities(fleet: Fleet, members: Sequence[Member], random: Random) -> Fleet:
    service = next(iter(fleet.services.values()))
    parts: defaultdict[str, float] = defaultdict(float)
    for member in members:
        parts[decide(fleet, service, member.client, EVERYBODY_WELL, 0.0).order[0]] += member.weight
    regions = {
        name: replace(region, capacity=max(1.0, round(_TOTAL * parts[name] * random.uniform(_LEAST, _MOST))))
        for name, region in fleet.regions.items()
    }
    return replace(fleet, regions=regions)
