"""Redis moves: sentinels make another server master."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos_fleet import MakeFleet
from chaos_sentinels import Sentinels

pytestmark = [pytest.mark.processes, pytest.mark.long]


async def test_sentinels_make_the_replica_master(make_fleet: MakeFleet, tmp_path: Path) -> None:
    fleet = await make_fleet(redis=None)
    sentinels = Sentinels(tmp_path, fleet.processes)
    await sentinels.start()
    fleet.use_redis(sentinels.url)
    await fleet.start()
    await fleet.settled()
    await fleet.command("drain", "asia", "--reason", "works")
    with fleet.clients() as clients:
        await clients.until("asia", "west")
        sentinels.master.kill()
        await fleet.all_linked(False)
        await fleet.all_linked()
        await fleet.all_hear_all()
        # What an operator said is on the replica as well.
        since = await clients.until("asia", "west")
        await fleet.command("clear", "asia")
        await clients.until("asia", "asia")
    assert clients.unanswered() == []
    assert clients.told("west") == clients.told("west", since=since) == {frozenset({"192.0.2.1"})}
    assert fleet.fallen() == {}
