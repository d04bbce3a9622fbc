"""What a DNS node probes, by the names under which observers report."""

from __future__ import annotations

from collections.abc import Mapping

from gslb.fleet import Fleet, HealthCheck, SocketAddress


def node_targets(fleet: Fleet) -> Mapping[str, tuple[HealthCheck, SocketAddress]]:
    """What a DNS node probes: every public address of every edge, and the hostnames of other regions."""
    targets = {
        edge.target(address): (region.check, probe)
        for region in fleet.regions.values()
        for edge in region.edges
        for address, probe in edge.probe.items()
    }
    for region in fleet.regions.values():
        if region.hostname is not None and region.probe is not None:
            targets[region.target] = (region.check, region.probe)
    return targets
