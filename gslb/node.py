"""A DNS node: the parts of tier 1 put together, started in the right order and stopped again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from gslb.clock import Clock
from gslb.dns.authority import Authority
from gslb.dns.responder import Responder
from gslb.dns.tcp import TcpListener
from gslb.dns.udp import UdpListener
from gslb.dns.zones import load_zones
from gslb.errors import GslbError
from gslb.fleet import Fleet, HealthCheck, Node, SocketAddress
from gslb.geo.reload import LocatorSource
from gslb.health.prober import Prober
from gslb.store.state import StateStore
from gslb.world import RegionState, World

log = structlog.get_logger(__name__)


def node_of(fleet: Fleet, name: str | None) -> Node:
    """The node this process is to play; the only one when no name is given. Raises GslbError."""
    nodes = fleet.dns.nodes
    if name is None and len(nodes) == 1:
        return next(iter(nodes.values()))
    if name is None or name not in nodes:
        known = ", ".join(nodes) or "none"
        said = f"there is no DNS node {name!r}" if name else "the fleet has several DNS nodes"
        raise GslbError(f"{said} in {fleet.file}", hint=f"choose with --name; nodes: {known}")
    return nodes[name]


def edge_targets(fleet: Fleet) -> Mapping[str, tuple[HealthCheck, SocketAddress]]:
    """What a DNS node probes: every public address of every edge."""
    return {
        edge.target(address): (region.check, probe)
        for region in fleet.regions.values()
        for edge in region.edges
        for address, probe in edge.probe.items()
    }


class DnsNode:
    """Runs on one event loop; queries over UDP are answered by threads of their own."""

    def __init__(self, fleet: Fleet, node: Node, clock: Clock) -> None:
        self.fleet = fleet
        self.node = node
        self.clock = clock
        self.started_at = clock.now()
        self._zones = load_zones(fleet)
        self.locators = LocatorSource(fleet.geo, fleet.networks())
        self.store = StateStore(fleet, node.name, clock, publishes_verdicts=True)
        self.prober = Prober(
            edge_targets(fleet), node.name, clock, self.store.observe, int(self.started_at * 1000)
        )
        self.responder = Responder(self._authority(self.store.world), clock)
        self.udp = [UdpListener(address, self.responder) for address in node.listen]
        self.tcp = [
            TcpListener(SocketAddress(udp.address.host, udp.port), self.responder) for udp in self.udp
        ]
        self.answering = False
        self._tasks: list[asyncio.Task[None]] = []

    def _authority(self, world: World) -> Authority:
        return Authority(self.fleet, self._zones, self.locators.current, world)

    def _use_world(self, world: World) -> None:
        before = self.responder.authority.world
        self.responder.use(self._authority(world))
        for name, state in world.regions.items():
            _tell_of_change(before.region(name), state)

    async def start(self) -> None:
        """Learn what can be learnt in `initial_round` seconds, then begin to answer."""
        self.store.subscribe(self._use_world)
        self.locators.subscribe(lambda _: self.responder.use(self._authority(self.store.world)))
        await self.store.start()
        await self.prober.initial_round(self.fleet.dns.initial_round)
        self._tasks = [
            asyncio.create_task(self.prober.run(), name="prober"),
            asyncio.create_task(self.locators.watch(), name="geo databases"),
        ]
        for task in self._tasks:
            task.add_done_callback(_tell_of_failure)
        for udp in self.udp:
            udp.start()
        for tcp in self.tcp:
            await tcp.start()
        self.answering = True
        log.info("answering", node=self.node.name, listen=[str(udp.address) for udp in self.udp])

    async def stop(self) -> None:
        """Stop answering, then everything else."""
        self.answering = False
        for tcp in self.tcp:
            await tcp.stop()
        for udp in self.udp:
            await asyncio.to_thread(udp.stop)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.stop()
        log.info("stopped", node=self.node.name)


def _tell_of_change(before: RegionState, after: RegionState) -> None:
    if before.verdict is not after.verdict:
        log.info("region", region=after.region, verdict=after.verdict.value, reason=after.reason)
    if before.override != after.override:
        override = after.override
        if override is None:
            log.info("override cleared", region=after.region)
        else:
            kind, by, reason = override.kind.value, override.by, override.reason
            log.info("override", region=after.region, override=kind, by=by, reason=reason)


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a background task ended", task=task.get_name(), exc_info=error)
