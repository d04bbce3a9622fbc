"""Servers are lost one by one under a constant load: only what is too much for those left is refused."""

from __future__ import annotations

import pytest
from story_load import Asked, Load
from story_world import WEST, World

pytestmark = pytest.mark.processes

AT_A_TIME, SECONDS = 16, 0.2
EACH = AT_A_TIME / SECONDS
"""What one server can do: requests a second. Four can do 320, three 240, two 160, one 80. Each takes so long
that what a busy machine adds is little beside it."""
OFFERED = 200.0
CLIENTS = [("GET", "/web")] * 250
"""So many that each has its response before it is to ask again, even where it waited in a full queue."""
SETTLING, MEASURED = 60, 160
POOL = {"check": "tcp", "connections": {"most": AT_A_TIME}, "queue": {"size": 60, "timeout": "2s"}}


async def measured(load: Load) -> tuple[list[Asked], float]:
    """What becomes of further requests, and the seconds that they took."""
    began = await load.more(SETTLING)
    ended = await load.more(MEASURED)
    return [each for each in load.asked if began <= each.ended <= ended], ended - began


async def test_what_is_left_is_used_and_only_what_is_too_much_is_refused(world: World) -> None:
    servers = await world.origins(4, AT_A_TIME, SECONDS)
    (edge,) = await world.edges({WEST: servers}, {"web": POOL})
    async with Load(edge.port, CLIENTS, rate=OFFERED) as load:
        await load.more(SETTLING + MEASURED)
        first, second, third, _ = servers
        await first.kill()
        await load.more(SETTLING + MEASURED)
        assert load.failed("GET") == []
        for left, dead in ((2, second), (1, third)):
            await dead.kill()
            asked, seconds = await measured(load)
            able = left * EACH * seconds
            assert sum(each.good for each in asked) >= 0.6 * min(able, len(asked))
        assert not all(each.good for each in load.asked)
        # Refused at once or after a turn in the queue, and told to come again: nothing else has gone wrong.
        refused = [each for each in load.asked if not each.good]
        assert {(each.status, each.retry_after is not None) for each in refused} == {(503, True)}
        await world.start(first, second, third)
        for server in servers:
            await edge.until_server(server, verdict="up", ejected=None)
        back = await load.more(SETTLING)
        await load.more(MEASURED)
        assert [str(each) for each in load.since(back) if not each.good] == []
