"""Other regions' edges as servers, for requests that have none here."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from edge.pool import PoolState
from edge.server import ServerState
from edge.spill_over import Neighbourhood, Ranking
from gslb.fleet import Balancing, Edge, Fleet, Pool, Region, Server, SpillOver
from gslb.geo.locator import Locator
from gslb.policy.base import Client
from gslb.policy.share import share_of


def spilling_pools(fleet: Fleet) -> tuple[str, ...]:
    """Names of the pools whose requests may leave their region."""
    return tuple(name for name, pool in fleet.pools.items() if pool.spill_over is not SpillOver.OFF)


class Neighbours:
    """One for each edge process. Each region is a pool whose servers are its edges' addresses.

    known: what is known of them; whoever learns of news replaces it. Without a pool that spills over there
    are none.
    """

    def __init__(self) -> None:
        self.known = Neighbourhood()
        self._regions: dict[str, PoolState] = {}
        self._secured: frozenset[str] = frozenset()
        self._locator: Locator | None = None
        self._ranking: Ranking | None = None
        self._context: ssl.SSLContext | None = None
        self._name: str | None = None

    def use(
        self,
        fleet: Fleet,
        own: Region,
        locator: Locator | None,
        context: ssl.SSLContext | None,
        now: float,
    ) -> None:
        """Go on with another fleet. locator: None if no pool spills over. now: loop time."""
        self._locator = locator
        self._context = context
        self._name = fleet.edge.peer_tls.server_name
        self._ranking = Ranking.of(fleet, own.name) if locator is not None else None
        before, self._regions = self._regions, {}
        if locator is not None:
            for region in fleet.regions.values():
                if region.edges and region is not own:
                    self._regions[region.name] = self._state(before.pop(region.name, None), region, now)
        self._secured = frozenset(
            str(peer)
            for region in fleet.regions.values()
            for edge in region.edges
            for peer in edge.peers
            if _has_tls(edge, peer.port)
        )
        for gone in before.values():
            gone.retire()

    def _state(self, before: PoolState | None, region: Region, now: float) -> PoolState:
        pool = Pool(f"edges of {region.name}", Balancing(), region.check)
        peers = dict.fromkeys(peer for edge in region.edges for peer in edge.peers)
        servers = tuple(Server(region.name, "", peer) for peer in peers)
        if before is None:
            return PoolState(pool, servers)
        before.use(pool, servers, now)
        return before

    def __iter__(self) -> Iterator[PoolState]:
        return iter(self._regions.values())

    def expire(self, now: float) -> None:
        """As pools do. now: loop time."""
        for pool in self._regions.values():
            pool.expire(now)

    def close_idle(self) -> None:
        for pool in self._regions.values():
            for server in pool.servers:
                server.close_idle()

    def candidates(self, host: bytes, address: str, pool: str) -> Iterator[ServerState]:
        """Edges that may take a request, best first. host: as routes compare it. address: the client's."""
        ranking, locator = self._ranking, self._locator
        if ranking is None or locator is None:
            return
        try:
            client_address = ip_address(address.partition("%")[0])
        except ValueError:
            return
        client = Client(client_address, locator.locate(client_address), share_of(client_address))
        for region in ranking.regions(host.decode("latin-1"), client, self.known, pool):
            yield from self._regions[region].candidates(address)

    def tls(self, server: ServerState, host: bytes) -> dict[str, Any]:
        """How to connect to one: more arguments for `create_connection`. host: the request's."""
        if server.name not in self._secured:
            return {}
        name = self._name or host.decode("latin-1") or server.server.address.host
        return {"ssl": self._context, "server_hostname": name}


def _has_tls(edge: Edge, port: int) -> bool:
    """Whether TLS is spoken where a peer connects to this port."""
    return any(listener.tls and listener.address.port == port for listener in edge.listen)
