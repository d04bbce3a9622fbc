"""The side of an edge that clients meet: listeners, certificates, the proxy behind them, the access log."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import structlog

from edge.access_log import AccessLog, open_access_log
from edge.listeners import Bound, Listeners, Terms, terms
from edge.pool import Pools
from edge.proxy.proxy import Proxy
from edge.serving import Serving, prepare
from edge.shared_rate_limit import SharedBuckets, limit_name
from edge.shared_rates import SharedRates
from edge.tasks import Tasks
from edge.tls.store import CertificateStore
from gslb.aside import aside
from gslb.clock import Clock
from gslb.fleet import Edge, Fleet

CERTIFICATES_EVERY = 10.0  # seconds


class Front:
    """Of one process. Call `bind`, `open` and `leave`; `prepared` in between, to go on with another fleet."""

    def __init__(self, fleet: Fleet, edge: Edge, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        """Raises GslbError when a file for TLS, or the access log, cannot be used."""
        self.clock = clock
        self.pools = Pools(fleet, fleet.regions[edge.region])
        self.certificates = certificates(fleet, edge)
        self.proxy = Proxy(fleet, edge, self.pools, loop, open_access_log(fleet.edge.access_log, clock))
        self.listeners = Listeners(self.proxy)
        self._hurry = asyncio.Event()
        self._rates: SharedRates | None = None
        self._tasks = Tasks()
        self._log = structlog.get_logger("edge").bind(region=edge.region, edge=edge.name)

    def bind(self) -> list[Bound]:
        """So that a taken port is known early; raises GslbError. Either `open` them or give them up."""
        proxy = self.proxy
        return self.listeners.prepare(_terms(proxy.fleet, proxy.edge, self.certificates))

    async def open(self, bound: list[Bound]) -> None:
        """Serve. Raises GslbError when an address cannot be listened on."""
        await self.listeners.begin(bound)
        self.listeners.use(bound)
        self.proxy.start()
        self._share_rates()

    def _share_rates(self) -> None:
        """Count with the other edges what is to be counted together, if there is a Redis to do so."""
        proxy = self.proxy
        shared = {
            limit_name(route, buckets.limit): buckets
            for route, buckets in proxy.rates.items()
            if isinstance(buckets, SharedBuckets)
        }
        redis = proxy.fleet.redis
        if self._rates is None and shared and redis.url is not None:
            name = f"{proxy.region}/{proxy.edge.name} {os.getpid()} {int(self.clock.now() * 1000)}"
            self._rates = SharedRates(redis, name)
            self._tasks.run(self._rates.run(), "sharing rate limits")
        if self._rates is not None:
            self._rates.use(shared)

    @contextlib.asynccontextmanager
    async def prepared(self, fleet: Fleet, edge: Edge) -> AsyncIterator[Change]:
        """All that can fail of going on with `fleet`: raises GslbError, and then nothing has changed."""
        before, log = self.proxy.fleet.edge, self.proxy.access_log
        serving = await aside(lambda: prepare(fleet, edge))
        shown = self.certificates
        if shown is None or fleet.edge.tls != before.tls:
            shown = await aside(lambda: certificates(fleet, edge))
        if fleet.edge.access_log != before.access_log:
            log = open_access_log(fleet.edge.access_log, self.clock)
        change: Change | None = None
        try:
            bound = self.listeners.prepare(_terms(fleet, edge, shown))
            change = Change(self, serving, shown, log, bound)
            yield change
        finally:
            if change is None or not change.used:
                if change is not None:
                    self.listeners.give_up(change.bound)
                if log is not None and log is not self.proxy.access_log:
                    log.close()

    def take(self, change: Change) -> None:
        """Go on with what was prepared, in one step that cannot fail."""
        proxy = self.proxy
        old_log, proxy.access_log = proxy.access_log, change.log
        self.certificates = change.certificates
        proxy.use(change.serving)
        self.listeners.use(change.bound)
        self._share_rates()
        if old_log is not None and old_log is not change.log:
            old_log.close()
        self.reload_certificates()

    def reload_certificates(self) -> None:
        """Take up certificates whose files have changed."""
        for problem in self.certificates.reload() if self.certificates is not None else ():
            self._log.warning("certificate not taken up", reason=str(problem))

    def reopen_log(self) -> None:
        """SIGUSR1: go on in a new access log of the same name."""
        if self.proxy.access_log is not None:
            self.proxy.access_log.reopen()

    async def leave(self) -> int:
        """Send clients elsewhere, accept nothing more, finish what is in flight; how many were cut off.

        DNS nodes must see the health path's 503 and clients' caches must lapse before nobody comes any more:
        until `lame_duck` is over, whoever comes is served.
        """
        self.proxy.draining = True
        if self.listeners.addresses:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.proxy.settings.lame_duck):
                    await self._hurry.wait()
        await self.listeners.close()
        cut_off = await self.proxy.drain(self.proxy.settings.drain_timeout)
        self.proxy.stop()
        await self._tasks.stop()
        if self.proxy.access_log is not None:
            self.proxy.access_log.close()
        self._log.info("stopped", requests=self.proxy.counters.requests, cut_off=cut_off)
        return cut_off

    def hurry(self) -> None:
        """Cut the wait of `leave` for those who have not heard yet short."""
        self._hurry.set()


class Change:
    """Another fleet, ready to be served by. Call `begin`, then `use`."""

    __slots__ = ("_front", "bound", "certificates", "log", "serving", "used")

    def __init__(
        self,
        front: Front,
        serving: Serving,
        certificates: CertificateStore | None,
        log: AccessLog | None,
        bound: list[Bound],
    ) -> None:
        self._front = front
        self.serving = serving
        self.certificates = certificates
        self.log = log
        self.bound = bound
        self.used = False

    async def begin(self) -> None:
        """Listen where nobody did so far; raises GslbError. `use` should follow soon."""
        await self._front.listeners.begin(self.bound)

    def use(self) -> None:
        """Go on with it, from one request to the next: nobody's connection is closed."""
        self.used = True
        self._front.take(self)


def certificates(fleet: Fleet, edge: Edge) -> CertificateStore | None:
    """None without listeners that need any; raises TlsError when one cannot be used."""
    return CertificateStore(fleet.edge.tls) if any(listener.tls for listener in edge.listen) else None


def _terms(fleet: Fleet, edge: Edge, shown: CertificateStore | None) -> list[Terms]:
    context = shown.context if shown is not None else None
    return [terms(listener, fleet.edge, context) for listener in edge.listen]
