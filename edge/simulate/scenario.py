"""Which servers a simulated pool has: made up, or of a fleet's file; and what is wrong with some."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import inf

from edge.simulate.load import SimulatedServer
from gslb.errors import GslbError
from gslb.fleet import Fleet, Pool, Server
from gslb.fleet_pool import ServerMode


@dataclass(frozen=True, slots=True)
class Illness:
    """slow: how many of the first servers need `slow_factor` times as long. failing: how many of the next
    fail `failing_share` (0 to 1) of their requests at once. leaving: how many of the last leave half-way."""

    slow: int = 0
    slow_factor: float = 5.0
    failing: int = 0
    failing_share: float = 1.0
    leaving: int = 0


def even_servers(count: int, workers: int, most: float = inf) -> tuple[SimulatedServer, ...]:
    """So many servers that are all alike."""
    return tuple(
        SimulatedServer(f"server {number}", workers=workers, most=most) for number in range(1, count + 1)
    )


def declared_servers(
    fleet: Fleet, pool: str, region: str | None, workers: int, most: float = inf
) -> tuple[SimulatedServer, ...]:
    """A pool's servers in a region, None for the first that has any; a server of twice the weight is twice as
    quick. most: what they may have where the file says nothing. Raises GslbError if there are none."""
    declared = _declared(fleet, pool, region)
    weights = [server.weight for server in declared if not server.backup] or [
        server.weight for server in declared
    ]
    average = sum(weights) / len(weights)
    return tuple(
        SimulatedServer(
            name=str(server.address),
            weight=server.weight,
            workers=workers,
            slowness=average / server.weight,
            most=_most(server, fleet.pools[pool], most),
            backup=server.backup,
        )
        for server in declared
    )


def _declared(fleet: Fleet, pool: str, region: str | None) -> list[Server]:
    _expect("pool", pool, fleet.pools, fleet.file)
    if region is not None:
        _expect("region", region, fleet.regions, fleet.file)
    for name in fleet.regions if region is None else [region]:
        servers = fleet.regions[name].servers.get(pool, ())
        in_use = [server for server in servers if server.weight > 0 and server.mode is ServerMode.READY]
        if in_use:
            return in_use
    where = "any region" if region is None else f"region {region!r}"
    raise GslbError(f"pool {pool!r} has no server in {where} that gets requests")


def _expect(kind: str, name: str, among: Collection[str], file: str) -> None:
    if name not in among:
        raise GslbError(f"{file} has no {kind} {name!r}", hint=f"it has {', '.join(among) or 'none'}")


def _most(server: Server, pool: Pool, most: float) -> float:
    if server.max_connections is not None:
        return server.max_connections
    return most if pool.connections.most is None else pool.connections.most


def afflict(servers: tuple[SimulatedServer, ...], illness: Illness) -> tuple[SimulatedServer, ...]:
    """The same with what is wrong with some. Raises GslbError if there are too few of them for that."""
    slow, failing, leaving = illness.slow, illness.failing, illness.leaving
    if slow + failing + leaving > len(servers):
        raise GslbError(
            f"{slow} slow, {failing} failing and {leaving} leaving are more than {len(servers)} servers"
        )
    if leaving == len(servers):
        raise GslbError("if all servers leave, there is nothing to balance", hint="leave one, at least")
    changed = list(servers)
    for index in range(slow):
        changed[index] = replace(changed[index], slowness=changed[index].slowness * illness.slow_factor)
    for index in range(slow, slow + failing):
        changed[index] = replace(changed[index], failing=illness.failing_share)
    for index in range(len(changed) - leaving, len(changed)):
        changed[index] = replace(changed[index], leaves=True)
    return tuple(changed)
