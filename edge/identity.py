"""Which of the declared edges is this process?"""

from __future__ import annotations

from gslb.errors import GslbError
from gslb.fleet import Edge, Fleet


def edge_of(fleet: Fleet, region: str, name: str | None) -> Edge:
    """The edge of `fleet` to be; raises GslbError when there is none, or when it is not clear which."""
    found = fleet.regions.get(region)
    if found is None:
        raise GslbError(
            f"{fleet.file} has no region {region!r}", hint=f"regions: {', '.join(fleet.regions) or 'none'}"
        )
    if found.hostname is not None:
        with_edges = ", ".join(each.name for each in fleet.regions.values() if each.edges) or "none"
        raise GslbError(
            f"region {region} has no edges: it stands for {found.hostname}", hint=f"with edges: {with_edges}"
        )
    names = ", ".join(edge.name for edge in found.edges)
    if name is None:
        if len(found.edges) == 1:
            return found.edges[0]
        raise GslbError(f"region {region} has {len(found.edges)} edges", hint=f"--edge one of: {names}")
    for edge in found.edges:
        if edge.name == name:
            return edge
    raise GslbError(f"region {region} has no edge {name!r}", hint=f"edges: {names}")
