"""What an edge serves by: the declared fleet, the servers that were found, and what operators say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import replace

from gslb.fleet import Fleet, Server, SocketAddress
from gslb.server_change import ServerChange, changed, of_pool

Found = Mapping[str, Iterable[Server]]
"""By pool, the servers that discovery has found."""


def overlay(
    fleet: Fleet,
    region: str,
    changes: Iterable[ServerChange],
    found: Found,
    now: float,
    *,
    but: Set[str] = frozenset(),
) -> Fleet:
    """`fleet` with the servers that `region` has in effect; the identical object when nothing differs.

    Their order: those listed, those found by address, those added by address. What concerns no pool or no
    server there is passed over. but: targets that are left out for now, unless they are listed.
    """
    changes = tuple(changes)
    declared = fleet.regions[region]
    servers = dict(declared.servers)
    for pool in fleet.pools:
        listed = declared.servers.get(pool, ())
        discovered = sorted(found.get(pool, ()), key=lambda server: server.address)
        effective = changed((*listed, *discovered), of_pool(region, pool, changes), now)
        if but:
            kept = {server.address for server in listed}
            effective = tuple(each for each in effective if each.address in kept or each.target not in but)
        if effective != listed:
            servers[pool] = effective
    if servers == declared.servers:
        return fleet
    return replace(fleet, regions={**fleet.regions, region: replace(declared, servers=servers)})


def idle(fleet: Fleet, region: str, changes: Iterable[ServerChange], found: Found) -> Iterator[ServerChange]:
    """The changes that change nothing: of what is not there (any more), and was not added."""
    declared = fleet.regions[region].servers
    for change in changes:
        there: set[SocketAddress] = {server.address for server in declared.get(change.pool, ())}
        there.update(server.address for server in found.get(change.pool, ()))
        if change.pool not in fleet.pools or not (change.added or change.address in there):
            yield change
