"""What an edge learns of its servers and its neighbours, and tells the world: probes, verdicts, reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from edge.counters import Counters
from edge.neighbours import spilling_pools
from edge.pool import Pools
from edge.report import Reading, make_report, read
from edge.spill_over import Neighbourhood, neighbourhood
from gslb.clock import Clock
from gslb.fleet import Edge, Fleet
from gslb.health.prober import Prober, Targets
from gslb.store.server_changes import ServerChanges
from gslb.store.state import StateStore
from gslb.store.watch import Heard
from gslb.world import Observation, World

_EARLY_AFTER = 0.005  # seconds: servers that fail together are told of together
_EARLY_PAUSE = 0.045  # and these at least between two reports that are not the regular ones


@dataclass(frozen=True, slots=True)
class Ahead:
    """What was learnt for a fleet before anything is sent where it says."""

    targets: Targets
    heard: Heard


class Watching:
    """Of one edge, however many processes serve for it.

    pools: get verdicts and loads. known: of other regions. on_news is called when any of these has changed.
    counters: what reports are made of. gather: called before they or pools are read. changes: what operators
    have changed of the region's servers.
    """

    def __init__(
        self,
        fleet: Fleet,
        edge: Edge,
        clock: Clock,
        pools: Pools,
        counters: Counters,
        gather: Callable[[], None],
        on_news: Callable[[], None],
    ) -> None:
        self._fleet = fleet
        self._edge = edge
        self._clock = clock
        self._pools = pools
        self._counters = counters
        self._gather = gather
        self._on_news = on_news
        self.known = Neighbourhood()
        self.processes = 1  # that serve
        self._healthy = self._count_healthy()
        self._other_servers = asyncio.Event()
        epoch = int(clock.now() * 1000)
        self.changes = ServerChanges(edge.region)
        self.store = StateStore(fleet, edge.name, clock, epoch=epoch, servers=self.changes)
        self.store.subscribe(self._heard)
        targets = _targets(fleet, edge)
        self.prober = Prober(targets, edge.name, clock, self._observed, epoch, on_load=self._loaded)
        self._log = structlog.get_logger("edge").bind(region=edge.region, edge=edge.name)

    async def hear(self) -> None:
        """Begin to share what is known, and hear what others know."""
        await self.store.start()

    async def start(self, fleet: Fleet) -> None:
        """Learn of the servers of `fleet` what can be learnt in `dns.initial_round` seconds."""
        self._fleet = fleet
        self.prober.use(_targets(fleet, self._edge))
        await self.prober.initial_round(self._fleet.dns.initial_round)

    async def look_at(self, target: str, fleet: Fleet, edge: Edge) -> None:
        """Probe one server that may be used some time, for at most `dns.initial_round` seconds."""
        targets = {name: each for name, each in _targets(fleet, edge).items() if name == target}
        await self.prober.first_look(targets, fleet.dns.initial_round)

    async def look_ahead(self, fleet: Fleet, edge: Edge) -> Ahead:
        """Probe what is new in `fleet`, for at most `dns.initial_round` seconds; nothing has changed yet."""
        targets = _targets(fleet, edge)
        await self.prober.first_look(targets, fleet.dns.initial_round)
        return Ahead(targets, await self.store.read_ahead(fleet))

    def use(self, fleet: Fleet, edge: Edge, ahead: Ahead) -> None:
        """Go on with another fleet, whose servers the pools have already; what is known stays known."""
        self._fleet, self._edge = fleet, edge
        self.prober.use(ahead.targets)
        self.store.use_fleet(fleet, ahead.heard)
        for name, observation in self.prober.observations.items():
            if self._pools.servers[name].verdict is not observation.verdict:
                self._judge(observation)
        for name, load in self.prober.loads.items():
            self._loaded(name, load)
        self._look_at_servers()

    async def stop(self) -> None:
        await self.store.stop()

    def _observed(self, observation: Observation) -> None:
        # A server that is being taken up is looked at before anybody may be sent there.
        if observation.target in self._pools.servers:
            self._judge(observation)
        self.store.observe(observation)

    def _judge(self, observation: Observation) -> None:
        before, now = self._pools.servers[observation.target].verdict, observation.verdict
        self._pools.judge(observation.target, now, observation.reason, observation.since)
        if now is not before:
            self._log.info("server " + now.value, server=observation.target, reason=observation.reason)
            self._on_news()
            self._look_at_servers()

    def _look_at_servers(self) -> None:
        """Have a report made soon if others are healthy now: what verdicts, operators and changed files do.

        Ejections do not count: whoever is ejected is used where there is nobody better.
        """
        healthy = self._count_healthy()
        if healthy != self._healthy:
            self._healthy = healthy
            self._other_servers.set()

    def _count_healthy(self) -> dict[str, tuple[int, int]]:
        return {pool.name: (pool.not_down, len(pool.servers)) for pool in self._pools}

    def _loaded(self, target: str, load: float | None) -> None:
        server = self._pools.servers.get(target)
        if server is not None and server.load != load:
            server.load = load
            self._on_news()

    def _heard(self, world: World) -> None:
        known = neighbourhood(world, self._edge.region, spilling_pools(self._fleet))
        if known != self.known:
            self.known = known
            self._on_news()

    async def report(self) -> None:
        """Tell of the load every `report_interval` seconds, and of other healthy servers at once; until
        cancelled."""
        now = asyncio.get_running_loop().time
        before = self._read()
        # Nobody was served in the interval before the first.
        earlier = replace(before, at=before.at - self._fleet.edge.report_interval)
        regular = now() + self._fleet.edge.report_interval
        self._other_servers.clear()
        while True:
            early = await self._other_servers_by(regular)
            self._other_servers.clear()
            after = self._read()
            if early:
                # Rates are over an interval at least: over a few milliseconds they would mean nothing.
                self._report(earlier, after)
                await asyncio.sleep(_EARLY_PAUSE)
                continue
            self._report(before, after)
            earlier, before = before, after
            regular = max(now(), regular + self._fleet.edge.report_interval)

    async def _other_servers_by(self, regular: float) -> bool:
        """Wait for that loop time, or less if other servers are healthy before; whether that is so."""
        try:
            async with asyncio.timeout_at(regular):
                await self._other_servers.wait()
        except TimeoutError:
            return False
        await asyncio.sleep(_EARLY_AFTER)
        return asyncio.get_running_loop().time() < regular

    def _read(self) -> Reading:
        self._gather()
        return read(self._counters, self._pools.services, self._clock.monotonic())

    def _report(self, before: Reading, after: Reading) -> None:
        report = make_report(
            self._edge,
            self._fleet.regions[self._edge.region],
            before,
            after,
            now=self._clock.now(),
            in_flight=self._counters.in_flight,
            pools=self._pools,
            processes=self.processes,
        )
        self.store.report(report)


def _targets(fleet: Fleet, edge: Edge) -> Targets:
    """The region's servers, each by its pool's check."""
    return {
        server.target: (fleet.pools[pool].check, server.address)
        for pool, servers in fleet.regions[edge.region].servers.items()
        for server in servers
    }
