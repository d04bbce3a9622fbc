"""A server dies under load and comes back: nobody who asked for something harmless notices."""

from __future__ import annotations

import pytest
from story_load import SECOND, Load
from story_world import WEST, World

pytestmark = pytest.mark.processes

POOLS: dict[str, dict[str, object]] = {
    "turns": {"method": "weighted_round_robin"},
    "least": {"method": "least_connections"},
    "then": {"method": {"name": "then", "first": "ip_hash", "second": "least_connections", "bound": 1.5}},
}
GETS = [("GET", f"/{pool}?delay=0.02") for pool in POOLS] * 3
POSTS = [("POST", f"/{pool}?delay=0.02") for pool in POOLS]


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_server_killed_under_load_costs_no_get_whatever_the_method(
    world: World, workers: int
) -> None:
    servers = await world.origins(3)
    killed = servers[:2]
    (edge,) = await world.edges({WEST: servers}, POOLS, workers=workers)
    async with Load(edge.port, [*GETS, *POSTS]) as load:
        for dead in killed:
            well = await load.more(1)
            await load.more(SECOND // 4)
            assert set(load.servers(well)) == {each.name for each in servers}
            await dead.kill()
            gone = await load.more(1)
            await load.more(SECOND)
            assert dead.name not in load.servers(gone), "somebody else has its port"
            await world.start(dead)
            await load.until_answered_by(dead.name)
        await load.more(SECOND // 4)
    assert load.failed("GET") == []
    # What was at the dead server may have been acted on. A client has one request at a time.
    lost = load.failed("POST")
    assert len(lost) <= len(killed) * len(POSTS), lost
