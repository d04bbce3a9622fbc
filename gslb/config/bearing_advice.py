"""Warns of how pools and routes bear load and failure where that is legal and hardly meant."""

from __future__ import annotations

from ipaddress import ip_address

from gslb.config.document import KeyPath
from gslb.config.findings import Findings
from gslb.config.sections import Sections
from gslb.fleet import Fleet, Pool, SocketAddress, SpillOver


def advise_on_bearing(findings: Findings, fleet: Fleet, sections: Sections) -> None:
    """Warn of what will never happen, or not as it was meant."""
    spilling = [name for name, pool in fleet.pools.items() if pool.spill_over is not SpillOver.OFF]
    for name in spilling:
        _advise_on_spilling(findings, sections.paths["pools", name], fleet.pools[name], fleet)
    if spilling:
        _advise_on_trust(findings, sections.paths["pools", spilling[0]], fleet)
    for path, route in sections.routes:
        limit = route.rate_limit
        if limit is not None and limit.shared and fleet.redis.url is None:
            hint = "say where Redis is under `redis: url:`, or remove `shared`"
            findings.warn(
                (*path, "rate_limit", "shared"), "every edge process counts alone, without Redis", hint
            )
        if route.mirror is not None and route.mirror.pool == route.pool:
            findings.warn(
                (*path, "mirror"), "copies go where the requests go themselves", "name another pool"
            )


def _advise_on_spilling(findings: Findings, path: KeyPath, pool: Pool, fleet: Fleet) -> None:
    place = (*path, "spill_over")
    regions = [
        name
        for name, region in fleet.regions.items()
        if region.edges and (region.servers.get(pool.name) or region.discovery.get(pool.name))
    ]
    if len(regions) < 2:
        hint = "list servers of it in another region, or remove it"
        findings.warn(place, "no other region has servers of this pool", hint)
    elif pool.spill_over is SpillOver.ON_SATURATION and not _is_bounded(pool, fleet):
        hint = "say how many requests a server takes: `connections: {most: 100}`"
        findings.warn(place, "nothing is ever saturated, as servers get all requests at once", hint)


def _is_bounded(pool: Pool, fleet: Fleet) -> bool:
    limit = pool.concurrency
    if pool.connections.most is not None or limit.most is not None or limit.adaptive:
        return True
    servers = (each for region in fleet.regions.values() for each in region.servers.get(pool.name, ()))
    return any(server.max_connections is not None for server in servers)


def _advise_on_trust(findings: Findings, path: KeyPath, fleet: Fleet) -> None:
    """An edge that does not trust the others takes what they send on for requests of their own."""
    peers = [peer for region in fleet.regions.values() for edge in region.edges for peer in edge.peers]
    if any(_is_trusted(peer, fleet) for peer in peers):
        return
    hint = "list the other edges' networks under `edge: trusted_proxies:`"
    message = "clients that spill over look like the edges that send them on, which nobody trusts"
    findings.warn((*path, "spill_over"), message, hint)


def _is_trusted(peer: SocketAddress, fleet: Fleet) -> bool:
    try:
        address = ip_address(peer.host)
    except ValueError:
        return True  # a name: nobody knows here
    return any(address in network for network in fleet.edge.trusted_proxies)
