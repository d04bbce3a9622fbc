"""Which regions can take each other's clients: those that serve a service together, the nearest first."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gslb.fleet import Fleet
from gslb.geo.distance import distance

Neighbours = Mapping[str, tuple[str, ...]]
"""Of each region those that share a service with it, by distance."""


def neighbours(fleet: Fleet) -> Neighbours:
    """Of all regions of the fleet. Thousands of services mostly name the same few sets of regions."""
    together: dict[str, set[str]] = {name: set() for name in fleet.regions}
    for names in {frozenset(service.regions) for service in fleet.services.values()}:
        for name in names & together.keys():
            together[name] |= names
    return {name: _by_distance(fleet, name, others) for name, others in together.items()}


def _by_distance(fleet: Fleet, name: str, others: Collection[str]) -> tuple[str, ...]:
    here = fleet.regions[name].coordinates
    known = [other for other in others if other != name and other in fleet.regions]
    return tuple(sorted(known, key=lambda other: (distance(here, fleet.regions[other].coordinates), other)))


def joined(among: Collection[str], of: Neighbours) -> list[frozenset[str]]:
    """`among`, divided into sets between which no client can move, not even by way of a third region."""
    left, found = set(among), []
    while left:
        edge = {left.pop()}
        whole: set[str] = set()
        while edge:
            whole |= edge
            edge = {other for name in edge for other in of.get(name, ()) if other in left}
            left -= edge
        found.append(frozenset(whole))
    return found
