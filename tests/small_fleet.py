"""Builds small fleets and the records about them, for tests that want one without a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from gslb.fleet import (
    DnsSettings,
    Edge,
    EdgeSettings,
    Fleet,
    GeoSettings,
    HealthCheck,
    RedisSettings,
    Region,
    Secret,
    SocketAddress,
)
from gslb.geo.location import Coordinates
from gslb.health.checks import TcpCheck
from gslb.world import Observation, Verdict

REGIONS: Mapping[str, Sequence[str]] = {"eu-west": ["192.0.2.1"], "us-east": ["198.51.100.1", "2001:db8::1"]}
CHECK = HealthCheck("edge", TcpCheck(), interval=1.0, timeout=0.5, rise=2, fall=3)


def small_fleet(
    url: str | None = None,
    *,
    regions: Mapping[str, Sequence[str]] = REGIONS,
    poll: float = 1.0,
    lease: float = 10.0,
    timeout: float = 1.0,
) -> Fleet:
    """Regions by name, each with one edge that has these public addresses."""
    return Fleet(
        file="regions.yaml",
        regions={name: _region(name, addresses) for name, addresses in regions.items()},
        pools={},
        routes=(),
        services={},
        zones={},
        redis=RedisSettings(Secret(url) if url else None, poll=poll, lease=lease, timeout=timeout),
        geo=GeoSettings(),
        dns=DnsSettings(nodes={}),
        edge=EdgeSettings(),
    )


def _region(name: str, texts: Sequence[str]) -> Region:
    addresses = tuple(ip_address(text) for text in texts)
    edge = Edge(
        name="edge1",
        region=name,
        addresses=addresses,
        port=80,
        listen=(),
        probe={address: SocketAddress(str(address), 80) for address in addresses},
    )
    return Region(name, Coordinates(0.0, 0.0), (edge,), CHECK, {})


def observation(
    target: str = "eu-west/192.0.2.1",
    observer: str = "ns1",
    verdict: Verdict = Verdict.UP,
    *,
    reason: str = "",
    since: float = 1_800_000_000.0,
    consecutive: int = 1,
    flip_in: float = 3.0,
    epoch: int = 1,
    sequence: int = 1,
) -> Observation:
    reason = reason or ("200 in 12 ms" if verdict is Verdict.UP else "connection refused")
    return Observation(target, observer, verdict, reason, since, consecutive, flip_in, epoch, sequence)
