"""One running edge in one process: what serves and what watches put together, and taken apart again."""

from __future__ import annotations

import asyncio
import os

import structlog

from edge.counters import Counters
from edge.front import CERTIFICATES_EVERY as _CERTIFICATES_EVERY
from edge.front import Front
from edge.live_servers import LiveServers
from edge.pool import Pools
from edge.proxy.proxy import Proxy
from edge.reload import Configuration
from edge.serving import prepare
from edge.tasks import Tasks
from edge.tls.store import CertificateStore
from edge.watching import Watching
from gslb.aside import aside
from gslb.clock import Clock
from gslb.fleet import Edge, Fleet, SocketAddress
from gslb.health.prober import Prober
from gslb.store.state import StateStore


class EdgeProcess:
    """`start` returns when requests are served; `stop` when the last one is done or cut off.

    fleet, edge: as the file declares what is served by now; `take_up` replaces them. Which servers are in
    effect beyond that is `live`'s to say.
    """

    def __init__(self, fleet: Fleet, edge: Edge, clock: Clock, *, loop: asyncio.AbstractEventLoop) -> None:
        """Raises GslbError when a file for TLS, or the access log, cannot be used."""
        self.fleet = fleet
        self.edge = edge
        self.clock = clock
        self.ready = False
        self.front = Front(fleet, edge, clock, loop)
        self.watching = Watching(
            fleet, edge, clock, self.pools, self.counters, self.gather, self._know_neighbours
        )
        self.configuration = Configuration(self)
        self.live = LiveServers(self, self.watching.changes)
        self._tasks = Tasks()
        self._log = structlog.get_logger("edge").bind(region=edge.region, edge=edge.name)

    @property
    def proxy(self) -> Proxy:
        return self.front.proxy

    @property
    def pools(self) -> Pools:
        return self.front.pools

    @property
    def counters(self) -> Counters:
        return self.front.proxy.counters

    @property
    def certificates(self) -> CertificateStore | None:
        return self.front.certificates

    @property
    def store(self) -> StateStore:
        return self.watching.store

    @property
    def prober(self) -> Prober:
        return self.watching.prober

    @property
    def listening(self) -> tuple[SocketAddress, ...]:
        """Where clients are served, with the ports that the kernel chose."""
        return self.front.listeners.addresses

    @property
    def connections(self) -> int:
        """Of clients, now."""
        return len(self.proxy.connections)

    @property
    def pids(self) -> dict[int, int]:
        """This process serves, and no other."""
        return {0: os.getpid()}

    @property
    def draining(self) -> bool:
        return self.proxy.draining

    def _know_neighbours(self) -> None:
        self.proxy.neighbours.known = self.watching.known

    def gather(self) -> None:
        """Pools and counters are this process's own, and always as they should be."""

    async def start(self) -> None:
        """Bind, learn about the servers, then serve. Raises GslbError when an address cannot be bound."""
        # Bound before anything else, so that a taken port is known at once; served only once servers are.
        bound = self.front.bind()
        try:
            await self._learn()
            await self.front.open(bound)
        except BaseException:
            self.front.listeners.give_up(bound)
            await self.live.stop()
            await self.watching.stop()
            raise
        self._tasks.run(self.prober.run(), "probing")
        self._tasks.run(self.watching.report(), "reporting")
        self._tasks.run(self._renew_certificates(), "certificates")
        self._tasks.run(self.configuration.watch(), "configuration")
        self._tasks.run(self.live.run(), "servers")
        self.ready = True
        self.configuration.start()
        self._log.info(
            "serving",
            listen=[str(address) for address in self.listening],
            compiled=self.proxy.compiled is not None,
        )

    async def _learn(self) -> None:
        """Find the servers there are, and how they are, before anybody is sent there."""
        await self.watching.hear()
        effective = await self.live.look_ahead(self.fleet)
        if effective is not self.fleet:
            self.proxy.use(await aside(lambda: prepare(effective, self.edge)))
        self.live.use(self.fleet, effective)
        await self.watching.start(effective)

    async def take_up(self, fleet: Fleet, edge: Edge) -> None:
        """Go on with `fleet` from one request to the next; raises GslbError, and then nothing has changed.

        Whatever can fail or takes time comes first. New servers are probed before they get requests. Nobody's
        connection is closed, and requests under way end as they began.
        """
        effective = await self.live.look_ahead(fleet)
        async with self.front.prepared(effective, edge) as change:
            ahead = await self.watching.look_ahead(effective, edge)
            await change.begin()
            # From here on nothing waits and nothing fails.
            change.use()
            self.fleet, self.edge = fleet, edge
            self.watching.use(effective, edge, ahead)
            self.live.use(fleet, effective)

    async def _renew_certificates(self) -> None:
        while True:
            await asyncio.sleep(_CERTIFICATES_EVERY)
            self.front.reload_certificates()

    def reopen_log(self) -> None:
        """SIGUSR1: go on in a new access log of the same name."""
        self.front.reopen_log()

    async def stop(self) -> None:
        """Send clients elsewhere, accept nothing more, finish what is in flight, and leave."""
        self.ready = False
        self.proxy.draining = True
        await self.configuration.close()
        await self.front.leave()
        await self._tasks.stop()
        await self.live.stop()
        await self.watching.stop()

    def hurry(self) -> None:
        """Cut the wait of `stop` for stragglers short."""
        self.front.hurry()
