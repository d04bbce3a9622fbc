"""Folds what a region's edges report of their servers: which pools have none, how much of it all is live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gslb.fleet import Edge, Region
from gslb.world import Report, TargetState, Verdict

Deciding = tuple[tuple[str, int, int], ...]
"""Of each pool: how many servers are healthy, and how many there are."""


@dataclass(frozen=True, slots=True)
class Live:
    """without: pools of which no edge has a healthy server. share: of the region's capacity, 0 to 1.

    thin: why that is too little for new clients, part of a sentence; empty: it is enough.
    """

    without: frozenset[str] = frozenset()
    share: float = 1.0
    thin: str = ""


WHOLE = Live()


def deciding(report: Report) -> Deciding:
    """What of a report decides about its region: while this is the same, so is what `live` makes of it."""
    return tuple((pool.pool, pool.healthy, pool.servers) for pool in report.pools)


def live(region: Region, targets: Mapping[str, TargetState], reports: Sequence[Report]) -> Live:
    """What follows from the fresh `reports` of a region's edges. targets: by public address.

    An edge that is down by its verdict, on all its addresses, counts as nothing live; what it says of pools
    is not listened to, unless all are down. An edge without a fresh report is taken to be whole: that
    nobody hears it is no news of its servers, and whether it is there at all is for probes to say.
    """
    if not region.edges:
        return WHOLE
    told = {report.edge: report for report in reports}
    up = [edge for edge in region.edges if not _is_down(edge, targets)]
    share = round(sum([_share(told.get(edge.name)) for edge in up]) / len(region.edges), 2)
    thin = ""
    if share < region.bounds.min_live:
        thin = f"{_counted(region, up, told)}, less than min_live {region.bounds.min_live:g}"
    return Live(_without(region, up or region.edges, told), share, thin)


def _is_down(edge: Edge, targets: Mapping[str, TargetState]) -> bool:
    states = [targets.get(str(address)) for address in edge.addresses]
    return bool(states) and all(state is not None and state.verdict is Verdict.DOWN for state in states)


def _share(report: Report | None) -> float:
    return report.healthy / report.servers if report is not None and report.servers else 1.0


def _without(region: Region, edges: Sequence[Edge], told: Mapping[str, Report]) -> frozenset[str]:
    """Pools that are meant to have servers here, and of which none of `edges` reports a healthy one.

    If one of these says nothing, nothing follows from what the others lack: it may well have servers.
    """
    reports = [told[edge.name] for edge in edges if edge.name in told]
    if len(reports) < len(edges):
        return frozenset()
    pools = [pool for report in reports for pool in report.pools]
    meant = {name for name, servers in region.servers.items() if servers} | region.discovery.keys()
    meant.update(pool.pool for pool in pools if pool.servers)
    return frozenset(meant - {pool.pool for pool in pools if pool.healthy})


def _counted(region: Region, up: Sequence[Edge], told: Mapping[str, Report]) -> str:
    """`1 of 4 servers healthy, 1 of 2 edges down`, as far as it is not as it should be."""
    reports = [told[edge.name] for edge in up if edge.name in told]
    healthy, servers = sum(report.healthy for report in reports), sum(report.servers for report in reports)
    down = len(region.edges) - len(up)
    said = [f"{healthy} of {servers} servers healthy"] if healthy < servers else []
    said += [f"{down} of {len(region.edges)} edges down"] if down else []
    return ", ".join(said)
