"""What an edge says about its own health: the answer to the DNS nodes' probes."""

from __future__ import annotations

from collections.abc import Iterable

from edge.pool import PoolState


def region_health(pools: Iterable[PoolState], *, draining: bool) -> tuple[int, str]:
    """HTTP status and text: 200 while at least one pool has a usable server, 503 otherwise.

    A pool without usable servers does not take the whole region out as long as another one works: its
    requests get a 503 each, while the rest of the region goes on. Pools without servers here do not count.
    """
    present = [pool for pool in pools if pool.servers]
    lines = [f"{pool.name} {pool.usable}/{len(pool.servers)}" for pool in present]
    if draining:
        status, word = 503, "draining"
    elif any(pool.usable for pool in present):
        status, word = 200, "ok"
    elif present:
        status, word = 503, "no pool has a usable server"
    else:
        status, word = 503, "no servers are declared for this region"
    return status, "\n".join([word, *lines]) + "\n"
