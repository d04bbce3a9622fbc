"""What an edge counts for each balanced name: how the two tiers tell each other of one service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edge.counters import Latency
from gslb.fleet import Fleet, Region

MOST = 1000
"""Services counted; of a fleet with more, the first in the file."""


class ServiceStats:
    """One service. latency: of servers' responses. errors: responses of 500 and above, whoever sent them.

    refused: requests that the edge answered itself. pools: those that its requests go to.
    """

    __slots__ = ("errors", "latency", "name", "pools", "refused")

    def __init__(self, name: str, pools: tuple[str, ...]) -> None:
        self.name = name
        self.pools = pools
        self.latency = Latency()
        self.errors = 0
        self.refused = 0

    @property
    def requests(self) -> int:
        """Those that were answered."""
        return sum(self.latency.counts) + self.refused


class Services:
    """Those that this region serves and that requests can be for."""

    __slots__ = ("_by_host",)

    def __init__(self, fleet: Fleet, region: Region) -> None:
        self._by_host: Mapping[bytes, ServiceStats] = {}
        self.use(fleet, region)

    def use(self, fleet: Fleet, region: Region) -> None:
        """Go on with another fleet; what was counted stays."""
        by_host: dict[bytes, ServiceStats] = {}
        for name, pools in served(fleet, region).items():
            host = name.encode()
            stats = self._by_host.get(host) or ServiceStats(name, pools)
            stats.pools = pools
            by_host[host] = stats
        self._by_host = by_host

    def find(self, host: bytes) -> ServiceStats | None:
        """That of a request for `host`, as routes compare it."""
        return self._by_host.get(host)

    def __iter__(self) -> Iterator[ServiceStats]:
        return iter(self._by_host.values())


def served(fleet: Fleet, region: Region) -> dict[str, tuple[str, ...]]:
    """The services of a region, each with the pools that its requests go to; MOST of them."""
    found: dict[str, tuple[str, ...]] = {}
    for name, service in fleet.services.items():
        if region.name in service.regions and service.pools:
            found[name] = tuple(sorted(service.pools))
            if len(found) == MOST:
                break
    return found
