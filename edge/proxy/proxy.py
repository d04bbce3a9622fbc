"""What all connections of one edge share: routes, pools, settings, counters, and the watch over time."""

from __future__ import annotations

import asyncio

from edge.counters import Counters
from edge.pool import Pools
from edge.proxy.complaints import Complaints
from edge.proxy.downstream import Downstream
from edge.proxy.headers import new_request_id
from edge.proxy.refusal import explanation, local_response
from edge.route import RouteTable
from gslb.fleet import Edge, Fleet

_SLOWEST_TICK = 1.0
_FASTEST_TICK = 0.02
_MOST_TURNED_AWAY = 1000  # connections over the limit that hear why; those beyond are just closed


class Proxy:
    """The data path of one edge. `protocol` makes the protocol of each accepted connection.

    Time limits are looked after by one coarse tick for all connections, so they hold to within a tick: a
    second, or a quarter of the shortest limit if that is less.
    """

    def __init__(self, fleet: Fleet, edge: Edge, pools: Pools, loop: asyncio.AbstractEventLoop) -> None:
        self.fleet = fleet
        self.edge = edge
        self.region = edge.region
        self.settings = settings = fleet.edge
        self.health_path = settings.health_path.encode()
        self.routes = RouteTable(fleet.routes)
        self.pools = pools
        self.loop = loop
        self.time = loop.time
        self.counters = Counters()
        self.complain = Complaints(loop.time)
        self.draining = False  # responses say goodbye, and the health path tells DNS nodes to look elsewhere
        self.leaving = False  # nothing new is taken on
        self.via = edge.name
        self.via_token = f" {edge.name},".lower().encode()
        self.region_mark = f"X-GSLB-Region: {edge.region}\r\n".encode()
        self.connections: set[Downstream] = set()
        self._turned_away: set[Downstream] = set()
        self._emptied = asyncio.Event()
        self._ticking: asyncio.TimerHandle | None = None
        shortest = min(
            settings.response_timeout,
            settings.header_timeout,
            settings.idle_timeout,
            settings.server_idle_timeout,
        )
        self._tick_interval = max(_FASTEST_TICK, min(_SLOWEST_TICK, shortest / 4))

    def protocol(self) -> Downstream:
        return Downstream(self)

    def admit(self, connection: Downstream) -> bool:
        """Take on a new connection; False when the edge has as many as it may."""
        self.counters.connections += 1
        if len(self.connections) < self.settings.max_connections:
            self.connections.add(connection)
            return True
        self.counters.connections_refused += 1
        self.counters.refused(503)
        self.complain("too many connections", limit=self.settings.max_connections)
        return False

    def turn_away(self, connection: Downstream) -> bytes | None:
        """What to tell a connection that was not admitted; None when too many are being told already."""
        if len(self._turned_away) >= min(_MOST_TURNED_AWAY, self.settings.max_connections):
            return None
        self._turned_away.add(connection)
        request_id = new_request_id().decode()
        full = f"region {self.region} has {self.settings.max_connections} connections at this edge, its limit"
        return local_response(
            503,
            explanation(503, full, request_id),
            request_id=request_id,
            region=self.region,
            keep_alive=False,
        )

    def forget(self, connection: Downstream) -> None:
        self._turned_away.discard(connection)
        self.connections.discard(connection)
        if not self.connections:
            self._emptied.set()

    def start(self) -> None:
        """Begin to watch over time limits."""
        self._ticking = self.loop.call_later(self._tick_interval, self._tick)

    def _tick(self) -> None:
        self._ticking = self.loop.call_later(self._tick_interval, self._tick)
        now = self.time()
        for connection in (*self.connections, *self._turned_away):
            connection.check(now)
        self.pools.expire_idle(now - self.settings.server_idle_timeout)

    async def drain(self, timeout: float) -> int:
        """Finish what is in flight and take on nothing new; how many connections had to be cut off.

        Idle connections are closed at once, others say `Connection: close` with their response.
        """
        self.draining = self.leaving = True
        self.pools.close_idle()
        for connection in tuple(self.connections):
            connection.close_if_idle()
        try:
            async with asyncio.timeout(timeout):
                while self.connections:
                    self._emptied.clear()
                    await self._emptied.wait()
        except TimeoutError:
            pass
        left = tuple(self.connections)
        cut_off = sum(connection.busy for connection in left)
        for connection in (*left, *self._turned_away):
            connection.abort()
        return cut_off

    def stop(self) -> None:
        """Forget the clock and all connections to servers."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        self.pools.close_idle()
