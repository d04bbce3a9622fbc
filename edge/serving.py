"""What an edge serves by, made whole before anything of it is used: nothing can fail once it is taken up."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from edge.forwarded import TrustedProxies
from edge.http1.limits import DEFAULT_LIMITS, Limits
from edge.neighbours import spilling_pools
from edge.route import RouteTable
from edge.tls.servers import context_to_servers
from gslb.fleet import Edge, Fleet, GeoSettings, Region
from gslb.fleet_edge import EdgeSettings
from gslb.geo.location import IPNetwork
from gslb.geo.locator import Locator


@dataclass(frozen=True, slots=True)
class Serving:
    """One reading of the fleet's file, for one edge.

    contexts: for TLS to servers, by pool. locator, peer_context: to find other regions' edges by, and for
    TLS to them; None if no pool spills over. shortest_limit: the shortest time that anything may take,
    seconds.
    """

    fleet: Fleet
    edge: Edge
    limits: Limits
    trusted: TrustedProxies
    routes: RouteTable
    contexts: Mapping[str, ssl.SSLContext]
    locator: Locator | None
    peer_context: ssl.SSLContext | None
    shortest_limit: float

    @property
    def settings(self) -> EdgeSettings:
        return self.fleet.edge

    @property
    def region(self) -> Region:
        return self.fleet.regions[self.edge.region]


def prepare(fleet: Fleet, edge: Edge) -> Serving:
    """Compile what there is to compile. Reads files for TLS to servers, and databases where pools
    spill over; raises GslbError for a bad one."""
    settings = fleet.edge
    spills = bool(spilling_pools(fleet))
    return Serving(
        fleet,
        edge,
        Limits(
            request_line=settings.max_request_line_bytes,
            head=settings.max_header_bytes,
            fields=settings.max_header_fields,
            trailer=min(settings.max_header_bytes, DEFAULT_LIMITS.trailer),
        ),
        TrustedProxies(settings.trusted_proxies),
        RouteTable(fleet.routes),
        {name: context_to_servers(pool.tls) for name, pool in fleet.pools.items() if pool.tls is not None},
        _locator(fleet.geo, fleet.networks()) if spills else None,
        context_to_servers(settings.peer_tls) if spills else None,
        _shortest_limit(fleet, edge),
    )


@lru_cache(maxsize=2)
def _locator(settings: GeoSettings, networks: tuple[IPNetwork, ...]) -> Locator:
    """Kept, as most changes of a file concern no locations, and reading databases takes its time."""
    return Locator(settings, networks)


def _shortest_limit(fleet: Fleet, edge: Edge) -> float:
    settings = fleet.edge
    limits = [settings.header_timeout, settings.body_timeout, settings.write_timeout, settings.idle_timeout]
    limits.append(settings.tunnel_timeout)
    for timeouts in (settings.timeouts, *(route.timeouts for route in fleet.routes)):
        if timeouts is not None:
            limits += (timeouts.connect, timeouts.first_byte, timeouts.idle)
            limits += () if timeouts.total is None else (timeouts.total,)
    limits += [listener.timeouts.idle for listener in edge.listen]
    for pool in fleet.pools.values():
        limits += (pool.connections.idle_timeout, pool.queue.timeout)
        limits += (pool.slow_start.time,) if pool.slow_start.time else ()
        limits.append(pool.ejection.time)
    return min(limits)
