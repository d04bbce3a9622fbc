"""A node's clock is set an hour forward or back: nobody is sent elsewhere over it, and news still travels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from chaos_fleet import ChaosFleet, MakeFleet

from gslb.admin.listener import AdminServer
from gslb.admin.node_app import node_app
from gslb.clock import SystemClock
from gslb.config import load
from gslb.node import DnsNode

pytestmark = [pytest.mark.processes, pytest.mark.long]

HOUR = 3600.0


class SteppedClock(SystemClock):
    """The machine's, with a wall clock that can be set."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        return super().now() + self.offset


@asynccontextmanager
async def stepped(fleet: ChaosFleet, name: str, clock: SteppedClock) -> AsyncIterator[DnsNode]:
    """That node in this process, by that clock."""
    loaded = load(fleet.file(name))
    node = DnsNode(loaded, loaded.dns.nodes[name], clock)
    assert node.node.admin is not None
    admin = AdminServer(node_app(node), node.node.admin)
    await admin.start()
    await node.start()
    try:
        yield node
    finally:
        await node.stop()
        await admin.stop()


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_clock_is_set_by_an_hour(make_fleet: MakeFleet, step: float) -> None:
    fleet, clock = await make_fleet(), SteppedClock()
    async with stepped(fleet, "ns1", clock):
        await fleet.start("ns2", "ns3")
        await fleet.all_hear_all()
        with fleet.clients() as clients:
            clock.offset = step
            await clients.more(3)
            assert clients.strays() == []
            # What it sees counts with the others, and what they see with it.
            for name in ("ns1", "ns2"):
                fleet[name].to_edges["asia"].cut()
            await clients.until("asia", "west")
            for name in ("ns1", "ns2"):
                fleet[name].to_edges["asia"].mend()
            await clients.until("asia", "asia")
            await fleet.command("drain", "east", "--reason", "works")
            await clients.until("east", "west")
            await fleet.command("clear", "east")
            await clients.until("east", "east")
            await fleet.all_hear_all()
        assert clients.unanswered() == []
        assert clients.told("west") == {frozenset({"192.0.2.1"})}


async def test_a_node_starts_again_with_its_clock_set_back(make_fleet: MakeFleet) -> None:
    """Its records seem older than those before; they count as soon as these have ended."""
    fleet, clock = await make_fleet(), SteppedClock()
    await fleet.start("ns2", "ns3")
    async with stepped(fleet, "ns1", clock):
        await fleet.all_hear_all()
    clock.offset = -HOUR
    async with stepped(fleet, "ns1", clock):
        with fleet.clients() as clients:
            fleet["ns1"].to_edges["asia"].cut()
            fleet["ns2"].to_edges["asia"].cut()
            await clients.until("asia", "west")
            fleet["ns1"].to_edges["asia"].mend()
            await clients.until("asia", "asia")
    assert clients.unanswered() == []
    assert clients.told("west") == {frozenset({"192.0.2.1"})}
