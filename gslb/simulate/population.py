"""Who the world's clients are: some of them, spread over countries and networks as internet users are."""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from ipaddress import IPv4Address
from itertools import accumulate
from types import MappingProxyType

from gslb.geo.locator import Locator
from gslb.geo.network_map import MAPPED_BITS, UNMAPPED, NetworkMap
from gslb.geo.records import CENTROID, DATABASE
from gslb.policy.base import Client
from gslb.policy.share import share_of

_SIZES = tuple(1 << (MAPPED_BITS[4] - length) for length in range(MAPPED_BITS[4] + 1))
"""Addresses of an IPv4 network, by its prefix length."""


@dataclass(frozen=True, slots=True)
class Member:
    """A client that stands for many. weight: for which part, 0 to 1, of all."""

    client: Client
    weight: float
    country: str


def population(locator: Locator, size: int) -> tuple[Member, ...]:
    """About `size` clients, whose weights sum to 1; the same databases and size give the same.

    Countries have as many as they have internet users, and one at least; within a country they are spread
    evenly over the IPv4 addresses that databases place there, one place after the other, so that every
    large network and every large town has its part. Addresses that nobody but the operator places, such as
    private ones, are nobody's. Makes the locator's network map if it has none; raises GeoError if that
    cannot be made.
    """
    if locator.network_map is None:
        locator.map_networks()
    network_map = locator.network_map
    assert network_map is not None, "nobody gave it up"
    places = _places(network_map)
    millions = {country: internet_users().get(country, 0.0) for country in places}
    total = sum(millions.values())
    wanted: dict[int, list[int]] = {}
    weights: dict[tuple[int, int], tuple[str, float]] = {}
    for country, users in sorted(millions.items()):
        if users > 0:
            count = max(1, round(size * users / total))
            for vantage, offset in _spread(places[country], count):
                wanted.setdefault(vantage, []).append(offset)
                weights[vantage, offset] = country, users / total / count
    return tuple(_members(locator, network_map, wanted, weights))


@cache
def internet_users() -> Mapping[str, float]:
    """By country (ISO 3166-1 alpha-2), in millions, about 2023, rounded.

    They are the part of the population that uses the internet (ITU, as the World Bank's indicator
    IT.NET.USER.ZS gives it) times the population; countries without figures are estimated by neighbours.
    """
    with (files("gslb.simulate") / "data" / "internet_users.csv").open(encoding="utf-8") as file:
        return MappingProxyType({row["country"]: float(row["millions"]) for row in csv.DictReader(file)})


def _places(network_map: NetworkMap) -> dict[str, list[tuple[int, int]]]:
    """By country its vantages, each with its number of IPv4 addresses."""
    spans = network_map.ipv4
    addresses = [0] * len(network_map.vantages)
    for vantage, length in zip(spans.vantages, spans.prefix_lengths, strict=True):
        addresses[vantage] += _SIZES[length]
    places: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for vantage, count in enumerate(addresses):
        if count and vantage != UNMAPPED:
            location = network_map.location(vantage)
            if location.country is not None and location.source in (DATABASE, CENTROID):
                places[location.country].append((vantage, count))
    return places


def _spread(places: Sequence[tuple[int, int]], count: int) -> Iterator[tuple[int, int]]:
    """`count` addresses at equal distances, each as a vantage and the how many-eth address of that it is."""
    ends = list(accumulate(addresses for _, addresses in places))
    for number in range(count):
        # In the middle of its part; a country of few addresses may meet the same one twice.
        point = (2 * number + 1) * ends[-1] // (2 * count)
        place = bisect_right(ends, point)
        vantage, addresses = places[place]
        yield vantage, point - ends[place] + addresses


def _members(
    locator: Locator,
    network_map: NetworkMap,
    wanted: Mapping[int, Sequence[int]],
    weights: Mapping[tuple[int, int], tuple[str, float]],
) -> Iterator[Member]:
    """In the order of addresses. wanted: by vantage, ascending, which of its addresses."""
    spans = network_map.ipv4
    passed = dict.fromkeys(wanted, 0)
    following = {vantage: iter(offsets) for vantage, offsets in wanted.items()}
    pending = {vantage: next(offsets) for vantage, offsets in following.items()}
    for start, vantage, length in zip(spans.starts, spans.vantages, spans.prefix_lengths, strict=True):
        begins = passed.get(vantage)
        if begins is None:
            continue
        ends = passed[vantage] = begins + _SIZES[length]
        while 0 <= (offset := pending[vantage]) < ends:
            country, weight = weights[vantage, offset]
            address = IPv4Address(start + offset - begins)
            yield Member(Client(address, locator.locate(address), share_of(address)), weight, country)
            pending[vantage] = next(following[vantage], -1)
