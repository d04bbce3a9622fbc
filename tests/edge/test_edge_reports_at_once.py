"""An edge tells at once when other servers are healthy, so that answers follow; not only at its intervals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from edge_stage import REGION, make_fleet, tcp_check, until

from edge.counters import Counters
from edge.pool import Pools
from edge.report import make_report, read
from edge.watching import Watching
from gslb.clock import SystemClock
from gslb.fleet import Damping, Fleet, SocketAddress
from gslb.health.checks import ProbeOutcome
from gslb.health.live import live
from gslb.world import PoolReport, RegionState, Report, Verdict

ADDRESSES = [SocketAddress(f"10.0.0.{number}", 80) for number in range(1, 9)]
NEVER = 3600.0
WAIT = 15.0


@dataclass
class ScriptedCheck:
    """Finds those well that are not among `ill`."""

    ill: set[str] = field(default_factory=set)

    async def probe(self, target: SocketAddress, timeout: float) -> ProbeOutcome:
        return ProbeOutcome(target.host not in self.ill, "as told", 0.0)


class Watched:
    """A region's servers and what its edge says of them; it looks at them when told."""

    def __init__(self, report_interval: float) -> None:
        self.check = ScriptedCheck()
        timing = tcp_check(interval=NEVER, rise=1, fall=1)
        check = replace(timing, check=self.check, damping=Damping(flaps=0))
        self.fleet = make_fleet({"web": ADDRESSES}, check=check, report_interval=report_interval)
        self.pools = Pools(self.fleet, self.fleet.regions[REGION])
        self.counters = Counters()
        (edge,) = self.fleet.regions[REGION].edges
        self.watching = Watching(
            self.fleet, edge, SystemClock(), self.pools, self.counters, lambda: None, lambda: None
        )
        self.reports: list[Report] = []
        self.watching.store.subscribe(
            lambda world: self.reports.extend(
                each for each in world.reports.get(REGION, ()) if each not in self.reports
            )
        )

    @property
    def region(self) -> RegionState:
        return self.watching.store.world.region(REGION)

    async def look(self, *ill: int) -> None:
        """Probe all servers, of which these are ill."""
        self.check.ill = {ADDRESSES[number].host for number in ill}
        assert await self.watching.prober.initial_round(30.0)

    async def flap_until(self, done: Callable[[], bool]) -> None:
        """One server comes and goes all the while."""
        while not done():
            await self.look(0)
            await self.look()

    async def use(self, fleet: Fleet) -> None:
        """Go on with other servers."""
        (edge,) = fleet.regions[REGION].edges
        ahead = await self.watching.look_ahead(fleet, edge)
        self.pools.use(fleet, fleet.regions[REGION], 0.0)
        self.watching.use(fleet, edge, ahead)


@asynccontextmanager
async def watched(report_interval: float = NEVER) -> AsyncIterator[Watched]:
    world = Watched(report_interval)
    await world.watching.start(world.fleet)
    reporting = asyncio.create_task(world.watching.report())
    await asyncio.sleep(0)
    try:
        yield world
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        await world.watching.stop()


async def test_servers_that_fail_together_are_told_of_at_once_and_together() -> None:
    async with watched() as world:
        await world.look(*range(8))
        await until(lambda: bool(world.reports) and world.reports[-1].healthy == 0)
        assert world.region.without == {"web"}
        assert len(world.reports) < 8, "not one for each"
        await world.look(*range(6))
        await until(lambda: world.reports[-1].healthy == 2)
        assert (world.region.without, world.region.live) == (frozenset(), 0.25)


async def test_servers_that_come_and_go_are_told_of_as_well() -> None:
    async with watched() as world:
        region = world.fleet.regions[REGION]
        fewer = {"web": region.servers["web"][:3]}
        await world.use(
            replace(world.fleet, regions={**world.fleet.regions, REGION: replace(region, servers=fewer)})
        )
        await until(lambda: bool(world.reports) and world.reports[-1].servers == 3)


async def test_what_changes_nothing_is_not_told_before_its_time() -> None:
    async with watched() as world:
        await world.look(0)
        await until(lambda: bool(world.reports))
        before = len(world.reports)
        await world.look(0)
        await world.look(1)  # as many as before
        await world.look(1, 2)
        await until(lambda: world.reports[-1].healthy == 6)
        assert len(world.reports) == before + 1


async def test_regular_reports_come_however_often_servers_change() -> None:
    async with watched(report_interval=0.02) as world:
        world.counters.requests = 1000
        async with asyncio.timeout(WAIT):
            await world.flap_until(lambda: any(each.requests_per_second > 0 for each in world.reports))
            # The regular ones move on: in a later interval there were no requests.
            seen = len(world.reports)
            await world.flap_until(
                lambda: any(each.requests_per_second == 0 for each in world.reports[seen:])
            )


async def test_an_early_report_tells_of_the_load_over_an_interval_at_least() -> None:
    async with watched() as world:
        world.counters.requests = 500
        await world.look(0)
        await until(lambda: bool(world.reports))
        assert 0 < world.reports[-1].requests_per_second <= 500 / NEVER, "not over the moment since the start"


def test_servers_nobody_has_looked_at_yet_take_no_clients_from_the_region() -> None:
    """A check may be slower than the first round that an edge waits for."""
    fleet = make_fleet({"web": ADDRESSES[:2]}, check=tcp_check())
    region = fleet.regions[REGION]
    (edge,) = region.edges
    pools = Pools(fleet, region)

    def report() -> Report:
        reading = read(Counters(), (), 0.0)
        return make_report(edge, region, reading, reading, now=0.0, in_flight=0, pools=pools)

    first, second = pools.servers
    assert report().pools == (PoolReport("web", 2, 2),)
    assert live(region, {}, (report(),)).without == frozenset()
    pools.judge(first, Verdict.DOWN, "refused", 0.0)
    assert report().healthy == 1
    pools.judge(second, Verdict.DOWN, "refused", 0.0)
    assert live(region, {}, (report(),)).without == {"web"}
