"""One running edge: its listeners, proxy, prober, store and reports put together, and taken apart again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Coroutine

import structlog

from edge.access_log import AccessLog
from edge.pool import Pools
from edge.proxy.acceptor import Acceptor
from edge.proxy.proxy import Proxy
from edge.report import make_report, read
from edge.tls.store import CertificateStore
from gslb.clock import Clock
from gslb.errors import GslbError
from gslb.fleet import Edge, Fleet, Listener, SocketAddress
from gslb.fleet_edge import AccessLogFormat
from gslb.health.prober import Prober
from gslb.store.state import StateStore
from gslb.world import Observation

_BACKLOG = 4096
_LAST_TURNS = 8
_CERTIFICATES_EVERY = 10.0  # seconds


def edge_of(fleet: Fleet, region: str, name: str | None) -> Edge:
    """The edge of `fleet` to be; raises GslbError when there is none, or when it is not clear which."""
    found = fleet.regions.get(region)
    if found is None:
        raise GslbError(
            f"{fleet.file} has no region {region!r}", hint=f"regions: {', '.join(fleet.regions) or 'none'}"
        )
    if found.hostname is not None:
        with_edges = ", ".join(each.name for each in fleet.regions.values() if each.edges) or "none"
        raise GslbError(
            f"region {region} has no edges: it stands for {found.hostname}", hint=f"with edges: {with_edges}"
        )
    names = ", ".join(edge.name for edge in found.edges)
    if name is None:
        if len(found.edges) == 1:
            return found.edges[0]
        raise GslbError(f"region {region} has {len(found.edges)} edges", hint=f"--edge one of: {names}")
    for edge in found.edges:
        if edge.name == name:
            return edge
    raise GslbError(f"region {region} has no edge {name!r}", hint=f"edges: {names}")


def bind(address: SocketAddress) -> socket.socket:
    """A socket bound for listening; raises GslbError naming the address when that is impossible."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise GslbError(f"cannot listen on {address}: {error.strerror}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind(where)
    except OSError as error:
        bound.close()
        raise GslbError(
            f"cannot listen on {address}: {error.strerror}",
            hint="is another edge running here, or does the port need privileges?",
        ) from error
    return bound


class EdgeProcess:
    """`start` returns when requests are served; `stop` when the last one is done or cut off."""

    def __init__(self, fleet: Fleet, edge: Edge, clock: Clock, *, loop: asyncio.AbstractEventLoop) -> None:
        self.fleet = fleet
        self.edge = edge
        self.clock = clock
        self.region = fleet.regions[edge.region]
        self.ready = False
        self.listening: tuple[SocketAddress, ...] = ()
        epoch = int(clock.now() * 1000)
        self.pools = Pools(fleet, self.region)
        log = fleet.edge.access_log
        self.access_log = AccessLog(log, clock) if log.format is not AccessLogFormat.OFF else None
        with_tls = any(listener.tls for listener in edge.listen)
        self.certificates = CertificateStore(fleet.edge.tls) if with_tls else None
        self.proxy = Proxy(fleet, edge, self.pools, loop, self.access_log)
        self.store = StateStore(fleet, edge.name, clock, epoch=epoch)
        targets = {
            name: (fleet.pools[state.server.pool].check, state.server.address)
            for name, state in self.pools.servers.items()
        }
        self.prober = Prober(targets, edge.name, clock, self._observed, epoch)
        self._listeners: list[asyncio.Server | Acceptor] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._hurry = asyncio.Event()
        self._log = structlog.get_logger("edge").bind(region=edge.region, edge=edge.name)

    async def start(self) -> None:
        """Bind, learn about the servers, then serve. Raises GslbError when an address cannot be bound."""
        # Bound before anything else, so that a taken port is known at once; served only once servers are.
        sockets: list[socket.socket] = []
        try:
            for listener in self.edge.listen:
                sockets.append(bind(listener.address))
            await self.store.start()
            await self.prober.initial_round(self.fleet.dns.initial_round)
            for listener, bound in zip(self.edge.listen, sockets, strict=True):
                self._listeners.append(await self._listen(listener, bound))
        except BaseException:
            for bound in sockets:
                bound.close()
            await self.store.stop()
            raise
        self.listening = tuple(SocketAddress(*bound.getsockname()[:2]) for bound in sockets)
        self.proxy.start()
        self._run(self.prober.run(), "probing")
        self._run(self._report(), "reporting")
        if self.certificates is not None:
            self._run(self._renew_certificates(), "certificates")
        self.ready = True
        self._log.info("serving", listen=[str(address) for address in self.listening])

    async def _listen(self, listener: Listener, bound: socket.socket) -> asyncio.Server | Acceptor:
        proxy, settings = self.proxy, self.fleet.edge
        context = self.certificates.context if listener.tls and self.certificates is not None else None
        connected = proxy.protocol(listener)
        if listener.proxy_protocol:
            bound.listen(_BACKLOG)
            return Acceptor(
                proxy.loop,
                bound,
                connected,
                trusts=proxy.trusted.has,
                context=context,
                timeout=settings.header_timeout,
                shutdown_timeout=settings.write_timeout,
                complain=proxy.complain,
            )
        return await proxy.loop.create_server(
            lambda: connected(None),
            sock=bound,
            backlog=_BACKLOG,
            ssl=context,
            ssl_handshake_timeout=settings.header_timeout if context else None,
            ssl_shutdown_timeout=settings.write_timeout if context else None,
        )

    async def _renew_certificates(self) -> None:
        """Take up certificates whose files have changed."""
        assert self.certificates is not None
        while True:
            await asyncio.sleep(_CERTIFICATES_EVERY)
            for problem in await asyncio.to_thread(self.certificates.reload):
                self._log.warning("certificate not taken up", reason=str(problem))

    async def stop(self) -> None:
        """Send clients elsewhere, accept nothing more, finish what is in flight, and leave.

        DNS nodes must see the health path's 503 and clients' caches must lapse before nobody comes any more:
        until `lame_duck` is over, whoever comes is served.
        """
        self.ready = False
        self.proxy.draining = True
        if self._listeners:
            await self._wait_as_lame_duck(self.fleet.edge.lame_duck)
        for listener in self._listeners:
            listener.close()
        cut_off = await self.proxy.drain(self.fleet.edge.drain_timeout)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.proxy.stop()
        if self.access_log is not None:
            self.access_log.close()
        await self.store.stop()
        self._log.info("stopped", requests=self.proxy.counters.requests, cut_off=cut_off)

    def hurry(self) -> None:
        """Cut the wait of `stop` for stragglers short."""
        self._hurry.set()

    async def _wait_as_lame_duck(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        # Connections that the kernel has accepted already would be reset with the listener: a few turns of
        # the loop take them over and read what they brought.
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)

    def _run(self, work: Coroutine[None, None, None], name: str) -> None:
        task = self.proxy.loop.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._log.error("a task of the edge ended", task=task.get_name(), exc_info=task.exception())

    def _observed(self, observation: Observation) -> None:
        state = self.pools.servers[observation.target]
        if state.verdict is not observation.verdict:
            self._log.info(
                "server " + observation.verdict.value, server=observation.target, reason=observation.reason
            )
        self.pools.judge(observation.target, observation.verdict, observation.reason, observation.since)
        self.store.observe(observation)

    async def _report(self) -> None:
        counters = self.proxy.counters
        before = read(counters, self.clock.monotonic())
        while True:
            await asyncio.sleep(self.fleet.edge.report_interval)
            after = read(counters, self.clock.monotonic())
            report = make_report(
                self.edge,
                self.region,
                before,
                after,
                now=self.clock.now(),
                in_flight=counters.in_flight,
                pools=self.pools,
            )
            self.store.report(report)
            before = after
