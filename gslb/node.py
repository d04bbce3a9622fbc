"""A DNS node: the parts of tier 1 put together, started in the right order and stopped again."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import structlog

from gslb.aside import aside
from gslb.capacity.keeper import Keeper
from gslb.clock import Clock
from gslb.config.state_folder import state_folder
from gslb.dns.answer_cache import AnswerCache
from gslb.dns.authority import Authority
from gslb.dns.responder import Responder
from gslb.dns.tcp import TcpListener
from gslb.dns.udp import UdpListener
from gslb.dns.zones import Zones, load_zones
from gslb.errors import GslbError
from gslb.fleet import Fleet, Node, SocketAddress, TcpSettings
from gslb.geo.locator import Locator
from gslb.geo.reload import LocatorSource
from gslb.health.prober import Prober
from gslb.health.targets import node_targets
from gslb.reload import Configuration
from gslb.store.disk_copy import DiskCopy
from gslb.store.state import StateStore
from gslb.world import RegionState, World

if TYPE_CHECKING:
    from gslb.dns.compiled_path import CompiledPath

log = structlog.get_logger(__name__)

Sockets = tuple[UdpListener, TcpListener]
"""What one `listen` address has."""


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


def _copy_on_disk(fleet: Fleet, node: Node, clock: Clock) -> DiskCopy | None:
    """Where the node keeps what it knows. Nodes of two files may share a name and a machine."""
    folder = state_folder(fleet.dns.state)
    if folder is None:
        return None
    of_file = hashlib.sha256(os.path.abspath(fleet.file).encode(errors="surrogateescape")).hexdigest()
    return DiskCopy(folder / f"{node.name}-{of_file[:12]}.json", clock)


def _compiled_path() -> CompiledPath | None:
    """The compiled loop, if it was built for this Python."""
    try:
        from gslb.dns.compiled_path import CompiledPath
    except ModuleNotFoundError:
        return None
    return CompiledPath()


class DnsNode:
    """Runs on one event loop; queries over UDP are answered by threads of their own."""

    def __init__(self, fleet: Fleet, node: Node, clock: Clock, *, plain: bool = False) -> None:
        """plain: whether to answer in plain Python also where the compiled loop was built."""
        self.fleet = fleet
        self.node = node
        self.clock = clock
        self.started_at = clock.now()
        self.zones = load_zones(fleet)
        self.locators = LocatorSource(fleet.geo, fleet.networks())
        # The one that is answered by, which follows the current one as soon as its answers are prepared.
        self.locator = self.locators.current
        self.store = StateStore(
            fleet, node.name, clock, publishes_verdicts=True, copy=_copy_on_disk(fleet, node, clock)
        )
        self.keeper = Keeper(self.store, clock, lambda: self.fleet)
        self.prober = Prober(
            node_targets(fleet), node.name, clock, self.store.observe, int(self.started_at * 1000)
        )
        self.compiled = None if plain else _compiled_path()
        self.responder = Responder(self._authority(self.store.world), clock, node.name, self.compiled)
        self.udp: list[UdpListener] = []
        self.tcp: list[TcpListener] = []
        for address in node.listen:
            udp, tcp = self._bind(address, fleet.dns.tcp)
            self.udp.append(udp)
            self.tcp.append(tcp)
        self.configuration = Configuration(self)
        self.answering = False
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._renewal = asyncio.Event()
        self._prepared: AnswerCache | None = None
        self._refreshing: asyncio.Handle | None = None

    @property
    def path(self) -> str:
        """How queries over UDP are answered, in words."""
        if self.compiled is None:
            return "plain Python"
        return f"compiled, threads for each socket: {self._threads}"

    @property
    def _threads(self) -> int:
        if self.compiled is None:
            return 1
        from gslb.dns.compiled_path import threads_of

        return threads_of(self.fleet.dns, len(self.node.listen))

    def _authority(self, world: World) -> Authority:
        return Authority(self.fleet, self.zones, self.locator, world)

    def _bind(self, address: SocketAddress, settings: TcpSettings) -> Sockets:
        """Both sockets of an address. TCP has the port of UDP, also where the address asks for any."""
        udp = UdpListener(
            address,
            self.responder,
            self.compiled,
            threads=self._threads,
            pinned=self.fleet.dns.pin_threads,
        )
        try:
            return udp, TcpListener(SocketAddress(address.host, udp.port), self.responder, settings)
        except GslbError:
            udp.stop()
            raise

    def _use_world(self, world: World) -> None:
        before = self.responder.authority.world
        prepared, self._prepared = self._prepared, None
        self.responder.use(self._authority(world), prepared)
        if self._refreshing is None:
            self._refresh()
        for name, state in world.regions.items():
            if (known := before.region(name)) is not state:
                _tell_of_change(known, state)

    def _refresh(self) -> None:
        """Make stale answers anew, a few at a time, as everything else goes on."""
        self._refreshing = None
        if self.responder.refresh():
            self._refreshing = asyncio.get_running_loop().call_soon(self._refresh)

    async def _keep_renewed(self) -> None:
        """Have every new locator answered by, and every one that gets its network map later on."""
        while True:
            self._renewal.clear()
            try:
                await self._renew()
            except Exception:
                log.exception(
                    "answers by new geo databases could not be prepared; they are made when asked for"
                )
                self._use_locator(self.locators.current, None)
            await self._renewal.wait()

    async def _renew(self) -> None:
        """Until its answers are prepared, those by the locator before are given, and those of every world and
        fleet that come meanwhile; if there is yet another locator then, the preparations begin again."""
        while True:
            locator = self.locators.current
            authority = Authority(self.fleet, self.zones, locator, self.store.world)
            if self.responder.serves(authority):
                if locator.network_map is not None:
                    await aside(locator.network_map.examples)
                return
            prepared = await aside(partial(self.responder.prepare, authority))
            is_current = locator is self.locators.current
            if is_current and prepared.serves(Authority(self.fleet, self.zones, locator, self.store.world)):
                self._use_locator(locator, prepared)
                return

    def _use_locator(self, locator: Locator, prepared: AnswerCache | None) -> None:
        self.locator = locator
        self.responder.use(self._authority(self.store.world), prepared)
        if self._refreshing is None:
            self._refresh()

    async def start(self) -> None:
        """Learn what can be learnt in `initial_round` seconds, then begin to answer; at once, if it is known
        how the world was."""
        self.store.subscribe(self._use_world)
        self.locators.subscribe(lambda _: self._renewal.set())
        # First: a network map that has to be made is made while the others wait for their first answers.
        self._tasks = [asyncio.create_task(self.locators.watch(), name="geo databases")]
        await self.store.start()
        if self.store.recalled_at is None:
            await self.prober.initial_round(self.fleet.dns.initial_round)
        self._tasks += [
            asyncio.create_task(self._probe(), name="prober"),
            asyncio.create_task(self.keeper.run(), name="intakes"),
            asyncio.create_task(self.configuration.watch(), name="configuration"),
            asyncio.create_task(self._keep_renewed(), name="answers by new geo databases"),
        ]
        for task in self._tasks:
            task.add_done_callback(_tell_of_failure)
        for udp in self.udp:
            _start(udp)
        for tcp in self.tcp:
            await tcp.start()
        self.answering = True
        self.configuration.start()
        log.info(
            "answering",
            node=self.node.name,
            listen=[str(udp.address) for udp in self.udp],
            path=self.path,
        )

    async def _probe(self) -> None:
        if self.store.recalled_at is not None:
            await self.prober.initial_round(self.fleet.dns.initial_round)
        await self.prober.run()

    async def stop(self) -> None:
        """Stop answering, then everything else."""
        self.answering = False
        await self.configuration.close()
        await asyncio.gather(*self._leaving)
        for tcp in self.tcp:
            await tcp.stop()
        for udp in self.udp:
            await asyncio.to_thread(udp.stop)
        if self._refreshing is not None:
            self._refreshing.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.stop()
        log.info("stopped", node=self.node.name)

    async def take_up(self, fleet: Fleet, zones: Zones) -> None:
        """Go on with `fleet` from one query to the next; raises GslbError, and then nothing has changed.

        Whatever can fail or takes time comes first. New regions answer as their first probes say, for which
        `dns.initial_round` is waited. Redis and this node's admin side must be as they are.
        """
        # An address may come back before its last connection is gone.
        await asyncio.gather(*self._leaving)
        added = await self._open(fleet)
        try:
            async with self.locators.prepared(fleet.geo, fleet.networks()) as (locator, use_locator):
                targets = node_targets(fleet)
                await self.prober.first_look(targets, fleet.dns.initial_round)
                heard = await self.store.read_ahead(fleet)
                prepared = await self._rehearsed(Authority(fleet, zones, locator, self.store.world))
                node = fleet.dns.nodes[self.node.name]
                now, dropped = self._sockets_of(node, added)
                for udp, _ in added.values():
                    _start(udp)
                # From here on nothing waits and nothing fails.
                use_locator()
                self.locator = locator
                self.fleet, self.zones, self.node = fleet, zones, node
                self.prober.use(targets)
                # Its new world reaches the responder with all the rest, in one swap: see _use_world.
                self._prepared = prepared
                self.store.use_fleet(fleet, heard)
                self.udp, self.tcp = [udp for udp, _ in now], [tcp for _, tcp in now]
                for tcp in self.tcp:
                    tcp.settings = fleet.dns.tcp
                # A network map may have come since the answers were prepared without it.
                self._renewal.set()
        except BaseException:
            await _close(added.values())
            raise
        leaving = asyncio.create_task(_close(dropped), name="sockets given up")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _rehearsed(self, authority: Authority) -> AnswerCache:
        """Have rules and answers made by a responder that nobody asks: what fails, fails now. What is being
        asked of the node is answered ahead, so that nobody has to wait for it afterwards."""

        def rehearse() -> AnswerCache:
            Responder(authority, self.clock, self.node.name)
            return self.responder.prepare(authority)

        return await aside(rehearse)

    async def _open(self, fleet: Fleet) -> dict[SocketAddress, Sockets]:
        """Bind what `fleet` listens on beyond what is bound; all of it, or raise GslbError and none."""
        bound = {udp.address for udp in self.udp}
        wanted = fleet.dns.nodes[self.node.name].listen
        opened: dict[SocketAddress, Sockets] = {}
        try:
            for address in wanted:
                if address not in bound:
                    opened[address] = self._bind(address, fleet.dns.tcp)
                    await opened[address][1].start()
        except BaseException as error:
            await _close(opened.values())
            given_up = bound - {*wanted}
            if isinstance(error, GslbError) and any(each.port == address.port for each in given_up):
                hint = "perhaps it overlaps a socket that this change gives up: then restart the node"
                raise GslbError(error.message, hint=hint) from None
            raise
        return opened

    def _sockets_of(
        self, node: Node, added: Mapping[SocketAddress, Sockets]
    ) -> tuple[list[Sockets], list[Sockets]]:
        """The sockets of the node as it is declared now, and those that it no longer has."""
        had = {udp.address: (udp, tcp) for udp, tcp in zip(self.udp, self.tcp, strict=True)}
        now = [added.get(address) or had.pop(address) for address in node.listen]
        return now, list(had.values())


def _start(udp: UdpListener) -> None:
    try:
        udp.start()
    except RuntimeError as error:
        raise GslbError(
            f"cannot answer on {udp.address}: {error}", hint="give the process more threads or memory"
        ) from None


async def _close(sockets: Iterable[Sockets]) -> None:
    for udp, tcp in sockets:
        await tcp.stop()
        await asyncio.to_thread(udp.stop)


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
