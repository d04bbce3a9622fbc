"""What workers know of other regions once the file has changed: nothing of rows that are gone."""

from __future__ import annotations

import os
from dataclasses import replace

from edge_regions import EAST, WEST, fleet_of

from edge.counters import Counters
from edge.pool import Pools
from edge.spill_over import Neighbourhood
from edge.workers.columns import Board
from edge.workers.layout import Layout
from edge.workers.sharing import HeadsShare, WorkersShare, layout_of
from gslb.fleet import Fleet, Route, SocketAddress


def renamed(fleet: Fleet, name: str) -> Fleet:
    """The same, with another name for its only pool: as many rows of the board, in the same order."""
    regions = {}
    for region in fleet.regions.values():
        servers = {name: tuple(replace(server, pool=name) for server in region.servers["web"])}
        regions[region.name] = replace(region, servers=servers)
    pools = {name: replace(fleet.pools["web"], name=name)}
    return replace(fleet, regions=regions, pools=pools, routes=(Route(None, "/", name),))


def layout(fleet: Fleet) -> Layout:
    return layout_of(fleet, fleet.regions[WEST].edges[0], 1)


def full(pool: str) -> Neighbourhood:
    return Neighbourhood(full=frozenset({(EAST, pool)}))


def test_a_worker_knows_a_renamed_pool_by_its_new_name() -> None:
    before = fleet_of({WEST: [SocketAddress("127.0.0.1", 1)], EAST: [SocketAddress("127.0.0.1", 2)]})
    after = renamed(before, "api")
    heads, workers = (Pools(before, before.regions[WEST]) for _ in range(2))
    head = HeadsShare(heads, Counters(), Board.create(layout(before)))
    worker = WorkersShare(0, workers, Counters())
    head.tell(full("web"))
    worker.attach(Board(os.dup(head.board.fd), layout(before)))
    assert worker.known == full("web")

    fresh = head.board.successor(layout(after))
    for pools in (heads, workers):
        pools.use(after, after.regions[WEST], 0.0)
    head.use(fresh)
    head.tell(full("api"))
    worker.attach(Board(os.dup(fresh.fd), layout(after)))
    assert worker.known == full("api")
    worker.close()
    head.board.close()
