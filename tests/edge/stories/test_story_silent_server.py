"""A server takes connections and never answers, which no check of TCP finds out: its requests do."""

from __future__ import annotations

import signal

import pytest
from story_load import SECOND, Load
from story_world import WEST, World

pytestmark = pytest.mark.processes

ERRORS = 3
GETS, POSTS = [("GET", "/web")] * 12, [("POST", "/web")] * 3


async def test_a_server_that_has_stopped_is_left_alone_until_it_goes_on(world: World) -> None:
    servers = await world.origins(3)
    pool = {"check": "tcp", "ejection": {"errors": ERRORS, "time": "4s"}}
    (edge,) = await world.edges(
        {WEST: servers},
        {"web": pool},
        timeouts={"first_byte": "300ms"},
        retries={"on": [504]},
        # All that wait for it end in one moment, and the usual budget is for three, or a fifth.
        retry_budget={"least": 20},
    )
    silent = servers[0]
    async with Load(edge.port, GETS + POSTS) as load:
        await load.until_answered_by(silent.name)
        silent.signal(signal.SIGSTOP)
        ejected = await edge.until_server(silent, ejected=f"{ERRORS} requests in a row without a response")
        assert ejected["verdict"] == "up"
        since = await load.more(1)
        await load.more(SECOND // 2)
        still = await edge.server(silent)
        # It stands as it was left: nobody has gone there, and so nobody has waited for it.
        assert (still["ejected"], still["requests"]) == (ejected["ejected"], ejected["requests"])
        assert silent.name not in load.servers(since)
        silent.signal(signal.SIGCONT)
        await load.until_answered_by(silent.name)
    assert load.failed("GET") == []
    lost = load.failed("POST")
    assert len(lost) <= ERRORS + len(POSTS), lost
