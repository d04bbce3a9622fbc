"""The head of an edge with several workers: it watches servers, tells the world, and serves nobody itself.

What there is one of is here: probes and verdicts, reports and store, the admin side, the file. Workers get
the fleet and a board of shared numbers from it (`edge.workers`), and bind every listener each for itself; the
kernel spreads connections over them (SO_REUSEPORT).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence

import structlog

from edge.access_log import open_access_log
from edge.counters import Counters
from edge.front import certificates
from edge.live_servers import LiveServers
from edge.pool import Pools
from edge.proxy.proxy import has_compiled_path
from edge.reload import Configuration
from edge.reserved import Reserved
from edge.serving import prepare
from edge.tasks import Tasks
from edge.watching import Watching
from edge.worker import BOARD, FLEET
from edge.workers.channel import Shared
from edge.workers.columns import Board
from edge.workers.parcel import Parcel, pack
from edge.workers.sharing import HeadsShare, layout_of
from edge.workers.supervisor import Supervisor
from gslb.aside import aside
from gslb.clock import Clock
from gslb.fleet import Edge, Fleet, SocketAddress
from gslb.log import LogLevel
from gslb.store.state import StateStore

_TOLD_AFTER = 0.005  # seconds
_GRACE = 5.0  # seconds for what a worker does besides waiting, before it is killed


def workers_of(fleet: Fleet) -> int:
    """How many processes are to serve; one for each core that this one may use, if the file says no more."""
    if fleet.edge.workers is not None:
        return fleet.edge.workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Head:
    """`run` returns when all workers have ended, with the exit status. It has what the admin side shows."""

    def __init__(self, fleet: Fleet, edge: Edge, clock: Clock, *, workers: int, level: LogLevel) -> None:
        self.fleet = fleet
        self.edge = edge
        self.clock = clock
        self.ready = self.draining = False
        self.pools = Pools(fleet, fleet.regions[edge.region])
        self.counters = Counters()
        self._workers = workers
        self._telling: asyncio.TimerHandle | None = None
        self.watching = Watching(fleet, edge, clock, self.pools, self.counters, self.gather, self._tell)
        self.watching.processes = workers
        self.configuration = Configuration(self)
        self.live = LiveServers(self, self.watching.changes)
        self._reserved = Reserved()
        self._share: HeadsShare | None = None
        self._parcel: int | None = None  # its descriptor
        self._tasks = Tasks()
        self._on_ready: Callable[[], None] = lambda: None
        self._listening: tuple[SocketAddress, ...] = ()
        settings = fleet.edge
        self._supervisor = Supervisor(
            workers,
            lambda number, fd: _command(number, fd, level),
            clock,
            grace=settings.lame_duck + settings.drain_timeout + _GRACE,
            on_ready=self._served,
            on_gone=self._worker_gone,
        )
        self._log = structlog.get_logger("edge").bind(region=edge.region, edge=edge.name)

    @property
    def store(self) -> StateStore:
        return self.watching.store

    @property
    def connections(self) -> int:
        return self._share.connections if self._share is not None else 0

    @property
    def pids(self) -> dict[int, int]:
        """Process ids of the workers that run, by number."""
        return self._supervisor.pids

    @property
    def listening(self) -> tuple[SocketAddress, ...]:
        """Where clients are served, with the ports that the kernel chose."""
        return self._listening

    def gather(self) -> None:
        """Have the workers' sums in `counters` and `pools`, and weights as they are by now."""
        now = asyncio.get_running_loop().time()
        for pool in self.pools:
            pool.warm(now)
        if self._share is not None:
            self._share.gather()

    async def run(self, on_ready: Callable[[], None]) -> int:
        """Serve. on_ready: called once, when all workers do. Raises GslbError when an address is taken."""
        self._on_ready = on_ready
        self._take_signals()
        self._try(self.fleet, self.edge)
        edge, wanted = self._reserved.prepare(self.edge)
        self._reserved.use(wanted)
        try:
            effective = await self._learn()
            layout = layout_of(effective, edge, self._workers)
            self._share = HeadsShare(self.pools, self.counters, Board.create(layout))
            self._hand_out(edge, pack(Parcel(effective, edge, self._workers)))
            self._tasks.run(self.watching.prober.run(), "probing")
            self._tasks.run(self.watching.report(), "reporting")
            self._tasks.run(self.configuration.watch(), "configuration")
            self._tasks.run(self.live.run(), "servers")
            return await self._supervisor.run() if not self.draining else 0
        finally:
            self.ready = False
            await self.configuration.close()
            await self._tasks.stop()
            await self.live.stop()
            await self.watching.stop()
            self._reserved.use({})
            self._close_shared()
            self._log.info("stopped", requests=self.counters.requests)

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.configuration.hang_up)
        loop.add_signal_handler(signal.SIGUSR1, self._supervisor.pass_on, signal.SIGUSR1)

    def stop(self) -> None:
        """Have the workers leave; a second call makes them hurry."""
        if not self.draining:
            # Workers that leave take nothing up any more.
            self._tasks.run(self.configuration.close(), "closing the configuration")
        self.draining = True
        self.ready = False
        self._supervisor.stop()

    def _served(self) -> None:
        self.ready = not self.draining
        self.configuration.start()
        self._log.info(
            "serving",
            listen=[str(each) for each in self._listening],
            workers=self._workers,
            compiled=has_compiled_path(),
        )
        self._on_ready()

    def _worker_gone(self, number: int) -> None:
        if self._share is not None:
            self._share.board.forget(number)

    def _tell(self) -> None:
        """Tell the workers soon: whatever comes together is told together."""
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(_TOLD_AFTER, self._tell_now)

    def _tell_now(self) -> None:
        self._telling = None
        if self._share is not None:
            self._share.tell(self.watching.known)

    async def _learn(self) -> Fleet:
        """Find the servers there are, and how they are; what is to be served by."""
        await self.watching.hear()
        effective = await self.live.look_ahead(self.fleet)
        if effective is not self.fleet:
            self._use_servers(effective)
        self.live.use(self.fleet, effective)
        await self.watching.start(effective)
        return effective

    def _use_servers(self, fleet: Fleet) -> None:
        region, now = fleet.regions[self.edge.region], asyncio.get_running_loop().time()
        for pool in self.pools.use(fleet, region, now):
            pool.retire()

    async def take_up(self, fleet: Fleet, edge: Edge) -> None:
        """Have all workers go on with `fleet`; raises GslbError, and then nothing has changed.

        What would fail in every worker fails here first.
        """
        share = self._share
        assert share is not None
        effective = await self.live.look_ahead(fleet)
        await aside(lambda: self._try(effective, edge))
        real, wanted = self._reserved.prepare(edge)
        parcel: int | None = None
        try:
            parcel = pack(Parcel(effective, real, self._workers))
            ahead = await self.watching.look_ahead(effective, edge)
            board = share.board.successor(layout_of(effective, real, self._workers))
        except BaseException:
            self._reserved.give_up(wanted)
            if parcel is not None:
                os.close(parcel)
            raise
        # From here on nothing waits and nothing fails.
        self.fleet, self.edge = fleet, edge
        self._use_servers(effective)
        share.use(board)
        self.watching.use(effective, edge, ahead)
        self.live.use(fleet, effective)
        self._hand_out(real, parcel)
        self._reserved.use(wanted)

    def _try(self, fleet: Fleet, edge: Edge) -> None:
        """Raise the GslbError that every worker would, should a file be of no use."""
        prepare(fleet, edge)
        certificates(fleet, edge)
        log = open_access_log(fleet.edge.access_log, self.clock)
        if log is not None:
            log.close()

    def _hand_out(self, edge: Edge, parcel: int) -> None:
        """Share the fleet, whose descriptor is `parcel`, and the board with all workers."""
        share, before = self._share, self._parcel
        assert share is not None
        share.tell(self.watching.known)
        self._parcel = parcel
        generation = share.board.generation
        self._supervisor.share(Shared(FLEET, generation, parcel))
        self._supervisor.share(Shared(BOARD, generation, share.board.fd))
        self._listening = tuple(listener.address for listener in edge.listen)
        if before is not None:
            os.close(before)

    def _close_shared(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
        if self._share is not None:
            self.gather()
            for server in self.pools.servers.values():
                server.share(0, None, ())
            self._share.board.close()
            self._share = None
        if self._parcel is not None:
            os.close(self._parcel)
            self._parcel = None


def _command(number: int, fd: int, level: LogLevel) -> Sequence[str]:
    # -P: whatever lies in the folder that the edge was started in is no module of ours.
    return (sys.executable, "-P", "-m", "edge.worker", str(number), str(fd), level.value)
